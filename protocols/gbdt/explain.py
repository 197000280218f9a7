"""What each column adds to the score of each row, by a model that vertical boosting trained: Shapley values.

Ideal functionality: the label party gets, for every aligned row, what each of its own columns and what all columns of
each features party together add to the raw score (log odds, or the prediction before its link); they and the base add
up to it. The submitter gets their mean sizes over all rows. Adversary: semi-honest.

    step  from -> to          message   carries                                          bytes
    1     features -> label   Sides     per tree, which side of its splits each row takes  1/8 per row and split

Label learns, for each row, its side at every split of the features parties (`directions`), also at nodes that the row
does not reach: what `gbdt/predict` tells it too, and no value of any column. From these it could tell the features of
one party apart by number, though what is kept adds them up. Features learns nothing but its own number of aligned rows.
Submitter learns means over at least `min_cell` rows. Coordinator: sizes.
Not protected: an attribution speaks of the row's values; it stays with the label party, like a score.
Source: Lundberg et al., 2020, in the path-dependent form; see `components.training.attribution`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.features import Binning
from parley.components.training.attribution import attributions
from parley.components.training.trees import Model
from parley.protocols.frame import frame_of
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.predict import Sides, features, kept_model, sides_from
from parley.protocols.gbdt.predict import cost as sides_cost
from parley.protocols.inputs import together, told
from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Protocol,
    Session,
    Sizes,
    Step,
    StepInputs,
    StepOutputs,
)
from parley.wire.errors import ParleyError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
MOST_BYTES = 200 << 20


class Params(BaseModel):
    """`trees` and `depth` bound the model: what it was trained with, at most (classes count as trees);
    `min_cell`: the fewest rows that a mean is told of."""

    model_config = ConfigDict(extra="forbid")
    trees: int = Field(default=100, ge=1, le=200_000)
    depth: int = Field(default=6, ge=1, le=10)
    min_cell: int = Field(default=10, ge=1, le=10_000)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """One bit per row and split, at most 2^depth - 1 splits a tree."""
    return sides_cost(params, cast, sizes)  # type: ignore[arg-type]  # it reads trees and depth alone


EXPLAIN = Protocol(
    "gbdt/explain",
    version=1,
    security=SEMI_HONEST,
    summary="What each column adds to the scores of a model of vertical boosting, row by row.",
    roles={"label": "one", "features": "many"},
    steps=[Step("features", "label", Sides, "directions", stream=True)],
    learns={
        "label": ["attributions", "directions"],
        "features": [],
        "submitter": ["mean_attributions"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Explained:
    """`base` (K,), `values` (n, G, K); group g < F0 is the label party's own column, group F0 + p is party p."""

    base: Floats
    values: Floats = field(repr=False)


@EXPLAIN.role("label")
async def label(s: Session, model: Model, own: NDArray[np.uint16]) -> Explained:
    """`own` (n, F0) are the label party's bins; ParleyError "model_mismatch", "protocol_violation", "too_large"."""
    rows, columns = own.shape
    peers = s.peers("features")
    if rows * (columns + len(peers)) * len(model.base_score) * 8 > MOST_BYTES:
        raise ParleyError("too_large", "The attributions would not fit.", "Explain fewer rows in one step.")
    answers = await together(*(sides_from(s, p, rows) for p in peers))
    groups = np.arange(model.spec.features).clip(max=columns)
    owner: dict[int, int] = {}
    for at, (peer, answer) in enumerate(zip(peers, answers, strict=True)):
        for t, n in answer:
            feature = _asked(model, t, n, columns)
            if feature is None:
                raise ParleyError("protocol_violation", f"{peer} answered where nothing was asked.", party=peer)
            if (first := owner.setdefault(feature, at)) != at:  # which of the two is right cannot be told from here
                cause = f"{peers[first]} and {peer} answered splits of one column."
                raise ParleyError("model_mismatch", cause, "Train again, or use its step.")
            groups[feature] = columns + at
    sides: list[Mask] = []
    for t, (_, tree) in enumerate(model.trees()):
        taken = np.zeros((rows, len(tree.nodes)), dtype=bool)
        for n, node in enumerate(tree.nodes):
            if node.is_leaf:
                continue
            if node.feature < columns:
                taken[:, n] = node.goes_left(own[:, node.feature], model.spec.missing(node.feature))
                continue
            found = next((a[t, n] for a in answers if (t, n) in a), None)
            if found is None:
                raise ParleyError(
                    "model_mismatch", "A party lacks splits of this model.", "Train again, or use its step."
                )
            taken[:, n] = found
        sides.append(taken)
    return await s.compute(_explain, model, sides, groups, columns + len(peers))


def _asked(model: Model, t: int, n: int, columns: int) -> int | None:
    """The joined feature of a split that another party must answer, None where there is no such split."""
    trees = model.trees()
    if t >= len(trees) or n >= len(trees[t][1].nodes):
        return None
    feature = trees[t][1].nodes[n].feature
    return feature if feature >= columns else None


def _explain(model: Model, sides: list[Mask], groups: Ints, wanted: int) -> Explained:
    with told():
        base, values = attributions(model, sides, groups)
    missing = wanted - values.shape[1]
    if missing > 0:  # parties at the end whose columns no split uses
        values = np.concatenate([values, np.zeros((values.shape[0], missing, values.shape[2]))], axis=1)
    return Explained(base, values[:, :wanted])


EXPLAIN.role("features")(features)


def _ready(s: Session, inputs: StepInputs, kept: dict[str, Any]) -> tuple[NDArray[np.uint16], Ints]:
    """(n, F) bins of the aligned rows, prepared as in training, and the rows' ids."""
    frame = frame_of(inputs, s.me, prepared=kept.get("prepared"))
    record = json.loads(kept["binning"])
    if not record["columns"]:
        return np.empty((frame.rows.size, 0), dtype=np.uint16), frame.rows
    with told():
        return np.ascontiguousarray(Binning.from_dict(record).transform(frame.table)), frame.rows


@EXPLAIN.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps the attributions by row, tells their mean sizes."""
    kept = kept_model(inputs, "model")
    bins, rows = await s.compute(_ready, s, inputs, kept)
    if rows.size < s.params.min_cell:
        raise ParleyError("too_few_rows", "There are fewer rows than min_cell.", "Explain more rows.")
    with told():
        model = Model.from_dict(json.loads(kept["model"]))
    found = await label(s, model, bins)
    names = [(s.me, c["name"]) for c in json.loads(kept["binning"])["columns"]]
    names += [(p, "") for p in s.peers("features")]
    size = np.abs(found.values).mean(axis=0).sum(axis=1)
    order = sorted(range(len(names)), key=lambda g: (-size[g], g))
    means = [{"party": names[g][0], "feature": names[g][1], "mean": float(size[g])} for g in order]
    keep = {
        "rows": rows,
        "base": found.base,
        "attributions": found.values,
        "columns": [f"{party}/{feature}" if feature else party for party, feature in names],
    }
    return StepOutputs(keep=keep, result={"rows": int(rows.size), "attribution": means})


@EXPLAIN.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps and tells nothing."""
    kept = kept_model(inputs, "left")
    bins, _ = await s.compute(_ready, s, inputs, kept)
    await features(s, Splits.of(kept), bins)
    return StepOutputs()


EXPLAIN.wants = ("a boosted model",)
