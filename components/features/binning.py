"""Columns into small integers: quantile bins for numbers, codes for categories, one bin for missing.

Numbers (integers, floats, decimals, dates, timestamps; all compared as float64). The edges e_0 < e_1 < ...
are found on the finite values, and bin(x) = number of edges below x; so x <= e_0 is bin 0, -Inf falls into
the first bin and +Inf into the last. With v distinct finite values among n, and max_bins = m:
    v <= m: each value has its own bin; an edge is the midpoint of two neighbours
    v > m:  e_k is the value of rank ceil(k n / m), k = 1 .. m - 1, in rising order; repeated edges, and one
            equal to the greatest value, are dropped: equal values cost bins but are never split

Categories (text, dictionaries, bool as the texts true and false) are ranked by count, then by name in byte
order. With v <= m each has its own bin, in that order. With v > m the first m - 1 have, and bin m - 1 is
*other*. A category that was not there when the bins were fitted goes to *other* where it exists, else to
missing.

Null and NaN are missing: the last bin of every column. A column with a single value, and one with none, has
one value bin; `Binning.notes()` tells. Nothing here is private: edges and names are the owner's data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.errors import DataError, unknown_name
from parley.components.features.spec import MAX_VALUE_BINS, BinSpec

Kind = Literal["numeric", "categorical"]
Note = Literal["", "constant", "all_missing"]
_VERSION = 1
_NOTES: tuple[Note, ...] = ("", "constant", "all_missing")


@dataclass(frozen=True)
class ColumnBins:
    """One column's bins: `edges` of a numeric, `categories` (and `other`) of a categorical one."""

    name: str
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    other: bool = False
    note: Note = ""

    @property
    def value_bins(self) -> int:
        """Bins without the missing one, at least 1."""
        if self.kind == "numeric":
            return len(self.edges) + 1
        return max(1, len(self.categories) + int(self.other))

    def codes(self, column: pa.ChunkedArray) -> npt.NDArray[np.uint16]:
        """(n,) bins of `column`; DataError `type_mismatch` when it is not of the kind that was fitted."""
        if kind_of(self.name, column.type) != self.kind and column.null_count < len(column):
            raise DataError(
                "type_mismatch",
                f"column {self.name!r} was {self.kind} when its bins were made and is {column.type} now",
                "give the column the same type as in training",
            )
        missing = self.value_bins
        if column.null_count == len(column):
            return np.full(len(column), missing, dtype=np.uint16)
        if self.kind == "numeric":
            values = _floats(column)
            found = np.searchsorted(np.asarray(self.edges), values, side="left").astype(np.uint16)
            found[np.isnan(values)] = missing
            return found
        texts = _texts(column)
        unseen = len(self.categories) if self.other else missing
        known = pa.array(self.categories, pa.string())
        codes = pc.fill_null(pc.index_in(texts, known, skip_nulls=True), unseen)
        codes = pc.if_else(pc.is_null(texts), missing, codes)
        return np.asarray(codes.to_numpy(), dtype=np.uint16)


@dataclass(frozen=True)
class Binning:
    """The bins of F columns, in order."""

    columns: tuple[ColumnBins, ...]

    @property
    def n_bins(self) -> tuple[int, ...]:
        """Bins of each column, the missing one included."""
        return tuple(c.value_bins + 1 for c in self.columns)

    @property
    def spec(self) -> BinSpec:
        """What a tree learner needs to know."""
        return BinSpec(self.n_bins, tuple(c.kind == "categorical" for c in self.columns))

    def notes(self) -> dict[str, str]:
        """Columns that cannot separate rows by value: `constant` or `all_missing`."""
        return {c.name: c.note for c in self.columns if c.note}

    def transform(self, table: pa.Table) -> npt.NDArray[np.uint16]:
        """(n, F) bins of `table`'s rows; DataError `unknown_column`, `type_mismatch`."""
        bins = np.empty((table.num_rows, len(self.columns)), dtype=np.uint16, order="F")
        for position, column in enumerate(self.columns):
            bins[:, position] = column.codes(_column(table, column.name))
        return bins

    def to_dict(self) -> dict[str, object]:
        """A JSON-able form that `from_dict` reads back exactly."""
        return {
            "version": _VERSION,
            "columns": [
                {
                    "name": c.name,
                    "kind": c.kind,
                    "edges": list(c.edges),
                    "categories": list(c.categories),
                    "other": c.other,
                    "note": c.note,
                }
                for c in self.columns
            ],
        }

    @classmethod
    def from_dict(cls, value: object) -> Binning:
        """The binning that `to_dict` wrote; DataError `bad_binning` for anything else."""
        fields = _fields(value, {"version": int, "columns": list})
        if fields["version"] != _VERSION:
            raise DataError("bad_binning", "the binning has an unknown version")
        columns = tuple(_column_bins(c) for c in fields["columns"])  # type: ignore[attr-defined]  # checked above
        names = [c.name for c in columns]
        if len(set(names)) != len(names):
            raise DataError("bad_binning", "a column appears twice in the binning")
        return cls(columns)


