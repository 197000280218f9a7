"""Losses of gradient boosting: the start score, and each row's first and second derivative.

    name        task                 K        raw scores -> prediction
    logistic    binary, y in {0,1}   1        1 / (1 + exp(-raw))
    softmax     classes 0 .. K-1     classes  exp(raw_k) / sum exp(raw_j)
    squared     regression           1        raw
    huber       regression           1        raw; errors beyond delta count by size, not by square
    fair        regression           1        raw; as huber, and less
    log_cosh    regression           1        raw; as huber, and nearer the square
    poisson     counts, y >= 0       1        exp(raw)
    gamma       amounts, y > 0       1        exp(raw)
    tweedie     claims, y >= 0       1        exp(raw); variance ~ mean^power, 1 < power < 2
    lambdarank  relevance 0 .. 30    1        raw; only the order within a group means anything (see `ranking`)

Derivatives are those of Chen & Guestrin, *XGBoost*, 2016, section 2.2, with the factors that XGBoost uses
(softmax: h = 2 p (1 - p); poisson: h = exp(raw + 0.7), which keeps steps short where counts are rare); h is at least
1e-16, which the fixed point below rounds to 0. With m = exp(raw), z = raw - y, d = delta:

    loss                                              g                       h
    huber     d^2 (sqrt(1 + (z/d)^2) - 1)             z / sqrt(1 + (z/d)^2)   (1 + (z/d)^2)^(-3/2)
    fair      d^2 (|z|/d - log(1 + |z|/d))            z / (1 + |z|/d)         (1 + |z|/d)^(-2)
    log_cosh  d^2 log(cosh(z/d))                      d tanh(z/d)             1 - tanh(z/d)^2
    poisson   m - y raw                               m - y                   e^0.7 m
    gamma     raw + y / m                             1 - y / m               y / m
    tweedie   m^(2-p) / (2-p) - y m^(1-p) / (1-p)     m^(2-p) - y m^(1-p)     (2-p) m^(2-p) + (p-1) y m^(1-p)

Source of the last three: Jorgensen, *The Theory of Dispersion Models*, 1997, with the log link; of fair: Fair, *On the
Robust Estimation of Econometric Models*, 1974; huber is the smooth one that XGBoost has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training.ranking import WATCHED, checked_groups, checked_relevance, lambdas, ndcg

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Loss = Literal[
    "logistic", "softmax", "squared", "huber", "fair", "log_cosh", "poisson", "gamma", "tweedie", "lambdarank"
]
ROBUST = ("huber", "fair", "log_cosh")
LOG_LINK = ("poisson", "gamma", "tweedie")

MIN_HESSIAN = 1e-16
MAX_SUM_BITS = 62
MAX_CLASSES = 1000
POISSON_STEP = 0.7
_LARGEST = 700.0  # exp of more is no number; what comes of it is refused as an overflow of the fixed point
_CLIP = 1e-15


@dataclass(frozen=True)
class Objective:
    """A loss; `classes` is K for softmax and 1 for the others; `power` is Tweedie's, `delta` > 0 the robust losses'."""

    loss: Loss
    classes: int = 1
    power: float = 1.5
    delta: float = 1.0

    def __post_init__(self) -> None:
        low, high = (2, MAX_CLASSES) if self.loss == "softmax" else (1, 1)
        known = ("logistic", "softmax", "squared", "lambdarank", *ROBUST, *LOG_LINK)
        if self.loss not in known or not low <= self.classes <= high:
            raise DataError("bad_parameter", f"there is no objective {self.loss} with {self.classes} classes")
        if not 1 < self.power < 2:
            raise DataError("bad_parameter", "the power of tweedie lies between 1 and 2")
        if not 0 < self.delta <= 1e12:
            raise DataError("bad_parameter", "delta is above 0, and at most 1e12")

    def labels(self, y: npt.ArrayLike) -> Floats:
        """(n,) labels as float64; DataError `bad_labels`, `one_class`, `no_rows` when they cannot be learnt.

        Logistic labels are 0 and 1, softmax labels whole numbers in [0, K), those of squared and the robust losses
        finite; those of poisson and tweedie are at least 0 and not all 0, those of gamma above 0.
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
        if self.loss in ("squared", *ROBUST):
            return values
        if self.loss == "lambdarank":
            return checked_relevance(values)
        if self.loss in LOG_LINK:
            if values.min() < 0 or (values.min() == 0 and self.loss == "gamma") or values.max() == 0:
                least = "above 0" if self.loss == "gamma" else "at least 0, and not all 0"
                raise DataError("bad_labels", f"labels of {self.loss} are {least}", "remove these rows, or recode")
            return values
        top = max(2, self.classes)
        if np.any(values != np.floor(values)) or values.min() < 0 or values.max() >= top:
            raise DataError("bad_labels", f"labels of this objective are 0 .. {top - 1}", "recode the labels")
        if values.min() == values.max():
            raise DataError("one_class", "all labels are the same class", "give rows of at least two classes")
        return values

    def base_score(self, y: Floats, w: Floats | None = None, offset: Floats | None = None) -> Floats:
        """(K,) raw start scores: log odds of the weighted class shares, or the weighted mean, or its logarithm, or for
        the robust losses the weighted median (the least value up to which half of the weight lies); 0 for a ranking.

        An absent softmax class counts with half a row. `offset` (n,), of a log link only, is added to every raw score:
        the start is the best constant beside it.
        """
        weights = checked_weights(y, w)
        total = float(weights.sum())
        if self.loss == "lambdarank":
            return np.zeros(1)
        if self.loss in LOG_LINK:
            off = np.zeros(y.size) if offset is None else offset
            p = {"poisson": 1.0, "gamma": 2.0, "tweedie": self.power}[self.loss]
            above = float((weights * y * np.exp((1 - p) * off)).sum())
            if above <= 0:
                raise DataError("bad_labels", "all weight lies on labels of 0", "give other rows some weight")
            return np.array([np.log(above / float((weights * np.exp((2 - p) * off)).sum()))])
        if self.loss in ROBUST:
            order = np.argsort(y, kind="stable")
            return np.array([y[order][np.searchsorted(np.cumsum(weights[order]), total / 2)]])
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

    def gradients(
        self, y: Floats, raw: Floats, w: Floats | None = None, groups: Ints | None = None
    ) -> tuple[Floats, Floats]:
        """First and second derivatives, each (n, K), of the loss at raw scores (n, K), times the weights; a ranking
        needs the rows' `groups` (n,)."""
        weights = checked_weights(y, w)[:, None]
        prediction = self.predict(raw)
        if self.loss in LOG_LINK:
            g, h = self._log_link(y[:, None], raw)
        elif self.loss in ROBUST:
            g, h = self._robust(raw - y[:, None])
        elif self.loss == "lambdarank":
            g, h = (x[:, None] for x in lambdas(y, raw[:, 0], checked_groups(y, groups)))
        elif self.loss == "squared":
            g, h = raw - y[:, None], np.ones_like(raw)
        elif self.loss == "logistic":
            g = prediction - y[:, None]
            h = np.maximum(prediction * (1 - prediction), MIN_HESSIAN)
        else:
            g = prediction.copy()
            g[np.arange(y.size), y.astype(np.int64)] -= 1
            h = np.maximum(2 * prediction * (1 - prediction), MIN_HESSIAN)
        return g * weights, h * weights

    def _robust(self, z: Floats) -> tuple[Floats, Floats]:
        scaled = z / self.delta
        if self.loss == "huber":
            root = np.sqrt(1 + scaled**2)
            g, h = z / root, root**-3.0
        elif self.loss == "fair":
            below = 1 + np.abs(scaled)
            g, h = z / below, below**-2.0
        else:
            g, h = self.delta * np.tanh(scaled), 1 - np.tanh(scaled) ** 2
        return g, np.maximum(h, MIN_HESSIAN)

    def _robust_loss(self, z: Floats) -> Floats:
        size = np.abs(z) / self.delta
        if self.loss == "huber":
            one = np.sqrt(1 + size**2) - 1
        elif self.loss == "fair":
            one = size - np.log1p(size)
        else:
            one = size + np.log1p(np.exp(-2 * size)) - np.log(2)
        return np.asarray(self.delta**2 * one, dtype=np.float64)

    def _log_link(self, y: Floats, raw: Floats) -> tuple[Floats, Floats]:
        m = _exp(raw)
        if self.loss == "poisson":
            return m - y, np.exp(POISSON_STEP) * np.maximum(m, MIN_HESSIAN)
        if self.loss == "gamma":
            ratio = y * _exp(-raw)
            return 1 - ratio, np.maximum(ratio, MIN_HESSIAN)
        p = self.power
        upper, lower = _exp((2 - p) * raw), y * _exp((1 - p) * raw)
        return upper - lower, np.maximum((2 - p) * upper + (p - 1) * lower, MIN_HESSIAN)

    def mean_loss(self, y: Floats, raw: Floats, w: Floats | None = None, groups: Ints | None = None) -> float:
        """What is followed while training, of raw scores (n, K), rows counting by weight: log loss for classes, root
        mean squared error for squared, mean loss for the robust ones, mean deviance for a log link, and for a ranking 1
        less the mean NDCG of the first ten of each group."""
        if self.loss == "lambdarank":
            found = ndcg(y, raw[:, 0], checked_groups(y, groups), WATCHED)
            return 1 - _total(found) / found.size if found.size else 1.0
        weights = checked_weights(y, w)
        weights = weights / _total(weights)
        prediction = self.predict(raw)
        if self.loss == "squared":
            return math.sqrt(_total(weights * (y - raw[:, 0]) ** 2))
        if self.loss in ROBUST:
            return _total(weights * self._robust_loss(y - raw[:, 0]))
        if self.loss in LOG_LINK:
            return _total(weights * self._deviance(y, prediction[:, 0]))
        if self.loss == "logistic":
            chosen = np.where(y == 1, prediction[:, 0], 1 - prediction[:, 0])
        else:
            chosen = prediction[np.arange(y.size), y.astype(np.int64)]
        return _total(weights * -np.log(np.clip(chosen, _CLIP, 1.0)))

    def _deviance(self, y: Floats, m: Floats) -> Floats:
        m = np.maximum(m, np.finfo(float).tiny)
        if self.loss == "poisson":
            return np.asarray(2 * (y * np.log(np.where(y > 0, y, 1.0) / np.where(y > 0, m, 1.0)) - y + m))
        if self.loss == "gamma":
            return np.asarray(2 * (np.log(m / y) + y / m - 1))
        p = self.power
        whole = y ** (2 - p) / ((1 - p) * (2 - p)) - y * m ** (1 - p) / (1 - p) + m ** (2 - p) / (2 - p)
        return np.asarray(2 * whole)

    def predict(self, raw: Floats) -> Floats:
        """(n, K) probabilities, or values for regression, of raw scores (n, K)."""
        if self.loss in ("squared", "lambdarank", *ROBUST):
            return raw
        if self.loss in LOG_LINK:
            return _exp(raw)
        if self.loss == "logistic":
            return sigmoid(raw)
        shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def _exp(x: Floats) -> Floats:
    return np.asarray(np.exp(np.minimum(x, _LARGEST)), dtype=np.float64)


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


def fitted(g: Floats, h: Floats, scale_bits: int) -> tuple[Ints, Ints]:
    """As `quantise`, of values first divided by 2^shift so that none exceeds 1; and the shifts (2K,), one a channel.

    Weights and log links make derivatives of any size; shifted, they fit one layout that does not tell their size.
    DataError "fixed_point_overflow" when sums of the unshifted would not fit.
    """
    quantise(g, h, scale_bits)
    shifts = np.zeros(2 * g.shape[1], dtype=np.int64)
    for at, part in ((0, g), (1, h)):
        most = np.abs(part).max(axis=0, initial=0.0)
        shifts[at::2] = np.where(most > 1, np.frexp(most)[1], 0)
    return quantise(np.ldexp(g, -shifts[0::2]), np.ldexp(h, -shifts[1::2]), scale_bits), shifts


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


def _total(values: Floats) -> float:
    """The sum, the same for rows in any order: rows stand as an alignment left them, and rounding would tell."""
    return float(np.sort(values).sum())
