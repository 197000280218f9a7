"""Population stability index: how far a column's values have moved between two sets of rows.

    psi = sum over bins of (a - e) ln(a / e), with e and a the shares of the first and the second rows in a bin
Bins are quantiles of the first rows, and one for missing values. A bin that is empty on one side counts there as half
a row. Usual reading: below 0.1 stable, above 0.25 moved. Source: Siddiqi, *Credit Risk Scorecards*, 2006.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parley.components.features.binning import fit_bins
from parley.components.features.values import column

if TYPE_CHECKING:
    import pyarrow as pa


def index_of(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Of counts (b,) each; bins without a row on either side do not count; 0 where one side has no row."""
    used = first + second > 0
    if not first.sum() or not second.sum():
        return 0.0
    e, a = (np.maximum(c[used], 0.5) / c.sum() for c in (first, second))
    return float(((a - e) * np.log(a / e)).sum())


def stability(first: pa.Table, second: pa.Table, name: str, bins: int) -> float:
    """Of one column of both tables, with at most `bins` bins fitted on the first."""
    made = fit_bins(first, [name], bins).columns[0]
    counts = (np.bincount(made.codes(column(t, name)), minlength=made.value_bins + 1) for t in (first, second))
    return index_of(*counts)
