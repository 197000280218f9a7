"""What each role of an intersection sees, made from its own input and coins, its output, and what it may learn.

A view is the messages that arrive, and what the role can work out from them with its own secrets. The functions
`receiver_sees` and `sender_sees` take a transcript and the role's own source, whether the messages are real or made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from classifiers import blocks
from seeded import Seeded

from parley.crypto import curve
from parley.protocols.kit.message import Message
from parley.protocols.psi import blinding, ecdh, floor
from parley.protocols.psi.ids import matches

POINTS = (floor.Probe, floor.ProbeTheirs, ecdh.Blinded, ecdh.Theirs)
TAGS = (floor.ProbeDouble, ecdh.DoubleBlinded)


@dataclass(frozen=True)
class Learnt:
    """What the declaration says: of the receiver which of its ids (by place) all have, and how many the sender has;
    of the sender how many the receiver has, which of its own (by place) are common, the outcome."""

    own: int
    other: int
    common: tuple[int, ...]
    outcome: str
    floor: bool
    both: bool


def hashed(ids: Sequence[str], key: bytes) -> np.ndarray:
    return curve.hash_and_multiply(curve.Ids.from_list([i.encode() for i in ids]), key, blinding.DST)


def random_points(n: int, rng: Seeded) -> np.ndarray:
    """(n, 32) uniform elements: hashes of fresh texts."""
    texts = [rng.bytes(16) for _ in range(n)]
    return curve.hash_to_group(curve.Ids.from_list(texts), b"simulator")


# ---------------------------------------------------------------- receiver


def receiver_is_sent(ids: Sequence[str], known: Learnt, own: Seeded, rng: Seeded) -> list[Message]:
    """The simulator: `own` is the receiver's source, from which it draws as the role itself would."""
    out: list[Message] = []
    if known.floor:
        order, key = own.permutation(known.own), curve.random_scalar(own)
        # Of the first round the receiver learns a count alone: which of its ids they are is the simulator's guess.
        guess = rng.permutation(known.own)[: len(known.common)]
        out += _answer([ids[i] for i in order], guess, known.other, key, rng, floor.ProbeDouble)
        if known.outcome == "below_floor":
            return out
    order, key = own.permutation(known.own), curve.random_scalar(own)
    common = np.argsort(order)[list(known.common)]
    return out + _answer([ids[i] for i in order], common, known.other, key, rng, ecdh.DoubleBlinded)


def _answer(asked, common, other: int, key: bytes, rng: Seeded, kind) -> list[Message]:
    """`common` are places among those asked."""
    single = hashed(asked, curve.random_scalar(rng))
    double, mine = blinding.tags_of(curve.multiply(single, key)), single[common]
    rest = random_points(other - len(common), rng) if other > len(common) else mine[:0]
    shown = np.concatenate([mine, rest])[rng.permutation(other)]
    if kind is floor.ProbeDouble:
        return [floor.ProbeDouble(double[rng.permutation(len(double))]), floor.ProbeTheirs(shown)]
    return [ecdh.DoubleBlinded(double), ecdh.Theirs(shown)]


def receiver_sees(messages: Sequence[Message], own: Seeded) -> dict[str, np.ndarray]:
    """The points and tags, and where each of its ids lies among the sender's, whose points it knows how to tag."""
    none = [np.empty((0, 32), np.uint8)]
    got = {kind: blocks([m.points for m in messages if isinstance(m, kind)] or none) for kind in POINTS}
    got |= {kind: blocks([m.tags for m in messages if isinstance(m, kind)] or none) for kind in TAGS}
    out: dict[str, np.ndarray] = {}
    for at, (double, theirs) in enumerate(
        ((floor.ProbeDouble, floor.ProbeTheirs), (ecdh.DoubleBlinded, ecdh.Theirs)) if len(got[floor.ProbeDouble])
        else ((ecdh.DoubleBlinded, ecdh.Theirs),)
    ):  # fmt: skip
        if not len(got[double]):
            continue
        key = (own.scalars[at] + 1).to_bytes(32, "little")
        name = double.__name__
        where = matches(got[double], blinding.tags_of(curve.multiply(got[theirs], key)))
        if double is ecdh.DoubleBlinded:  # it comes back in the order it was sent: undo that
            where = where[np.argsort(own.orders[at])]
        out |= {name: got[double], theirs.__name__: got[theirs], f"{name} where": where}
    return out


# ---------------------------------------------------------------- sender


def sender_is_sent(known: Learnt, own: Seeded, rng: Seeded) -> list[Message]:
    """The simulator: `own` is the sender's source, from which it draws as the role itself would."""
    out: list[Message] = []
    if known.floor:
        curve.random_scalar(own)
        own.permutation(known.other)
        own.permutation(known.own)
        out += [floor.Probe(random_points(known.other, rng)), floor.Verdict(known.outcome != "below_floor")]
        if known.outcome == "below_floor":
            return out
    curve.random_scalar(own)
    order = own.permutation(known.own)
    tell = known.both and known.outcome == "ok"
    out.append(ecdh.Blinded(random_points(known.other, rng)))
    out.append(ecdh.Closing(known.outcome, len(known.common) if tell else 0))
    if tell:
        places = np.argsort(order)[list(known.common)]
        out.append(ecdh.Common(places[rng.permutation(places.size)].astype(np.uint32)))
    return out


def sender_sees(messages: Sequence[Message], own: Seeded) -> dict[str, np.ndarray]:
    """The points, and the common records as places in its own table, in the order they were named."""
    out: dict[str, np.ndarray] = {}
    for m in messages:
        if isinstance(m, POINTS):
            out[type(m).__name__] = m.points
        elif isinstance(m, ecdh.Common):
            out |= {"places": m.positions.astype(np.int64), "rows": own.orders[-1][m.positions]}
        elif isinstance(m, ecdh.Closing):
            out["closing"] = np.array([m.count, ("ok", "empty", "below_floor").index(m.outcome)])
        elif isinstance(m, floor.Verdict):
            out["verdict"] = np.array([m.go], dtype=np.int64)
    return out
