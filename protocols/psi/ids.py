"""A key of one or several columns as distinct byte strings that mean the same at every party.

Rules, in this order: whole numbers become their decimal text (7 and "7" are one id, "007" is another); text is
normalised by the rule declared for its column (parley.protocols.psi.normalise); rows with a null or empty part are
dropped; the parts of a key of several columns are joined behind their lengths, so that ("ab", "c") and ("a", "bc") are
two keys. Fractions, times (but under the rule `date`) and truth values are refused: their text is a matter of taste.

Of rows with equal keys, `duplicates` says: `first`, the first one stands for all; `refuse`, there are none or the step
ends before anything leaves; `all`, only at a receiver: every one of them is aligned, each with the other parties' row.
How often a key occurs stays with its owner, but `all` with `result: both` shows it for the common ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from parley.crypto import curve, okvs
from parley.protocols.inputs import check_parties, need_columns, row_ids
from parley.protocols.kit import Cast
from parley.protocols.psi.normalise import DATES, Rule, normalised
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Columns = str | list[str]
Duplicates = Literal["first", "refuse", "all"]
Ints = NDArray[np.int64]
MAX_ID_BYTES = 4096
MAX_COLUMNS = 16


class KeyParams(BaseModel):
    """`id`: the key's columns, alike for all or by party; `normalise`: one rule, or one for each of the columns.

    `duplicates` alike for all or by party; `all` for all is `all` at the receiver and `refuse` at the others.
    """

    model_config = ConfigDict(extra="forbid")
    id: Columns | dict[str, Columns]
    normalise: Rule | list[Rule] = "nfc"
    duplicates: Duplicates | dict[str, Duplicates] = "first"


@dataclass(frozen=True)
class IdColumn:
    """Distinct ids (a text or binary array of n) and the `_row` ids (N,) that stand for them, id by id.

    Without `starts` one row stands for each id; with it, rows[starts[i]:starts[i + 1]] stand for id i.
    """

    ids: pa.Array
    rows: Ints
    starts: Ints | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def spread(self, chosen: Ints) -> tuple[Ints, Ints]:
        """For ids (k,) every place in `rows` that stands for one: which of the k (K,), and the place (K,)."""
        if self.starts is None:
            return np.arange(chosen.size, dtype=np.int64), chosen
        counts = self.starts[chosen + 1] - self.starts[chosen]
        which = np.repeat(np.arange(chosen.size, dtype=np.int64), counts)
        within = np.arange(which.size, dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, self.starts[chosen][which] + within


# ---------------------------------------------------------------- what the job says


def columns_of(id: Columns | Mapping[str, Columns], party: str) -> tuple[str, ...]:
    """The columns of a party's key."""
    value = id.get(party, []) if isinstance(id, Mapping) else id
    return (value,) if isinstance(value, str) else tuple(value)


def rules_of(normalise: str | Sequence[str], columns: int) -> tuple[str, ...]:
    """One rule for each of so many columns."""
    return (normalise,) * columns if isinstance(normalise, str) else tuple(normalise)


def duplicates_of(params: KeyParams, party: str, cast: Cast) -> Duplicates:
    """What holds at a party."""
    if isinstance(params.duplicates, dict):
        return params.duplicates.get(party, "first")
    receives = party in cast.get("receiver", ())
    return "refuse" if params.duplicates == "all" and not receives else params.duplicates


def check_key_params(params: KeyParams, cast: Cast) -> None:
    """ParleyError "bad_parameters" unless every party has a key, and all keys and rules have as many columns."""
    parties = cast.parties()
    if isinstance(params.id, dict):
        check_parties(params.id, parties, "id")
        for party in parties:
            if party not in params.id:
                raise ParleyError("bad_parameters", f"id names no column for {party}.", "Name one for each party.")
    sizes = {party: len(columns_of(params.id, party)) for party in parties}
    if not all(1 <= n <= MAX_COLUMNS for n in sizes.values()) or len(set(sizes.values())) != 1:
        raise ParleyError("bad_parameters", f"The keys have {sizes} columns.", f"As many for all, 1 to {MAX_COLUMNS}.")
    if not isinstance(params.normalise, str) and len(params.normalise) != next(iter(sizes.values())):
        hint = "Give one rule for all, or one for each column of the key."
        raise ParleyError("bad_parameters", "normalise has another number of rules than the key has columns.", hint)
    if isinstance(params.duplicates, dict):
        check_parties(params.duplicates, parties, "duplicates")
        for party, how in params.duplicates.items():
            if how == "all" and party not in cast.get("receiver", ()):
                raise ParleyError("bad_parameters", f"duplicates is `all` for {party}.", "Only a receiver may be.")


def check_key_data(params: KeyParams, me: str, schema: Mapping[str, str]) -> None:
    """ParleyError "unknown_column", "bad_id_type" when a party's declared columns cannot be its key."""
    columns = columns_of(params.id, me)
    need_columns(columns, schema, me)
    for column, rule in zip(columns, rules_of(params.normalise, len(columns)), strict=True):
        check_id_type(column, schema, me, rule)


def check_id_type(column: str, schema: Mapping[str, str], me: str, rule: str = "nfc") -> None:
    """ParleyError "bad_id_type" when a column's declared type cannot be an id."""
    kind = schema[column]
    if rule == "date" and kind.startswith(DATES):
        return
    if any(word in kind for word in ("float", "double", "bool", "date", "time", "decimal", "binary", "list", "struct")):
        raise ParleyError(
            "bad_id_type", f"Column {column!r} of type {kind} cannot be an id.", "Use text or whole numbers.", party=me
        )


# ---------------------------------------------------------------- the key itself


