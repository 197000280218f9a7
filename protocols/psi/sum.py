"""The sum of one party's values over the ids that it and another party have in common, told to one side.

Ideal functionality: the receiver brings ids, the sender ids with a value each. `result: receiver`: the receiver is told
how many ids are common and the sum of the sender's values over them. `result: sender`: the sender is told both, the
receiver the number.

Adversary: semi-honest, under the decisional Diffie-Hellman assumption on ristretto255, with the hash to the group as a
random oracle, and the assumptions of Paillier's scheme (parley.crypto.ahe.paillier). a, b are the keys of receiver and
sender, E encrypts under the sender's fresh Paillier key.

    step  from -> to           message   carries                                          bytes
    1     receiver -> sender   Blinded   H(x)^a, shuffled                                 32 per id
    2     sender -> receiver   Double    H(x)^ab, shuffled anew                           32 per id
    3     sender -> receiver   Key       the public key                                   265 or 393
    4     sender -> receiver   Pairs     H(y)^b and E(value), shuffled                    544 or 800 per id
    5     receiver -> sender   Closing   with a floor: whether the count reaches it       1
    then, unless the floor was not reached, with `result: receiver`
    6     receiver -> sender   Masked    E(sum + r), r random and larger by 2^60          512 or 768
    7     sender -> receiver   Opened    sum + r                                          16
    or with `result: sender`
    6     receiver -> sender   Total     E(sum), randomised anew; the count               528 or 784

Receiver learns how many ids are common (not which: both lists of the sender are shuffled), how many distinct ids the
sender has, and with `result: receiver` the sum. Sender learns how many distinct ids the receiver has, with a floor the
outcome, and with `result: sender` the count and the sum. Coordinator: all counts that travel, from sizes.

Not protected: the sum over one common id is its value, and two runs that differ in one id give it by subtraction: ask
for a floor, and let the policies limit runs and small sets. The receiver works the count out itself whatever the floor.
A party that deviates can have other ids or values counted.

Ids are distinct: of several rows of the sender's with one id the first one's value counts, or with `repeated: add` the
sum of them all; a missing value counts as 0. Values are fixed point: rounded half to even to `decimals`, refused before
anything leaves where one is larger than `max_value`; every sum of as many ids as may be is below 2^61 units.

Source: Ion, Kreuter, Nergiz, Patel, Saxena, Seth, Raykova, Shanahan, Yung 2017 and 2019; the masked opening of step 6
and 7 is ours, for a sum that the key's owner does not see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.crypto import ahe, curve
from parley.crypto.ahe.base import Layout, RowPublicKey, Sums
from parley.crypto.prg import Source
from parley.protocols.inputs import need_columns, table_of, take_rows, together, told
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
    Ints,
    Points,
    PointsMessage,
    checked,
    hashed,
    joined,
    messages_for,
    multiplied,
    put_points,
    wrong,
)
from parley.protocols.psi.columns import check_keys, column_of, column_of_all
from parley.protocols.psi.ids import IdColumn, KeyParams, matches
from parley.protocols.psi.values import SUM_BITS, added, bits_of, fixed_point
from parley.wire.errors import ParleyError

DST = b"parley.psi.sum/1-ristretto255_XMD:SHA-512_R255MAP_RO_"
CHUNK = 2_048  # pairs of a stream's chunk: about one megabyte
MASK = Layout(2, (1 << SUM_BITS) - 1, 1)
Raw = NDArray[np.uint8]
Outcome = Literal["ok", "below_floor"]


@message("psi.sum.blinded/1")
class Blinded(PointsMessage):
    pass


@message("psi.sum.double/1")
class Double(PointsMessage):
    pass


@message("psi.sum.key/1")
class Key(Message):
    public: bytes


@message("psi.sum.pairs/1")
class Pairs(Message):
    points: Points
    values: Annotated[Raw, array("n", "size", dtype="uint8")]


@message("psi.sum.closing/1")
class Closing(Message):
    reached: bool


@message("psi.sum.masked/1")
class Masked(Message):
    sum: Annotated[Raw, array(1, "size", dtype="uint8")]


@message("psi.sum.opened/1")
class Opened(Message):
    digits: Annotated[Ints, array(2, dtype="int64")]


@message("psi.sum.total/1")
class Total(Message):
    sum: Annotated[Raw, array(1, "size", dtype="uint8")]
    count: int

    def check(self) -> None:
        if self.count < 0:
            raise ValueError("a count is not negative")


class Params(KeyParams):
    """The key, as in parley.protocols.psi.ids; `value`: the sender's column of numbers.

    `decimals`: its unit is 10^-decimals; `max_value`: no value is larger, nor smaller than its negative.
    `repeated`: of rows with one id at the sender, the `first` one counts, or all of them `add` up (their sum is in the
    range, too). `floor`: a sum over fewer ids is not made. `key_bits`: of Paillier's modulus.
    """

    value: str
    repeated: Literal["first", "add"] = "first"
    decimals: int = Field(default=2, ge=0, le=9)
    max_value: float = Field(default=1e9, gt=0, le=1e18, allow_inf_nan=False)
    result: Literal["receiver", "sender"] = "receiver"
    floor: int | None = Field(default=None, ge=1, le=1 << 40)
    key_bits: Literal[2048, 3072] = 2048


def layout_of(params: Params) -> Layout:
    """Two slots of 62 bits: the value in the lower one, the higher one for the mask's carry."""
    bits = bits_of(params.max_value, params.decimals)
    return Layout(2, (1 << bits) - 1, 1 << (SUM_BITS - bits))


