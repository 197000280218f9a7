"""Private intersection of id columns by commutative blinding on ristretto255.

Ideal functionality: every party brings a set of ids; the receiver is told which of its ids every sender has, and with
`result: both` every party is told its own rows of the common records, in one order that is the same for all and says
nothing. With a `floor` fewer common records than that give nobody any position.

Adversary: semi-honest, under the decisional Diffie-Hellman assumption on ristretto255, with the hash to the group as a
random oracle. Each sender is met separately, with keys of its own; a, a' are the receiver's, b, b' the sender's.

    step  from -> to           message        carries                                         bytes
    only with a floor:
    1     receiver -> sender   Probe          H(x)^a'                                         32 per id
    2     sender -> receiver   ProbeDouble    12 bytes of each H(x)^a'b', shuffled            12 per id
    3     sender -> receiver   ProbeTheirs    H(y)^b', shuffled                               32 per id
    4     receiver -> sender   Verdict        whether every pair reaches the floor            1
    always, unless the verdict was no:
    5     receiver -> sender   Blinded        H(x)^a, receiver's own shuffled order           32 per id
    6     sender -> receiver   DoubleBlinded  12 bytes of each H(x)^ab, order of step 5       12 per id
    7     sender -> receiver   Theirs         H(y)^b, shuffled                                32 per id
    8     receiver -> sender   Closing        ok, empty or below_floor; count                 9
    9     receiver -> sender   Common         sender's positions of the common records        4 per record

Receiver learns, for each sender, which of its own ids that sender has (with several senders: also the ids that only
some of them have) and how many distinct ids the sender has. Sender learns how many distinct ids the receiver has, the
outcome, and with `result: both` which of its own ids all parties have (`duplicates: all`: also how many rows of the
receiver's each of them has). Coordinator: all counts that travel and the outcome, from sizes; with `result: receiver`
no more of the common count than whether it is zero.

What is only compared travels as 96 bits: n ids against m have an accidental match with probability n m / 2^96.

Not protected: a party that lies about its ids (it may try ids it does not hold; the count of ids is all that bounds
this), and with several senders the floor binds each pair and the whole intersection, not the ids of some of them.
Ids are distinct: deduplicated before blinding, how often one occurs stays at home. With `duplicates: all` there is a
common record for every row of the receiver's that has a common id, and the senders' rows repeat.
Source: Meadows 1986; Huberman, Franklin, Hogg 1999; RFC 9496 for the group, RFC 9380 for H.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.crypto import curve
from parley.protocols.inputs import together, told
from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Message,
    Protocol,
    Session,
    Sizes,
    Step,
    array,
    message,
)
from parley.protocols.psi.ids import IdColumn, KeyParams, duplicates_of, matches
from parley.protocols.psi.jobs import bind
from parley.wire.errors import ParleyError

# At most 45 bytes, with which each of the two hashes behind a point is one block for ids of up to 62 bytes.
DST = b"psi-ecdh-ristretto255_XMD:SHA-512_R255MAP_RO_"
CHUNK = 32_000  # rows of a stream's chunk: a megabyte of points
TAG = slice(4, 16)  # the bytes of an encoded point that stand for it where it is only compared
Points = Annotated[NDArray[np.uint8], array("n", 32, dtype="uint8")]
Tags = Annotated[NDArray[np.uint8], array("n", 12, dtype="uint8")]
Indices = Annotated[NDArray[np.uint32], array("n", dtype="uint32")]
Outcome = Literal["ok", "empty", "below_floor"]


@message("psi.ecdh.probe/1")
class Probe(Message):
    points: Points


@message("psi.ecdh.probe_double/2")
class ProbeDouble(Message):
    tags: Tags


@message("psi.ecdh.probe_theirs/1")
class ProbeTheirs(Message):
    points: Points


@message("psi.ecdh.verdict/1")
class Verdict(Message):
    go: bool


@message("psi.ecdh.blinded/1")
class Blinded(Message):
    points: Points


@message("psi.ecdh.double_blinded/2")
class DoubleBlinded(Message):
    tags: Tags


@message("psi.ecdh.theirs/1")
class Theirs(Message):
    points: Points


@message("psi.ecdh.closing/1")
class Closing(Message):
    outcome: str
    count: int

    def check(self) -> None:
        if self.outcome not in ("ok", "empty", "below_floor") or self.count < 0:
            raise ValueError("the closing is neither ok, empty nor below_floor")


@message("psi.ecdh.common/1")
class Common(Message):
    positions: Indices


PointsMessage = Probe | ProbeTheirs | Blinded | Theirs
TagsMessage = ProbeDouble | DoubleBlinded


class Params(KeyParams):
    """The key, as in parley.protocols.psi.ids; `floor`: fewer common records give nothing."""

    result: Literal["receiver", "both"] = "both"
    floor: int | None = Field(default=None, ge=1, le=1 << 40)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """32 bytes per id and message of points, 12 where it is compared alone, 4 per common record; twice with a floor."""
    (receiver,) = cast["receiver"]
    n = sizes.rows.get(receiver, 0)
    repeat = duplicates_of(params, receiver, cast) == "all"
    flows = []
    for sender in cast["sender"]:
        m = sizes.rows.get(sender, 0)
        rows = [(Blinded, receiver, sender, n, 32), (DoubleBlinded, sender, receiver, n, 12)]
        rows += [(Theirs, sender, receiver, m, 32)]
        if params.floor is not None:
            rows += [(Probe, receiver, sender, n, 32), (ProbeDouble, sender, receiver, n, 12)]
            rows += [(ProbeTheirs, sender, receiver, m, 32)]
            flows.append(Flow(Verdict.TAG, receiver, sender, 1, 16))
        flows += [Flow(kind.TAG, a, b, _chunks(count), size * count) for kind, a, b, count, size in rows]
        flows.append(Flow(Closing.TAG, receiver, sender, 1, 32))
        if params.result == "both":
            common = n if repeat else min(n, m)
            flows.append(Flow(Common.TAG, receiver, sender, _chunks(common), 4 * common))
    return flows


def _chunks(rows: int) -> int:
    return -(-rows // CHUNK) + 1


ECDH = Protocol(
    "psi/ecdh",
    version=3,
    security=SEMI_HONEST,
    summary="Which records several parties have in common, by commutative blinding of their ids.",
    roles={"receiver": "one", "sender": "many"},
    steps=[
        Step("receiver", "sender", Probe, "receiver.size", stream=True),
        Step("sender", "receiver", ProbeDouble, "cardinality", stream=True),
        Step("sender", "receiver", ProbeTheirs, "sender.size", stream=True),
        Step("receiver", "sender", Verdict, "outcome"),
        Step("receiver", "sender", Blinded, "receiver.size", stream=True),
        Step("sender", "receiver", DoubleBlinded, "pairwise_intersections", stream=True),
        Step("sender", "receiver", Theirs, "sender.size", stream=True),
        Step("receiver", "sender", Closing, "outcome"),
        Step("receiver", "sender", Common, "intersection", stream=True),
    ],
    learns={
        "receiver": ["intersection", "pairwise_intersections", "cardinality", "sender.size"],
        "sender": ["intersection", "receiver.size", "receiver.repeats", "outcome"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Found:
    """The places (k,) of the common records in a party's `IdColumn.rows`, in the order all share; None if untold."""

    outcome: Outcome
    positions: NDArray[np.int64] | None = field(default=None, repr=False)


