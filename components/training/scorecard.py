"""Scorecards: log odds as points, a linear model on binned features as points per bin, and reasons for a low score.

    points = offset + factor / ln(base) x log odds of the good outcome

so that `factor` points more multiply the odds by `base`; `offset` are the points at even odds. The customary form
"base points P at odds O to 1, D points to double" is offset = P - D / ln 2 x ln O, factor = D, base = 2
(Siddiqi, *Credit Risk Scorecards*, 2006, chapter 6). Points are kept within `lower` .. offset x `upper_ratio`.

With a linear model  log odds of 1 = intercept + sum over features of coefficient x value(bin)  each bin has points of
its own and the card adds them to base points. A card is additive, so each party makes the part of its own features from
its own coefficients and bins, without telling them; the base points belong to the holder of the intercept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.features.binning import ColumnBins

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Against = Literal["neutral", "best"]
_CLIP = 1e-15
_VERSION = 1


@dataclass(frozen=True)
class Scaling:
    """How log odds become points; `bad` is the label value, 1 or 0, that lowers a score."""

    offset: float = 500.0
    factor: float = 20.0
    base: float = 2.0
    lower: float = 0.0
    upper_ratio: float = 3.0
    bad: int = 1

    def __post_init__(self) -> None:
        fine = all(math.isfinite(v) for v in (self.offset, self.factor, self.base, self.lower, self.upper_ratio))
        if not fine or self.factor <= 0 or self.base <= 1 or self.lower >= self.upper or self.bad not in (0, 1):
            raise DataError(
                "bad_parameter", "a score scaling needs factor > 0, base > 1 and lower below offset x upper_ratio"
            )

    @classmethod
    def of_odds(cls, points: float, odds: float, double: float, **more: Any) -> Scaling:
        """`points` at good odds of `odds` to 1, and `double` points more for twice the odds."""
        if not odds > 0:
            raise DataError("bad_parameter", "base odds are above 0")
        return cls(offset=points - double / math.log(2) * math.log(odds), factor=double, base=2.0, **more)

    @property
    def upper(self) -> float:
        """The most points there are."""
        return self.offset * self.upper_ratio

    @property
    def slope(self) -> float:
        """Points for one unit of the log odds of label 1; below 0 where 1 is the bad outcome."""
        return (-1 if self.bad == 1 else 1) * self.factor / math.log(self.base)

    def of_log_odds(self, log_odds: npt.ArrayLike) -> Floats:
        """Points of log odds of label 1, of any shape, within the limits."""
        return np.clip(self.offset + self.slope * np.asarray(log_odds, dtype=np.float64), self.lower, self.upper)

    def of_probability(self, p: npt.ArrayLike) -> Floats:
        """Points of probabilities of label 1, clipped at 1e-15; DataError `bad_scores` for other numbers."""
        values = np.asarray(p, dtype=np.float64)
        if not np.isfinite(values).all() or np.any((values < 0) | (values > 1)):
            raise DataError("bad_scores", "only probabilities become points", "score a binary model")
        clipped = np.clip(values, _CLIP, 1 - _CLIP)
        return self.of_log_odds(np.log(clipped) - np.log1p(-clipped))


@dataclass(frozen=True)
class Attribute:
    """One bin of a feature: its `value` in the model (weight of evidence, or 0/1), and its points."""

    label: str
    value: float
    points: float


@dataclass(frozen=True)
class Characteristic:
    """A feature's bins in the order of its codes."""

    feature: str
    coefficient: float
    attributes: tuple[Attribute, ...]

    @property
    def points(self) -> Floats:
        """(B,) points of each bin."""
        return np.array([a.points for a in self.attributes])


