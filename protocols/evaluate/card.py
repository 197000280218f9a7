"""Scores as points of a credit scorecard, at the party that holds them; no message is sent.

Ideal functionality: the label party gets, for each scored row, points = offset + factor / ln(base) x log odds of the
good outcome, within limits; the submitter gets how the points are spread over bands, with the bad rate of each band and
of all rows above it where labels were kept beside the scores.

Submitter learns the distribution of the points; a band tells of at least `min_cell` rows, since rows are joined to
cells by their scores first, and a cell goes whole into one band. Nobody else learns anything.
Not protected: a band's counts are exact. An `evaluate` step of all rows of the same scores with the same `min_cell`
has the same cells, so that both together tell of no fewer rows; one of other rows (a part of them, as `rows: each`
measures) or with another `min_cell` joins them in its own way, and together they can.
Source: Siddiqi, *Credit Risk Scorecards*, 2006; see `components.training.scorecard`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.training.metrics_points import bands
from parley.components.training.scorecard import Scaling
from parley.protocols.evaluate.scored import with_scores
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.wire.errors import ParleyError

Floats = NDArray[np.float64]


class BasePoints(BaseModel):
    """`points` at good odds of `odds` to 1, `double` points more for twice the odds."""

    model_config = ConfigDict(extra="forbid")
    points: float = Field(ge=-1e6, le=1e6)
    odds: float = Field(gt=0, le=1e9)
    double: float = Field(gt=0, le=1e6)


class Params(BaseModel):
    """`offset` points at even odds, `factor` more for odds `base` times as good; or all three from `base_points`.
    `upper_ratio` x offset and `lower` are the limits; `bad` is the label that lowers a score; `band` the width of a
    band in points; `whole` rounds points to whole numbers; `min_cell` as in `evaluate`."""

    model_config = ConfigDict(extra="forbid")
    offset: float = Field(default=500, ge=-1e6, le=1e6)
    factor: float = Field(default=20, gt=0, le=1e6)
    base: float = Field(default=2, gt=1, le=1e6)
    base_points: BasePoints | None = None
    upper_ratio: float = Field(default=3, ge=0, le=1e3)
    lower: float = Field(default=0, ge=-1e6, le=1e6)
    bad: Literal[0, 1] = 1
    whole: bool = True
    band: float = Field(default=20, gt=0, le=1e6)
    min_cell: int = Field(default=10, ge=1, le=10_000)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.base_points is not None and self.model_fields_set & {"offset", "factor", "base"}:
            raise ValueError("base_points takes the place of offset, factor and base")
        if self.lower >= self._offset() * self.upper_ratio:
            raise ValueError("lower is not below offset x upper_ratio")
        return self

    def _offset(self) -> float:
        b = self.base_points
        return self.offset if b is None else b.points - b.double / math.log(2) * math.log(b.odds)

    def scaling(self) -> Scaling:
        limits: dict[str, Any] = {"lower": self.lower, "upper_ratio": self.upper_ratio, "bad": self.bad}
        if self.base_points is not None:
            b = self.base_points
            return Scaling.of_odds(b.points, b.odds, b.double, **limits)
        return Scaling(offset=self.offset, factor=self.factor, base=self.base, **limits)


CARD = Protocol(
    "score/card",
    version=1,
    security=SEMI_HONEST,
    summary="Scores as points of a credit scorecard, at the party that holds them.",
    roles={"label": "one"},
    steps=[],
    learns={"label": [], "submitter": ["point_distribution"], "coordinator": ["sizes"]},
    params=Params,
)


@CARD.role("label")
async def label(s: Session, scores: Floats, labels: Floats | None) -> tuple[Floats, list[dict[str, Any]]]:
    """(n,) points of probabilities (n,), and how they are spread."""
    with told():
        points = await s.compute(s.params.scaling().of_probability, scores)
        points = np.rint(points) if s.params.whole else points
        spread = await s.compute(
            bands, points, labels, width=s.params.band, bad=s.params.bad, min_cell=s.params.min_cell, by=scores
        )
    return points, spread


@CARD.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs a training or prediction step of a binary model; keeps `points` by row, tells their bands."""
    kept = with_scores(inputs)
    scores = np.asarray(kept["scores"], dtype=np.float64)
    scores = scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores
    if scores.ndim != 1 or kept.get("task", "binary") != "binary":
        raise ParleyError("bad_scores", "Only scores of a binary model become points.", "Score a binary model.")
    labels = np.asarray(kept["labels"], dtype=np.float64) if "labels" in kept else None
    points, spread = await label(s, scores, labels)
    keep: dict[str, Any] = {k: kept[k] for k in ("rows", "labels", "part") if k in kept}
    keep["points"] = points
    return StepOutputs(keep=keep, result={"rows": int(points.size), "points": spread})


CARD.wants = ("scores",)
