"""Binds the roles of vertical boosting to datasets: what they read, what they keep, what the submitter is told."""

from __future__ import annotations

import json
from typing import Any

from parley.protocols.gbdt.data import (
    LabelData,
    PartData,
    feature_columns,
    label_values,
    part_data,
    parties_in_order,
    training_rows,
)
from parley.protocols.gbdt.features_side import features
from parley.protocols.gbdt.label_side import Trained, label
from parley.protocols.gbdt.params import Params
from parley.protocols.gbdt.vertical import VERTICAL
from parley.protocols.inputs import aligned_rows, need_columns, table_of, take_rows, told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.wire.errors import ParleyError


def _part(s: Session, inputs: StepInputs, *, label: bool) -> tuple[PartData, Any]:
    """This party's binned features, and its aligned table."""
    rows = aligned_rows(inputs)
    table = take_rows(table_of(inputs, s.me), rows)
    columns = feature_columns(s.params, s.me, table.column_names, label=label)
    with told():
        return part_data(table, rows, columns, s.params.bins, training_rows(s, rows.size)), table


def _labelled(s: Session, inputs: StepInputs) -> LabelData:
    part, table = _part(s, inputs, label=True)
    need_columns([s.params.label], table.column_names, s.me)
    with told():
        return LabelData(part, label_values(table.column(s.params.label), s.params))


@VERTICAL.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the model, its own binning and every row's score; tells the submitter the losses and the importances."""
    data = await s.compute(_labelled, s, inputs)
    trained = await label(s, data)
    keep = {
        "model": json.dumps(trained.model.to_dict()),
        "binning": json.dumps(data.part.binning.to_dict()),
        "order": list(parties_in_order(s.cast)),
        "task": s.params.task,
        "rows": data.part.rows,
        "labels": data.y,
        "scores": trained.course.predictions(),
        "validation": (~trained.training).astype("uint8"),
    }
    result = {
        "rows": int(trained.training.sum()),
        "validation_rows": int((~trained.training).sum()),
        "rounds": trained.course.kept,
        "encryption": trained.encryption,
        "watched": "training" if trained.training.all() else "validation",
        "losses": [float(x) for x in trained.course.losses],
        "importance": importance(s.me, data.part, trained),
    }
    return StepOutputs(keep=keep, result=result)


def importance(me: str, part: PartData, trained: Trained) -> list[dict[str, Any]]:
    """Each used feature with its owner, most gain first; features of others go by number unless names were shared."""
    owners = [(me, c.name) for c in part.binning.columns]
    owners += [(p.name, name) for p in trained.peers for name in p.names]
    gain, cover, splits = (trained.model.importance(m) for m in ("gain", "cover", "splits"))
    used = sorted((i for i in range(len(owners)) if splits[i] > 0), key=lambda i: (-gain[i], i))
    return [
        {
            "party": owners[i][0],
            "feature": owners[i][1],
            "gain": float(gain[i]),
            "cover": float(cover[i]),
            "splits": int(splits[i]),
        }
        for i in used
    ]


@VERTICAL.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its own splits and binning; tells the submitter nothing."""
    part, _ = await s.compute(_part, s, inputs, label=False)
    if not part.n_bins:
        raise ParleyError("no_features", f"{s.me} has no feature column.", "Name some under `columns`.")
    splits = await features(s, part)
    kept = splits.state(max(part.n_bins))
    return StepOutputs(keep={**kept, "binning": json.dumps(part.binning.to_dict()), "rows": part.rows})


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "unknown_column", or "no_features" for a features party without one."""
    is_label = me in cast["label"]
    if is_label:
        need_columns([params.label], schema, me)
    columns = feature_columns(params, me, list(schema), label=is_label)
    if not columns and not is_label:
        raise ParleyError("no_features", f"{me} has no feature column.", "Name some under `columns`.", party=me)


VERTICAL.data_checks.append(check_data)