def key_column(table: pa.Table, params: KeyParams, me: str, cast: Cast) -> IdColumn:
    """A party's key as its job declares it; errors as `id_column`, and "unknown_column"."""
    columns = columns_of(params.id, me)
    need_columns(columns, table.column_names, me)
    return id_column(table, columns, params.normalise, duplicates_of(params, me, cast))


def id_column(
    table: pa.Table,
    columns: str | Sequence[str],
    normalise: str | Sequence[str] = "nfc",
    duplicates: Duplicates = "first",
) -> IdColumn:
    """The distinct keys of a table.

    ParleyError "bad_id_type", "bad_id_text", "id_too_long", "repeated_ids", "no_ids".
    """
    import pyarrow.compute as pc

    names = (columns,) if isinstance(columns, str) else tuple(columns)
    rules = rules_of(normalise, len(names))
    parts = [normalised(_texts(table.column(n), n, r), r) for n, r in zip(names, rules, strict=True)]
    keys = _usable(parts, names)
    whole = keys.combine_chunks()
    has_key = whole.is_valid().to_numpy(zero_copy_only=False)
    ids = whole.drop_null()
    rows = row_ids(table)[has_key]
    what = f"Column {names[0]!r}" if len(names) == 1 else f"The key of {', '.join(map(repr, names))}"
    if len(ids) == 0:
        raise ParleyError("no_ids", f"{what} holds no id: it is empty or missing everywhere.", "Name another column.")
    if (pc.max(pc.binary_length(ids)).as_py() or 0) > MAX_ID_BYTES:
        raise ParleyError("id_too_long", f"{what} has an id of more than {MAX_ID_BYTES} bytes.")
    if _distinct(ids):
        return IdColumn(ids, rows)
    encoded = ids.dictionary_encode()  # in order of appearance
    if len(encoded.dictionary) == rows.size:
        return IdColumn(ids, rows)
    return _repeated(encoded.dictionary, encoded.indices.to_numpy(), rows, duplicates, what)


def _distinct(ids: pa.Array) -> bool:
    """Whether no two ids are equal; rarely False although none are. Takes under half a dictionary's time."""
    fronts = okvs.keys_of(curve.Ids.from_arrow(ids), bytes(okvs.SALT))[:, 0].copy()
    fronts.sort()
    return not bool(np.any(fronts[1:] == fronts[:-1]))


def _repeated(ids: pa.Array, of: NDArray[np.int32], rows: Ints, duplicates: Duplicates, what: str) -> IdColumn:
    """Rows `rows` (N,) of which each has the id `of` (N,), under the rule for ids that occur several times."""
    if duplicates == "refuse":
        hint = "Remove them, or say `duplicates: first`, or `all` at the receiver."
        raise ParleyError("repeated_ids", f"{what} has ids that occur in several rows.", hint)
    order = np.argsort(of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(ids)))]).astype(np.int64)
    if duplicates == "all":
        return IdColumn(ids, rows[order], starts)
    return IdColumn(ids, rows[order[starts[:-1]]])


def _texts(column: pa.ChunkedArray, name: str, rule: str) -> pa.ChunkedArray:
    import pyarrow as pa

    kind, t = column.type, pa.types
    if t.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if rule == "date" and (t.is_date(kind) or t.is_timestamp(kind)):
        return column.cast(pa.date32(), safe=False).cast(pa.string())
    if t.is_string(kind) or t.is_large_string(kind) or t.is_integer(kind) or t.is_null(kind):
        return _checked(column.cast(pa.string()), name)
    raise ParleyError(
        "bad_id_type",
        f"Column {name!r} of type {kind} cannot be an id.",
        "Ids are text or whole numbers; convert the column first.",
    )


def _checked(texts: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        hint = "Read the file again with the encoding it has."
        raise ParleyError("bad_id_text", f"Column {name!r} holds bytes that are no Unicode text.", hint) from None
    return texts


def _usable(parts: list[pa.ChunkedArray], names: tuple[str, ...]) -> pa.ChunkedArray:
    """(n,) the keys, null where a part is missing or empty; several parts joined as `length:part`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.scalar(None, pa.string())
    whole = [pc.if_else(pc.greater(pc.binary_length(p), 0), p, nothing) for p in parts]
    if len(whole) == 1:
        return whole[0]
    longest = max(pc.max(pc.binary_length(p)).as_py() or 0 for p in whole)
    if longest > MAX_ID_BYTES:
        raise ParleyError("id_too_long", f"One of {', '.join(names)} has more than {MAX_ID_BYTES} bytes.")
    pieces: list[pa.ChunkedArray] = []
    for part in whole:
        length = pc.cast(pc.binary_length(part), pa.string())
        pieces.append(pc.binary_join_element_wise(length, part, ":"))
    return pc.binary_join_element_wise(*pieces, "")


# ---------------------------------------------------------------- places of common ids


def repeats(places: Ints, n: int) -> bool:
    """Whether one of the places (k,), each from 0 to n - 1, occurs twice."""
    seen = np.zeros(n, dtype=np.bool_)
    seen[places] = True
    return int(np.count_nonzero(seen)) != places.size


# ---------------------------------------------------------------- blinded ids


def matches(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> Ints:
    """(n,) for each row of `ours` (n, bytes) its position in `theirs` (m, bytes), or -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    left, right = _packed(ours), _packed(theirs)
    found = pc.fill_null(pc.index_in(left, value_set=right), -1)
    return np.asarray(found.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)


def _packed(points: NDArray[np.uint8]) -> pa.Array:
    import pyarrow as pa

    whole = np.ascontiguousarray(points)
    kind = pa.binary(whole.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, whole.shape[0], [None, pa.py_buffer(whole)])
