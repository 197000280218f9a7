"""Measures of a model's scores at the party that holds the labels; no message is sent.

Ideal functionality: the label party's measures, computed from its own labels and the scores an earlier step left with
it, go to the submitter: AUC, KS, ROC, precision-recall and lift curves and confusion counts of a binary task, accuracy,
F1 and confusion of classes, errors of a regression. Where training held rows out, they are measured apart.

Submitter learns the measures, with curves of at most `points` corners. Nobody else learns anything.
Not protected: measures of very few rows can say much about each; the label party's policy sets the least rows.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.training.metrics import Task
from parley.components.training.metrics import evaluate as measures
from parley.protocols.inputs import kept, told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.wire.errors import ParleyError


class Params(BaseModel):
    """`rows`: which rows count; `threshold`: scores from here on are called 1; `points`: corners of a curve."""

    model_config = ConfigDict(extra="forbid")
    rows: Literal["all", "training", "validation", "each"] = "each"
    threshold: float = Field(default=0.5, ge=0, le=1)
    points: int = Field(default=200, ge=2, le=2000)


EVALUATE = Protocol(
    "evaluate",
    version=1,
    security=SEMI_HONEST,
    summary="Measures of a model's scores at the party that holds the labels.",
    roles={"label": "one"},
    steps=[],
    learns={"label": [], "submitter": ["metrics"], "coordinator": ["sizes"]},
    params=Params,
)


@EVALUATE.role("label")
async def label(
    s: Session, task: Task, labels: NDArray[np.float64], scores: NDArray[np.float64], held_out: NDArray[np.bool_]
) -> dict[str, Any]:
    """`labels` (n,), `scores` (n, K) probabilities or values, `held_out` (n,) rows that training did not see."""
    parts = {"training": ~held_out, "validation": held_out, "all": np.ones(labels.size, dtype=bool)}
    wanted = ("training", "validation") if s.params.rows == "each" and held_out.any() else (s.params.rows,)
    out: dict[str, Any] = {}
    for name in wanted:
        chosen = parts["all" if name == "each" else name]
        if not chosen.any():
            raise ParleyError("no_rows", f"There are no {name} rows.", "Train with validation > 0, or ask for all.")
        with told():
            values = await s.compute(
                measures, task, labels[chosen], scores[chosen], threshold=s.params.threshold, points=s.params.points
            )
        out["all" if name == "each" else name] = values
    return out


@EVALUATE.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs a training or prediction step; keeps and tells the submitter the measures."""
    needed = kept(inputs, "scores")
    if needed is None:
        raise ParleyError("no_scores", "No earlier step left scores.", "Let it need a training or prediction step.")
    if "labels" not in needed:
        raise ParleyError("no_labels", "The scores were made without labels.", "Give the prediction step a `label`.")
    labels, scores = np.asarray(needed["labels"]), np.asarray(needed["scores"])
    mask = np.asarray(needed.get("validation", np.zeros(labels.size)), dtype=bool)
    found = await label(s, needed["task"], labels, scores, mask)
    return StepOutputs(result={"metrics": found})
