"""The filters of a selection, as a job writes them, and those that a party applies to its own columns alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.features.selection import (
    Facts,
    correlations,
    facts,
    inflation,
    not_inflated,
    pairs_above,
    standardised,
)
from parley.components.features.stability import shifts
from parley.components.features.values import is_number
from parley.protocols.frame import Frame
from parley.protocols.inputs import need_columns

if TYPE_CHECKING:
    import pyarrow as pa

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
ByParty = dict[str, list[str]]


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Worth(_Filter):
    """By information value, or by a model's gain: at least `threshold`, the first `top_k`, the first percent, of all
    parties' columns together."""

    by: Literal["iv", "importance"]
    threshold: float | None = Field(default=None, ge=0)
    top_k: int | None = Field(default=None, ge=1)
    top_percentile: float | None = Field(default=None, gt=0, le=100)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.threshold is None and self.top_k is None and self.top_percentile is None:
            raise ValueError(f"{self.by} needs a threshold, top_k or top_percentile")
        return self


class Statistics(_Filter):
    """By what a column holds; `min_std` and `min_variation` are about numbers only."""

    by: Literal["statistics"]
    max_missing: float = Field(default=1.0, ge=0, le=1)
    min_std: float = Field(default=0.0, ge=0)
    min_unique: int = Field(default=1, ge=1)
    min_variation: float = Field(default=0.0, ge=0)
    max_top_share: float = Field(default=1.0, gt=0, le=1)

    def fits(self, f: Facts) -> bool:
        low = f.std < self.min_std or f.variation < self.min_variation  # False for NaN: no number, no such rule
        many = f.missing > self.max_missing or f.top_share > self.max_top_share
        return not low and not many and f.unique >= self.min_unique


class Correlation(_Filter):
    """Of a party's own columns that correlate by more than `threshold`, the one with the higher information value."""

    by: Literal["correlation"]
    threshold: float = Field(default=0.9, gt=0, lt=1)


class Vif(_Filter):
    """The column with the largest variance inflation among a party's own goes until none is above `threshold`."""

    by: Literal["vif"]
    threshold: float = Field(default=10.0, gt=1)


class Stability(_Filter):
    """Columns whose values have moved between training and another part by more than `threshold` go."""

    by: Literal["stability"]
    threshold: float = Field(default=0.25, gt=0)
    part: Literal["validate", "test"] = "test"
    bins: int = Field(default=10, ge=2, le=255)


class Manual(_Filter):
    """`keep` these of a party's columns alone, or `drop` these."""

    by: Literal["manual"]
    keep: ByParty = Field(default_factory=dict)
    drop: ByParty = Field(default_factory=dict)


Filter = Annotated[Worth | Statistics | Correlation | Vif | Stability | Manual, Field(discriminator="by")]


def training(frame: Frame) -> pa.Table:
    return frame.table if frame.training.all() else frame.table.filter(frame.training)


def numeric(frame: Frame, names: Sequence[str]) -> list[str]:
    return [n for n in names if is_number(frame.table.schema.field(n).type)]


def alone(rule: object, frame: Frame, names: list[str], me: str) -> tuple[Mask, Floats]:
    """(F,) which of a party's columns a filter leaves that needs nobody else, and a measure by which more is better."""
    if isinstance(rule, Statistics):
        found = [facts(training(frame), n) for n in names]
        return np.array([rule.fits(f) for f in found], dtype=bool), np.array([-f.missing for f in found])
    if isinstance(rule, Stability):
        other = frame.table.take(frame.of_part(rule.part))
        moved = np.array(list(shifts(training(frame), other, names, rule.bins).values()))
        return moved <= rule.threshold, -moved
    if isinstance(rule, Manual):
        keep, drop = rule.keep.get(me), rule.drop.get(me, [])
        need_columns([*(keep or []), *drop], frame.table.column_names, me)
        mask = np.array([(keep is None or n in keep) and n not in drop for n in names], dtype=bool)
        return mask, np.zeros(len(names))
    assert isinstance(rule, Vif)
    some = numeric(frame, names)
    matrix = correlations(standardised(training(frame), some))
    gone = {n for n, kept in zip(some, not_inflated(matrix, rule.threshold), strict=True) if not kept}
    factors = dict(zip(some, inflation(matrix).tolist(), strict=True)) if some else {}
    return np.array([n not in gone for n in names], dtype=bool), np.array([-factors.get(n, 1.0) for n in names])


def correlated(frame: Frame, names: list[str], threshold: float) -> NDArray[np.uint32]:
    """(k, 2) places in `names` of numeric columns that correlate above the threshold."""
    some = numeric(frame, names)
    found = pairs_above(correlations(standardised(training(frame), some)), threshold)
    places = np.array([names.index(n) for n in some], dtype=np.uint32)
    return places[found] if found.size else found
