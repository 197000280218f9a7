"""From a party's table to what boosting needs of it: feature columns, labels as numbers, what is asked of a node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.components.features import Binning, fit_bins
from parley.protocols.frame import TRAIN, VALIDATE
from parley.protocols.gbdt.params import Params
from parley.protocols.gbdt.tiles import Tiles
from parley.protocols.inputs import ROW, need_columns, one_of
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Bins = NDArray[np.uint16] | Tiles
Counts = NDArray[np.uint32]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Parts = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PartData:
    """One party's features of the aligned rows: `bins` (n, F), how they were made, the rows' ids (n,), and
    which of `frame.PART_NAMES` each row is in (n,). Of ciphertexts, `at_once` bytes are handled in one go, or all where
    it is 0."""

    bins: Bins = field(repr=False)
    binning: Binning
    rows: Ints = field(repr=False)
    part: Parts = field(repr=False)
    at_once: int = 0

    @property
    def training(self) -> Mask:
        """(n,) the rows that are learnt from."""
        found: Mask = self.part == TRAIN
        return found

    @property
    def watched(self) -> Mask:
        """(n,) the rows whose loss is followed: those for validation, or without any the training rows."""
        held: Mask = self.part == VALIDATE
        return held if held.any() else self.training

    @property
    def n_bins(self) -> tuple[int, ...]:
        return self.binning.n_bins if self.binning.columns else ()


@dataclass(frozen=True)
class LabelData:
    """The label party's: its features, labels (n,) as numbers, NaN where missing, and where there are any the rows'
    weights, the logarithms of their exposure, and the numbers of their groups, (n,) each."""

    part: PartData
    y: Floats = field(repr=False)
    weights: Floats | None = field(default=None, repr=False)
    offset: Floats | None = field(default=None, repr=False)
    groups: Ints | None = field(default=None, repr=False)


def feature_columns(params: Params, me: str, columns: list[str], *, label: bool) -> list[str]:
    """This party's features in the dataset's order, or as `columns` names them; ParleyError "unknown_column"."""
    no_features = {ROW, one_of(params.id, me)}
    if label:
        no_features.update(params.own_columns)
    listed = params.exclude if isinstance(params.exclude, list) else params.exclude.get(me, [])
    if isinstance(params.exclude, dict):
        need_columns(listed, columns, me)
    if me in params.columns:
        need_columns(params.columns[me], columns, me)
        return [c for c in params.columns[me] if c not in no_features]
    return [c for c in columns if c not in no_features and c not in listed]


def part_data(table: pa.Table, rows: Ints, columns: list[str], max_bins: int, part: Parts) -> PartData:
    """Bins of the aligned `table`, with edges from its training rows; a party may have no column at all."""
    if not columns:
        return PartData(np.empty((rows.size, 0), dtype=np.uint16), Binning(()), rows, part)
    training = part == TRAIN
    seen = table if training.all() else table.filter(training)
    binning = fit_bins(seen, columns, max_bins)
    return PartData(np.ascontiguousarray(binning.transform(table)), binning, rows, part)


def binned_as(table: pa.Table, rows: Ints, binning: Binning, part: Parts) -> PartData:
    """Bins of the aligned `table` as an earlier training made them; DataError when it lacks their columns."""
    if not binning.columns:
        return PartData(np.empty((rows.size, 0), dtype=np.uint16), binning, rows, part)
    return PartData(np.ascontiguousarray(binning.transform(table)), binning, rows, part)


def directions(params: Params, me: str, binning: Binning) -> NDArray[np.int8]:
    """(F,) 1, -1 or 0 for each of a party's features; ParleyError "bad_parameters" for one that has no order."""
    wanted = params.monotone.get(me, {})
    need_columns(wanted, [c.name for c in binning.columns], me)
    if any(wanted.get(c.name) and c.kind == "categorical" for c in binning.columns):
        raise ParleyError("bad_parameters", "monotone names a column of categories.", "Name numeric columns.", party=me)
    return np.array([wanted.get(c.name, 0) for c in binning.columns], dtype=np.int8)