# ---------------------------------------------------------------- receiver


@ECDH.role("receiver")
async def receiver(s: Session, column: IdColumn) -> Found:
    senders = s.peers("sender")
    if s.params.floor is not None and not await _floor_reached(s, senders, column):
        return Found("below_floor")
    order = s.rng.permutation(len(column))
    found = await together(*(_meet(s, p, column, order) for p in senders))
    everywhere = np.flatnonzero(np.all([f >= 0 for f in found], axis=0))
    outcome = _outcome(everywhere.size, s.params.floor)
    which, places = column.spread(order[everywhere])
    # A fresh secret order, so that the common one tells nothing about anybody's own.
    shuffled = s.rng.permutation(which.size)
    records = everywhere[which[shuffled]]
    await together(*(_close(s, p, outcome, f[records]) for p, f in zip(senders, found, strict=True)))
    return Found(outcome, places[shuffled] if outcome != "below_floor" else None)


def _outcome(count: int, floor: int | None) -> Outcome:
    if floor is not None and count < floor:
        return "below_floor"
    return "ok" if count else "empty"


async def _floor_reached(s: Session, senders: tuple[str, ...], column: IdColumn) -> bool:
    """The cardinality round: fresh keys, and everything comes back shuffled, so only counts can be read off."""
    order = s.rng.permutation(len(column))
    counts = await together(*(_count(s, p, column, order) for p in senders))
    go = min(counts) >= int(s.params.floor)
    await together(*(s.send(p, Verdict(go)) for p in senders))
    return go


async def _count(s: Session, sender: str, column: IdColumn, order: NDArray[np.int64]) -> int:
    double, theirs = await _exchange(s, sender, column, order, (Probe, ProbeDouble, ProbeTheirs))
    return int(np.count_nonzero(await s.compute(matches, double, theirs) >= 0))


async def _meet(s: Session, sender: str, column: IdColumn, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) for each id in the receiver's shuffled order its position at the sender, or -1."""
    double, theirs = await _exchange(s, sender, column, order, (Blinded, DoubleBlinded, Theirs))
    return await s.compute(matches, double, theirs)


Kinds = tuple[type[PointsMessage], type[TagsMessage], type[PointsMessage]]


