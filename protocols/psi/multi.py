"""Private intersection of 2 to 16 id columns in a ring: everybody gets what all have, nobody what only some have.

Ideal functionality: every member brings a set of ids; every member is told its own rows of the records that all
members have, in one order that is the same for all and says nothing. With a `floor`, fewer common records than that
give nobody any position.

Adversary: semi-honest, under the decisional Diffie-Hellman assumption on ristretto255, with the hash to the group and
SHA-256 as random oracles. Members P0 .. P(k-1) stand in a ring in the job's order and P0 leads; A is the product of all
members' keys.

    step  from -> to             message  carries                                                      bytes
    1     Pi -> Pj, i < j        Pair     a fresh key that only these two know                         16
    2     Pi -> P(i+1), k-1 hops Ring     the set of P(i-hop+1) under `hop` keys, shuffled at each hop  32 per id
    3     Pi -> P0               Hint     a store: token -> Pi's share of zero, of the set it holds     10 per id, about
    4     P0 -> all              Closing  ok, empty or below_floor; count                               9
    5     P0 -> all              Common   tokens of the common records, in a fresh order                32 per common id
    6     Pi -> P(i-1), k-1 hops Trace    where they are in the list that P(i-1) had sent               4 per common id

After step 2 every set is under all keys (its tokens H(x)^A) and Pi holds that of P(i+1), which everybody shuffled but
Pi: nobody can tell which token is whose id, and no two full sets lie at one member, so that there is nothing to
compare. The shares of step 3 are sums of a function of the token under the pair keys, and cancel exactly where every
member has the token; any other sum looks random to P0. Step 6 takes the places back through each shuffle to the owner.

Member learns its own rows of the common records and their number, and how many distinct ids every member has; below
the floor nobody learns more of it than that, but P0, who learns the number. Members check the floor, and that each
common token is in the set they hold. Coordinator: all counts that travel and the outcome, from sizes.

One member alone learns no more than this. Members who pool what they saw, two or more, hold as many full sets and can
count what these have in common: numbers, never which ids, as an honest member shuffled each set; where their own sets
differ in one id, such a number speaks of that id. P0 with all but one member learns which of its ids that one has, as
it could by naming its ids as everybody's.

Not protected: a party that lies about its ids; a member that deviates in the ring can spoil the result. Ids are
distinct: deduplicated before blinding, the first row stands for its id; at most 2^24 each. An id that not all have is
taken for common with a chance of 2^-64.

Source: commutative blinding in a ring: Meadows 1986, Vaidya and Clifton 2005; conditional shares of zero in stores:
Kolesnikov, Matania, Pinkas, Rosulek, Trieu 2017; RFC 9496, RFC 9380; stores: parley.crypto.okvs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.crypto import curve, okvs
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
    StepInputs,
    StepOutputs,
    array,
    message,
)
from parley.protocols.psi.blinding import (
    Indices,
    Ints,
    Points,
    PointsMessage,
    as_ids,
    hashed,
    messages_for,
    multiplied,
    put_all,
    put_points,
    wrong,
)
from parley.protocols.psi.columns import check_keys, column_of
from parley.protocols.psi.ids import IdColumn, KeyParams, matches, repeats
from parley.wire.canonical import digest
from parley.wire.errors import ParleyError

DST = b"parley.psi.multi/1-ristretto255_XMD:SHA-512_R255MAP_RO_"
MOST = 16
WORDS = 131_072  # slots of a stream's chunk: one megabyte
Words = NDArray[np.uint64]
Outcome = Literal["ok", "empty", "below_floor"]


@message("psi.multi.pair/1")
class Pair(Message):
    key: Annotated[NDArray[np.uint8], array(okvs.SALT, dtype="uint8")]


@message("psi.multi.ring/1")
class Ring(PointsMessage):
    pass


@message("psi.multi.hint/1")
class Hint(Message):
    slots: Annotated[Words, array("n", dtype="uint64")]


@message("psi.multi.closing/1")
class Closing(Message):
    outcome: str
    count: int

    def check(self) -> None:
        if self.outcome not in ("ok", "empty", "below_floor") or self.count < 0:
            raise ValueError("the closing is neither ok, empty nor below_floor")
        if (self.outcome == "ok") != (self.count > 0):
            raise ValueError("a count and an outcome that do not go together")


@message("psi.multi.common/1")
class Common(Message):
    tokens: Points


@message("psi.multi.trace/1")
class Trace(Message):
    positions: Indices


class Params(KeyParams):
    """The key, as in parley.protocols.psi.ids; `floor`: fewer common records give nobody any position."""

    floor: int | None = Field(default=None, ge=1, le=1 << 40)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """32 bytes per id and hop of its set (members - 1 hops), about 10 per id of a store, 4 and 32 per common id."""
    names = cast["member"]
    k, n = len(names), [min(sizes.rows.get(p, 0), okvs.MAX_KEYS) for p in names]
    least, flows = min(n, default=0), []
    for i, me in enumerate(names):
        after = (i + 1) % k
        sent = [n[j] for j in range(k) if j != after]
        flows.append(Flow(Ring.TAG, me, names[after], sum(map(messages_for, sent)), 32 * sum(sent)))
        flows.append(Flow(Trace.TAG, me, names[i - 1], (k - 1) * messages_for(least), 4 * least * (k - 1)))
        flows += [Flow(Pair.TAG, me, other, 1, okvs.SALT) for other in names[i + 1 :]]
        if i > 0:
            slots = okvs.shape(n[after]).slots + okvs.shape(0).dense
            flows.append(Flow(Hint.TAG, me, names[0], -(-slots // WORDS) + 1, 8 * slots))
            flows.append(Flow(Closing.TAG, names[0], me, 1, 32))
            flows.append(Flow(Common.TAG, names[0], me, messages_for(least), 32 * least))
    return flows


MULTI = Protocol(
    "psi/multi",
    version=1,
    security=SEMI_HONEST,
    summary="Which records all of several parties have in common, and nothing about what only some have.",
    roles={"member": "many"},
    steps=[
        Step("member", "member", Pair, "member.size"),
        Step("member", "member", Ring, "member.size", loop=("hop",), stream=True),
        Step("member", "member", Hint, "cardinality", stream=True),
        Step("member", "member", Closing, "outcome"),
        Step("member", "member", Common, "intersection", stream=True),
        Step("member", "member", Trace, "intersection", loop=("hop",), stream=True),
    ],
    learns={"member": ["intersection", "cardinality", "member.size", "outcome"], "coordinator": ["sizes"]},
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Found:
    """Where the common records are among a member's distinct ids (c,), in the order that all share; None if untold."""

    outcome: Outcome
    positions: Ints | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Turned:
    """What a member knows after the ring: its order of each list it sent, by hop, the set it holds, and all sizes."""

    orders: list[Ints] = field(repr=False)
    held: NDArray[np.uint8] = field(repr=False)
    sizes: list[int]


