"""How many ids two parties have in common, and nothing about which: double blinding with every answer shuffled.

Ideal functionality: the receiver is told how many ids its set and the sender's have in common.

Adversary: semi-honest, under the decisional Diffie-Hellman assumption on ristretto255, with the hash to the group as a
random oracle; a is the receiver's key, b the sender's.

    step  from -> to           message   carries                                     bytes
    1     receiver -> sender   Blinded   H(x)^a, shuffled                            32 per id
    2     sender -> receiver   Double    H(x)^ab, shuffled anew                      32 per id
    3     sender -> receiver   Theirs    H(y)^b, shuffled                            32 per id
    4     receiver -> sender   Closing   with a floor: whether the count reaches it  1

Receiver learns the number of common ids, and how many distinct ids the sender has: which answer goes with which of its
ids is hidden by the sender's shuffle. Sender learns how many distinct ids the receiver has, and with a floor whether
the count reaches it. Coordinator: both sizes, and with a floor the outcome.

Not protected: a party that lies about its ids: one id more or less in two runs tells whether it is common, which a
limit on runs and a least size of sets bound. The receiver works the count out itself: the floor keeps a smaller count
out of the job's result and of everybody else's sight, not out of the receiver's. Ids are distinct: deduplicated before
blinding.

Source: De Cristofaro, Gasti, Tsudik 2012 (cardinality by shuffled answers), on the blinding of Huberman, Franklin, Hogg
1999; RFC 9496, RFC 9380.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from parley.crypto import curve
from parley.protocols.inputs import together
from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Message,
    Protocol,
    Session,
    Sizes,
    Step,
    StepInputs,
    StepOutputs,
    message,
)
from parley.protocols.psi.blinding import PointsMessage, checked, hashed, messages_for, multiplied, put_points, wrong
from parley.protocols.psi.columns import check_keys, column_of
from parley.protocols.psi.ids import IdColumn, KeyParams, matches

DST = b"parley.psi.cardinality/1-ristretto255_XMD:SHA-512_R255MAP_RO_"
Outcome = Literal["ok", "below_floor"]


@message("psi.cardinality.blinded/1")
class Blinded(PointsMessage):
    pass


@message("psi.cardinality.double/1")
class Double(PointsMessage):
    pass


@message("psi.cardinality.theirs/1")
class Theirs(PointsMessage):
    pass


@message("psi.cardinality.closing/1")
class Closing(Message):
    reached: bool


class Params(KeyParams):
    """The key, as in parley.protocols.psi.ids; `floor`: a smaller count is not told."""

    floor: int | None = Field(default=None, ge=1, le=1 << 40)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """32 bytes per id of the receiver, twice, and per id of the sender."""
    (receiver,), (sender,) = cast["receiver"], cast["sender"]
    n, m = (sizes.rows.get(p, 0) for p in (receiver, sender))
    flows = [
        Flow(Blinded.TAG, receiver, sender, messages_for(n), 32 * n),
        Flow(Double.TAG, sender, receiver, messages_for(n), 32 * n),
        Flow(Theirs.TAG, sender, receiver, messages_for(m), 32 * m),
    ]
    return flows if params.floor is None else [*flows, Flow(Closing.TAG, receiver, sender, 1, 16)]


CARDINALITY = Protocol(
    "psi/cardinality",
    version=1,
    security=SEMI_HONEST,
    summary="How many records two parties have in common, told to one of them alone.",
    roles={"receiver": "one", "sender": "one"},
    steps=[
        Step("receiver", "sender", Blinded, "receiver.size", stream=True),
        Step("sender", "receiver", Double, "cardinality", stream=True),
        Step("sender", "receiver", Theirs, "sender.size", stream=True),
        Step("receiver", "sender", Closing, "outcome"),
    ],
    learns={
        "receiver": ["cardinality", "sender.size"],
        "sender": ["receiver.size", "outcome"],
        "coordinator": ["sizes"],
    },
    when={"sender.outcome": ("floor",)},
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Counted:
    """The count, at the receiver and unless the floor keeps it back."""

    outcome: Outcome
    count: int | None = None


@CARDINALITY.role("receiver")
async def receiver(s: Session, column: IdColumn) -> Counted:
    peer, key = s.peer("sender"), curve.random_scalar(s.rng)
    ours = await hashed(s, column, s.rng.permutation(len(column)), key, DST)
    _, double = await together(put_points(s, peer, Blinded, ours), checked(s, peer, Double, len(column)))
    assert double is not None
    theirs = await multiplied(s, peer, Theirs, key)
    count = int(np.count_nonzero(await s.compute(matches, double, theirs) >= 0))
    if s.params.floor is None:
        return Counted("ok", count)
    reached = count >= s.params.floor
    await s.send(peer, Closing(reached))
    return Counted("ok", count) if reached else Counted("below_floor")


@CARDINALITY.role("sender")
async def sender(s: Session, column: IdColumn) -> Counted:
    peer, key = s.peer("receiver"), curve.random_scalar(s.rng)
    double = await multiplied(s, peer, Blinded, key)
    if len(double) == 0:
        raise wrong(peer, "sent no ids")
    await put_points(s, peer, Double, double[s.rng.permutation(len(double))])
    await put_points(s, peer, Theirs, await hashed(s, column, s.rng.permutation(len(column)), key, DST))
    if s.params.floor is None or (await s.recv(peer, Closing)).reached:
        return Counted("ok")
    return Counted("below_floor")


@CARDINALITY.job("receiver")
async def receiver_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps and tells the count; nothing below the floor."""
    found = await receiver(s, await column_of(s, inputs))
    told = {} if found.count is None else {"cardinality": found.count}
    return StepOutputs(keep=told, result=dict(told), outcome=found.outcome)


@CARDINALITY.job("sender")
async def sender_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps and tells nothing."""
    return StepOutputs(outcome=(await sender(s, await column_of(s, inputs))).outcome)


check_keys(CARDINALITY)