def positive_values(column: pa.ChunkedArray, what: str, *, zero: bool) -> Floats:
    """(n,) numbers of a column, none missing or below 0, or 0 where that may not be; DataError "bad_weights"."""
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise DataError("bad_weights", f"{what} is no number", "name a numeric column")
    values = _floats(column)
    if not np.isfinite(values).all() or values.min(initial=1.0) < 0 or (not zero and values.min(initial=1.0) == 0):
        raise DataError("bad_weights", f"{what} is missing or out of range for some rows", "remove these rows")
    return values


def group_codes(column: pa.ChunkedArray) -> Ints:
    """(n,) a number for each row's group; DataError "bad_groups" where some row has none."""
    import pyarrow as pa

    if column.null_count:
        raise DataError("bad_groups", "the group is missing for some rows", "remove these rows")
    codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return np.asarray(codes.combine_chunks().indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def label_values(column: pa.ChunkedArray, params: Params) -> Floats:
    """(n,) labels as numbers, NaN where missing; DataError "bad_labels" for values that have no number.

    Binary: `positive` is 1 and all else 0, or the column is 0/1 or truth values. Classes: numbers 0 .. K-1 as they are,
    anything else by its rank among the sorted distinct values, of which there must be K. Regression: numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if params.objective == "binary" and params.positive is not None:
        wanted = str(params.positive)
        texts = column.cast(pa.string())
        if wanted not in set(pc.unique(texts).to_pylist()):
            raise DataError("bad_labels", "no label has the value `positive` names", "look at the label's values")
        return _floats(pc.equal(texts, wanted))
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
    if params.objective == "multi":
        return _ranked(column, params.outputs, numeric)
    if not numeric and not pa.types.is_decimal(column.type):
        raise DataError("bad_labels", f"labels of type {column.type} are no numbers", "say which is 1: `positive`")
    return _floats(column)


def _ranked(column: pa.ChunkedArray, classes: int, numeric: bool) -> Floats:
    import pyarrow as pa
    import pyarrow.compute as pc

    if numeric:
        values = _floats(column)
        present = values[~np.isnan(values)]
        if present.size == 0 or (present.min() >= 0 and present.max() < classes and bool((present % 1 == 0).all())):
            return values
    distinct = pc.unique(column.drop_null())
    if len(distinct) != classes:
        raise DataError("bad_labels", f"the labels have {len(distinct)} values where classes is {classes}")
    ranked = distinct.take(pc.array_sort_indices(distinct))
    return _floats(pc.index_in(column, value_set=ranked, skip_nulls=True).cast(pa.float64()))


def _floats(column: Any) -> Floats:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy(), dtype=np.float64)


def asked(n_bins: tuple[int, ...], allowed: Mask, apart: bool) -> list[tuple[Counts, Ints]]:
    """(bins of each (f,), features (f,)) of every answer about a node: one, or one for each number of bins."""
    sizes = np.asarray(n_bins, dtype=np.uint32)
    found = [f for _, f in groups(n_bins, allowed)] if apart else [np.flatnonzero(allowed)]
    return [(sizes[f], f) for f in found]


def spread(sums: Ints, counts: Counts) -> Ints:
    """Sums (counts.sum(), C) of one feature after the other as (f, max(counts), C), zero where there is no bin."""
    out = np.zeros((counts.size, int(counts.max()), sums.shape[1]), dtype=np.int64)
    out[np.arange(out.shape[1]) < counts[:, None]] = sums
    return out


def groups(n_bins: tuple[int, ...], allowed: Mask) -> list[tuple[int, Ints]]:
    """Allowed features by number of bins: (bins, features (f,)), fewest first; one histogram answer each."""
    sizes = np.asarray(n_bins, dtype=np.int64)
    return [(int(b), np.flatnonzero(allowed & (sizes == b))) for b in np.unique(sizes[allowed])]
