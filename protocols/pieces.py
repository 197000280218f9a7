"""Batches and answers of any size over one stream: cut where they are large, put together as their shape is known."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.wire.errors import ParleyError

Raw = NDArray[np.uint8]
M = TypeVar("M")
PIECE = 4 << 20


def cut(raw: Raw) -> Iterator[Raw]:
    """The bytes (k, size) as they are while they are few, else in pieces (1, n) of at most PIECE bytes."""
    if raw.nbytes <= PIECE:
        yield raw
        return
    flat = raw.reshape(1, -1)
    for start in range(0, raw.nbytes, PIECE):
        yield flat[:, start : start + PIECE]


def pieces_of(total: int, wholes: int) -> int:
    """Messages that so many wholes of so many bytes together take at most."""
    return total // PIECE + wholes


class Pieces(Generic[M]):
    """A stream of messages, `body` of each of them, read whole by whole; `wrong(text)` is the sender's violation."""

    def __init__(self, chunks: AsyncIterable[M], body: Callable[[M], Raw], wrong: Callable[[str], ParleyError]) -> None:
        self._chunks, self._body, self._wrong = aiter(chunks), body, wrong

    async def take(self, shape: tuple[int, int], fits: Callable[[M], bool] = lambda m: True) -> Raw:
        """The next whole, of this shape; every message of it must fit."""
        got: list[Raw] = []
        due = shape[0] * shape[1]
        while due > 0:
            chunk = await anext(self._chunks, None)
            if chunk is None or not fits(chunk):
                raise self._wrong("sent something else than was asked for, or less")
            part = self._body(chunk).reshape(-1)
            if not 0 < part.size <= due:
                raise self._wrong("sent more or less than was asked for")
            got.append(part)
            due -= part.size
        return np.concatenate(got).reshape(shape) if got else np.empty(shape, dtype=np.uint8)

    async def end(self) -> None:
        """Nothing more may come."""
        if await anext(self._chunks, None) is not None:
            raise self._wrong("sent more than was asked for")
