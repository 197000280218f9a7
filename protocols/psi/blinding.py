"""What intersections by commutative blinding share: ids hashed to ristretto255, multiplied and sent chunk by chunk.

A point H(x)^k is 32 bytes; where it is only compared, 12 bytes of it stand for it: n ids against m have an accidental
match with probability n m / 2^96. Keys are fresh for every exchange. Curve work is done in the session's pool.
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
Ints = NDArray[np.int64]
Points = Annotated[Bytes, array("n", 32, dtype="uint8")]
Tags = Annotated[Bytes, array("n", 12, dtype="uint8")]
Indices = Annotated[NDArray[np.uint32], array("n", dtype="uint32")]


@dataclass(frozen=True, repr=False, eq=False)
class PointsMessage(Message):
    """Base of messages that carry points; each protocol gives them tags of its own."""

    points: Points


@dataclass(frozen=True, repr=False, eq=False)
class TagsMessage(Message):
    """Base of messages that carry what stands for points."""

    tags: Tags


Kinds = tuple[type[PointsMessage], type[TagsMessage], type[PointsMessage]]


async def exchange(s: Session, sender: str, column: IdColumn, order: Ints, kinds: Kinds) -> tuple[Bytes, Bytes]:
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
        return joined(returned, 12), joined(blinded, 12)

    _, answer = await together(send_hashed(s, sender, ours, column, order, key), back())
    assert answer is not None
    return answer


# ---------------------------------------------------------------- a party's own ids


async def send_hashed(
    s: Session, peer: str, kind: type[PointsMessage], column: IdColumn, order: Ints, key: bytes
) -> None:
    """Stream H(id)^key in `order`, each chunk as soon as it is blinded."""
    out = s.stream(peer, kind)
    async for chunk in _blinded(s, column, order, key, DST):
        await out.put(kind(chunk))
    await out.close()


async def hashed(s: Session, column: IdColumn, order: Ints, key: bytes, dst: bytes) -> Bytes:
    """(n, 32) H(id)^key of the column's ids in this order."""
    return joined([chunk async for chunk in _blinded(s, column, order, key, dst)])


async def _blinded(s: Session, column: IdColumn, order: Ints, key: bytes, dst: bytes) -> AsyncIterator[Bytes]:
    for start in range(0, order.size, CHUNK):
        ids = curve.Ids.from_arrow(column.ids.take(order[start : start + CHUNK]))
        yield await s.compute(curve.hash_and_multiply, ids, key, dst)
        s.progress(min(start + CHUNK, order.size), order.size, "blinding ids")


# ---------------------------------------------------------------- a peer's points


async def points_of(s: Session, peer: str, kind: type[PointsMessage]) -> AsyncIterator[Bytes]:
    async for chunk in s.stream(peer, kind):
        yield chunk.points


async def multiplied(s: Session, peer: str, kind: type[PointsMessage], key: bytes) -> Bytes:
    """(n, 32) what a peer streams, times the key; ParleyError "bad_point" naming the peer."""
    with told(peer):
        return joined([await s.compute(curve.multiply, points, key) async for points in points_of(s, peer, kind)])


async def checked(s: Session, peer: str, kind: type[PointsMessage], rows: int) -> Bytes:
    """(rows, 32) what a peer streams, each an element; ParleyError "bad_point", or for another number of them."""
    out = []
    with told(peer):
        async for points in points_of(s, peer, kind):
            await s.compute(curve.check, points)
            out.append(points)
    whole = joined(out)
    if len(whole) != rows:
        raise wrong(peer, "returned another number of points than it was sent")
    return whole


# ---------------------------------------------------------------- rows that are there already


async def put_points(s: Session, peer: str, kind: type[PointsMessage], points: Bytes) -> None:
    """Stream points (n, 32)."""
    await put_all(s, peer, kind, lambda a, b: kind(points[a:b]), len(points))


async def put_all(
    s: Session,
    peer: str,
    kind: type[Message],
    part: Callable[[int, int], Message],
    rows: int,
    chunk: int | None = None,
) -> None:
    """Stream rows; `part(a, b)` is the message of rows a to b, of which one holds CHUNK unless said otherwise."""
    out = s.stream(peer, kind)
    size = CHUNK if chunk is None else chunk
    for start in range(0, rows, size):
        await out.put(part(start, min(start + size, rows)))
    await out.close()


def messages_for(rows: int) -> int:
    """How many messages a stream of so many rows has at most, its end included."""
    return -(-rows // CHUNK) + 1


def tags_of(points: Bytes) -> Bytes:
    """(n, 12) of points (n, 32): bytes that are near uniform for a random point, and that equal points share."""
    return np.ascontiguousarray(points[:, TAG])


def joined(chunks: list[Bytes], width: int = 32) -> Bytes:
    """(n, width) of chunks: points, or tags of 12 bytes."""
    return np.concatenate([np.empty((0, width), dtype=np.uint8), *chunks])


def as_ids(rows: Bytes) -> curve.Ids:
    """Rows (n, width) as byte strings of one length."""
    n, width = rows.shape
    return curve.Ids(np.ascontiguousarray(rows).reshape(-1), np.arange(n + 1, dtype=np.int64) * width)


def wrong(peer: str, what: str) -> ParleyError:
    """A peer that broke the protocol's rules, named."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
