"""Binds the roles of vertical boosting to datasets: what they read, what they keep, what the submitter is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from parley.components.features import Binning
from parley.components.training.trees import Model
from parley.protocols.frame import VALIDATE, Frame, bare_frame, frame_of
from parley.protocols.gbdt.course import Begun, Splits
from parley.protocols.gbdt.data import (
    LabelData,
    PartData,
    binned_as,
    feature_columns,
    group_codes,
    label_values,
    part_data,
    positive_values,
)
from parley.protocols.gbdt.features_side import Grown, features
from parley.protocols.gbdt.label_side import Trained, label
from parley.protocols.gbdt.outside import Outside
from parley.protocols.gbdt.params import Params
from parley.protocols.gbdt.sampling import parted, parties_in_order
from parley.protocols.gbdt.vertical import VERTICAL
from parley.protocols.inputs import need_columns, told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.wire.errors import ParleyError

Kept = dict[str, Any]


def _earlier(s: Session, inputs: StepInputs) -> Kept | None:
    """What the training that this one goes on from kept here; ParleyError "no_model", "ambiguous_model"."""
    if not s.params.warm_start:
        return None
    found = [kept for kept in inputs.needs.values() if {"binning", "rounds"} <= set(kept)]
    if len(found) != 1:
        code, many = ("no_model", "no") if not found else ("ambiguous_model", "more than one")
        raise ParleyError(code, f"warm_start found {many} earlier training.", "Let it need that one training step.")
    return found[0]


def _part(s: Session, inputs: StepInputs, before: Kept | None, *, label: bool) -> tuple[PartData, Frame]:
    """This party's binned features, and the frame they come from, with the rows parted as they are used here.

    After an earlier training these are its rows, its parts and its bins.
    """
    given = inputs if before is None else replace(inputs, needs={"before": before})
    if given.table is None and given.stored is not None:
        return _outside(s, given, before, label=label)
    frame = frame_of(given, s.me)
    frame = frame.with_part(parted(s, frame.part))
    if before is not None:
        with told():
            binning = Binning.from_dict(json.loads(before["binning"]))
            return binned_as(frame.table, frame.rows, binning, frame.part), frame
    columns = feature_columns(s.params, s.me, frame.table.column_names, label=label)
    with told():
        return part_data(frame.table, frame.rows, columns, s.params.bins, frame.part), frame


def _outside(s: Session, inputs: StepInputs, before: Kept | None, *, label: bool) -> tuple[PartData, Frame]:
    """The same of a dataset that is not held in memory; the frame has no columns but the label party's own few."""
    assert inputs.stored is not None
    frame = bare_frame(inputs)
    frame = frame.with_part(parted(s, frame.part))
    p, binning = s.params, None
    with told():
        outside = Outside(inputs.stored, frame.rows, frame.pipeline, s.me)
        if before is not None:
            binning = Binning.from_dict(json.loads(before["binning"]))
        features = feature_columns(p, s.me, outside.columns, label=label) if binning is None else []
        features = features if binning is None else [c.name for c in binning.columns]
        own = p.own_columns if label else []
        need_columns(own, outside.columns, s.me)
        outside.prepare(dict.fromkeys([*features, *own]))
        part = outside.binned(features, p.bins, frame.part, binning)
        return part, replace(frame, table=outside.table(own))


def _begun(s: Session, before: Kept | None) -> Begun | None:
    """The label party's model so far; ParleyError "other_model" when these parameters cannot go on from it."""
    if before is None:
        return None
    with told():
        model = Model.from_dict(json.loads(before["model"]))
    same = model.objective == s.params.loss() and list(before["order"]) == list(parties_in_order(s.cast))
    if not same or any(len(trees) != s.params.apart for trees in model.rounds):
        raise ParleyError(
            "other_model",
            "The earlier model has another objective or other parties.",
            "Keep objective, multi and roles.",
        )
    return Begun(model, np.asarray(before["raw"], dtype=np.float64))


