"""Measures of predicted numbers: errors in the label's unit, shares of explained spread, deviances of count models.

A deviance is twice the log likelihood lost against a perfect prediction, mean over rows, of the Tweedie family
(Jorgensen, *The Theory of Dispersion Models*, 1997): power 1 is Poisson, 2 Gamma, between them Tweedie. `d2_...` is the
share of the deviance of the mean prediction that the model explains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training.curves import Floats, Weights, checked, weighed

BANDS = 10
TWEEDIE = 1.5


def rmse(y: npt.ArrayLike, prediction: npt.ArrayLike, w: npt.ArrayLike | None = None) -> float:
    """Root mean squared error, in the label's unit."""
    labels, values = checked(y, prediction)
    return float(np.sqrt(np.average((labels - values) ** 2, weights=weighed(w, labels.size))))


def deviance(y: npt.ArrayLike, mu: npt.ArrayLike, power: float, w: npt.ArrayLike | None = None) -> float:
    """Mean unit deviance of the Tweedie family, 1 <= power <= 2.

    DataError `bad_labels` for labels below 0 (at power 2: not above 0), `bad_scores` for predictions not above 0.
    """
    labels, means = checked(y, mu)
    if not 1 <= power <= 2:
        raise DataError("bad_parameter", "a deviance has a power of 1 to 2")
    if labels.min() < 0 or (power == 2 and labels.min() <= 0):
        raise DataError("bad_labels", "labels lie outside what this deviance allows")
    if means.min() <= 0:
        raise DataError("bad_scores", "predictions must be above 0 for this deviance")
    if power == 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            logged = np.where(labels > 0, labels * np.log(labels / means), 0.0)
        unit = 2 * (logged - labels + means)
    elif power == 2:
        unit = 2 * (np.log(means / labels) + labels / means - 1)
    else:
        a, b = 1 - power, 2 - power
        unit = 2 * (labels**b / (a * b) - labels * means**a / a + means**b / b)
    return float(np.average(unit, weights=weighed(w, labels.size)))


def median_error(y: Floats, prediction: Floats, min_cell: int) -> float:
    """The median absolute error; with `min_cell` > 1 the mean of so many errors in the middle, since the median itself
    would be the error of one row."""
    errors = np.sort(np.abs(y - prediction))
    middle = 1 + (errors.size + 1) % 2
    taken = max(middle, min(min_cell, errors.size))
    taken += (errors.size - taken) % 2
    first = (errors.size - taken) // 2
    return float(errors[first : first + taken].mean())


def bands(y: Floats, prediction: Floats, w: Weights, min_cell: int, count: int = BANDS) -> list[dict[str, float]]:
    """Mean prediction and mean label by up to `count` bands of about equal rows, lowest prediction first.

    Equal predictions are never parted, and a band holds at least `min_cell` rows.
    """
    order = np.argsort(prediction, kind="stable")
    values = prediction[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) + 1
    wanted = np.arange(1, count + 1) * values.size / count
    cuts, last = [], 0
    for end in np.unique(ends[np.searchsorted(ends, np.ceil(wanted - 1e-9))]).tolist():
        if end - last >= min_cell and (values.size - end >= min_cell or end == values.size):
            cuts.append(end)
            last = end
    if last != values.size:
        cuts[-1:] = [values.size]
    groups = np.split(order, cuts[:-1])
    return [
        {
            "rows": float(w[g].sum()),
            "mean": float(np.average(prediction[g], weights=w[g])),
            "rate": float(np.average(y[g], weights=w[g])),
        }
        for g in groups
        if w[g].sum() > 0
    ]


def regression(
    y: npt.ArrayLike, prediction: npt.ArrayLike, w: npt.ArrayLike | None, min_cell: int, power: float = TWEEDIE
) -> dict[str, object]:
    """All measures of predicted numbers (n,) as `metrics.evaluate` names them."""
    labels, values = checked(y, prediction)
    weights = weighed(w, labels.size)
    residual = labels - values
    undefined: dict[str, str] = {}
    result: dict[str, object] = {
        "task": "regression",
        "rows": int(labels.size),
        "undefined": undefined,
        "mae": float(np.average(np.abs(residual), weights=weights)),
        "rmse": rmse(labels, values, w),
        "bias": float(-np.average(residual, weights=weights)),
        "calibration": bands(labels, values, weights, min_cell),
    }
    result["mse"] = float(np.average(residual**2, weights=weights))
    if w is None:
        result["median_absolute_error"] = median_error(labels, values, min_cell)
    else:
        result["median_absolute_error"] = None
        undefined["median_absolute_error"] = "the rows have weights"
    return result | _explained(labels, residual, weights, undefined) | _skewed(labels, values, w, undefined, power)


def _explained(y: Floats, residual: Floats, w: Weights, undefined: dict[str, str]) -> dict[str, object]:
    mean = np.average(y, weights=w)
    spread = float(np.sum(w * (y - mean) ** 2))
    if spread <= 0:
        undefined.update(dict.fromkeys(("r2", "explained_variance"), "all labels are equal"))
        return {"r2": None, "explained_variance": None}
    centred = residual - np.average(residual, weights=w)
    return {
        "r2": float(1 - np.sum(w * residual**2) / spread),
        "explained_variance": float(1 - np.sum(w * centred**2) / spread),
    }


def _skewed(
    y: Floats, values: Floats, w: npt.ArrayLike | None, undefined: dict[str, str], power: float
) -> dict[str, object]:
    """Logarithmic error and deviances, where labels and predictions allow them."""
    out: dict[str, object] = {}
    if min(y.min(), values.min()) > -1:
        squares = (np.log1p(y) - np.log1p(values)) ** 2
        out["msle"] = float(np.average(squares, weights=weighed(w, y.size)))
    else:
        out["msle"] = None
        undefined["msle"] = "a label or prediction is not above -1"
    mean = np.full(y.size, np.average(y, weights=weighed(w, y.size)))
    for name, p in (("poisson", 1.0), ("gamma", 2.0), ("tweedie", power)):
        try:
            found = deviance(y, values, p, w)
            base = deviance(y, mean, p, w)
        except DataError as error:
            undefined.update(dict.fromkeys((f"{name}_deviance", f"d2_{name}"), error.cause))
            found, base = None, None
        out[f"{name}_deviance"] = found
        out[f"d2_{name}"] = 1 - found / base if found is not None and base else None
    return out
