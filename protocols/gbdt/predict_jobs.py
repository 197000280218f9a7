"""Binds scoring without paths to datasets and models: what its parties read and keep."""

from __future__ import annotations

import json

import numpy as np

from parley.components.training.trees import Model
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.predict import Scorer, binned, kept_labels, kept_model, kept_offset, needs_named
from parley.protocols.gbdt.predict_score import SCORE, features, label
from parley.protocols.inputs import told
from parley.protocols.kit import Session, StepInputs, StepOutputs


@SCORE.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps `scores`, and `labels` when asked; tells the count and the scheme."""
    kept = kept_model(inputs, "model")
    bins, frame = await s.compute(binned, s, inputs, kept)
    with told():
        model = Model.from_dict(json.loads(kept["model"]))
    offset = kept_offset(s, frame.table, model)
    scores = await label(s, Scorer(model, tuple(kept["order"]), bins, offset))
    keep = {
        "scores": model.objective.predict(scores.raw),
        "rows": frame.rows,
        "part": frame.part,
        "task": kept["task"],
        "step": scores.step,
    }
    keep.update(kept_labels(s, frame.table, model))
    return StepOutputs(keep=keep, result={"rows": int(frame.rows.size), "encryption": scores.encryption})


@SCORE.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps and tells nothing."""
    kept = kept_model(inputs, "left")
    bins, _ = await s.compute(binned, s, inputs, kept)
    await features(s, Splits.of(kept), np.asarray(bins))
    return StepOutputs()


SCORE.data_checks.append(needs_named)
SCORE.wants = ("a boosted model",)
SCORE.leaves = ("scores",)
