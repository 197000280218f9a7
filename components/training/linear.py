"""Generalised linear models in fixed-point arithmetic that parties can share: scores are integers that add up modulo
2^64, and every function of a score is a trigonometric sum, which splits over the parts of a score.

For z = u + v, cos(k w z) = cos(k w u) cos(k w v) - sin(k w u) sin(k w v), and so for the sine. Hence any
h(z) = c_0 + sum_k a_k cos(k w z) + b_k sin(k w z) is a sum of products of functions of u and functions of v; and since
the period divides the ring, u and v may be shares modulo 2^64. `Series` are fitted to the functions a loss needs on
-range .. range; beyond it a function bends back smoothly to have a period.

What is fixed: columns have 16 bits after the point and lie within 8 deviations, weights 24, scores `score_bits`, the
period of scores is a power of two, and products are rounded to `factor_bits` and `value_bits`. Every step is an integer
operation or one rounding of an element-wise double, so the same parts give the same gradient, bit by bit.
Source: McCullagh, Nelder 1989 (the families); Fourier extensions: Huybrechs 2010.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError

Kind = Literal["logistic", "linear", "poisson", "gamma", "tweedie"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

COLUMN_BITS: Final = 16
COLUMN_RANGE: Final = 8.0  # deviations
WEIGHT_BITS: Final = 24
WEIGHT_RANGE: Final = 64.0
FACTOR_BITS: Final = 22  # what the sums under encryption allow
SCORE_BITS: Final = 40
_SUM_BITS: Final = 62
_GRID: Final = 4001
_RIDGE: Final = 1e-9
_COEFFICIENT_BITS: Final = 30


# ---------------------------------------------------------------- functions of a score


@dataclass(frozen=True)
class Series:
    """c_0 + sum_k a_k cos(2 pi k z / period) + b_k sin(...), k = 1 .. order; `coefficients` (1 + 2 order,): c, a, b."""

    period: float
    coefficients: Floats = field(repr=False)

    @property
    def order(self) -> int:
        return (self.coefficients.size - 1) // 2

    @property
    def constant(self) -> float:
        return float(self.coefficients[0])

    @property
    def largest(self) -> float:
        """Of the functions that multiply another part's cosines and sines."""
        a, b = self.coefficients[1 : self.order + 1], self.coefficients[self.order + 1 :]
        return float(np.hypot(a, b).max())

    @property
    def bound(self) -> float:
        """No value is larger."""
        a, b = self.coefficients[1 : self.order + 1], self.coefficients[self.order + 1 :]
        return abs(self.constant) + float(np.hypot(a, b).sum())

    def __call__(self, z: Floats) -> Floats:
        angles = np.multiply.outer(2 * np.pi / self.period * np.arange(1, self.order + 1), z)
        both = np.concatenate([np.cos(angles), np.sin(angles)])
        value: Floats = self.constant + np.tensordot(self.coefficients[1:], both, axes=1)
        return value


def waves(series: Series) -> bool:
    """Whether it is more than a constant."""
    return bool(np.any(series.coefficients[1:]))


def fit(h: Callable[[Floats], Floats], reach: float, period: float, order: int) -> Series:
    """The series nearest to h on -reach .. reach (reach < period / 2) by least squares, on a grid of 2^-30."""
    z = reach * np.cos(np.pi * np.arange(_GRID) / (_GRID - 1))
    angles = np.multiply.outer(z, 2 * np.pi / period * np.arange(1, order + 1))
    basis = np.concatenate([np.ones((z.size, 1)), np.cos(angles), np.sin(angles)], axis=1)
    normal = basis.T @ basis / z.size + _RIDGE * np.eye(basis.shape[1])
    found = np.linalg.solve(normal, basis.T @ h(z) / z.size)
    return Series(period, np.rint(found * 2.0**_COEFFICIENT_BITS) / 2.0**_COEFFICIENT_BITS)


def constant(value: float, like: Series) -> Series:
    """The same number everywhere."""
    return Series(like.period, np.concatenate([[value], np.zeros(2 * like.order)]))


@dataclass(frozen=True)
class Pair:
    """h(z) = free(z) + y * labelled(z)."""

    free: Series
    labelled: Series

    def __call__(self, z: Floats, y: Floats) -> Floats:
        return self.free(z) + y * self.labelled(z)


