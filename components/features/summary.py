"""What a column's values are like, in numbers about all of them: moments, quantiles, counts.

Missing values and infinities are left out of everything but the counts. Standard deviation, skewness and kurtosis are
those of the rows themselves (divided by n, excess over the normal's 3), quantiles interpolate linearly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from parley.components.features.selection import facts
from parley.components.features.values import column, is_number, numbers

MOMENTS = ("mean", "std", "skew", "kurtosis", "variation")
Number = float | int | None


def summary(
    table: pa.Table, name: str, wanted: tuple[str, ...], quantiles: tuple[float, ...], least: int
) -> dict[str, Number]:
    """The wanted numbers of one column: `count` (present), `missing`, `distinct`, `MOMENTS`, `min`, `max`, and
    `quantiles` under their own names. None where a column has no such number, or fewer than `least` values.

    DataError "unknown_column".
    """
    found = facts(table, name)
    whole, here = table.num_rows, round(table.num_rows * (1 - found.missing))
    out: dict[str, Number] = {"count": here, "missing": whole - here, "distinct": found.unique}
    values = np.empty(0)
    if is_number(column(table, name).type):
        values = numbers(table, name)
        values = values[np.isfinite(values)]
    enough = values.size >= max(1, least)
    if here < least:
        out["distinct"] = None
    out |= _moments(values) if enough else dict.fromkeys(MOMENTS)
    out |= {"min": float(values.min()), "max": float(values.max())} if enough else {"min": None, "max": None}
    asked: dict[str, Number] = {k: out[k] for k in wanted}
    for q in quantiles:
        asked[f"q{100 * q:g}"] = float(np.quantile(values, q)) if enough else None
    return asked


def _moments(values: npt.NDArray[np.float64]) -> dict[str, Number]:
    mean = float(values.mean())
    centred = values - mean
    std = float(np.sqrt((centred**2).mean()))
    if std == 0:
        return {"mean": mean, "std": 0.0, "skew": None, "kurtosis": None, "variation": 0.0 if mean else None}
    z = centred / std
    return {
        "mean": mean,
        "std": std,
        "skew": float((z**3).mean()),
        "kurtosis": float((z**4).mean()) - 3.0,
        "variation": std / abs(mean) if mean else None,
    }
