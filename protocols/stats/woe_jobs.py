"""Binds weight of evidence to frames: which columns, what each party keeps, what the submitter is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from parley.components.features.pipeline import Transform
from parley.components.features.woe import BinValues, labels_of
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import need_columns, told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.protocols.prep.columns import same
from parley.protocols.stats.woe import WOE, Column, Told, features, label
from parley.protocols.stats.woe_data import Binned, binned, feature_columns, label_numbers
from parley.protocols.stats.woe_messages import Params
from parley.wire.errors import ParleyError


def _features(s: Session, inputs: StepInputs, *, label: bool) -> tuple[Frame, Any, Binned]:
    """The frame, the table of its training rows, and this party's bins over them."""
    frame = frame_of(inputs, s.me)
    if label:
        wanted = [c for c in (s.params.label, s.params.weight) if c is not None]
        need_columns(wanted, frame.table.column_names, s.me)
    names = feature_columns(s.params, s.me, frame.table.column_names, label=label)
    if not names and not label:
        raise ParleyError("no_features", f"{s.me} has no feature column.", "Name some under `columns`.")
    seen = frame.table if frame.training.all() else frame.table.filter(frame.training)
    with told():
        return frame, seen, binned(s.params, s.me, seen, names)


def _transforms(params: Params, data: Binned, found: Told) -> list[Transform]:
    """The columns as weights of evidence or numbers of joined bins, as far as this party was told them."""
    if params.transform == "none" or not data.groups or found.groups is None:
        return []
    values = found.groups.astype(np.float64) if found.woe is None else found.woe
    each = np.split(values, np.cumsum(data.n_bins)[:-1])
    by_bin = tuple(tuple(v[g].tolist()) for v, g in zip(each, data.groups, strict=True))
    return [BinValues(data.binning, by_bin)]


def _own(params: Params, own: list[Column]) -> Told:
    if not own or params.transform == "none":
        return Told()
    groups = np.concatenate([c.found.groups for c in own]).astype(np.uint16)
    return Told(groups, np.concatenate([c.found.woe for c in own]) if params.transform == "woe" else None)


@WOE.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its own transform and every column's information value; tells the submitter these, and bins if agreed."""
    frame, seen, data = await s.compute(_features, s, inputs, label=True)
    with told():
        values, unit = await s.compute(label_numbers, seen, s.params)
    columns, encryption = await label(s, data, values, unit)
    transforms = _transforms(s.params, data, _own(s.params, [c for c in columns if c.party == s.me]))
    with told():
        keep = frame.with_transforms(transforms).keep()
    found = [{"party": c.party, "feature": c.name, "number": c.number, "iv": c.found.iv} for c in columns]
    keep["facts"] = json.dumps({"label": s.params.label, "columns": data.names, "iv": found})
    if s.params.report == "bins":
        found = [{**entry, "bins": c.found.table()} for entry, c in zip(found, columns, strict=True)]
    return StepOutputs(keep=keep, result={"rows": len(values), "encryption": encryption, "binning": found})


@WOE.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its own transform, the numbers of its columns and what its bins hold; tells the submitter nothing."""
    frame, _, data = await s.compute(_features, s, inputs, label=False)
    found = await features(s, data)
    with told():
        keep = frame.with_transforms(_transforms(s.params, data, found)).keep()
    bins = [labels_of(c, g) for c, g in zip(data.binning.columns, data.groups, strict=True)]
    keep["facts"] = json.dumps({"columns": data.names, "bins": bins})
    return StepOutputs(keep=keep)


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "no_features" for a features party without a column; earlier steps may make columns anew."""
    if me not in cast["label"] and not feature_columns(params, me, [*schema, *params.columns.get(me, [])], label=False):
        raise ParleyError("no_features", f"{me} has no feature column.", "Name some under `columns`.", party=me)


WOE.data_checks.append(check_data)
WOE.reshapes = same
