"""How far a column's values have moved between two sets of rows: the population stability index.

Over bins of the first set, with shares p there and q in the second: the sum of (q - p) ln(q / p). Missing is a bin of
its own; an empty bin counts as half a row. Under 0.1 is usually called stable, over 0.25 moved. Source: Siddiqi 2006.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from parley.components.errors import DataError
from parley.components.features.binning import fit_bins


def psi(before: npt.ArrayLike, after: npt.ArrayLike) -> float:
    """Of (B,) counts of the same bins in two sets of rows; bins that are empty in both add nothing.

    DataError "no_rows" when a set is empty.
    """
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if a.sum() == 0 or b.sum() == 0:
        raise DataError("no_rows", "stability compares two sets of rows, and one has none", "split the rows first")
    there = (a > 0) | (b > 0)
    p, q = np.maximum(a[there], 0.5) / a.sum(), np.maximum(b[there], 0.5) / b.sum()
    return float(((q - p) * np.log(q / p)).sum())


def shifts(before: pa.Table, after: pa.Table, columns: list[str], bins: int = 10) -> dict[str, float]:
    """The index of each column, over `bins` quantiles of `before`, or its categories."""
    if not columns:
        return {}
    binning = fit_bins(before, columns, bins)
    first, second = binning.transform(before), binning.transform(after)
    return {
        c.name: psi(np.bincount(first[:, k], minlength=n), np.bincount(second[:, k], minlength=n))
        for k, (c, n) in enumerate(zip(binning.columns, binning.n_bins, strict=True))
    }
