"""Binds the roles of vertical linear models to datasets: what they read, what they keep, what the submitter is told."""

from __future__ import annotations

from typing import Any

import numpy as np

from parley.components.training.linear import Fixed, Floats
from parley.protocols.frame import TRAIN, VALIDATE, Frame, frame_of
from parley.protocols.inputs import kept, need_columns, told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.protocols.linear.data import Scale, feature_columns, fit_scale, label_values
from parley.protocols.linear.params import Params
from parley.protocols.linear.vertical import VERTICAL, Part, Trained, features, label
from parley.wire.errors import ParleyError


def _part(s: Session, inputs: StepInputs, *, is_label: bool) -> tuple[Part, Scale, Frame]:
    """This party's columns in fixed point, how they were scaled, and its frame."""
    params, frame = s.params, frame_of(inputs, s.me)
    earlier = _earlier(params, inputs)
    names = feature_columns(params, s.me, frame.table.column_names, label=is_label)
    with told():
        scale = Scale.of(earlier) if earlier else fit_scale(frame.table, names, frame.part == TRAIN, params.standardize)
        need_columns(scale.names, frame.table.column_names, s.me)
        x = scale.apply(frame.table)
        constant = is_label and params.intercept
        if constant:
            x = np.concatenate([x, np.ones((frame.rows.size, 1))], axis=1)
        fixed = Fixed(params.family, frame.rows.size)
        free = np.arange(x.shape[1]) == (x.shape[1] - 1 if constant else -1)
        start = np.asarray(earlier["weights"]) if earlier else np.zeros((params.outputs, x.shape[1]))
    if start.shape != (params.outputs, x.shape[1]) or (earlier and list(earlier["columns"]) != names):
        raise ParleyError("model_mismatch", "The earlier model is over other columns.", "Name the same columns.")
    training, validation = (np.flatnonzero(frame.part == p) for p in (TRAIN, VALIDATE))
    if not training.size:
        raise ParleyError("no_rows", "No rows are there to train on.", "Look at the steps before this one.")
    return Part(fixed.columns(x), training, validation, start, free), scale, frame


def _earlier(params: Params, inputs: StepInputs) -> dict[str, Any] | None:
    if not params.warm_start:
        return None
    found = kept(inputs, "linear")
    if found is None:
        raise ParleyError("no_model", "No earlier step left a linear model here.", "Let it need the first training.")
    return found


def _keep(params: Params, trained: Trained, scale: Scale) -> dict[str, Any]:
    """What prediction and a later training need of a party's part."""
    f = params.family
    family = {"model": params.model, "power": f.power, "frequencies": f.order, "period": f.period}
    fixed = {"linear": family, "fixed_rows": trained.fixed.rows, "intercept": params.intercept}
    return {**fixed, "weights": trained.weights, **scale.state()}


def coefficients(scale: Scale, weights: Floats) -> list[dict[str, Any]]:
    """Each column's weight for each output, per deviation and per unit."""
    scaled = weights[:, : len(scale.names)].T
    return [
        {"column": name, "standardized": w.tolist(), "weight": (w / spread).tolist()}
        for name, w, spread in zip(scale.names, scaled, scale.spread, strict=True)
    ]


def _labelled(s: Session, inputs: StepInputs) -> tuple[Part, Scale, Frame, Floats, dict[str, Any]]:
    part, scale, frame = _part(s, inputs, is_label=True)
    params, family = s.params, s.params.family
    need_columns([params.label], frame.table.column_names, s.me)
    with told():
        y, classes = label_values(frame.table.column(params.label), params)
        shift, factor = family.scale(y[part.training])
        labels = family.labels(y, shift, factor)
    return part, scale, frame, labels, {"shift": shift, "factor": factor, "classes": classes}


@VERTICAL.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its weights; tells the submitter the losses and its own coefficients."""
    part, scale, _, labels, target = await s.compute(_labelled, s, inputs)
    trained = await label(s, part, labels)
    assert trained.course is not None
    result: dict[str, Any] = {
        "rows": int(part.training.size),
        "validation_rows": int(part.validation.size),
        "epochs": len(trained.course.losses),
        "kept": trained.course.kept,
        "watched": "validation" if trained.course.validated else "training",
        "losses": trained.course.losses,
        "coefficients": coefficients(scale, trained.weights),
    }
    if s.params.intercept:
        result["intercept"] = [float(w) for w in trained.weights[:, -1]]
    return StepOutputs(keep={**_keep(s.params, trained, scale), **target}, result=result)


@VERTICAL.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its weights; tells the submitter nothing."""
    part, scale, _ = await s.compute(lambda: _part(s, inputs, is_label=False))
    if not scale.names:
        raise ParleyError("no_features", f"{s.me} has no feature column.", "Name some under `columns`.")
    return StepOutputs(keep=_keep(s.params, await features(s, part), scale))


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "unknown_column", or "no_features" for a features party without one."""
    is_label = me in cast["label"]
    if is_label:
        need_columns([params.label], schema, me)
    if not feature_columns(params, me, list(schema), label=is_label) and not is_label:
        raise ParleyError("no_features", f"{me} has no feature column.", "Name some under `columns`.", party=me)


VERTICAL.data_checks.append(check_data)
VERTICAL.leaves = ("a linear model",)
