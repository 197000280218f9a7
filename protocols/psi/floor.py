"""The round before an intersection with a floor: how many ids are common, and nothing about which.

    step  from -> to           message        carries                               bytes
    1     receiver -> sender   Probe          H(x)^a, shuffled                      32 per id
    2     sender -> receiver   ProbeDouble    12 bytes of each H(x)^ab, shuffled    12 per id
    3     sender -> receiver   ProbeTheirs    H(y)^b, shuffled                      32 per id
    4     receiver -> sender   Verdict        whether every pair reaches the floor  1

Adversary: semi-honest, under the decisional Diffie-Hellman assumption on ristretto255, with the hash to the group as a
random oracle. Receiver learns each sender's number of ids and of common ids. Sender learns the receiver's number of ids
and the verdict. Coordinator: the counts of ids, from sizes, and whether more follows. Both orders are lost on the way
back, and no key is used again, so that what follows has nothing in common with this round.

It costs what psi/ecdh itself costs: 76 bytes and four multiplications for each id that both sides have one of.
Source: Huberman, Franklin, Hogg 1999 (the size of the intersection alone).
"""

from __future__ import annotations

import numpy as np

from parley.crypto import curve
from parley.protocols.inputs import together, told
from parley.protocols.kit import Flow, Message, Session, Step, message
from parley.protocols.psi.blinding import (
    PointsMessage,
    TagsMessage,
    exchange,
    joined,
    messages_for,
    points_of,
    put_all,
    send_hashed,
    tags_of,
)
from parley.protocols.psi.ids import IdColumn, matches


@message("psi.floor.probe/1")
class Probe(PointsMessage):
    pass


@message("psi.floor.double/1")
class ProbeDouble(TagsMessage):
    pass


@message("psi.floor.theirs/1")
class ProbeTheirs(PointsMessage):
    pass


@message("psi.floor.verdict/1")
class Verdict(Message):
    go: bool


STEPS = [
    Step("receiver", "sender", Probe, "receiver.size", stream=True),
    Step("sender", "receiver", ProbeDouble, "cardinality", stream=True),
    Step("sender", "receiver", ProbeTheirs, "sender.size", stream=True),
    Step("receiver", "sender", Verdict, "outcome"),
]


def flows(receiver: str, sender: str, n: int, m: int) -> list[Flow]:
    """32 bytes per id and message of points, 12 where it is compared alone."""
    return [
        Flow(Probe.TAG, receiver, sender, messages_for(n), 32 * n),
        Flow(ProbeDouble.TAG, sender, receiver, messages_for(n), 12 * n),
        Flow(ProbeTheirs.TAG, sender, receiver, messages_for(m), 32 * m),
        Flow(Verdict.TAG, receiver, sender, 1, 16),
    ]


async def reached(s: Session, senders: tuple[str, ...], column: IdColumn, floor: int) -> bool:
    """The receiver's part: whether it has at least `floor` ids in common with every sender; each is told."""
    order = s.rng.permutation(len(column))

    async def count(sender: str) -> int:
        double, theirs = await exchange(s, sender, column, order, (Probe, ProbeDouble, ProbeTheirs))
        return int(np.count_nonzero(await s.compute(matches, double, theirs) >= 0))

    go = min(await together(*(count(p) for p in senders))) >= floor
    await together(*(s.send(p, Verdict(go)) for p in senders))
    return go


async def answered(s: Session, peer: str, column: IdColumn) -> bool:
    """A sender's part: the verdict."""
    key = curve.random_scalar(s.rng)
    chunks = []
    with told(peer):
        async for points in points_of(s, peer, Probe):
            chunks.append(tags_of(await s.compute(curve.multiply, points, key)))
    double = joined(chunks, 12)
    double = double[s.rng.permutation(len(double))]
    await put_all(s, peer, ProbeDouble, lambda a, b: ProbeDouble(double[a:b]), len(double))
    await send_hashed(s, peer, ProbeTheirs, column, s.rng.permutation(len(column)), key)
    return (await s.recv(peer, Verdict)).go
