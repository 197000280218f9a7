"""What intersections by commutative blinding share: ids hashed to ristretto255 and multiplied, sent chunk by chunk.

A point H(x)^k is 32 bytes; where it is only compared, 12 bytes of it stand for it: n ids against m have an accidental
match with probability n m / 2^96. Keys are fresh for every exchange.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.crypto import curve
from parley.protocols.inputs import together, told
from parley.protocols.kit import Message, Session, array
from parley.protocols.psi.ids import IdColumn
from parley.wire.errors import ParleyError

# At most 45 bytes, with which each of the two hashes behind a point is one block for ids of up to 62 bytes.
DST = b"psi-ecdh-ristretto255_XMD:SHA-512_R255MAP_RO_"
CHUNK = 32_000  # rows of a stream's chunk: a megabyte of points
TAG = slice(4, 16)
Bytes = NDArray[np.uint8]
Order = NDArray[np.int64]
Points = Annotated[Bytes, array("n", 32, dtype="uint8")]
Tags = Annotated[Bytes, array("n", 12, dtype="uint8")]


@dataclass(frozen=True, repr=False, eq=False)
class PointsMessage(Message):
    """Base of messages that carry points."""

    points: Points


@dataclass(frozen=True, repr=False, eq=False)
class TagsMessage(Message):
    """Base of messages that carry what stands for points."""

    tags: Tags


Kinds = tuple[type[PointsMessage], type[TagsMessage], type[PointsMessage]]


async def exchange(s: Session, sender: str, column: IdColumn, order: Order, kinds: Kinds) -> tuple[Bytes, Bytes]:
    """The receiver's side: tags of H(x)^ab as the sender returned them, and of H(y)^ba.

    Sending and receiving run side by side.
    """
    ours, double, theirs = kinds
    key = curve.random_scalar(s.rng)

    async def back() -> tuple[Bytes, Bytes]:
        returned = [chunk.tags async for chunk in s.stream(sender, double)]
        if sum(map(len, returned)) != len(column):
            raise wrong(sender, "returned another number of ids than it was sent")
        with told(sender):
            blinded = [tags_of(await s.compute(curve.multiply, c, key)) async for c in points_of(s, sender, theirs)]
        return joined(returned), joined(blinded)

    _, answer = await together(send_hashed(s, sender, ours, column, order, key), back())
    assert answer is not None
    return answer


async def send_hashed(
    s: Session, peer: str, kind: type[PointsMessage], column: IdColumn, order: Order, key: bytes
) -> None:
    """Stream H(id)^key in `order`, blinding one chunk at a time."""
    out = s.stream(peer, kind)
    for start in range(0, order.size, CHUNK):
        ids = curve.Ids.from_arrow(column.ids.take(order[start : start + CHUNK]))
        await out.put(kind(await s.compute(curve.hash_and_multiply, ids, key, DST)))
        s.progress(min(start + CHUNK, order.size), order.size, "blinding ids")
    await out.close()


async def put_all(s: Session, peer: str, kind: type[Message], part: Callable[[int, int], Message], rows: int) -> None:
    """Stream rows that are there already; `part(a, b)` is the message of rows a to b."""
    out = s.stream(peer, kind)
    for start in range(0, rows, CHUNK):
        await out.put(part(start, min(start + CHUNK, rows)))
    await out.close()


async def points_of(s: Session, peer: str, kind: type[PointsMessage]) -> AsyncIterator[Bytes]:
    async for chunk in s.stream(peer, kind):
        yield chunk.points


def tags_of(points: Bytes) -> Bytes:
    """(n, 12) of points (n, 32): bytes that are near uniform for a random point, and that equal points share."""
    return np.ascontiguousarray(points[:, TAG])


def joined(chunks: list[Bytes]) -> Bytes:
    """(n, 12) of chunks of tags."""
    return np.concatenate([np.empty((0, 12), dtype=np.uint8), *chunks])


def messages_for(rows: int) -> int:
    """How many messages a stream of so many rows has at most, its end included."""
    return -(-rows // CHUNK) + 1


def wrong(peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
