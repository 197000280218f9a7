"""What the parties of weight of evidence compute alone: bins and their rows, labels as numbers, joined bins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.components.features.binning import Binning, fit_bins
from parley.components.features.merging import Method, grouped, join_small, merged
from parley.components.features.values import column, is_number, numbers, texts
from parley.components.features.woe import given_bins, information_value, weight_of_evidence, width_bins
from parley.protocols.inputs import ROW, need_columns, one_of
from parley.protocols.stats.woe_messages import WEIGHT_UNITS, Params

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Binned:
    """A party's features over n rows: `codes` (n, F) of joined bins, `groups[f]` the joined bin of each fine one,
    `rows` how many rows each joined bin has, feature after feature. The last joined bin is for missing values."""

    binning: Binning
    groups: tuple[Ints, ...] = field(repr=False)
    n_bins: NDArray[np.uint32]
    codes: NDArray[np.uint16] = field(repr=False)
    rows: Ints = field(repr=False)

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.binning.columns]

    @property
    def categorical(self) -> NDArray[np.uint8]:
        return np.array([c.kind == "categorical" for c in self.binning.columns], dtype=np.uint8)


def feature_columns(params: Params, me: str, columns: Iterable[str], *, label: bool) -> list[str]:
    """This party's features in order; ParleyError "unknown_column"."""
    known = list(columns)
    without = {ROW, one_of(params.id, me)} | ({params.label, params.weight} if label else set())
    if me in params.columns:
        need_columns(params.columns[me], known, me)
        return [c for c in dict.fromkeys(params.columns[me]) if c not in without]
    left_out = params.exclude if isinstance(params.exclude, list) else params.exclude.get(me, [])
    return [c for c in known if c not in without and c not in left_out]


def binned(params: Params, me: str, table: pa.Table, names: list[str]) -> Binned:
    """Bins of the training rows in `table`, small ones joined; DataError "too_few_rows" where no bin could be full."""
    if table.num_rows < params.min_bin_rows:
        raise DataError("too_few_rows", "there are fewer rows than a bin must have", "lower min_bin_rows, or add rows")
    binning = _fitted(params, me, table, names)
    codes = np.empty((table.num_rows, len(names)), dtype=np.uint16, order="F")
    groups, sizes, rows = [], [], [np.empty(0, dtype=np.int64)]
    for f, bins in enumerate(binning.columns):
        fine = bins.codes(column(table, bins.name))
        counts = np.bincount(fine, minlength=bins.value_bins + 1)
        joined, size = _full(counts, params.min_bin_rows)
        codes[:, f] = joined.astype(np.uint16)[fine]
        groups.append(joined)
        sizes.append(size)
        rows.append(np.bincount(codes[:, f], minlength=size))
    return Binned(binning, tuple(groups), np.array(sizes, dtype=np.uint32), codes, np.concatenate(rows))


def _fitted(params: Params, me: str, table: pa.Table, names: list[str]) -> Binning:
    if not names:
        return Binning(())
    if params.method == "width":
        return width_bins(table, names, params.bins)
    if params.method == "edges":
        wanted = params.edges.get(me, {})
        need_columns(wanted, names, me)
        return given_bins(table, names, wanted, params.bins)
    return fit_bins(table, names, params.pre_bins if params.joins else params.bins)


def _full(counts: Ints, least: int) -> tuple[Ints, int]:
    """(joined bins, how many), each empty or of at least `least` rows; the last one is for missing values."""
    values, missing = join_small(counts[:-1].astype(np.float64), least), int(counts[-1])
    size = int(values[-1]) + 2
    if 0 < counts[:-1].sum() < least:
        return np.ones(counts.size, dtype=np.int64), 2
    # A few missing values share the last bin of the others, and their own one stays empty.
    return np.append(values, size - 2 if 0 < missing < least else size - 1), size


def label_numbers(table: pa.Table, params: Params) -> tuple[Ints, float]:
    """(n, channels) of the label party's rows and the unit of a weight.

    A row has 1 for an event, or for its class; with weights three: 1 for an event, its weight, the weight in any case.
    DataError "bad_labels" where a label is missing or is none of the classes, "bad_weights" likewise.
    """
    classes = _classes(table, params)
    if params.classes > 2:
        return (classes[:, None] == np.arange(params.classes)).astype(np.int64), 1.0
    flags = (classes == 1)[:, None].astype(np.int64)
    if params.weight is None:
        return flags, 1.0
    weights = numbers(table, params.weight)
    if not np.isfinite(weights).all() or weights.min(initial=1.0) < 0 or weights.max(initial=0.0) <= 0:
        raise DataError("bad_weights", "a weight is missing or below 0, or all are 0", "remove these rows")
    unit = float(weights.max()) / WEIGHT_UNITS
    units = np.rint(weights / unit).astype(np.int64)[:, None]
    return np.hstack([flags, flags * units, units]), unit


