"""Streams of blinded ids between two parties: hashed, multiplied and shuffled in chunks, in the session's pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.crypto import curve
from parley.protocols.inputs import told
from parley.protocols.kit import Message, Session, array, message
from parley.protocols.psi.ids import IdColumn
from parley.wire.errors import ParleyError

CHUNK = 16_384  # points of a stream's chunk: half a megabyte
Points = Annotated[NDArray[np.uint8], array("n", 32, dtype="uint8")]
Indices = Annotated[NDArray[np.uint32], array("n", dtype="uint32")]
Ints = NDArray[np.int64]


@message("psi.points/1")
class PointRows(Message):
    """The form of every message of points; each protocol gives it tags of its own."""

    points: Points


def chunks(rows: int) -> int:
    """Messages of a stream of so many rows, its end included."""
    return -(-rows // CHUNK) + 1


async def hashed(s: Session, column: IdColumn, order: Ints, key: bytes, dst: bytes) -> NDArray[np.uint8]:
    """(n, 32) H(id)^key of the column's ids in this order."""
    out = []
    for start in range(0, order.size, CHUNK):
        ids = curve.Ids.from_arrow(column.ids.take(order[start : start + CHUNK]))
        out.append(await s.compute(curve.hash_and_multiply, ids, key, dst))
        s.progress(min(start + CHUNK, order.size), order.size, "blinding ids")
    return joined(out)


async def multiplied(s: Session, peer: str, kind: type[PointRows], key: bytes) -> NDArray[np.uint8]:
    """(n, 32) what a peer streams, times the key; ParleyError "bad_point" naming the peer."""
    out = []
    with told(peer):
        async for chunk in s.stream(peer, kind):
            out.append(await s.compute(curve.multiply, chunk.points, key))
    return joined(out)


async def checked(s: Session, peer: str, kind: type[PointRows], rows: int) -> NDArray[np.uint8]:
    """(rows, 32) what a peer streams, each an element; ParleyError "bad_point", or for another number of them."""
    out = []
    with told(peer):
        async for chunk in s.stream(peer, kind):
            await s.compute(curve.check, chunk.points)
            out.append(chunk.points)
    whole = joined(out)
    if len(whole) != rows:
        raise wrong(peer, "returned another number of points than it was sent")
    return whole


async def put_points(s: Session, peer: str, kind: type[PointRows], points: NDArray[np.uint8]) -> None:
    """Stream points (n, 32)."""
    await put_all(s, peer, kind, lambda a, b: kind(points[a:b]), len(points))


async def put_all(
    s: Session, peer: str, kind: type[Message], part: Callable[[int, int], Message], rows: int, chunk: int = CHUNK
) -> None:
    """Stream `part(start, end)` over all rows."""
    out = s.stream(peer, kind)
    for start in range(0, rows, chunk):
        await out.put(part(start, min(start + chunk, rows)))
    await out.close()


def joined(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(n, 32) of chunks."""
    return np.concatenate([np.empty((0, 32), dtype=np.uint8), *parts])


def as_ids(rows: NDArray[np.uint8]) -> curve.Ids:
    """Rows (n, width) as byte strings of one length."""
    n, width = rows.shape
    return curve.Ids(np.ascontiguousarray(rows).reshape(-1), np.arange(n + 1, dtype=np.int64) * width)


def wrong(peer: str, what: str) -> ParleyError:
    """A peer that broke the protocol's rules, named."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