@MULTI.role("member")
async def member(s: Session, column: IdColumn) -> Found:
    names = s.cast["member"]
    with told():
        okvs.shape(len(column))  # a set that is too large is refused before anything leaves
    pairs = await _pair_keys(s)
    turned = await _turn(s, column)
    if s.me != names[0]:
        return await _follow(s, pairs, turned)
    tokens = await _lead(s, pairs, turned)
    outcome: Outcome = "ok" if tokens.size else "empty"
    if s.params.floor is not None and tokens.size < s.params.floor:
        outcome = "below_floor"
    count = tokens.size if outcome == "ok" else 0
    await together(*(s.send(p, Closing(outcome, count)) for p in names[1:]))
    if outcome != "ok":
        return Found(outcome, np.empty(0, np.int64) if outcome == "empty" else None)
    # A fresh secret order, so that the common one tells nothing about anybody's own.
    tokens = tokens[s.rng.permutation(count)]
    shown = turned.held[tokens]
    await together(*(put_all(s, p, Common, lambda a, b: Common(shown[a:b]), count) for p in names[1:]))
    return Found("ok", await _trace(s, turned, tokens))


# ---------------------------------------------------------------- the ring


async def _pair_keys(s: Session) -> list[bytes]:
    """The keys that this member shares with each of the others."""
    names, own = s.cast["member"], []
    at = names.index(s.me)
    for other in names[at + 1 :]:
        own.append(s.rng.bytes(okvs.SALT))
        await s.send(other, Pair(np.frombuffer(own[-1], np.uint8)))
    return [(await s.recv(p, Pair)).key.tobytes() for p in names[:at]] + own


