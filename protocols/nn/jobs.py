"""Binds the roles of split training to datasets: what they read, what they keep, what the submitter is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from parley.components.training.nn_mlp import torch_is_here, torch_missing, under
from parley.protocols.frame import VALIDATE, Frame, frame_of
from parley.protocols.inputs import need_columns, told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.protocols.nn.data import Data, feature_columns, label_values, matrix, parted
from parley.protocols.nn.features_side import features, parties_in_order
from parley.protocols.nn.label_side import label
from parley.protocols.nn.params import Params, privacy
from parley.protocols.nn.split import SPLIT
from parley.wire.errors import ParleyError


def need_torch(me: str) -> None:
    """ParleyError "torch_missing" where it is not installed."""
    if not torch_is_here():
        e = torch_missing()
        raise ParleyError(e.code, e.cause, e.hint, party=me)


def _read(s: Session, inputs: StepInputs, *, label: bool) -> tuple[Data, Frame, list[str]]:
    """The frame's rows as they are used here, this party's columns of them, and the columns' names."""
    need_torch(s.me)
    frame = frame_of(inputs, s.me)
    frame = frame.with_part(parted(s, frame.part))
    p, table = s.params, frame.table
    if label:
        need_columns([p.label], table.column_names, s.me)
    columns = feature_columns(p, s.me, table.column_names, label=label)
    with told():
        x = matrix(table, columns)
        y = label_values(table.column(p.label), p.objective, p.positive) if label else None
    return Data(x, frame.part, y), frame, columns


def _shape(s: Session, columns: list[str]) -> str:
    """How this party's part of the network is built, for prediction."""
    p: Params = s.params
    cut = {"cut": p.cut, "clip": p.clip, "noise": p.noise}
    return json.dumps({"columns": columns, "width": p.width(s.me), "activation": p.activation, **cut})


@SPLIT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its own layers, those behind the cut and every row's score; tells the submitter losses and leakage."""
    data, frame, columns = await s.compute(_read, s, inputs, label=True)
    trained = await label(s, data)
    assert data.y is not None
    p, loss = s.params, trained.loss
    widths = {q: p.width(q) for q in parties_in_order(s)}
    keep = {
        **frame.keep(),
        **under("nn", trained.arrays),
        "nn_part": _shape(s, columns),
        "nn_loss": json.dumps({"kind": loss.kind, "outputs": loss.outputs, "mean": loss.mean, "spread": loss.spread}),
        "nn_widths": json.dumps(widths),
        "order": list(parties_in_order(s)),
        "task": p.task,
        "labels": data.y,
        "scores": loss.predictions(trained.outputs),
        "epochs": trained.kept,
        "validation": (frame.part == VALIDATE).astype(np.uint8),
    }
    result: dict[str, Any] = {
        "rows": int(data.training.size),
        "validation_rows": int(data.watched.size),
        "epochs": trained.kept,
        "watched": "validation" if data.watched.size else "training",
        "losses": [float(x) for x in trained.losses],
        "leakage": trained.seen.figures(),
    }
    if p.cut == "noised":
        result["privacy"] = privacy(p, len(trained.losses), len(data.part))
    return StepOutputs(keep=keep, result=result)


@SPLIT.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its own layers; tells the submitter nothing."""
    data, frame, columns = await s.compute(_read, s, inputs, label=False)
    if not columns:
        raise ParleyError("no_features", f"{s.me} has no feature column.", "Name some under `columns`.")
    arrays = await features(s, data)
    return StepOutputs(keep={**frame.keep(), **under("nn", arrays), "nn_part": _shape(s, columns)})


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "torch_missing", "unknown_column", or "no_features" for a features party without one."""
    need_torch(me)
    is_label = me in cast["label"]
    if is_label:
        need_columns([params.label], schema, me)
    columns = feature_columns(params, me, list(schema), label=is_label)
    if not columns and not is_label:
        raise ParleyError("no_features", f"{me} has no feature column.", "Name some under `columns`.", party=me)


SPLIT.data_checks.append(check_data)
SPLIT.leaves = ("scores", "a network")
