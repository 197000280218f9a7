"""Measures of a model's scores at the party that holds the labels; no message is sent.

Ideal functionality: the label party's measures, computed from its own labels and the scores an earlier step left with
it, go to the submitter, for each part of the rows (training, validation, test) apart:
- binary: AUC, KS, Gini, average precision, log loss, Brier, calibration error; ROC, precision-recall, KS, lift and
  calibration tables, a score histogram, confusion counts at thresholds;
- classes: accuracy, precision, recall and F1 by class and averaged, one-vs-rest AUC, log loss, confusion;
- regression: errors, explained shares, deviances, mean label by band of the prediction;
- ranking: NDCG of the first 1, 3, 5 and 10 of each group, mean average precision, mean reciprocal rank;
- with `reference`, how far the scores drifted from those of another step (population stability index).

Submitter learns the measures and nothing of a row. Curves have at most `points` corners; every group of rows that a
curve, table or confusion tells of holds at least `min_cell` rows: neighbouring scores are joined until it does, and a
threshold moves to the nearest such border. Nobody else learns anything.
Not protected: a group's label counts are exact, so a group of one label tells it of all its rows; single numbers of
all rows are exact; a threshold in a table is the score of a row, without saying which. Several evaluations of the same
scores (other parts, another `min_cell`) join rows each in its own way, so that together they can tell of fewer rows.
The label party's policy sets the least rows of a dataset.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.training.metrics import Task
from parley.components.training.metrics import evaluate as measures
from parley.protocols.evaluate.scored import NAMES, Scored, drifts, reference_scores, scored
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.wire.errors import ParleyError


class Params(BaseModel):
    """`rows`: which rows count, `each` part apart or one of them; `threshold`, `thresholds`: scores from here on are
    called 1; `points`: corners of a curve; `min_cell`: the fewest rows that a table or curve tells of;
    `reference`: the step whose scores are the reference of drift; `power`: of the Tweedie deviance."""

    model_config = ConfigDict(extra="forbid")
    rows: Literal["all", "training", "validation", "test", "each"] = "each"
    threshold: float = Field(default=0.5, ge=0, le=1)
    thresholds: list[float] = Field(default_factory=list, max_length=100)
    points: int = Field(default=200, ge=2, le=2000)
    min_cell: int = Field(default=10, ge=1, le=10_000)
    reference: str | None = None
    power: float = Field(default=1.5, gt=1, lt=2)


EVALUATE = Protocol(
    "evaluate",
    version=2,
    security=SEMI_HONEST,
    summary="Measures of a model's scores at the party that holds the labels.",
    roles={"label": "one"},
    steps=[],
    learns={"label": [], "submitter": ["metrics"], "coordinator": ["sizes"]},
    params=Params,
)


@EVALUATE.role("label")
async def label(s: Session, task: Task, data: Scored) -> dict[str, Any]:
    """Measures by part; a part of fewer rows than a cell is left out where `each` was asked."""
    out: dict[str, Any] = {}
    for name, chosen in parts(data.part, s.params.rows).items():
        few = int(chosen.sum()) < s.params.min_cell
        if few and s.params.rows == "each" and name != "all":
            continue
        if not chosen.any():
            raise ParleyError("no_rows", f"There are no {name} rows.", "Hold some out in training, or ask for all.")
        with told():
            out[name] = await s.compute(
                measures,
                task,
                data.labels[chosen],
                data.scores[chosen],
                weights=None if data.weights is None else data.weights[chosen],
                threshold=s.params.threshold,
                thresholds=s.params.thresholds,
                points=s.params.points,
                min_cell=s.params.min_cell,
                power=s.params.power,
                groups=None if data.groups is None else data.groups[chosen],
            )
    if not out:
        raise ParleyError("too_few_rows", "No part has as many rows as min_cell.", "Ask for rows: all.")
    return out


def parts(part: NDArray[np.uint8], wanted: str) -> dict[str, NDArray[np.bool_]]:
    """By name (n,) which rows count: those of one part, all, or each part where there is more than one."""
    found = np.unique(part).tolist()
    if wanted == "all" or (wanted == "each" and len(found) < 2):
        return {"all": np.ones(part.size, dtype=bool)}
    if wanted == "each":
        return {NAMES[p]: part == p for p in found}
    return {wanted: part == NAMES.index(wanted)}


@EVALUATE.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs a training or prediction step; tells the submitter the measures, and the drift when asked."""
    data = scored(inputs, s.params.reference)
    found = await label(s, data.task, data)
    result: dict[str, Any] = {"metrics": found}
    if s.params.reference is not None:
        reference = reference_scores(inputs, s.params.reference)
        result["drift"] = await s.compute(drifts, reference, data.scores, s.params.min_cell)
    return StepOutputs(result=result)


EVALUATE.wants = ("scores",)