@dataclass(frozen=True)
class Family:
    """What is modelled: E[y] = link(z) with z the score. `power` is Tweedie's, between 1 and 2.

    `order` is how many frequencies a function of the score has, `period`, a power of two, where it begins anew. Labels
    are modelled in their own scale: those of log links are divided by their mean, those of linear models standardised.
    """

    kind: Kind
    power: float = 1.5
    order: int = 16
    period: float = 32.0

    @property
    def reach(self) -> float:
        """Scores beyond +-reach are outside of the functions' range."""
        return self.period * (3 / 8 if self.kind in ("logistic", "linear") else 5 / 16)

    @property
    def target(self) -> float:
        """Labels in the model's scale are no larger."""
        return {"logistic": 1.0, "gamma": 16.0}.get(self.kind, 64.0)

    def _fit(self, h: Callable[[Floats], Floats]) -> Series:
        return fit(h, self.reach, self.period, self.order)

    @property
    def slope(self) -> Pair:
        """The derivative of the loss by the score; of a linear model it is exact, and not computed from here."""
        return _slope(self)

    def _make_slope(self) -> Pair:
        zero = self._fit(np.zeros_like)
        minus = constant(-1.0, zero)
        if self.kind == "logistic":
            return Pair(self._fit(lambda z: 1 / (1 + np.exp(-z))), minus)
        if self.kind == "linear":
            return Pair(zero, zero)
        if self.kind == "poisson":
            return Pair(self._fit(np.exp), minus)
        if self.kind == "gamma":
            return Pair(constant(1.0, zero), self._fit(lambda z: -np.exp(-z)))
        p = self.power
        return Pair(self._fit(lambda z: np.exp((2 - p) * z)), self._fit(lambda z: -np.exp((1 - p) * z)))

    @property
    def loss(self) -> Pair:
        """The loss of one row up to a term without the score."""
        return _loss(self)

    def _make_loss(self) -> Pair:
        score, minus = self._fit(lambda z: z), self._fit(lambda z: -z)
        if self.kind == "logistic":
            return Pair(self._fit(lambda z: np.logaddexp(0, z)), minus)
        if self.kind == "linear":
            return Pair(self._fit(lambda z: z * z / 2), minus)
        if self.kind == "poisson":
            return Pair(self._fit(np.exp), minus)
        if self.kind == "gamma":
            return Pair(score, self._fit(lambda z: np.exp(-z)))
        p = self.power
        return Pair(
            self._fit(lambda z: np.exp((2 - p) * z) / (2 - p)), self._fit(lambda z: np.exp((1 - p) * z) / (p - 1))
        )

    def mean(self, z: Floats) -> Floats:
        """E[y] in the scale of the model, exactly."""
        if self.kind == "linear":
            return z
        z = np.clip(z, -700.0, 700.0)  # where a double still has the exponential
        found: Floats = 1 / (1 + np.exp(-z)) if self.kind == "logistic" else np.exp(z)
        return found

    def scale(self, y: Floats) -> tuple[float, float]:
        """(shift, factor) with y = shift + factor * the model's label; DataError "bad_labels" for impossible labels."""
        if self.kind == "logistic":
            if not np.isin(y, (0.0, 1.0)).all():
                raise DataError("bad_labels", "labels of a logistic model are 0 and 1")
            return 0.0, 1.0
        if self.kind == "linear":
            spread = float(y.std())
            return float(y.mean()), spread if spread > 0 else 1.0
        if y.min(initial=0.0) < 0 or (self.kind == "gamma" and y.min(initial=1.0) <= 0) or not y.sum() > 0:
            raise DataError("bad_labels", f"labels of a {self.kind} model are not negative, and not all zero")
        return 0.0, float(y.mean())

    def labels(self, y: Floats, shift: float, factor: float) -> Floats:
        """Labels in the model's scale; DataError "label_range" for one that is too far from the others."""
        scaled: Floats = (y - shift) / factor
        if float(np.abs(scaled).max(initial=0.0)) > self.target:
            raise DataError(
                "label_range",
                f"a label is more than {self.target:.0f} times what labels are on average",
                "Cap the largest labels first.",
            )
        return scaled


@lru_cache(64)
def _slope(family: Family) -> Pair:
    return family._make_slope()


@lru_cache(64)
def _loss(family: Family) -> Pair:
    return family._make_loss()


# ---------------------------------------------------------------- numbers


