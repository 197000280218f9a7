"""A left join: the receiver keeps all its rows and learns the sender's chosen columns for the ids that both have.

Ideal functionality: the receiver brings rows with ids, the sender ids with chosen columns. The receiver is told for
each of its rows whether the sender has the id, and if so the columns' values in the sender's row.

Adversary: semi-honest, under the one-more gap Diffie-Hellman assumption on ristretto255, with the hash to the group and
SHA-256 as random oracles: F(y) = H(y)^k is the oblivious pseudo-random function of RFC 9497 (its hash, blinding and
evaluation; the output is SHA-256 of the point under labels, where the RFC hashes input and point). k is the sender's
key, fresh for each state of its dataset and each receiver; r is the receiver's, fresh for each attempt.

    step  from -> to           message   carries                                              bytes
    1     receiver -> sender   Opening   which table it holds already, if any                 16
    2     sender -> receiver   Offer     the table's name, its rows, the columns' types       about 100
    3     sender -> receiver   Table     unless it is held: tag of F(y), values under a pad   16 + width per id
    4     receiver -> sender   Query     H(x)^r                                               32 per id
    5     sender -> receiver   Answer    H(x)^rk, same order                                  32 per id

Steps 1 to 3 are the offline part: the table is made once for a state of the sender's dataset and a receiver, and both
sides keep what they need of it, encrypted at home, for later attempts and jobs with the same parameters. A later query
costs its own ids only, however many the sender has. A replaced dataset, another receiver or other parameters make
another key and another table. `width` is what the columns take, up to `max_text` + 3 bytes for one of text.

Receiver learns which of its ids the sender has and the chosen columns' values for these (`matched_values`), how many
distinct ids the sender has, and the columns' types. Sender learns how many distinct ids the receiver asks about.
Coordinator: both counts and the width, from sizes, and whether a table was made.

Not protected: a receiver that asks about ids that it does not hold: limit its runs, each of which is counted where the
data lies. All that is asked under one key adds up: the receiver keeps what it was told. There is no floor. Of several
rows of the sender's with equal ids the first one is looked up; every row of the receiver's is answered.

Source: Jarecki, Kiayias, Krawczyk 2014 (2HashDH); RFC 9497; Kiss, Liu, Schneider, Asokan, Pinkas 2017 (the table sent
ahead, for sets of unequal size); Freedman, Ishai, Pinkas, Reingold 2005 (values under the function's output).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.crypto import curve, okvs
from parley.protocols.inputs import ROW, need_columns, row_ids, table_of, take_rows, together
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
from parley.protocols.psi import payload
from parley.protocols.psi.blinding import (
    Ints,
    PointsMessage,
    as_ids,
    checked,
    hashed,
    messages_for,
    multiplied,
    put_all,
    put_points,
    wrong,
)
from parley.protocols.psi.columns import check_keys, column_of, column_of_all
from parley.protocols.psi.ids import IdColumn, KeyParams
from parley.wire.canonical import canonical, digest
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

DST = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
TAG = 16
MEGABYTE = 1 << 20
Raw = NDArray[np.uint8]
Name = Annotated[Raw, array(TAG, dtype="uint8")]
NO_TABLE = np.zeros(TAG, np.uint8)


@message("psi.lookup.opening/1")
class Opening(Message):
    table: Name


@message("psi.lookup.offer/1")
class Offer(Message):
    table: Name
    count: int
    kinds: list[str]

    def check(self) -> None:
        if not all(type(k) is str and (k == payload.TEXT or k in payload.FIXED) for k in self.kinds):
            raise ValueError("a type of columns that does not travel")
        if self.count < 1:
            raise ValueError("a table has rows")


@message("psi.lookup.table/1")
class Rows(Message):
    tags: Annotated[Raw, array("n", TAG, dtype="uint8")]
    values: Annotated[Raw, array("n", "width", dtype="uint8")]


@message("psi.lookup.query/1")
class Query(PointsMessage):
    pass


@message("psi.lookup.answer/1")
class Answer(PointsMessage):
    pass


class Params(KeyParams):
    """The key, as in parley.protocols.psi.ids; `columns`: of the sender, to look up.

    `prefix`: before their names at the receiver. `max_text`: bytes of the longest text in one of them.
    """

    columns: list[str] = Field(min_length=1, max_length=64)
    prefix: str = Field(default="", max_length=64)
    max_text: int = Field(default=64, ge=1, le=4096)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """32 bytes per id asked, both ways; once for a dataset and receiver 16 bytes and the columns' width per id."""
    (receiver,), (sender,) = cast["receiver"], cast["sender"]
    n, m = sizes.rows.get(receiver, 0), sizes.rows.get(sender, 0)
    size = TAG + payload.bound(len(params.columns), params.max_text)
    return [
        Flow(Opening.TAG, receiver, sender, 1, TAG),
        Flow(Offer.TAG, sender, receiver, 1, 64 + 24 * len(params.columns)),
        Flow(Rows.TAG, sender, receiver, -(-m * size // MEGABYTE) + 2, size * m),
        Flow(Query.TAG, receiver, sender, messages_for(n), 32 * n),
        Flow(Answer.TAG, sender, receiver, messages_for(n), 32 * n),
    ]


LOOKUP = Protocol(
    "psi/lookup",
    version=1,
    security=SEMI_HONEST,
    summary="Another party's columns beside one's own rows, for the ids that both have, without naming the ids.",
    roles={"receiver": "one", "sender": "one"},
    steps=[
        Step("receiver", "sender", Opening, "receiver.size"),
        Step("sender", "receiver", Offer, "column_types"),
        Step("sender", "receiver", Rows, "sender.size", stream=True),
        Step("receiver", "sender", Query, "receiver.size", stream=True),
        Step("sender", "receiver", Answer, "matched_values", stream=True),
    ],
    learns={
        "receiver": ["intersection", "matched_values", "sender.size", "column_types"],
        "sender": ["receiver.size"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
    cached_for=("sender",),
)


@dataclass(frozen=True)
class Table:
    """What the receiver holds of a sender's dataset: tags (m, 16), masked values (m, width), the columns' types."""

    name: Raw
    kinds: list[str]
    tags: Raw = field(repr=False)
    values: Raw = field(repr=False)

    def kept(self) -> dict[str, Any]:
        return {"table": self.name, "kinds": self.kinds, "tags": self.tags, "values": self.values}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Table | None:
        """From what an earlier run left, if any did."""
        return cls(kept["table"], kept["kinds"], kept["tags"], kept["values"]) if kept else None


@dataclass(frozen=True)
class Secret:
    """What the sender keeps of a table that it has made: its key, and what an offer says."""

    key: bytes = field(repr=False)
    name: Raw
    rows: int
    kinds: list[str]

    def kept(self) -> dict[str, Any]:
        return {"key": self.key, "table": self.name, "rows": self.rows, "kinds": self.kinds}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Secret | None:
        """From what an earlier run left, if any did."""
        return cls(kept["key"], kept["table"], kept["rows"], kept["kinds"]) if kept else None


@dataclass(frozen=True)
class Matched:
    """For each id asked its place in the table, or -1 (n,), and the columns' rows (n, width), zeros where unmatched."""

    where: Ints = field(repr=False)
    rows: Raw = field(repr=False)
    table: Table


# ---------------------------------------------------------------- the function's outputs


def tags_of(points: Raw) -> Raw:
    """(n, 16) from points F(y) (n, 32)."""
    return _output(points, "psi.lookup.tag/1", 0)[:, :TAG]


def pads_of(points: Raw, width: int) -> Raw:
    """(n, width) from points F(y) (n, 32), independent of the tags."""
    blocks = [_output(points, "psi.lookup.pad/1", k) for k in range(-(-width // 32))]
    return np.hstack([np.empty((len(points), 0), np.uint8), *blocks])[:, :width]


def _output(points: Raw, label: str, block: int) -> Raw:
    salt = digest(label, canonical([block]))[: okvs.SALT]
    return okvs.keys_of(as_ids(points), salt).view(np.uint8).reshape(len(points), 32)


# ---------------------------------------------------------------- receiver


@LOOKUP.role("receiver")
async def receiver(s: Session, column: IdColumn, held: Table | None) -> Matched:
    peer = s.peer("sender")
    await s.send(peer, Opening(NO_TABLE if held is None else held.name))
    table = await _table(s, peer, held)
    r = s.rng.scalar_below(curve.ORDER - 1) + 1
    blinded = await hashed(s, column, np.arange(len(column)), r.to_bytes(32, "little"), DST)
    _, answers = await together(put_points(s, peer, Query, blinded), checked(s, peer, Answer, len(column)))
    assert answers is not None
    back = pow(r, -1, curve.ORDER).to_bytes(32, "little")
    points = await s.compute(curve.multiply, answers, back)
    return await s.compute(_matched, points, table)


async def _table(s: Session, peer: str, held: Table | None) -> Table:
    """The sender's table: the one that is held, or the one it sends."""
    offer = await s.recv(peer, Offer)
    kinds = offer.kinds
    if len(kinds) != len(s.params.columns):
        raise wrong(peer, "offered another number of columns than the job asks for")
    width = sum(payload.width_of(k, s.params.max_text) for k in kinds)
    known = held is not None and np.array_equal(held.name, offer.table)
    tags, values = [np.empty((0, TAG), np.uint8)], [np.empty((0, width), np.uint8)]
    async for chunk in s.stream(peer, Rows, width=width):
        tags.append(chunk.tags)
        values.append(chunk.values)
    table = held if known else Table(offer.table, kinds, np.concatenate(tags), np.concatenate(values))
    assert table is not None
    if len(table.tags) != offer.count or table.kinds != kinds or (known and len(tags) > 1):
        raise wrong(peer, "sent another table than it had offered")
    return table


def _matched(points: Raw, table: Table) -> Matched:
    where = places_of(tags_of(points), table.tags)
    found = where >= 0
    rows = np.zeros((len(points), table.values.shape[1]), np.uint8)
    rows[found] = table.values[where[found]] ^ pads_of(points[found], rows.shape[1])
    return Matched(where, rows, table)


def places_of(ours: Raw, theirs: Raw) -> Ints:
    """(n,) for each row of `ours` (n, 16) its place in `theirs` (m, 16), or -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def column(rows: Raw) -> pa.Array:
        whole = np.ascontiguousarray(rows)
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(TAG), len(whole), [None, pa.py_buffer(whole)])

    # The few are sought among the many the other way round: a hash table of the query is the small one.
    found = pc.fill_null(pc.index_in(column(theirs), value_set=column(ours)), -1)
    asked = np.asarray(found.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    out = np.full(len(ours), -1, np.int64)
    hits = np.flatnonzero(asked >= 0)
    out[asked[hits]] = hits
    return out


# ---------------------------------------------------------------- sender


@LOOKUP.role("sender")
async def sender(s: Session, source: Source, held: Secret | None) -> Secret:
    """`source` gives ids and packed columns, and is only asked when there is no table yet."""
    peer = s.peer("receiver")
    wanted = (await s.recv(peer, Opening)).table
    secret = held if held is not None and np.array_equal(held.name, wanted) else None
    if secret is None:
        secret = await _new_table(s, peer, source)
    else:
        await s.send(peer, Offer(secret.name, secret.rows, secret.kinds))
        await s.stream(peer, Rows).close()
    await put_points(s, peer, Answer, await multiplied(s, peer, Query, secret.key))
    return secret


async def _new_table(s: Session, peer: str, source: Source) -> Secret:
    column, kinds, values = await source.read(s)
    key, order = curve.random_scalar(s.rng), s.rng.permutation(len(column))
    secret = Secret(key, np.frombuffer(s.rng.bytes(TAG), np.uint8), len(column), kinds)
    await s.send(peer, Offer(secret.name, secret.rows, kinds))
    points = await hashed(s, column, order, key, DST)
    tags = await s.compute(tags_of, points)
    masked = await s.compute(lambda: values[order] ^ pads_of(points, values.shape[1]))
    rows = max(1, MEGABYTE // (TAG + masked.shape[1]))
    await put_all(s, peer, Rows, lambda a, b: Rows(tags[a:b], masked[a:b]), len(tags), rows)
    return secret


@dataclass(frozen=True)
class Source:
    """The sender's dataset."""

    inputs: StepInputs = field(repr=False)

    async def read(self, s: Session) -> tuple[IdColumn, list[str], Raw]:
        """Distinct ids, the columns' types, and (m, width) the packed values of the first row of each."""
        column = await column_of(s, self.inputs)
        table = table_of(self.inputs, s.me)
        need_columns(s.params.columns, table.column_names, s.me)
        kinds, values = await s.compute(
            lambda: payload.packed(take_rows(table, column.rows), s.params.columns, s.params.max_text)
        )
        return column, kinds, values


# ---------------------------------------------------------------- binding to data


@LOOKUP.job("receiver")
async def receiver_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps `looked_up`: `_row`, `matched` and the columns, in the dataset's order; tells how many rows matched."""
    column, which = await column_of_all(s, inputs)
    found = await receiver(s, column, Table.of(inputs.cache))
    try:
        joined = await s.compute(_join, row_ids(table_of(inputs, s.me)), which, found, s.params)
    except ValueError as e:
        raise wrong(s.peer("sender"), f"sent {e}") from None
    matched = int(np.count_nonzero(found.where[which[which >= 0]] >= 0))
    result = {"rows": int(which.size), "matched": matched}
    fresh = {} if inputs.cache and found.table.name is inputs.cache["table"] else found.table.kept()
    return StepOutputs(keep={"looked_up": joined}, result=result, cache=fresh)


def _join(rows: Ints, which: Ints, found: Matched, params: Params) -> pa.Table:
    import pyarrow as pa

    at = np.maximum(which, 0)
    matched = (which >= 0) & (found.where[at] >= 0)
    names = [params.prefix + c for c in params.columns]
    columns = payload.unpacked(found.rows[at], matched, names, found.table.kinds, params.max_text)
    return columns.add_column(0, "matched", pa.array(matched)).add_column(0, ROW, pa.array(rows))


@LOOKUP.job("sender")
async def sender_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps and tells nothing; its key stays for the next time."""
    secret = await sender(s, Source(inputs), Secret.of(inputs.cache))
    fresh = not inputs.cache or inputs.cache["key"] != secret.key
    return StepOutputs(cache=secret.kept() if fresh else {})


def _check_params(params: Params, cast: Cast) -> None:
    names = [params.prefix + c for c in params.columns]
    if len(set(names)) != len(names) or {ROW, "matched"} & set(names):
        raise ParleyError("bad_parameters", "columns names one twice, or one that is kept for the join itself.")


def _check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    if me in cast["sender"]:
        need_columns(params.columns, schema, me)
        return
    for name in params.columns:
        if params.prefix + name in schema:
            raise ParleyError(
                "column_exists", f"The dataset of {me} has a column {name!r} already.", "Set `prefix`.", party=me
            )


check_keys(LOOKUP)
LOOKUP.checks.append(_check_params)
LOOKUP.data_checks.append(_check_data)