@dataclass(frozen=True)
class Scorecard:
    """Points per bin, and `base` points that every row has: of the intercept, where this party holds it."""

    scaling: Scaling
    base: float
    characteristics: tuple[Characteristic, ...]

    def parts(self, codes: npt.NDArray[Any]) -> Floats:
        """(n, F) points of each feature, for bins `codes` (n, F); DataError `bad_bins`."""
        if codes.ndim != 2 or codes.shape[1] != len(self.characteristics):
            raise DataError("bad_bins", f"the card has {len(self.characteristics)} features")
        out = np.empty(codes.shape)
        for f, characteristic in enumerate(self.characteristics):
            if codes.size and not 0 <= codes[:, f].min() <= codes[:, f].max() < len(characteristic.attributes):
                raise DataError("bad_bins", f"a bin of {characteristic.feature!r} is not on the card")
            out[:, f] = characteristic.points[codes[:, f]]
        return out

    def score(self, codes: npt.NDArray[Any]) -> Floats:
        """(n,) this card's points within the limits: the whole score where one party holds all features."""
        total: Floats = self.base + self.parts(codes).sum(axis=1)
        return np.clip(total, self.scaling.lower, self.scaling.upper)

    def reasons(self, codes: npt.NDArray[Any], top: int, against: Against = "best") -> tuple[Ints, Floats]:
        """(n, top) features that cost a row the most points, dearest first, and how many (n, top).

        Against the `best` bin of the feature, or against the `neutral` 0 points of value 0; -1 and 0.0 where nothing
        more was lost.
        """
        reference = np.zeros(len(self.characteristics))
        if against == "best":
            reference = np.array([c.points.max() for c in self.characteristics])
        lost = np.maximum(reference - self.parts(codes), 0.0)
        order = np.argsort(-lost, axis=1, kind="stable")[:, :top]
        points = np.take_along_axis(lost, order, axis=1)
        return np.where(points > 0, order, -1), points

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able form that `from_dict` reads back exactly."""
        return {"version": _VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, record: object) -> Scorecard:
        """The card that `to_dict` wrote; DataError `bad_scorecard` for anything else."""
        keys = {"version", "scaling", "base", "characteristics"}
        if not isinstance(record, dict) or set(record) != keys or record["version"] != _VERSION:
            raise DataError("bad_scorecard", "this is not a scorecard of a known version")
        try:
            characteristics = tuple(_characteristic(c) for c in record["characteristics"])
            return cls(Scaling(**record["scaling"]), _number(record["base"]), characteristics)
        except (KeyError, TypeError, ValueError):
            raise DataError("bad_scorecard", "a part of the scorecard is missing or of the wrong type") from None


def make_scorecard(
    features: Mapping[str, tuple[float, Sequence[str], Sequence[float]]],
    intercept: float | None,
    scaling: Scaling,
    *,
    whole: bool = False,
) -> Scorecard:
    """A party's card: feature -> (coefficient, labels of its bins (B,), their values (B,)).

    `intercept` is None where another party holds it, and with it the base points. With `whole`, every number of points
    is rounded by itself, as printed cards are; a score is then off by at most half a point for each feature and base.
    """

    def points(log_odds: float) -> float:
        exact = scaling.slope * log_odds
        return float(round(exact)) if whole else exact

    made = []
    for name, (coefficient, labels, values) in features.items():
        if len(labels) != len(values) or not labels:
            raise DataError("bad_parameter", f"the bins of {name!r} need one label and one value each")
        if not all(math.isfinite(v) for v in (coefficient, *values)):
            raise DataError("bad_parameter", f"the coefficient or a bin value of {name!r} is not finite")
        attributes = tuple(Attribute(b, v, points(coefficient * v)) for b, v in zip(labels, values, strict=True))
        made.append(Characteristic(name, coefficient, attributes))
    base = 0.0 if intercept is None else scaling.offset + scaling.slope * intercept
    return Scorecard(scaling, float(round(base)) if whole else base, tuple(made))


def bin_labels(column: ColumnBins) -> list[str]:
    """What people call the bins of a column, in the order of its codes; the last one is for missing values."""
    if column.kind == "categorical":
        named = [*column.categories, *(["other"] if column.other else [])] or ["any"]
        return [*named, "missing"]
    edges = [f"{e:.6g}" for e in column.edges]
    if not edges:
        return ["any", "missing"]
    inner = [f"({a}, {b}]" for a, b in pairwise(edges)]
    return [f"up to {edges[0]}", *inner, f"above {edges[-1]}", "missing"]


def _characteristic(record: dict[str, Any]) -> Characteristic:
    attributes = tuple(_attribute(a) for a in record["attributes"])
    return Characteristic(str(record["feature"]), _number(record["coefficient"]), attributes)


def _attribute(record: dict[str, Any]) -> Attribute:
    return Attribute(str(record["label"]), _number(record["value"]), _number(record["points"]))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a finite number")
    return float(value)
