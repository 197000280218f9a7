"""Figures of one column: how many values, where they lie, how they are spread; each from the values that are there.

Variance is that of a sample (n - 1); skewness and excess kurtosis are the moments' (biased). What a column is too
short, too constant or no number for is None. Source: the textbook definitions; scipy.stats and numpy compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from parley.components.features.values import column, is_number, numbers

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Figure = float | int | None
MOMENTS = ("mean", "sum", "variance", "std", "cv", "skew", "kurtosis")
COUNTS = ("count", "missing", "missing_rate", "distinct", "top_share")
ORDER = ("min", "max", "median")


def figures(table: pa.Table, name: str, wanted: Sequence[str], quantiles: Sequence[float] = ()) -> dict[str, Figure]:
    """The wanted of COUNTS, MOMENTS and ORDER, and `q<p>` for each quantile (linear between neighbours)."""
    found = column(table, name)
    values = numbers(table, name) if is_number(found.type) else np.empty(0)
    values = values[np.isfinite(values)]
    known = _counts(table, name) | _moments(values) | _order(values)
    out = {what: known[what] for what in wanted}
    for p in quantiles:
        out[f"q{p:g}"] = float(np.quantile(values, p)) if values.size else None
    return out


def _counts(table: pa.Table, name: str) -> dict[str, Figure]:
    found = pc.drop_null(column(table, name))
    if is_number(found.type):
        values = numbers(table, name)
        kinds = np.unique(values[~np.isnan(values)], return_counts=True)[1]
    else:
        kinds = np.asarray(pc.value_counts(found).field("counts").to_numpy(), dtype=np.int64)
    here = int(kinds.sum())
    rows = table.num_rows
    return {
        "count": here,
        "missing": rows - here,
        "missing_rate": (rows - here) / rows if rows else None,
        "distinct": int(kinds.size),
        "top_share": int(kinds.max()) / here if here else None,
    }


def _moments(values: Floats) -> dict[str, Figure]:
    n = values.size
    if not n:
        return dict.fromkeys(MOMENTS)
    mean = float(values.mean())
    off = values - mean
    second = float((off**2).mean())
    variance = second * n / (n - 1) if n > 1 else None
    std = None if variance is None else variance**0.5
    flat = second <= (1e-12 * max(abs(mean), 1e-300)) ** 2
    return {
        "mean": mean,
        "sum": float(values.sum()),
        "variance": variance,
        "std": std,
        "cv": None if std is None or mean == 0 else std / abs(mean),
        "skew": None if flat else float((off**3).mean()) / second**1.5,
        "kurtosis": None if flat else float((off**4).mean()) / second**2 - 3,
    }


def _order(values: Floats) -> dict[str, Figure]:
    if not values.size:
        return dict.fromkeys(ORDER)
    return {"min": float(values.min()), "max": float(values.max()), "median": float(np.median(values))}
