"""Bins by another rule than ranks: equal widths, or edges that somebody wrote down.

Both are bins of `parley.components.features.binning`: bin(x) is the number of edges below x, missing comes last, and
categories are ranked as ever. Nothing here is private: edges are the owner's data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from parley.components.errors import DataError, unknown_name
from parley.components.features.binning import Binning, ColumnBins, as_floats, fit_bins
from parley.components.features.spec import MAX_VALUE_BINS


def fit_width(table: pa.Table, columns: Sequence[str], bins: int) -> Binning:
    """`bins` intervals of one width from the least to the greatest finite value of each number; DataError as there."""
    return Binning(tuple(_wide(c, table, bins) for c in fit_bins(table, columns, bins).columns))


def with_edges(binning: Binning, edges: Mapping[str, Sequence[float]]) -> Binning:
    """`binning` with these edges for the columns they name.

    DataError "unknown_column", "no_number" for a column of categories, "bad_edges" unless finite and rising.
    """
    names = [c.name for c in binning.columns]
    for name, wanted in edges.items():
        if name not in names:
            raise unknown_name("column", name, names)
        _checked(name, binning.columns[names.index(name)], wanted)
    return Binning(
        tuple(replace(c, edges=tuple(map(float, edges[c.name]))) if c.name in edges else c for c in binning.columns)
    )


def _wide(column: ColumnBins, table: pa.Table, bins: int) -> ColumnBins:
    if column.kind != "numeric":
        return column
    values = as_floats(table.column(column.name))
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():
        return column
    low, high = float(finite.min()), float(finite.max())
    # Halves first: the width itself may be more than a float holds.
    inner = np.array([low * (1 - k / bins) + high * (k / bins) for k in range(1, bins)])
    inner = np.unique(inner[(inner >= low) & (inner < high)])
    return replace(column, edges=tuple(inner.tolist()))


def _checked(name: str, column: ColumnBins, edges: Sequence[float]) -> None:
    if column.kind != "numeric":
        raise DataError("no_number", f"column {name!r} has categories and no edges", "leave it out of `edges`")
    values = np.asarray(edges, dtype=np.float64)
    if not 1 <= values.size < MAX_VALUE_BINS or not np.isfinite(values).all() or np.any(np.diff(values) <= 0):
        raise DataError("bad_edges", f"the edges of {name!r} are not finite and rising", "write them in rising order")
