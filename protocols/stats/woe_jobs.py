"""Binds the roles of binning by evidence to datasets: what they read, what they keep, what the submitter is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley.components.features.pipeline import Transform
from parley.components.features.woe import MergedIndex, Woe
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import need_columns, told
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.protocols.stats.binned import Binned, binned, labels_of
from parley.protocols.stats.columns import chosen, zero_one
from parley.protocols.stats.params import Params
from parley.protocols.stats.woe import WOE, Answer, Feature, features, label
from parley.wire.errors import ParleyError


def _read(s: Session, inputs: StepInputs, *without: str | None) -> tuple[Frame, Binned, Any]:
    """The frame, its training rows in bins, and those rows' table."""
    frame = frame_of(inputs, s.me)
    names = chosen(s.params, s.me, frame.table.column_names, *without)
    with told():
        seen = frame.table if frame.training.all() else frame.table.filter(frame.training)
        return frame, binned(seen, names, s.params, s.me), seen


def transforms(mine: Binned, answer: Answer, kind: str) -> list[Transform]:
    """What the party's columns become."""
    if kind == "none" or not mine.binning.columns:
        return []
    if kind == "index":
        groups = (g[to] for g, to in zip(answer.merged, mine.joined, strict=True))
        return [MergedIndex(mine.binning, tuple(tuple(g.tolist()) for g in groups))]
    assert answer.woe is not None
    weights = (w[to] for w, to in zip(answer.woe, mine.joined, strict=True))
    return [Woe(mine.binning, tuple(tuple(w.tolist()) for w in weights))]


def table_of_bins(mine: Binned, found: list[Feature], me: str) -> list[dict[str, Any]]:
    """Each feature with its bins that have rows: those of others by number, the last one `missing`."""
    out = []
    for f in found:
        if f.party == me:
            names = labels_of(mine.binning.columns[f.number], f.merged[mine.joined[f.number]])
        else:
            names = [*(str(k + 1) for k in range(f.rows.size - 1)), "missing"]
        names += ["missing"] * (f.rows.size - len(names))
        each = zip(names, f.rows.tolist(), f.events.tolist(), f.woe.tolist(), strict=True)
        bins = [{"label": n, "rows": r, "events": e, "woe": w} for n, r, e, w in each if r]
        out.append({"party": f.party, "feature": f.name, "number": f.number, "iv": f.iv, "bins": bins})
    return out


@WOE.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its frame and all information values; tells the submitter the table of bins."""
    p = s.params
    frame, mine, seen = await s.compute(_read, s, inputs, p.label)
    need_columns([p.label], frame.table.column_names, s.me)
    with told():
        y: NDArray[np.int64] = zero_one(seen, p.label, p.positive)
    found = await label(s, mine, y)
    own = found[: len(mine.rows)]
    answer = Answer(tuple(f.merged for f in own), tuple(f.woe[f.merged] for f in own))
    evidence = [{"party": f.party, "feature": f.name, "number": f.number, "iv": f.iv} for f in found]
    keep = frame.with_transforms(transforms(mine, answer, p.transform)).keep()
    result = {"rows": int(y.size), "events": int(y.sum()), "binning": table_of_bins(mine, found, s.me)}
    return StepOutputs(keep=keep | _measured(mine, evidence), result=result)


@WOE.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps its frame and which columns the numbers stand for; tells the submitter nothing."""
    frame, mine, _ = await s.compute(_read, s, inputs)
    if not mine.rows:
        raise ParleyError("no_features", f"{s.me} has no feature column.", "Name some under `columns`.")
    answer = await features(s, mine)
    keep = frame.with_transforms(transforms(mine, answer, s.params.transform)).keep()
    return StepOutputs(keep=keep | _measured(mine, []))


def _measured(mine: Binned, evidence: list[dict[str, Any]]) -> dict[str, Any]:
    """Which columns the numbers stand for, and at the label party what each feature's information value is."""
    return {"iv": json.dumps({"columns": [c.name for c in mine.binning.columns], "features": evidence})}


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "unknown_column", or "no_features" for a features party without one."""
    is_label = me in cast["label"]
    if is_label:
        need_columns([params.label], schema, me)
    need_columns(params.edges.get(me, {}), schema, me)
    if not chosen(params, me, list(schema), params.label if is_label else None) and not is_label:
        raise ParleyError("no_features", f"{me} has no feature column.", "Name some under `columns`.", party=me)


WOE.data_checks.append(check_data)
