"""A party's columns in bins that may be counted: small ones joined before anything leaves, merged ones named after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parley.components.features.binning import Binning, ColumnBins, fit_bins
from parley.components.features.binning_edges import fit_width, with_edges
from parley.components.features.binning_merge import by_group, by_rate, chi_square, join_small, numbered, optimal
from parley.protocols.stats.params import Params

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Binned:
    """F columns: `binning` their bins, `joined[f]` (bins,) the countable bin of each of them, `bins` (n, F) the
    countable bin of every row, `rows[f]` (countable bins,) how many rows each has. The last bin is for missing values,
    and has no rows where there were none, or so few that they were joined to the smallest other."""

    binning: Binning
    joined: tuple[Ints, ...]
    bins: NDArray[np.uint16] = field(repr=False)
    rows: tuple[Ints, ...]

    @property
    def counts(self) -> NDArray[np.uint32]:
        """(F,) countable bins of each column."""
        return np.array([r.size for r in self.rows], dtype=np.uint32)

    @property
    def ordered(self) -> NDArray[np.uint8]:
        """(F,) 1 for numbers, 0 for categories."""
        return np.array([c.kind == "numeric" for c in self.binning.columns], dtype=np.uint8)


def binned(table: pa.Table, columns: Sequence[str], params: Params, me: str) -> Binned:
    """`table` holds the rows that are learnt from; a label party may have no column. DataError as binning raises it."""
    if not columns:
        return Binned(Binning(()), (), np.empty((table.num_rows, 0), dtype=np.uint16), ())
    fitted = (
        fit_width(table, columns, params.fine) if params.method == "width" else fit_bins(table, columns, params.fine)
    )
    if params.method == "edges":
        fitted = with_edges(fitted, params.edges.get(me, {}))
    bins = np.empty((table.num_rows, len(columns)), dtype=np.uint16)
    joined, rows = [], []
    for k, one in enumerate(fitted.columns):
        codes = one.codes(table.column(one.name))
        fine = np.bincount(codes, minlength=one.value_bins + 1)
        to, counted = join(fine, one.kind == "numeric", params.min_bin_rows)
        bins[:, k] = to.astype(np.uint16)[codes]
        joined.append(to)
        rows.append(counted)
    return Binned(fitted, tuple(joined), bins, tuple(rows))


def join(rows: NDArray[np.int64], ordered: bool, least: int) -> tuple[Ints, Ints]:
    """(B,) the countable bin of each bin, and (C,) the rows of those; the last of both is for missing values.

    None has 1 to least - 1 rows, unless there are fewer rows in all.
    """
    to = join_small(rows[:-1], ordered, least)
    counts = by_group(rows[:-1], to)
    missing, absent = counts.size, int(rows[-1])
    if counts.size == 1 and 0 < counts[0] < least:  # too few values for a bin: they count among the missing
        return np.full(rows.size, 1, dtype=np.int64), np.array([0, counts[0] + absent])
    here = missing
    if 0 < absent < least and counts.sum():
        here = int(np.argmin(counts))
        counts[here] += absent
        absent = 0
    return np.append(to, here), np.append(counts, absent)


def merged(params: Params, rows: Ints, events: Ints, ordered: bool) -> Ints:
    """(B,) the merged bin of each countable bin of one feature, numbered by first appearance, missing apart."""
    values, hits = rows[:-1], events[:-1]
    if not params.merges:
        return np.arange(rows.size, dtype=np.int64)
    order = np.arange(values.size) if ordered else by_rate(values, hits)
    if params.method == "chi_square":
        groups = chi_square(values[order], hits[order], params.bins, params.confidence)
    else:
        groups = optimal(
            values[order],
            hits[order],
            params.bins,
            monotone=params.monotone,
            totals=(int(rows.sum()), int(events.sum())),
            adjustment=params.adjustment,
        )
    back = np.empty(values.size, dtype=np.int64)
    back[order] = groups
    back = numbered(back)
    return np.append(back, back.max() + 1)


def labels_of(column: ColumnBins, groups: Ints) -> list[str]:
    """In words, what lies in each group of a column's bins; `groups` (bins,) with missing last."""
    out = []
    for k in range(int(groups.max()) + 1):
        there = np.flatnonzero(groups == k)
        values = there[there < column.value_bins].tolist()
        words = _of_numbers(column, values) if column.kind == "numeric" else _of_categories(column, values)
        missing = column.value_bins in there
        out.append(" or ".join([*([words] if values else []), *(["missing"] if missing else [])]))
    return out


def _of_numbers(column: ColumnBins, values: list[int]) -> str:
    if not values:
        return ""
    low = column.edges[values[0] - 1] if values[0] else None
    high = column.edges[values[-1]] if values[-1] < len(column.edges) else None
    if low is None:
        return "any" if high is None else f"<= {high:.6g}"
    return f"> {low:.6g}" if high is None else f"({low:.6g}, {high:.6g}]"


def _of_categories(column: ColumnBins, values: list[int]) -> str:
    names = [column.categories[v] if v < len(column.categories) else "other" for v in values]
    words = ", ".join(names)
    return words if len(words) <= 80 else f"{words[:77]}..."