async def _exchange(
    s: Session, sender: str, column: IdColumn, order: NDArray[np.int64], kinds: Kinds
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Tags of H(x)^ab as the sender returned them, and of H(y)^ba; sending and receiving run side by side."""
    ours, double, theirs = kinds
    key = curve.random_scalar(s.rng)

    async def back() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        returned = [chunk.tags async for chunk in s.stream(sender, double)]
        if sum(map(len, returned)) != len(column):
            raise _wrong(s, sender, "returned another number of ids than it was sent")
        with told(sender):
            blinded = [tags_of(await s.compute(curve.multiply, c, key)) async for c in _points(s, sender, theirs)]
        return _joined(returned), _joined(blinded)

    _, answer = await together(_send_hashed(s, sender, ours, column, order, key), back())
    assert answer is not None
    return answer


async def _close(s: Session, sender: str, outcome: Outcome, positions: NDArray[np.int64]) -> None:
    tell = s.params.result == "both" and outcome == "ok"
    await s.send(sender, Closing(outcome, positions.size if tell else 0))
    if tell:
        await _put_all(s, sender, Common, lambda a, b: Common(positions[a:b].astype(np.uint32)), positions.size)


# ---------------------------------------------------------------- sender


@ECDH.role("sender")
async def sender(s: Session, column: IdColumn) -> Found:
    peer = s.peer("receiver")
    if s.params.floor is not None:
        await _answer_probe(s, peer, column)
        if not (await s.recv(peer, Verdict)).go:
            return Found("below_floor")
    key, order = curve.random_scalar(s.rng), s.rng.permutation(len(column))
    out = s.stream(peer, DoubleBlinded)
    with told(peer):
        async for points in _points(s, peer, Blinded):
            await out.put(DoubleBlinded(tags_of(await s.compute(curve.multiply, points, key))))
    await out.close()
    await _send_hashed(s, peer, Theirs, column, order, key)
    closing = await s.recv(peer, Closing)
    if (closing.count > 0) != (closing.outcome == "ok" and s.params.result == "both"):
        raise _wrong(s, peer, "closed with a count that its outcome does not go with")
    if closing.outcome != "ok" or s.params.result == "receiver":
        empty = np.empty(0, dtype=np.int64) if closing.outcome == "empty" and s.params.result == "both" else None
        return Found(_named(closing.outcome), empty)
    positions = await _told_positions(s, peer, closing.count, len(column))
    return Found("ok", order[positions])


async def _answer_probe(s: Session, peer: str, column: IdColumn) -> None:
    key = curve.random_scalar(s.rng)
    chunks = []
    with told(peer):
        async for points in _points(s, peer, Probe):
            chunks.append(tags_of(await s.compute(curve.multiply, points, key)))
    double = _joined(chunks)
    double = double[s.rng.permutation(len(double))]
    await _put_all(s, peer, ProbeDouble, lambda a, b: ProbeDouble(double[a:b]), len(double))
    await _send_hashed(s, peer, ProbeTheirs, column, s.rng.permutation(len(column)), key)


async def _told_positions(s: Session, peer: str, count: int, ids: int) -> NDArray[np.int64]:
    chunks = [chunk.positions async for chunk in s.stream(peer, Common)]
    positions = np.concatenate([np.empty(0, dtype=np.uint32), *chunks]).astype(np.int64)
    once = duplicates_of(s.params, peer, s.cast) != "all"
    if positions.size != count or np.any(positions >= ids) or (once and np.unique(positions).size != count):
        raise _wrong(s, peer, "named positions that do not exist or repeat")
    return positions


def _named(outcome: str) -> Outcome:
    return "below_floor" if outcome == "below_floor" else "empty" if outcome == "empty" else "ok"


# ---------------------------------------------------------------- both


async def _send_hashed(
    s: Session, peer: str, kind: type[PointsMessage], column: IdColumn, order: NDArray[np.int64], key: bytes
) -> None:
    """Stream H(id)^key in `order`, blinding one chunk at a time."""
    out = s.stream(peer, kind)
    for start in range(0, order.size, CHUNK):
        ids = curve.Ids.from_arrow(column.ids.take(order[start : start + CHUNK]))
        await out.put(kind(await s.compute(curve.hash_and_multiply, ids, key, DST)))
        s.progress(min(start + CHUNK, order.size), order.size, "blinding ids")
    await out.close()


async def _put_all(s: Session, peer: str, kind: type[Message], part: Callable[[int, int], Message], rows: int) -> None:
    out = s.stream(peer, kind)
    for start in range(0, rows, CHUNK):
        await out.put(part(start, start + CHUNK))
    await out.close()


async def _points(s: Session, peer: str, kind: type[PointsMessage]) -> AsyncIterator[NDArray[np.uint8]]:
    async for chunk in s.stream(peer, kind):
        yield chunk.points


def tags_of(points: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 12) of points (n, 32): bytes that are near uniform for a random point, and that equal points share."""
    return np.ascontiguousarray(points[:, TAG])


def _joined(chunks: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.concatenate([np.empty((0, 12), dtype=np.uint8), *chunks])


def _wrong(s: Session, peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)


bind(ECDH, receiver, sender)
