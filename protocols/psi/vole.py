"""Private intersection of two id columns by vector oblivious linear evaluation: large sets at the speed of hashing.

Ideal functionality: receiver and sender bring a set of ids each; the receiver is told which of its ids the sender has,
and with `result: both` each is told its own rows of the common records, in one order that is the same for both and says
nothing. With a `floor` fewer common ids than that give nobody any position.

Adversary: semi-honest. Assumptions: gap computational Diffie-Hellman on ristretto255 (with a floor the decisional one
too), AES and SHA-256 as ideal functions, and for more than about 1,900 ids at the receiver the dual-LPN assumption of
the profile (`conservative` unless the job says `fast`; no number of bits is claimed for either, see
parley.crypto.vole.profile). n ids at the receiver, m at the sender, t trees of l levels for the profile and n; w =
64-bit words.

    step  from -> to           message      carries                                         bytes
    only with a floor: the round of parley.protocols.psi.floor, 44 per id of the receiver and 32 of the sender; and then
    1     receiver -> sender   Opening      n; commitment to a random share                 40
    2     sender -> receiver   Answer       m; a random share                               40
    3     receiver -> sender   Start        the receiver's share; offer of base transfers   64
    4     sender -> receiver   Replies      128 points                                      4096
    5     receiver -> sender   Corrections  noise and choices, under keystreams             1024 t + 16 t l, about
    6     sender -> receiver   Trees        sums of the trees' levels, under pads           32 t l + 16 t, about
    7     receiver -> sender   Masked       its store of h(x), every slot masked            10 per id, about
    8     sender -> receiver   Tags         tags of its ids, in a fresh secret order        8 to 12 per id
    9     receiver -> sender   Closing      ok or empty; count                              9
    10    receiver -> sender   Common       sender's positions of the common records        4 per record

The salt of all hashes comes from both shares, after both sets are fixed: the receiver is bound by step 1 before it sees
the sender's. t l is 0 up to about 1,900 ids (then t is the number of slots), else t is from 640 to 1280.

Receiver learns which of its own ids the sender has and how many distinct ids the sender has. Sender learns how many
distinct ids the receiver has, whether there is anything in common or the floor is reached, and with `result: both`
which of its own ids the receiver has (`duplicates: all`: also how many rows of the receiver's each of them has).
Coordinator: both counts, from sizes. Below the floor the receiver learns how many ids are common, and nobody which.

Not protected: a party that lies about its ids, as in psi/ecdh; here a receiver that deviates can also hold as many ids
as its store has slots, a quarter more than it declares (small sets: 460 in all). A floor costs a round of public-key
operations, four for each id, which take much longer than all the rest. Encoding fails for a set with probability 2^-40
and then ends the step for good. Ids are distinct, and `duplicates: all` is, as in psi/ecdh; at most 2^24 at either
side.

Source: Raghuraman, Rindal 2022; Rindal, Schoppmann 2021; parley.crypto.vole and parley.crypto.okvs name theirs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.crypto import curve, okvs
from parley.crypto.vole import correlation, evaluation
from parley.crypto.vole import profile as profiles
from parley.protocols.inputs import told
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
from parley.protocols.psi.ids import IdColumn, KeyParams, duplicates_of, repeats
from parley.protocols.psi.jobs import bind
from parley.wire.canonical import canonical, digest
from parley.wire.errors import ParleyError

CHUNK = 130_000  # rows of a stream's chunk: about one megabyte
SHARE = 32
Share = Annotated[NDArray[np.uint8], array(SHARE, dtype="uint8")]
Points = Annotated[NDArray[np.uint8], array("n", 32, dtype="uint8")]
Words128 = Annotated[NDArray[np.uint64], array(128, "n", dtype="uint64")]
Choices128 = Annotated[NDArray[np.uint64], array(128, "w", dtype="uint64")]
Sides = Annotated[NDArray[np.uint8], array("n", "l", 2, 16, dtype="uint8")]
Totals = Annotated[NDArray[np.uint8], array("n", 16, dtype="uint8")]
Words = Annotated[NDArray[np.uint64], array("n", dtype="uint64")]
TagRows = Annotated[NDArray[np.uint8], array("n", "size", dtype="uint8")]
Indices = Annotated[NDArray[np.uint32], array("n", dtype="uint32")]
Outcome = Literal["ok", "empty", "below_floor"]


@message("psi.vole.opening/1")
class Opening(Message):
    count: int
    commitment: Share

    def check(self) -> None:
        _check_count(self.count)


@message("psi.vole.answer/1")
class Answer(Message):
    count: int
    share: Share

    def check(self) -> None:
        _check_count(self.count)


@message("psi.vole.start/1")
class Start(Message):
    share: Share
    offer: Share


@message("psi.vole.replies/1")
class Replies(Message):
    points: Points


@message("psi.vole.corrections/1")
class Corrections(Message):
    elements: Words128
    choices: Choices128


@message("psi.vole.trees/1")
class Trees(Message):
    sides: Sides
    totals: Totals


@message("psi.vole.masked/1")
class Masked(Message):
    slots: Words


@message("psi.vole.tags/1")
class Tags(Message):
    tags: TagRows


@message("psi.vole.closing/1")
class Closing(Message):
    outcome: str
    count: int

    def check(self) -> None:
        if self.outcome not in ("ok", "empty") or self.count < 0:
            raise ValueError("the closing is neither ok nor empty")


@message("psi.vole.common/1")
class Common(Message):
    positions: Indices


def _check_count(count: int) -> None:
    if not 0 <= count <= okvs.MAX_KEYS:
        raise ValueError("a count of ids is from 0 to 2^24")


class Params(KeyParams):
    """The key, as in parley.protocols.psi.ids; `floor`: fewer common ids give nothing, after a slow round of its own;
    `profile`: the code behind the correlation."""

    result: Literal["receiver", "both"] = "both"
    floor: int | None = Field(default=None, ge=1, le=okvs.MAX_KEYS)
    profile: Literal["conservative", "fast"] = "conservative"


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """About 10 bytes per id of the receiver, 8 to 12 per id of the sender, 1 to 3 MB besides; 4 per record.

    A floor adds 44 bytes per id of the receiver and 32 per id of the sender.
    """
    (receiver,), (sender,) = cast["receiver"], cast["sender"]
    n, m = (min(sizes.rows.get(p, 0), okvs.MAX_KEYS) for p in (receiver, sender))
    # A set of fewer keys may have up to so many more dense columns.
    slots = okvs.shape(n).slots + 16
    trees, transfers = profiles.most(profiles.profile(params.profile), slots)
    up: list[tuple[type[Message], int, int]] = [
        (Opening, 1, 64),
        (Start, 1, 96),
        (Corrections, 1, 1024 * trees + 16 * transfers + 1024),
        (Masked, _chunks(slots), 8 * slots),
        (Closing, 1, 32),
    ]
    if params.result == "both":
        common = n if duplicates_of(params, receiver, cast) == "all" else min(n, m)
        up.append((Common, _chunks(common), 4 * common))
    down: list[tuple[type[Message], int, int]] = [
        (Answer, 1, 64),
        (Replies, 1, 4096),
        (Trees, 1, 32 * transfers + 16 * trees),
        (Tags, _chunks(m), evaluation.tag_bytes(n, m) * m),
    ]
    flows = [] if params.floor is None else floor.flows(receiver, sender, n, m)
    flows += [Flow(kind.TAG, receiver, sender, messages, size) for kind, messages, size in up]
    return flows + [Flow(kind.TAG, sender, receiver, messages, size) for kind, messages, size in down]


def _chunks(rows: int) -> int:
    return -(-rows // CHUNK) + 1


VOLE = Protocol(
    "psi/vole",
    version=2,
    security=SEMI_HONEST,
    summary="Which records two parties have in common, fast for large sets, by vector oblivious linear evaluation.",
    roles={"receiver": "one", "sender": "one"},
    steps=[
        *floor.STEPS,
        Step("receiver", "sender", Opening, "receiver.size"),
        Step("sender", "receiver", Answer, "sender.size"),
        Step("receiver", "sender", Start, "receiver.size"),
        Step("sender", "receiver", Replies, "sender.size"),
        Step("receiver", "sender", Corrections, "receiver.size"),
        Step("sender", "receiver", Trees, "sender.size"),
        Step("receiver", "sender", Masked, "receiver.size", stream=True),
        Step("sender", "receiver", Tags, "intersection", stream=True),
        Step("receiver", "sender", Closing, "outcome"),
        Step("receiver", "sender", Common, "intersection", stream=True),
    ],
    learns={
        "receiver": ["intersection", "cardinality", "sender.size"],
        "sender": ["intersection", "receiver.size", "receiver.repeats", "outcome"],
        "coordinator": ["sizes"],
    },
    when={"sender.intersection": ("result", "both"), "receiver.cardinality": ("floor",)},
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Found:
    """The places (k,) of the common records in a party's `IdColumn.rows`, in the order both share; None if untold."""

    outcome: Outcome
    positions: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Agreed:
    """What both sides derive alike once the shares are open."""

    form: okvs.Shape
    plan: profiles.Plan
    salt: bytes
    context: bytes
    tag: int


