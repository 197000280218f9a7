"""Private intersection of id columns by commutative blinding on ristretto255.

Ideal functionality: every party brings a set of ids; the receiver is told which of its ids every sender has, and with
`result: both` every party is told its own rows of the common records, in one order that is the same for all and says
nothing. With a `floor` fewer common records than that give nobody any position.

Adversary: semi-honest, under the decisional Diffie-Hellman assumption on ristretto255, with the hash to the group as a
random oracle. Each sender is met separately, with keys of its own; a is the receiver's, b the sender's.

    step  from -> to           message        carries                                         bytes
    only with a floor, as in parley.protocols.psi.floor, with keys a', b' of their own:
    1     receiver -> sender   Probe          H(x)^a', shuffled                               32 per id
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
from parley.protocols.psi import floor
from parley.protocols.psi.blinding import (
    PointsMessage,
    TagsMessage,
    exchange,
    messages_for,
    points_of,
    put_all,
    send_hashed,
    tags_of,
    wrong,
)
from parley.protocols.psi.ids import IdColumn, KeyParams, duplicates_of, matches, repeats
from parley.protocols.psi.jobs import bind

Indices = Annotated[NDArray[np.uint32], array("n", dtype="uint32")]
Outcome = Literal["ok", "empty", "below_floor"]


@message("psi.ecdh.blinded/1")
class Blinded(PointsMessage):
    pass


@message("psi.ecdh.double_blinded/2")
class DoubleBlinded(TagsMessage):
    pass


@message("psi.ecdh.theirs/1")
class Theirs(PointsMessage):
    pass


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
        if params.floor is not None:
            flows += floor.flows(receiver, sender, n, m)
        rows = [(Blinded, receiver, sender, n, 32), (DoubleBlinded, sender, receiver, n, 12)]
        rows += [(Theirs, sender, receiver, m, 32)]
        flows += [Flow(kind.TAG, a, b, messages_for(count), size * count) for kind, a, b, count, size in rows]
        flows.append(Flow(Closing.TAG, receiver, sender, 1, 32))
        if params.result == "both":
            common = n if repeat else min(n, m)
            flows.append(Flow(Common.TAG, receiver, sender, messages_for(common), 4 * common))
    return flows


ECDH = Protocol(
    "psi/ecdh",
    version=2,
    security=SEMI_HONEST,
    summary="Which records several parties have in common, by commutative blinding of their ids.",
    roles={"receiver": "one", "sender": "many"},
    steps=[
        *floor.STEPS,
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
    when={"sender.intersection": ("result", "both"), "receiver.cardinality": ("floor",)},
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
    if s.params.floor is not None and not await floor.reached(s, senders, column, s.params.floor):
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


def _outcome(count: int, least: int | None) -> Outcome:
    if least is not None and count < least:
        return "below_floor"
    return "ok" if count else "empty"


async def _meet(s: Session, sender: str, column: IdColumn, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) for each id in the receiver's shuffled order its position at the sender, or -1."""
    double, theirs = await exchange(s, sender, column, order, (Blinded, DoubleBlinded, Theirs))
    return await s.compute(matches, double, theirs)


async def _close(s: Session, sender: str, outcome: Outcome, positions: NDArray[np.int64]) -> None:
    tell = s.params.result == "both" and outcome == "ok"
    await s.send(sender, Closing(outcome, positions.size if tell else 0))
    if tell:
        await put_all(s, sender, Common, lambda a, b: Common(positions[a:b].astype(np.uint32)), positions.size)


# ---------------------------------------------------------------- sender


@ECDH.role("sender")
async def sender(s: Session, column: IdColumn) -> Found:
    peer = s.peer("receiver")
    if s.params.floor is not None and not await floor.answered(s, peer, column):
        return Found("below_floor")
    key, order = curve.random_scalar(s.rng), s.rng.permutation(len(column))
    out = s.stream(peer, DoubleBlinded)
    with told(peer):
        async for points in points_of(s, peer, Blinded):
            await out.put(DoubleBlinded(tags_of(await s.compute(curve.multiply, points, key))))
    await out.close()
    await send_hashed(s, peer, Theirs, column, order, key)
    closing = await s.recv(peer, Closing)
    if (closing.count > 0) != (closing.outcome == "ok" and s.params.result == "both"):
        raise wrong(peer, "closed with a count that its outcome does not go with")
    if closing.outcome != "ok" or s.params.result == "receiver":
        empty = np.empty(0, dtype=np.int64) if closing.outcome == "empty" and s.params.result == "both" else None
        return Found(_named(closing.outcome), empty)
    positions = await _told_positions(s, peer, closing.count, len(column))
    return Found("ok", order[positions])


async def _told_positions(s: Session, peer: str, count: int, ids: int) -> NDArray[np.int64]:
    chunks = [chunk.positions async for chunk in s.stream(peer, Common)]
    positions = np.concatenate([np.empty(0, dtype=np.uint32), *chunks]).astype(np.int64)
    once = duplicates_of(s.params, peer, s.cast) != "all"
    if positions.size != count or np.any(positions >= ids) or (once and repeats(positions, ids)):
        raise wrong(peer, "named positions that do not exist or repeat")
    return positions


def _named(outcome: str) -> Outcome:
    return "below_floor" if outcome == "below_floor" else "empty" if outcome == "empty" else "ok"


bind(ECDH, receiver, sender)