async def _turn(s: Session, column: IdColumn) -> Turned:
    """Send each set on, blinded once more and shuffled, until this member holds the next one's under all keys."""
    names, key = s.cast["member"], curve.random_scalar(s.rng)
    k, at = len(names), names.index(s.me)
    after, before = names[(at + 1) % k], names[at - 1]
    orders = [s.rng.permutation(len(column))]
    outgoing = held = await hashed(s, column, orders[0], key, DST)
    sizes = [len(column)] * k
    for hop in range(1, k):
        here = s.at(hop=hop)
        _, got = await together(put_points(here, after, Ring, outgoing), _taken(here, before, key))
        assert got is not None
        held, sizes[(at - hop) % k] = got, len(got)
        if hop < k - 1:
            orders.append(s.rng.permutation(len(held)))
            outgoing = held[orders[-1]]
        s.progress(hop, k - 1, "ring")
    return Turned(orders, held, sizes)


async def _taken(s: Session, before: str, key: bytes) -> NDArray[np.uint8]:
    return await multiplied(s, before, Ring, key)


async def _trace(s: Session, turned: Turned, positions: Ints) -> Ints:
    """(c,) where the common records are among this member's own ids; `positions` (c,) are theirs in the held set."""
    names = s.cast["member"]
    k, at = len(names), names.index(s.me)
    after, before = names[(at + 1) % k], names[at - 1]
    for hop in range(1, k):
        here, order = s.at(hop=hop), turned.orders[k - 1 - hop]
        _, got = await together(_tell(here, before, positions), _told(here, after, positions.size, order.size))
        assert got is not None
        positions = order[got]
    return positions


async def _tell(s: Session, peer: str, positions: Ints) -> None:
    await put_all(s, peer, Trace, lambda a, b: Trace(positions[a:b].astype(np.uint32)), positions.size)


async def _told(s: Session, peer: str, count: int, size: int) -> Ints:
    parts = [chunk.positions async for chunk in s.stream(peer, Trace)]
    positions = np.concatenate([np.empty(0, dtype=np.uint32), *parts]).astype(np.int64)
    if positions.size != count or np.any(positions >= size) or repeats(positions, size):
        raise wrong(peer, "named positions that do not exist or repeat")
    return positions


# ---------------------------------------------------------------- tokens and shares of zero


def _salt(s: Session) -> bytes:
    return digest("psi.multi.salt/1", s.coins.bytes(32))[: okvs.SALT]


def share(tokens: NDArray[np.uint8], pairs: list[bytes]) -> Words:
    """(n,) a member's shares of zero for tokens (n, 32): those of all members of one token add up to 0.

    Each is a sum over pair keys of SHA-256(key || token) cut to 64 bits; key and token have fixed lengths.
    """
    out = np.zeros(len(tokens), np.uint64)
    for key in pairs:
        out ^= okvs.keys_of(as_ids(tokens), key)[:, 3]
    return out


def hint(tokens: NDArray[np.uint8], pairs: list[bytes], salt: bytes, free: Words) -> Words:
    """The store token -> share; CryptoError "duplicate_key" or "overload"."""
    keys = okvs.keys_of(as_ids(tokens), salt)
    return okvs.encode(okvs.shape(len(tokens)), keys, share(tokens, pairs), free)


