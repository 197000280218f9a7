"""Weight of evidence and information value of bins; equal-width and given edges; and bins as numbers of a column.

With e and o the events and other rows of a bin, E and O those of all bins,
    woe = ln((e / E) / (o / O)), above 0 where events are more frequent than over all
    iv  = sum over bins of (e / E - o / O) woe
where a bin without events, or without others, counts as having `adjustment` of them (in these formulas alone).
Source: Siddiqi, *Credit Risk Scorecards*, 2006.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.components.features.binning import Binning, ColumnBins, fit_bins
from parley.components.features.pipeline import Transform, bad_transform
from parley.components.features.values import column, is_number, numbers, replaced

Floats = NDArray[np.float64]
MAX_EDGES = 1000


def weight_of_evidence(events: Floats, others: Floats, adjustment: float = 0.5) -> Floats:
    """(b,) of counts (b,); 0 for a bin without rows, and everywhere where there are no events or no others at all."""
    e, o = _shares(events, others, adjustment)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(e / o)
    return np.where((events + others > 0) & np.isfinite(found), found, 0.0)


def information_value(events: Floats, others: Floats, adjustment: float = 0.5) -> float:
    """At least 0; bins without rows add nothing."""
    e, o = _shares(events, others, adjustment)
    return float(((e - o) * weight_of_evidence(events, others, adjustment)).sum())


def _shares(events: Floats, others: Floats, adjustment: float) -> tuple[Floats, Floats]:
    """Shares of events and others (b,), adjusted where a bin has rows but none of a kind; empty bins have 0."""
    rows = events + others > 0
    sums = float(events.sum()), float(others.sum())
    if min(sums) <= 0:
        return np.zeros(len(events)), np.zeros(len(events))
    e, o = (np.where(rows & (c <= 0), adjustment, c) for c in (events, others))
    return e / sums[0], o / sums[1]


def width_bins(table: pa.Table, names: Sequence[str], bins: int) -> Binning:
    """Numbers in at most `bins` bins of equal width between their least and greatest finite value; text as ever."""
    return Binning(tuple(_width(table, name, bins) for name in names))


def _width(table: pa.Table, name: str, bins: int) -> ColumnBins:
    if not is_number(column(table, name).type) or pa.types.is_boolean(column(table, name).type):
        return fit_bins(table, [name], bins).columns[0]
    values = numbers(table, name)
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():
        return fit_bins(table, [name], bins).columns[0]
    low, high = float(finite.min()), float(finite.max())
    edges = np.unique(low + (high - low) * np.arange(1, bins) / bins)
    return ColumnBins(name, "numeric", edges=tuple(edges[(edges >= low) & (edges < high)].tolist()))


def given_bins(table: pa.Table, names: Sequence[str], edges: Mapping[str, Sequence[float]], bins: int) -> Binning:
    """Columns of numbers at the given edges (value <= edge is below it); the others by quantiles.

    DataError "bad_parameter" for edges that are not finite and rising, or of a column that is no number.
    """
    made = []
    for name in names:
        if name not in edges:
            made.append(fit_bins(table, [name], bins).columns[0])
            continue
        wanted = np.asarray(edges[name], dtype=np.float64)
        if not 1 <= wanted.size <= MAX_EDGES or not np.isfinite(wanted).all() or np.any(np.diff(wanted) <= 0):
            raise DataError("bad_parameter", f"the edges of {name!r} are not finite and rising")
        numbers(table, name)
        made.append(ColumnBins(name, "numeric", edges=tuple(wanted.tolist())))
    return Binning(tuple(made))


@dataclass(frozen=True)
class BinValues(Transform):
    """Each binned column as the number that stands for a value's bin: a weight of evidence, or a joined bin.

    `values[f]` has one finite number for each bin of column f, missing last.
    """

    kind: ClassVar[str] = "bin_values"
    binning: Binning
    values: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if tuple(map(len, self.values)) != self.binning.n_bins:
            raise bad_transform(self.kind)

    def apply(self, table: pa.Table) -> pa.Table:
        for one, values in zip(self.binning.columns, self.values, strict=True):
            table = replaced(table, one.name, np.asarray(values)[one.codes(column(table, one.name))])
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"binning": self.binning.to_dict(), "values": [list(v) for v in self.values]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        values = record.get("values")
        if set(record) != {"binning", "values"} or not isinstance(values, list):
            raise bad_transform(cls.kind)
        if not all(isinstance(v, list) and all(type(x) in (int, float) and np.isfinite(x) for x in v) for v in values):
            raise bad_transform(cls.kind)
        return cls(Binning.from_dict(record["binning"]), tuple(tuple(map(float, v)) for v in values))


def labels_of(bins: ColumnBins, groups: NDArray[np.int64]) -> list[str]:
    """What each group of a column's bins holds, in words for its owner; `groups` (bins,), missing last."""
    if bins.kind == "numeric":
        ends = [f"{e:.6g}" for e in bins.edges]
        parts = [f"({a}, {b}]" for a, b in zip(["-inf", *ends], [*ends, "inf"], strict=True)]
    else:
        parts = [json.dumps(c, ensure_ascii=False) for c in bins.categories] + ["other"] * bins.other or ["none"]
    parts.append("missing")
    out: list[str] = []
    for g in np.unique(groups):
        mine = [parts[k] for k in np.flatnonzero(groups == g)]
        whole = bins.kind == "numeric" and mine[-1] != "missing"
        out.append(f"{mine[0].split(', ')[0]}, {mine[-1].split(', ')[1]}" if whole else " or ".join(mine))
    return out