def fit_bins(table: pa.Table, columns: Sequence[str], max_bins: int) -> Binning:
    """Bins for `columns` of `table` by the rules above: at most `max_bins` (2 to 65,535) each, and missing.

    Deterministic: the same rows in any order and chunking give the same bins. Raises DataError
    `unknown_column`, `unsupported_type`, `no_features`, `bad_parameter`.
    """
    if not 2 <= max_bins <= MAX_VALUE_BINS:
        raise DataError("bad_parameter", f"max_bins is {max_bins}", f"choose 2 to {MAX_VALUE_BINS}")
    if not columns:
        raise DataError("no_features", "there is no feature to bin", "name at least one column")
    if len(set(columns)) != len(columns):
        raise DataError("bad_parameter", "a feature column is named twice")
    return Binning(tuple(_fit(name, _column(table, name), max_bins) for name in columns))


def kind_of(name: str, dtype: pa.DataType) -> Kind:
    """How a column of `dtype` is binned; DataError `unsupported_type` when it cannot be."""
    t = pa.types
    if t.is_dictionary(dtype):
        dtype = dtype.value_type
    if t.is_boolean(dtype) or t.is_string(dtype) or t.is_large_string(dtype) or t.is_null(dtype):
        return "categorical"
    if any(ok(dtype) for ok in (t.is_integer, t.is_floating, t.is_decimal, t.is_date, t.is_timestamp)):
        return "numeric"
    raise DataError(
        "unsupported_type",
        f"column {name!r} of type {dtype} cannot be a feature",
        "leave it out or convert it",
    )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise unknown_name("column", name, table.column_names)
    return table.column(name)


def _fit(name: str, column: pa.ChunkedArray, max_bins: int) -> ColumnBins:
    if kind_of(name, column.type) == "numeric":
        return _fit_numeric(name, _floats(column), max_bins)
    return _fit_categorical(name, _texts(column), max_bins)


def _fit_numeric(name: str, values: npt.NDArray[np.float64], max_bins: int) -> ColumnBins:
    present = values[~np.isnan(values)]
    finite = np.sort(present[np.isfinite(present)])
    note: Note = ""
    if present.size == 0:
        note = "all_missing"
    elif present[0] == present[-1] and bool((present == present[0]).all()):
        note = "constant"
    if finite.size == 0:
        return ColumnBins(name, "numeric", note=note)
    distinct = finite[np.concatenate([[True], finite[1:] != finite[:-1]])]
    if distinct.size <= max_bins:
        low, high = distinct[:-1], distinct[1:]
        edges = low / 2 + high / 2
        # Between neighbours without a float between them, the lower one itself is the edge.
        edges = np.where((edges >= low) & (edges < high), edges, low)
    else:
        ranks = -(-np.arange(1, max_bins, dtype=np.int64) * finite.size // max_bins)
        edges = np.unique(finite[ranks - 1])
        edges = edges[edges < finite[-1]]
    return ColumnBins(name, "numeric", edges=tuple(edges.tolist()), note=note)


def _fit_categorical(name: str, texts: pa.ChunkedArray, max_bins: int) -> ColumnBins:
    counted = pc.value_counts(pc.drop_null(texts))
    table = pa.table({"name": counted.field("values"), "count": counted.field("counts")})
    ranked = table.sort_by([("count", "descending"), ("name", "ascending")]).column("name")
    note: Note = ("all_missing", "constant")[len(ranked)] if len(ranked) < 2 else ""
    other = len(ranked) > max_bins
    kept = ranked.slice(0, max_bins - 1) if other else ranked
    return ColumnBins(name, "categorical", categories=tuple(kept.to_pylist()), other=other, note=note)


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """(n,) float64 with NaN for null."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(column.type):
        column = column.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    column = column.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(column, float("nan")).to_numpy(), dtype=np.float64)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


def _fields(value: object, shape: Mapping[str, type]) -> dict[str, object]:
    """`value` as a dict with exactly the keys and value types of `shape`."""
    if not isinstance(value, dict) or set(value) != set(shape):
        raise DataError("bad_binning", f"a binning record has exactly the keys {sorted(shape)}")
    for key, kind in shape.items():
        if type(value[key]) is not kind:
            raise DataError("bad_binning", f"{key} of a binning record must be {kind.__name__}")
    return value


def _column_bins(value: object) -> ColumnBins:
    shape = {"name": str, "kind": str, "edges": list, "categories": list, "other": bool, "note": str}
    record = _fields(value, shape)
    edges, categories = record["edges"], record["categories"]
    assert isinstance(edges, list)
    assert isinstance(categories, list)
    kind, note = record["kind"], record["note"]
    if kind not in ("numeric", "categorical") or note not in _NOTES:
        raise DataError("bad_binning", "a column of the binning has an unknown kind or note")
    if not all(type(e) is float and np.isfinite(e) for e in edges) or np.any(np.diff(edges) <= 0):
        raise DataError("bad_binning", "the edges of a column are not finite and rising")
    if not all(type(c) is str for c in categories) or len(set(categories)) != len(categories):
        raise DataError("bad_binning", "the categories of a column are not distinct texts")
    if (categories or record["other"]) if kind == "numeric" else edges:
        raise DataError("bad_binning", "a column of the binning mixes edges and categories")
    bins = ColumnBins(
        name=str(record["name"]),
        kind="numeric" if kind == "numeric" else "categorical",
        edges=tuple(edges),
        categories=tuple(categories),
        other=bool(record["other"]),
        note=note,  # one of _NOTES, checked above
    )
    if bins.value_bins > MAX_VALUE_BINS:
        raise DataError("bad_binning", "a column of the binning has too many bins")
    return bins