def sums(tokens: NDArray[np.uint8], pairs: list[bytes], salt: bytes, hints: list[tuple[int, Words]]) -> Words:
    """(n,) for each token the sum of all shares, 0 where all have it; `hints` are (ids, store) of the others."""
    total, keys = share(tokens, pairs), okvs.keys_of(as_ids(tokens), salt)
    for size, slots in hints:
        total ^= okvs.decode(okvs.shape(size), keys, slots)
    return total


async def _lead(s: Session, pairs: list[bytes], turned: Turned) -> Ints:
    """(c,) places of the common tokens in the set that the leader holds."""
    names = s.cast["member"]
    k = len(names)
    stores = await together(*(_hint_of(s, names[i], turned.sizes[(i + 1) % k]) for i in range(1, k)))
    hints = [(turned.sizes[(i + 1) % k], stores[i - 1]) for i in range(1, k)]
    total = await s.compute(sums, turned.held, pairs, _salt(s), hints)
    return np.flatnonzero(total == 0).astype(np.int64)


async def _hint_of(s: Session, peer: str, ids: int) -> Words:
    parts = [chunk.slots async for chunk in s.stream(peer, Hint)]
    slots = np.concatenate([np.empty(0, np.uint64), *parts])
    with told(peer):
        expected = okvs.shape(ids).slots
    if slots.size != expected:
        raise wrong(peer, "sent a store of another size than its set has")
    return slots


async def _follow(s: Session, pairs: list[bytes], turned: Turned) -> Found:
    leader, before = s.cast["member"][0], s.cast["member"][s.cast["member"].index(s.me) - 1]
    with told(before):
        free = s.rng.words64(okvs.shape(len(turned.held)).slots)
        slots = await s.compute(hint, turned.held, pairs, _salt(s), free)
    await put_all(s, leader, Hint, lambda a, b: Hint(slots[a:b]), slots.size, WORDS)
    closing = await s.recv(leader, Closing)
    if closing.outcome == "below_floor":
        if s.params.floor is None:
            raise wrong(leader, "spoke of a floor that the job does not have")
        return Found("below_floor")
    if closing.count < (s.params.floor or 0):
        raise wrong(leader, "went on below the floor")
    if closing.outcome == "empty":
        return Found("empty", np.empty(0, np.int64))
    parts = [chunk.tokens async for chunk in s.stream(leader, Common)]
    tokens = np.concatenate([np.empty((0, 32), np.uint8), *parts])
    if len(tokens) != closing.count or len(np.unique(tokens, axis=0)) != len(tokens):
        raise wrong(leader, "named another number of common tokens than it had counted")
    places = await s.compute(matches, tokens, turned.held)
    if np.any(places < 0):
        raise ParleyError(
            "protocol_violation",
            f"{leader} named a common token that is not in the set which {before} passed on.",
            "One of these two, or a member before them in the ring, deviates: compare software versions.",
        )
    return Found("ok", await _trace(s, turned, places))


# ---------------------------------------------------------------- binding to data


@MULTI.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps `rows` and `count`; the submitter hears the count, from the first member alone."""
    column = await column_of(s, inputs)
    found = await member(s, column)
    if found.positions is None:
        return StepOutputs(outcome=found.outcome)
    rows = column.rows[found.positions]
    result = {"intersection": int(rows.size)} if s.me == s.cast["member"][0] else {}
    return StepOutputs(keep={"rows": rows, "count": int(rows.size)}, result=result, outcome=found.outcome)


def _check_members(params: Params, cast: Cast) -> None:
    if not 2 <= len(cast["member"]) <= MOST or len(set(cast["member"])) != len(cast["member"]):
        raise ParleyError("bad_roles", f"psi/multi takes 2 to {MOST} members.", "Name each party once.")


MULTI.checks.append(_check_members)
MULTI.moves_rows = True
check_keys(MULTI)