def _classes(table: pa.Table, params: Params) -> Ints:
    import pyarrow.compute as pc

    found = column(table, params.label)
    if found.null_count or (is_number(found.type) and np.isnan(numbers(table, params.label)).any()):
        raise DataError("bad_labels", "a label is missing", "remove these rows, or fill them in first")
    if params.positive is not None:
        events = np.asarray(pc.equal(texts(table, params.label), str(params.positive)).to_numpy(), dtype=np.int64)
        if not events.any():
            raise DataError("bad_labels", "no label has the value `positive` names", "look at the label's values")
        return events
    if is_number(found.type):
        values = numbers(table, params.label)
        if values.size and values.min() >= 0 and values.max() < params.classes and not np.any(values % 1):
            return values.astype(np.int64)
    distinct = pc.unique(texts(table, params.label)).to_pylist()
    if params.classes == 2 or len(distinct) != params.classes:
        raise DataError("bad_labels", "the labels are not the classes that were named", "say which is 1: `positive`")
    ranks = {value: k for k, value in enumerate(sorted(distinct))}
    return np.array([ranks[v] for v in texts(table, params.label).to_pylist()], dtype=np.int64)


@dataclass(frozen=True)
class Judged:
    """One feature as the label party sees it: the joined bin and weight of evidence of each bin it was told of, and of
    each joined bin rows, events and weight; `iv` over them. `events` are (g, classes) with more than two classes."""

    groups: Ints
    woe: Floats
    rows: Floats
    events: Floats
    weights: Floats
    iv: float

    def table(self) -> list[dict[str, Any]]:
        """The joined bins with rows; events are by class with more than two."""
        return [
            {
                "label": "missing" if g == len(self.rows) - 1 else str(g),
                "rows": int(self.rows[g]),
                "events": self.events[g, 0].item() if self.events.shape[1] == 1 else self.events[g].tolist(),
                "woe": float(self.weights[g]) if self.events.shape[1] == 1 else None,
            }
            for g in range(len(self.rows))
            if self.rows[g]
        ]


def judge(params: Params, rows: Ints, sums: Ints, categorical: bool, unit: float) -> Judged:
    """Of one feature: `rows` (b,) of its bins, missing last, and the channels' sums (b, c), weights in `unit`s."""
    plain = sums[:, :1] if params.weight is not None else sums
    events = (sums[:, 1:2] * unit if params.weight is not None else sums).astype(np.float64)
    whole = sums[:, 2] * unit if params.weight is not None else rows.astype(np.float64)
    kinds = np.stack([plain[:, 0], rows - plain[:, 0]], axis=1).astype(np.float64)
    groups = _joined(params, events[:, 0], whole - events[:, 0], kinds, categorical)
    e, w, r = (grouped(a, groups, int(groups[:-1].max()) + 2) for a in (events, whole, rows))
    woe = weight_of_evidence(e[:, 0], w - e[:, 0], params.adjustment)
    ivs = np.array([information_value(e[:, k], w - e[:, k], params.adjustment) for k in range(e.shape[1])])
    shares = e.sum(axis=0) / max(float(w.sum()), 1e-300) if params.classes > 2 else np.ones(1)
    return Judged(groups, woe[groups], r, e, woe, float((ivs * shares).sum()))


def _joined(params: Params, events: Floats, others: Floats, kinds: Floats, categorical: bool) -> Ints:
    """The joined bin of each bin; that of missing values is the last, or joined with another.

    `kinds` (b, 2) are numbers of rows with events and without, whatever their weights.
    """
    size = events.size - 1
    order = np.arange(size)
    if categorical and params.joins:  # categories have no order but that of their shares of events
        order = np.lexsort((order, events[:-1] / np.maximum(events[:-1] + others[:-1], 1e-300)))
    groups = np.arange(size)
    if params.joins:
        method: Method = params.method  # type: ignore[assignment]  # one of them, since it joins
        least = params.min_share * float((events + others).sum())
        groups = merged(method, events[order], others[order], params.bins, least, monotone=params.monotone)
    least_kinds = params.min_class_rows if params.transform != "none" and params.classes == 2 else 0
    groups = join_small(grouped(kinds[order], groups), least_kinds)[groups]
    out = np.empty(size + 1, dtype=np.int64)
    out[:-1][order] = groups
    out[-1] = int(groups.max()) + 1
    table = grouped(kinds, out)
    if table[-1].sum() and (np.any(table[-1] < least_kinds) or np.any(table[-2] < least_kinds)):
        out[-1] -= 1
    return out
