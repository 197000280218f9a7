"""Batches and answers of any size over one stream: cut where they are large, put together as their shape is known."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
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


class Cutting:
    """The same of bytes that are made part by part: pieces are as full as those of the whole."""

    def __init__(self) -> None:
        self._left: list[Raw] = []
        self._size = 0

    def add(self, raw: Raw) -> list[Raw]:
        """The pieces (1, PIECE) that are full now, and not the last."""
        self._left.append(raw)
        self._size += raw.size
        if self._size <= PIECE:
            return []
        flat = np.concatenate([part.reshape(-1) for part in self._left])
        whole = (flat.size - 1) // PIECE * PIECE
        self._left, self._size = [flat[whole:].copy()], flat.size - whole
        return [flat[None, start : start + PIECE] for start in range(0, whole, PIECE)]

    def rest(self) -> list[Raw]:
        """The last piece, if there is any; in its own shape where it is all."""
        if len(self._left) == 1 and self._left[0].ndim == 2:
            return self._left
        return [np.concatenate([part.reshape(-1) for part in self._left])[None, :]] if self._size else []


def pieces_of(total: int, wholes: int) -> int:
    """Messages that so many wholes of so many bytes together take at most."""
    return total // PIECE + wholes


class Pieces(Generic[M]):
    """A stream of messages, `body` of each of them, read whole by whole; `wrong(text)` is the sender's violation."""

    def __init__(self, chunks: AsyncIterable[M], body: Callable[[M], Raw], wrong: Callable[[str], ParleyError]) -> None:
        self._chunks, self._body, self._wrong = aiter(chunks), body, wrong

    async def take(self, shape: tuple[int, int], fits: Callable[[M], bool] = lambda m: True) -> Raw:
        """The next whole, of this shape; every message of it must fit."""
        got = [part async for part in self.parts(shape, fits)]
        return np.concatenate(got).reshape(shape) if got else np.empty(shape, dtype=np.uint8)

    async def parts(self, shape: tuple[int, int], fits: Callable[[M], bool] = lambda m: True) -> AsyncIterator[Raw]:
        """The same whole, its bytes (n,) as they come."""
        due = shape[0] * shape[1]
        while due > 0:
            chunk = await anext(self._chunks, None)
            if chunk is None or not fits(chunk):
                raise self._wrong("sent something else than was asked for, or less")
            part = self._body(chunk).reshape(-1)
            if not 0 < part.size <= due:
                raise self._wrong("sent more or less than was asked for")
            due -= part.size
            yield part

    async def end(self) -> None:
        """Nothing more may come."""
        if await anext(self._chunks, None) is not None:
            raise self._wrong("sent more than was asked for")