def _agreed(s: Session, n: int, m: int, first: bytes, second: bytes) -> Agreed:
    """From the counts, the receiver's and the sender's share, the parties and the contract's seed."""
    parties = [s.cast["receiver"][0], s.cast["sender"][0]]
    facts = canonical([*parties, n, m, s.params.profile])
    context = digest("psi.vole/1", s.coins.bytes(32) + first + second + facts)
    form = okvs.shape(n)
    plan = profiles.plan(profiles.profile(s.params.profile), form.slots)
    salt = digest("psi.vole.salt/1", context)[: okvs.SALT]
    return Agreed(form, plan, salt, context, evaluation.tag_bytes(n, m))


def _keys(column: IdColumn, salt: bytes) -> okvs.Keys:
    return okvs.keys_of(curve.Ids.from_arrow(column.ids), salt)


def _commitment(share: bytes) -> NDArray[np.uint8]:
    return _array(hashlib.sha256(b"parley.psi.vole.share/1" + share).digest())


def _array(raw: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(raw, np.uint8)


# ---------------------------------------------------------------- receiver


@VOLE.role("receiver")
async def receiver(s: Session, column: IdColumn) -> Found:
    peer, share = s.peer("sender"), s.rng.bytes(SHARE)
    with told():
        okvs.shape(len(column))  # a set that is too large is refused before anything leaves
    if s.params.floor is not None and not await floor.reached(s, (peer,), column, s.params.floor):
        return Found("below_floor")
    await s.send(peer, Opening(len(column), _commitment(share)))
    answer = await s.recv(peer, Answer)
    agreed = _agreed(s, len(column), answer.count, share, answer.share.tobytes())
    with await s.compute(correlation.VoleReceiver, agreed.plan, agreed.context, s.rng) as vole:
        await s.send(peer, Start(_array(share), _array(vole.offer)))
        keys, table = await _stored(s, peer, column, agreed, vole)
        found = await _look_up(s, peer, agreed, keys, table, vole, answer.count)
    common = np.flatnonzero(found >= 0)
    which, places = column.spread(common)
    # A fresh secret order, so that the common one tells nothing about anybody's own.
    shuffled = s.rng.permutation(which.size)
    outcome: Outcome = "ok" if which.size else "empty"
    tell = s.params.result == "both" and outcome == "ok"
    await s.send(peer, Closing(outcome, which.size if tell else 0))
    if tell:
        records = found[common[which[shuffled]]].astype(np.uint32)
        await _put_all(s, peer, Common, lambda a, b: Common(records[a:b]), records.size)
    return Found(outcome, places[shuffled])


async def _stored(
    s: Session, peer: str, column: IdColumn, agreed: Agreed, vole: correlation.VoleReceiver
) -> tuple[okvs.Keys, NDArray[np.uint64]]:
    """This party's keys and the store of them, made beside the correlation, which is there afterwards."""

    def store() -> tuple[okvs.Keys, NDArray[np.uint64]]:
        keys = _keys(column, agreed.salt)
        return keys, evaluation.store(agreed.form, keys)

    async def made() -> tuple[okvs.Keys, NDArray[np.uint64]]:
        with told():
            return await s.compute(store)

    making = asyncio.ensure_future(made())
    try:
        await _correlate(s, peer, vole)
        return await making
    finally:
        making.cancel()


async def _correlate(s: Session, peer: str, vole: correlation.VoleReceiver) -> None:
    replies = await s.recv(peer, Replies, n=128)
    with told(peer):
        corrections = await s.compute(vole.correct, replies.points)
    await s.send(peer, Corrections(corrections.elements, corrections.choices))
    trees = await s.recv(peer, Trees)
    with told(peer):
        await s.compute(vole.finish, correlation.Sums(trees.sides, trees.totals))
    s.progress(1, 3, "correlation")


async def _look_up(
    s: Session,
    peer: str,
    agreed: Agreed,
    keys: okvs.Keys,
    table: NDArray[np.uint64],
    vole: correlation.VoleReceiver,
    count: int,
) -> NDArray[np.int64]:
    """(n,) for each of this party's keys its place among the sender's tags, or -1."""
    masked = await s.compute(evaluation.masked, agreed.form, table, vole.a)
    await _put_all(s, peer, Masked, lambda a, b: Masked(masked[a:b]), masked.size)
    s.progress(2, 3, "store")
    chunks = [chunk.tags async for chunk in s.stream(peer, Tags, size=agreed.tag)]
    theirs = np.concatenate([np.empty((0, agreed.tag), np.uint8), *chunks])
    if len(theirs) != count:
        raise _wrong(s, peer, "sent another number of tags than it has ids")
    own = await s.compute(evaluation.own_tags, agreed.form, keys, vole.c, agreed.context, agreed.tag)
    found = await s.compute(evaluation.matches, own, theirs)
    s.progress(3, 3, "tags")
    return found


# ---------------------------------------------------------------- sender


@VOLE.role("sender")
async def sender(s: Session, column: IdColumn) -> Found:
    peer, share = s.peer("receiver"), s.rng.bytes(SHARE)
    with told():
        okvs.shape(len(column))
    if s.params.floor is not None and not await floor.answered(s, peer, column):
        return Found("below_floor")
    opening = await s.recv(peer, Opening)
    await s.send(peer, Answer(len(column), _array(share)))
    start = await s.recv(peer, Start)
    theirs = start.share.tobytes()
    if not np.array_equal(_commitment(theirs), opening.commitment):
        raise _wrong(s, peer, "opened another share than it had committed to")
    agreed = _agreed(s, opening.count, len(column), theirs, share)
    with await s.compute(correlation.VoleSender, agreed.plan, agreed.context, s.rng) as vole:
        with told(peer):
            points = await s.compute(vole.reply, start.offer.tobytes())
        await s.send(peer, Replies(points))
        corrections = await s.recv(peer, Corrections)
        with told(peer):
            sums = await s.compute(vole.sums, correlation.Corrections(corrections.elements, corrections.choices))
        await s.send(peer, Trees(sums.sides, sums.totals))
        await s.compute(vole.finish)
        s.progress(1, 3, "correlation")
        order = await _tag(s, peer, column, agreed, vole)
    closing = await s.recv(peer, Closing)
    if (closing.count > 0) != (closing.outcome == "ok" and s.params.result == "both"):
        raise _wrong(s, peer, "closed with a count that its outcome does not go with")
    least = 0 if s.params.floor is None else int(s.params.floor)
    if least and (closing.outcome == "empty" or 0 < closing.count < least):
        raise _wrong(s, peer, "said that the floor was reached and closed below it")
    if s.params.result == "receiver":
        return Found("ok" if closing.outcome == "ok" else "empty")
    if closing.outcome == "empty":
        return Found("empty", np.empty(0, np.int64))
    return Found("ok", order[await _told_positions(s, peer, closing.count, len(column))].astype(np.int64))


async def _tag(
    s: Session, peer: str, column: IdColumn, agreed: Agreed, vole: correlation.VoleSender
) -> NDArray[np.uint32]:
    """Send this party's tags in a fresh secret order, which is returned."""
    keys = await s.compute(_keys, column, agreed.salt)
    chunks = [chunk.slots async for chunk in s.stream(peer, Masked)]
    masked = np.concatenate([np.empty(0, np.uint64), *chunks])
    with told(peer):
        table = await s.compute(evaluation.evaluator, agreed.form, vole.b, masked, vole.delta)
    s.progress(2, 3, "store")
    order = await s.compute(evaluation.secret_order, len(column), s.rng)
    tags = await s.compute(evaluation.tags, agreed.form, keys, table, vole.delta, order, agreed.context, agreed.tag)
    await _put_all(s, peer, Tags, lambda a, b: Tags(tags[a:b]), len(tags))
    s.progress(3, 3, "tags")
    return order


async def _told_positions(s: Session, peer: str, count: int, ids: int) -> NDArray[np.int64]:
    chunks = [chunk.positions async for chunk in s.stream(peer, Common)]
    positions = np.concatenate([np.empty(0, dtype=np.uint32), *chunks]).astype(np.int64)
    once = duplicates_of(s.params, peer, s.cast) != "all"
    if positions.size != count or np.any(positions >= ids) or (once and repeats(positions, ids)):
        raise _wrong(s, peer, "named positions that do not exist or repeat")
    return positions


# ---------------------------------------------------------------- both


async def _put_all(s: Session, peer: str, kind: type[Message], part: Callable[[int, int], Message], rows: int) -> None:
    out = s.stream(peer, kind)
    for start in range(0, rows, CHUNK):
        await out.put(part(start, min(start + CHUNK, rows)))
    await out.close()


def _wrong(s: Session, peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)


bind(VOLE, receiver, sender)