def generate(params: Params) -> ahe.SecretKey:
    """The sender's fresh key: the one door through which keys come into being here."""
    return ahe.generate("paillier", params.key_bits)


def decode_public(raw: bytes, params: Params) -> RowPublicKey:
    """The sender's public key, checked; ValueError when it is not of the agreed size, CryptoError "bad_key"."""
    key = ahe.decode_public(raw)
    if not isinstance(key, RowPublicKey) or key.shape(1) != (1, params.key_bits // 4):
        raise ValueError("the public key is not of the agreed size")
    return key


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """32 bytes per id of the receiver, twice; a point and a ciphertext (512 or 768 bytes) per id of the sender."""
    (receiver,), (sender,) = cast["receiver"], cast["sender"]
    n, m, size = sizes.rows.get(receiver, 0), sizes.rows.get(sender, 0), params.key_bits // 4
    flows = [
        Flow(Blinded.TAG, receiver, sender, messages_for(n), 32 * n),
        Flow(Double.TAG, sender, receiver, messages_for(n), 32 * n),
        Flow(Key.TAG, sender, receiver, 1, params.key_bits // 8 + 16),
        Flow(Pairs.TAG, sender, receiver, -(-m // CHUNK) + 1, (32 + size) * m),
    ]
    if params.floor is not None:
        flows.append(Flow(Closing.TAG, receiver, sender, 1, 16))
    if params.result == "receiver":
        flows += [Flow(Masked.TAG, receiver, sender, 1, size), Flow(Opened.TAG, sender, receiver, 1, 16)]
    else:
        flows.append(Flow(Total.TAG, receiver, sender, 1, size + 16))
    return flows


SUM = Protocol(
    "psi/sum",
    version=1,
    security=SEMI_HONEST,
    summary="The sum of one party's values over the records that it and another party have in common.",
    roles={"receiver": "one", "sender": "one"},
    steps=[
        Step("receiver", "sender", Blinded, "receiver.size", stream=True),
        Step("sender", "receiver", Double, "cardinality", stream=True),
        Step("sender", "receiver", Key, "sender.size"),
        Step("sender", "receiver", Pairs, "sender.size", stream=True),
        Step("receiver", "sender", Closing, "outcome"),
        Step("receiver", "sender", Masked, "receiver.size"),
        Step("sender", "receiver", Opened, "sum"),
        Step("receiver", "sender", Total, "sum"),
    ],
    learns={
        "receiver": ["cardinality", "sender.size", "sum"],
        "sender": ["receiver.size", "outcome", "cardinality", "sum"],
        "coordinator": ["sizes"],
    },
    when={
        "receiver.sum": ("result", "receiver"),
        "sender.outcome": ("floor",),
        "sender.cardinality": ("result", "sender"),
        "sender.sum": ("result", "sender"),
    },
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Summed:
    """What a side was told: the number of common ids, and the sum in units of 10^-decimals; None where untold."""

    outcome: Outcome
    count: int | None = None
    units: int | None = field(default=None, repr=False)


# ---------------------------------------------------------------- receiver


@SUM.role("receiver")
async def receiver(s: Session, column: IdColumn) -> Summed:
    peer, secret = s.peer("sender"), curve.random_scalar(s.rng)
    ours = await hashed(s, column, s.rng.permutation(len(column)), secret, DST)
    _, double = await together(put_points(s, peer, Blinded, ours), checked(s, peer, Double, len(column)))
    assert double is not None
    with told(peer):
        public = _public(s, peer, (await s.recv(peer, Key)).public)
    theirs, values = await _pairs(s, peer, secret, public.shape(1)[1])
    chosen = np.sort(await s.compute(matches, double, theirs))
    chosen = chosen[chosen >= 0]
    if np.unique(chosen).size != chosen.size:
        raise wrong(peer, "returned one id twice")
    count = int(chosen.size)
    if s.params.floor is not None:
        await s.send(peer, Closing(count >= s.params.floor))
        if count < s.params.floor:
            return Summed("below_floor")
    if s.params.result == "sender":
        with told(peer):
            raw = await s.compute(_added, public, values, chosen, np.zeros(2, np.int64), layout_of(s.params))
        await s.send(peer, Total(raw, count))
        return Summed("ok", count)
    mask = _mask(s.rng)
    with told(peer):
        raw = await s.compute(_added, public, values, chosen, mask, layout_of(s.params))
    await s.send(peer, Masked(raw))
    opened = (await s.recv(peer, Opened)).digits
    units = _joined(opened) - _joined(mask)
    if abs(units) > count * layout_of(s.params).bound:
        raise wrong(peer, "opened a sum that is out of range")
    return Summed("ok", count, units)


def _public(s: Session, peer: str, raw: bytes) -> RowPublicKey:
    try:
        return decode_public(raw, s.params)
    except ValueError as e:
        raise wrong(peer, f"sent a wrong key: {e}") from None


async def _pairs(s: Session, peer: str, secret: bytes, size: int) -> tuple[Raw, Raw]:
    """H(y)^ab (m, 32) and the ciphertexts (m, size)."""
    points, values = [], [np.empty((0, size), np.uint8)]
    with told(peer):
        async for chunk in s.stream(peer, Pairs, size=size):
            points.append(await s.compute(curve.multiply, chunk.points, secret))
            values.append(chunk.values)
    return joined(points), np.concatenate(values)


def _mask(rng: Source) -> Ints:
    """(2,) a low digit as large as a sum can be, and a high one: the sum's own part of the whole is below 2^-60."""
    most, high = (1 << SUM_BITS) - 1, 1 << (SUM_BITS - 1)
    return np.array([rng.scalar_below(2 * most + 1) - most, rng.scalar_below(2 * high + 1) - high], np.int64)


def _joined(digits: Ints) -> int:
    """The number of two signed digits, the lower one first."""
    low, high = (int(d) for d in digits)
    return low + (high << MASK.slot)


def _added(public: RowPublicKey, raw: Raw, chosen: Ints, plain: Ints, layout: Layout) -> Raw:
    """(1, size) an encryption, randomised anew, of the chosen values' sum and `plain` (2,)."""
    values = public.ciphertexts(raw, len(raw))
    bins, counts = np.zeros((len(raw), 1), np.uint16), np.ones(1, np.uint32)
    whole: Sums = public.histogram(values, bins, counts, chosen)
    extra = public.ciphertexts(public.encrypt(plain[None, :], MASK), 1)
    own = public.histogram(extra, bins[:1], counts, np.zeros(1, np.int64))
    return public.release(public.add(whole, own), layout).raw


# ---------------------------------------------------------------- sender


@SUM.role("sender")
async def sender(s: Session, column: IdColumn, values: Ints) -> Summed:
    """`values` (m,) are the ids' values in units, |value| <= the layout's bound."""
    peer, secret, layout = s.peer("receiver"), curve.random_scalar(s.rng), layout_of(s.params)
    if len(column) > layout.max_rows:
        raise ParleyError("too_many_values", "Sums of so many values of this size do not fit.", "Lower `max_value`.")
    double = await multiplied(s, peer, Blinded, secret)
    await put_points(s, peer, Double, double[s.rng.permutation(len(double))])
    key = await s.compute(generate, s.params)
    await s.send(peer, Key(key.public.encode()))
    order = s.rng.permutation(len(column))
    points = await hashed(s, column, order, secret, DST)
    rows = np.stack([values[order], np.zeros_like(values)], axis=1)
    await _put_pairs(s, peer, points, rows, key, layout)
    if s.params.floor is not None and not (await s.recv(peer, Closing)).reached:
        return Summed("below_floor")
    if s.params.result == "receiver":
        digits = await _opened(s, peer, (await s.recv(peer, Masked)).sum, key, layout)
        await s.send(peer, Opened(digits))
        return Summed("ok")
    total = await s.recv(peer, Total)
    units = _joined(await _opened(s, peer, total.sum, key, layout))
    most = min(len(double), len(column))
    if total.count > most or total.count < (s.params.floor or 0) or abs(units) > total.count * layout.bound:
        raise wrong(peer, "closed with a count or a sum that cannot be")
    return Summed("ok", total.count, units)


async def _put_pairs(s: Session, peer: str, points: Raw, rows: Ints, key: ahe.SecretKey, layout: Layout) -> None:
    out = s.stream(peer, Pairs)
    for start in range(0, len(points), CHUNK):
        raw = await s.compute(key.encrypt, rows[start : start + CHUNK], layout)
        await out.put(Pairs(points[start : start + CHUNK], raw))
        s.progress(min(start + CHUNK, len(points)), len(points), "encrypting values")
    await out.close()


async def _opened(s: Session, peer: str, raw: Raw, key: ahe.SecretKey, layout: Layout) -> Ints:
    def decrypted() -> Ints:
        digits: Ints = key.decrypt(key.response(raw, 1, layout), layout)[0]
        return digits

    with told(peer):
        return await s.compute(decrypted)


# ---------------------------------------------------------------- binding to data


@SUM.job("receiver")
async def receiver_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the count and what else it is told; tells the submitter with `result: receiver`."""
    found = await receiver(s, await column_of(s, inputs))
    return _outputs(found, s.params, s.params.result == "receiver")


@SUM.job("sender")
async def sender_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps and tells count and sum with `result: sender`, else nothing."""
    column, which = await column_of_all(s, inputs)
    values = await s.compute(_values, s, inputs, column, which)
    return _outputs(await sender(s, column, values), s.params, s.params.result == "sender")


def _values(s: Session, inputs: StepInputs, column: IdColumn, which: Ints) -> Ints:
    """(m,) in units, for each id; `which` (rows,) says whose row each is."""
    p, table = s.params, table_of(inputs, s.me)
    need_columns([p.value], table.column_names, s.me)
    if p.repeated == "first":
        return fixed_point(take_rows(table, column.rows).column(p.value), p.value, p.max_value, p.decimals)
    units = fixed_point(table.column(p.value), p.value, p.max_value, p.decimals)
    return added(units[which >= 0], which[which >= 0], len(column), layout_of(p).bound, p.value)


def _outputs(found: Summed, params: Params, tell: bool) -> StepOutputs:
    known: dict[str, Any] = {} if found.count is None else {"count": found.count}
    if found.units is not None:
        known |= {"units": found.units, "decimals": params.decimals, "sum": found.units / 10**params.decimals}
    return StepOutputs(keep=known, result=dict(known) if tell else {}, outcome=found.outcome)


def _check_params(params: Params, cast: Cast) -> None:
    bits_of(params.max_value, params.decimals)


def _check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    if me in cast["sender"]:
        need_columns([params.value], schema, me)


check_keys(SUM)
SUM.checks.append(_check_params)
SUM.data_checks.append(_check_data)