def _labelled(s: Session, inputs: StepInputs, before: Kept | None) -> tuple[LabelData, Frame]:
    part, frame = _part(s, inputs, before, label=True)
    p, table = s.params, frame.table
    need_columns(p.own_columns, table.column_names, s.me)
    with told():
        y = label_values(table.column(p.label), p)
        weights = None if p.weight is None else positive_values(table.column(p.weight), "the weight", zero=True)
        exposure = None if p.exposure is None else positive_values(table.column(p.exposure), "the exposure", zero=False)
        # Rows that are watched are put in order among themselves.
        groups = None if p.group is None else 3 * group_codes(table.column(p.group)) + frame.part
    return LabelData(part, y, weights, None if exposure is None else np.log(exposure), groups), frame


@VERTICAL.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the model, its own binning and every row's score; tells the submitter the losses and the importances."""
    before = _earlier(s, inputs)
    data, frame = await s.compute(_labelled, s, inputs, before)
    trained = await label(s, data, _begun(s, before))
    keep = frame.keep() | {
        "model": json.dumps(trained.model.to_dict()),
        "binning": json.dumps(data.part.binning.to_dict()),
        "order": list(parties_in_order(s.cast)),
        "task": s.params.task,
        "labels": data.y,
        "scores": trained.course.objective.predict(trained.course.scores()),
        "raw": trained.course.scores(),
        "rounds": trained.course.kept,
        "gains": _gains(s.me, data.part, trained),
        "validation": (frame.part == VALIDATE).astype("uint8"),
    }
    if data.weights is not None:
        keep["weights"] = data.weights
    if data.groups is not None:
        keep["groups"] = data.groups // 3
    result = {
        "rows": int(data.part.training.sum()),
        "validation_rows": int((frame.part == VALIDATE).sum()),
        "rounds": trained.course.kept,
        "encryption": trained.encryption,
        "watched": "validation" if (frame.part == VALIDATE).any() else "training",
        "losses": [float(x) for x in trained.course.losses],
        "importance": importance(s.me, data.part, trained),
        "leakage": await s.compute(
            trained.seen.figures, data.y, s.params.outputs if s.params.task in ("binary", "multiclass") else None
        ),
    }
    return StepOutputs(keep=keep, result=result)


def _gains(me: str, part: PartData, trained: Trained) -> dict[str, Any]:
    """Party -> the gain of each of its columns, in the order of their numbers, for a selection of columns."""
    gain, own = trained.model.importance("gain"), len(part.binning.columns)
    return {me: gain[:own]} | {p.name: gain[p.start : p.start + len(p.n_bins)] for p in trained.peers}


def importance(me: str, part: PartData, trained: Trained) -> list[dict[str, Any]]:
    """Each used feature with its owner and its number there, most gain first.

    Features of others go by `#number` unless names were shared.
    """
    owners = [(me, c.name, i) for i, c in enumerate(part.binning.columns)]
    owners += [(p.name, name, i) for p in trained.peers for i, name in enumerate(p.names)]
    gain, cover, splits = (trained.model.importance(m) for m in ("gain", "cover", "splits"))
    used = sorted((i for i in range(len(owners)) if splits[i] > 0), key=lambda i: (-gain[i], i))
    return [
        {
            "party": owners[i][0],
            "feature": owners[i][1],
            "number": owners[i][2],
            "gain": float(gain[i]),
            "cover": float(cover[i]),
            "splits": int(splits[i]),
        }
        for i in used
    ]


@VERTICAL.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its own splits and binning; tells the submitter nothing."""
    before = _earlier(s, inputs)
    part, frame = await s.compute(_part, s, inputs, before, label=False)
    if not part.n_bins:
        raise ParleyError("no_features", f"{s.me} has no feature column.", "Name some under `columns`.")
    grown = await features(s, part, None if before is None else Grown(Splits.of(before), int(before["rounds"])))
    kept = grown.splits.state(max(part.n_bins)) | {"rounds": grown.rounds}
    return StepOutputs(keep={**frame.keep(), **kept, "binning": json.dumps(part.binning.to_dict())})


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "unknown_column", or "no_features" for a features party without one."""
    is_label = me in cast["label"]
    if is_label:
        need_columns(params.own_columns, schema, me)
    need_columns(params.monotone.get(me, {}), schema, me)
    columns = feature_columns(params, me, list(schema), label=is_label)
    if not columns and not is_label:
        raise ParleyError("no_features", f"{me} has no feature column.", "Name some under `columns`.", party=me)


VERTICAL.data_checks.append(check_data)
VERTICAL.leaves = ("scores", "a boosted model")
