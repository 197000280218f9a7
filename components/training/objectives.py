"""Losses of gradient boosting: the start score, and each row's first and second derivative.

    name        task                 K        raw scores -> prediction
    logistic    binary, y in {0,1}   1        1 / (1 + exp(-raw))
    softmax     classes 0 .. K-1     classes  exp(raw_k) / sum exp(raw_j)
    squared     regression           1        raw

Derivatives are those of Chen & Guestrin, *XGBoost*, 2016, section 2.2, with the factors that XGBoost uses
(softmax: h = 2 p (1 - p)); h is at least 1e-16, which the fixed point below rounds to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Loss = Literal["logistic", "softmax", "squared"]

MIN_HESSIAN = 1e-16
MAX_SUM_BITS = 62
MAX_CLASSES = 1000


@dataclass(frozen=True)
class Objective:
    """A loss; `classes` is K for softmax and 1 for the others."""

    loss: Loss
    classes: int = 1

    def __post_init__(self) -> None:
        low, high = (2, MAX_CLASSES) if self.loss == "softmax" else (1, 1)
        if self.loss not in ("logistic", "softmax", "squared") or not low <= self.classes <= high:
            raise DataError("bad_parameter", f"there is no objective {self.loss} with {self.classes} classes")

    def labels(self, y: npt.ArrayLike) -> Floats:
        """(n,) labels as float64; DataError `bad_labels`, `one_class`, `no_rows` when they cannot be learnt.

        Logistic labels are 0 and 1, softmax labels whole numbers in [0, K), squared labels finite.
        """
        values = np.asarray(y, dtype=np.float64)
        if values.ndim != 1:
            raise DataError("bad_labels", f"labels are one column, not {values.ndim}-dimensional")
        if values.size == 0:
            raise DataError("no_rows", "there is no row to learn from")
        if not np.isfinite(values).all():
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise DataError(
                "bad_labels", f"{bad} of {values.size} labels are missing or not finite", "remove these rows"
            )
        if self.loss == "squared":
            return values
        top = max(2, self.classes)
        if np.any(values != np.floor(values)) or values.min() < 0 or values.max() >= top:
            raise DataError("bad_labels", f"labels of this objective are 0 .. {top - 1}", "recode the labels")
        if values.min() == values.max():
            raise DataError("one_class", "all labels are the same class", "give rows of at least two classes")
        return values

    def base_score(self, y: Floats, w: Floats | None = None) -> Floats:
        """(K,) raw start scores: log odds of the weighted class shares, or the weighted mean.

        An absent softmax class counts with half a row.
        """
        weights = checked_weights(y, w)
        total = float(weights.sum())
        if self.loss == "squared":
            return np.array([float((weights * y).sum()) / total])
        if self.loss == "logistic":
            positive = float(weights[y == 1].sum())
            negative = float(weights[y == 0].sum())
            if positive <= 0 or negative <= 0:
                raise DataError("one_class", "all weight lies on one class", "give both classes some weight")
            return np.array([np.log(positive / negative)])
        counts = np.bincount(y.astype(np.int64), weights=weights, minlength=self.classes)
        mean_weight = total / y.size
        return np.asarray(np.log(np.maximum(counts, 0.5 * mean_weight) / total), dtype=np.float64)

    def gradients(self, y: Floats, raw: Floats, w: Floats | None = None) -> tuple[Floats, Floats]:
        """First and second derivatives, each (n, K), of the loss at raw scores (n, K), times the weights."""
        weights = checked_weights(y, w)[:, None]
        prediction = self.predict(raw)
        if self.loss == "squared":
            g, h = raw - y[:, None], np.ones_like(raw)
        elif self.loss == "logistic":
            g = prediction - y[:, None]
            h = np.maximum(prediction * (1 - prediction), MIN_HESSIAN)
        else:
            g = prediction.copy()
            g[np.arange(y.size), y.astype(np.int64)] -= 1
            h = np.maximum(2 * prediction * (1 - prediction), MIN_HESSIAN)
        return g * weights, h * weights

    def predict(self, raw: Floats) -> Floats:
        """(n, K) probabilities, or values for regression, of raw scores (n, K)."""
        if self.loss == "squared":
            return raw
        if self.loss == "logistic":
            return sigmoid(raw)
        shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)


def checked_weights(y: Floats, w: Floats | None) -> Floats:
    """(n,) row weights, ones by default; DataError `bad_weights` unless finite, >= 0 and not all zero."""
    if w is None:
        return np.ones(y.size)
    if w.shape != y.shape or not np.isfinite(w).all() or np.any(w < 0) or not np.any(w > 0):
        raise DataError("bad_weights", "row weights are finite, not negative, not all zero, one for each row")
    return w


def quantise(g: Floats, h: Floats, scale_bits: int) -> Ints:
    """(n, 2K) int64 channels g_0, h_0, g_1, h_1, ...: derivatives times 2^scale_bits, rounded half to even.

    Error at most 2^-(scale_bits + 1) for a row, hence n times that for any sum of n rows; sums of the result
    are exact. Raises DataError `fixed_point_overflow` unless every sum of these rows is below 2^62.
    """
    rows, classes = g.shape
    channels = np.empty((rows, 2 * classes))
    channels[:, 0::2] = g
    channels[:, 1::2] = h
    bound = float(np.abs(channels).max(initial=0.0))
    if not np.isfinite(bound) or bound * 2.0**scale_bits * max(rows, 1) >= 2.0**MAX_SUM_BITS:
        raise DataError(
            "fixed_point_overflow",
            f"derivatives of {rows} rows do not fit the fixed point with {scale_bits} fraction bits",
            "scale the label or the weights down, or use fewer fraction bits",
        )
    return np.rint(np.ldexp(channels, scale_bits)).astype(np.int64)