@dataclass(frozen=True)
class Fixed:
    """Bits after the point of everything that is computed on, from the family and the rows summed at most (public)."""

    family: Family
    rows: int

    @property
    def _room(self) -> int:
        """Bits that a sum over the rows leaves for what stands after the point."""
        return _SUM_BITS - max(1, self.rows).bit_length() - round(math.log2(COLUMN_RANGE))

    def factor_bits(self, labels: bool) -> int:
        """Of the functions of one's own part, times a column; of an owner with labels, times those as well."""
        slope, loss, most = self.family.slope, self.family.loss, self.family.target
        if labels:
            pairs = ((COLUMN_RANGE, slope), (1.0, loss))
            largest = max(m * (p.free.largest + most * p.labelled.largest) for m, p in pairs)
        else:
            functions = (slope.free.largest, slope.labelled.largest, abs(slope.labelled.constant))
            largest = COLUMN_RANGE * max(functions)
        return FACTOR_BITS - math.ceil(math.log2(max(1.0, largest)))

    @property
    def value_bits(self) -> int:
        """Of the functions of the other's part."""
        pairs = (self.family.slope, self.family.loss)
        bound = max(p.free.bound + self.family.target * p.labelled.bound for p in pairs)
        return min(24, self._room - self.factor_bits(False) - math.ceil(math.log2(bound)))

    @property
    def score_bits(self) -> int:
        """Of scores; those of a linear model enter sums as they are."""
        if self.family.kind != "linear":
            return SCORE_BITS
        return min(SCORE_BITS, self._room - COLUMN_BITS - 1 - round(math.log2(self.family.target)))

    @property
    def turn(self) -> int:
        """A score times 2^turn is its angle, the whole ring being one period."""
        return 64 - self.score_bits - round(math.log2(self.family.period))

    def check(self) -> None:
        """DataError "too_many_rows" where sums would lose too many bits."""
        if min(self.value_bits, self.score_bits) < 12:
            raise DataError("too_many_rows", "sums over so many rows leave too few bits", "Use smaller batches.")

    # -------------------------------- columns, weights, scores

    def columns(self, x: Floats) -> Ints:
        """(n, F) standardised columns, cut at +-8."""
        return np.rint(np.clip(x, -COLUMN_RANGE, COLUMN_RANGE) * 2.0**COLUMN_BITS).astype(np.int64)

    def scores(self, columns: Ints, weights: Floats) -> Ints:
        """(n,) one party's part of the scores; DataError "diverged" for weights out of range."""
        if not np.isfinite(weights).all() or float(np.abs(weights).max(initial=0.0)) > WEIGHT_RANGE:
            raise DataError("diverged", "weights left their range", "Use a smaller learning_rate, or a penalty.")
        whole = columns @ np.rint(weights * 2.0**WEIGHT_BITS).astype(np.int64)
        spare = COLUMN_BITS + WEIGHT_BITS - self.score_bits
        return (whole + (1 << spare >> 1)) >> spare

    def angles(self, part: Words) -> Floats:
        """(order, n) angles of a part of the scores, for each frequency."""
        turned = part << np.uint64(self.turn)
        k = np.arange(1, self.family.order + 1, dtype=np.uint64)[:, None]
        signed = (turned * k).view(np.int64).astype(np.float64)  # the product wraps, as angles do
        return signed * (np.pi / 2.0**63)

    # -------------------------------- the two sides of a product

    def values(self, part: Words) -> Floats:
        """(2 order, n) cosines and sines of a part."""
        angles = self.angles(part)
        return np.concatenate([np.cos(angles), np.sin(angles)])

    def ring(self, values: Floats) -> Words:
        """Numbers with `value_bits` after the point, as ring elements."""
        return np.rint(values * 2.0**self.value_bits).astype(np.int64).view(np.uint64)

    def against(self, values: Floats, series: Series) -> Floats:
        """(2 order, n) what the other's cosines and sines are to be multiplied by, given one's own `values`."""
        order = series.order
        a, b = series.coefficients[1 : order + 1, None], series.coefficients[order + 1 :, None]
        cos, sin = values[:order], values[order:]
        return np.concatenate([a * cos + b * sin, b * cos - a * sin])

    def factors(self, functions: Floats, columns: Ints | None, *, labels: bool) -> Ints:
        """(k, n) functions times (n, F) columns, or as they are: (k, n, F) integers with `factor_bits(labels)`."""
        scaled = functions * 2.0 ** self.factor_bits(labels)
        if columns is None:
            return np.rint(scaled[:, :, None]).astype(np.int64)
        return np.rint(scaled[:, :, None] * (columns * 2.0**-COLUMN_BITS)).astype(np.int64)


# ---------------------------------------------------------------- steps


@dataclass(frozen=True)
class Rule:
    """How a party moves its own weights; `l1` and `l2` are per row, as a part of the mean loss."""

    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 0.1
    l1: float = 0.0
    l2: float = 0.0
    decay: float = 0.0


class Mover:
    """One party's weights (F,) and what its optimiser remembers; `free` (F,) marks those without a penalty."""

    def __init__(self, rule: Rule, weights: Floats, free: NDArray[np.bool_]) -> None:
        self.rule, self.weights, self._free = rule, weights.copy(), free
        self._first, self._second, self._steps = np.zeros_like(weights), np.zeros_like(weights), 0

    def move(self, gradient: Floats) -> None:
        """One step against the mean gradient (F,); the absolute penalty pulls towards zero afterwards."""
        rule, self._steps = self.rule, self._steps + 1
        gradient = gradient + np.where(self._free, 0.0, rule.l2) * self.weights
        rate = rule.learning_rate / (1 + rule.decay * (self._steps - 1))
        if rule.optimizer == "adam":
            self._first += 0.1 * (gradient - self._first)
            self._second += 0.001 * (gradient * gradient - self._second)
            gradient = self._first / (1 - 0.9**self._steps)
            gradient = gradient / (np.sqrt(self._second / (1 - 0.999**self._steps)) + 1e-8)
        moved = self.weights - rate * gradient
        if rule.l1:
            pull = np.where(self._free, 0.0, rate * rule.l1)
            moved = np.sign(moved) * np.maximum(np.abs(moved) - pull, 0.0)
        self.weights = moved

    def state(self) -> dict[str, Floats | int]:
        return {"weights": self.weights, "first": self._first, "second": self._second, "steps": self._steps}

    def resume(self, state: dict[str, Floats | int]) -> None:
        """Continue from `state()`."""
        self.weights, self._first, self._second = (
            np.array(state[k], dtype=np.float64) for k in ("weights", "first", "second")
        )
        self._steps = int(state["steps"])
