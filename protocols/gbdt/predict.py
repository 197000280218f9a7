"""Scores of aligned rows by a model that vertical boosting trained, all trees at once.

Ideal functionality: the label party gets the model's score of every aligned row. Adversary: semi-honest.

    step  from -> to          message   carries                                          bytes
    1     features -> label   Sides     per tree, which side of its splits each row takes  1/8 per row and split

Label learns, for each row, its side at every split of the features parties (`directions`), also at nodes that the row
does not reach. Features learns nothing but its own number of aligned rows. Coordinator: sizes.
Source: Cheng et al., *SecureBoost*, 2019; here each side answers once, without being asked node by node.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.features import Binning
from parley.components.training.objectives import LOG_LINK
from parley.components.training.trees import Model, Tree
from parley.protocols.frame import Frame, frame_of
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.data import group_codes, label_values, positive_values
from parley.protocols.gbdt.params import Params as TrainParams
from parley.protocols.inputs import kept as kept_with
from parley.protocols.inputs import need_columns, together, told
from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Message,
    Protocol,
    Session,
    Sizes,
    Step,
    StepInputs,
    StepOutputs,
    array,
    message,
)
from parley.wire.errors import ParleyError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
MAX_SPLITS = 1 << 20


@message("gbdt.predict.sides/1")
class Sides(Message):
    tree: int
    node: Annotated[NDArray[np.uint32], array("n", dtype="uint32")]
    left: Annotated[NDArray[np.uint8], array("n", "bytes", dtype="uint8")]

    def check(self) -> None:
        if self.tree < 0 or np.unique(self.node).size != self.node.size:
            raise ValueError("a tree's splits are named twice")


class Params(BaseModel):
    """`label` names a column of labels to keep beside the scores, where there is one; `positive` as in training.

    `trees` and `depth` bound the model: what it was trained with, at most (classes count as trees).
    `exposure` is a column of the label party's, as in training: scores are for each row's own, and without it for one
    unit. `group` is its column of groups, to keep with the labels of a ranking.
    """

    model_config = ConfigDict(extra="forbid")
    label: str | None = None
    positive: str | int | None = None
    exposure: str | None = None
    group: str | None = None
    trees: int = Field(default=100, ge=1, le=200_000)
    depth: int = Field(default=6, ge=1, le=10)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """One bit per row and split, at most 2^depth - 1 splits a tree."""
    (label,) = cast["label"]
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    splits = min(params.trees * (2**params.depth - 1), MAX_SPLITS)
    size = splits * (n // 8 + 1 + 4) + 16 * params.trees
    return [Flow(Sides.TAG, party, label, params.trees + 1, size) for party in cast["features"]]


PREDICT = Protocol(
    "gbdt/predict",
    version=1,
    security=SEMI_HONEST,
    summary="Scores of aligned rows by a model of vertical boosting.",
    roles={"label": "one", "features": "many"},
    steps=[Step("features", "label", Sides, "directions", stream=True)],
    learns={"label": ["scores", "directions"], "features": [], "coordinator": ["sizes"]},
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Scorer:
    """The label party's model, the parties in the order of its features, and its own bins (n, F0) of the rows.

    `offset` (n,) is added to the raw scores: the logarithms of the rows' exposure.
    """

    model: Model
    order: tuple[str, ...]
    own: NDArray[np.uint16] = field(repr=False)
    offset: NDArray[np.float64] | None = field(default=None, repr=False)

    def start(self) -> NDArray[np.float64]:
        """(n, K) raw scores before any tree, as training starts from."""
        raw = np.tile(np.asarray(self.model.base_score, dtype=np.float64), (self.own.shape[0], 1))
        return raw if self.offset is None else raw + self.offset[:, None]

    def tree_scores(self, tree: Tree, sides: dict[int, Mask]) -> NDArray[np.float64]:
        """(n, 1 or K) raw scores of one tree; `sides` holds (n,) who goes left for each split of another party."""
        at = np.zeros(self.own.shape[0], dtype=np.int64)
        for index, node in enumerate(tree.nodes):
            if node.is_leaf:
                continue
            if node.feature < self.own.shape[1]:
                left = node.goes_left(self.own[:, node.feature], self.model.spec.missing(node.feature))
            else:
                left = sides[index]
            here = at == index
            at[here] = np.where(left[here], node.left, node.right)
        return np.asarray(tree.weights()[at])


@PREDICT.role("label")
async def label(s: Session, scorer: Scorer) -> NDArray[np.float64]:
    """(n, K) predictions."""
    answers = await together(*(sides_from(s, p, scorer.own.shape[0]) for p in s.peers("features")))
    sides: dict[tuple[int, int], Mask] = {}
    for answer in answers:
        sides |= answer
    model = scorer.model
    raw = scorer.start()
    trees = model.trees()
    for t, (columns, tree) in enumerate(trees):
        wanted = [i for i, n in enumerate(tree.nodes) if not n.is_leaf and n.feature >= scorer.own.shape[1]]
        if any((t, i) not in sides for i in wanted):
            raise ParleyError("model_mismatch", "A party lacks splits of this model.", "Train again, or use its step.")
        raw[:, columns] += await s.compute(scorer.tree_scores, tree, {i: sides[t, i] for i in wanted})
        s.progress(t + 1, len(trees), "scoring")
    return model.objective.predict(raw)


async def sides_from(s: Session, peer: str, rows: int) -> dict[tuple[int, int], Mask]:
    """(tree, node) -> (rows,) who goes left, as this features party answers; ParleyError "protocol_violation"."""
    out: dict[tuple[int, int], Mask] = {}
    async for chunk in s.stream(peer, Sides, bytes=-(-rows // 8)):
        flags = np.unpackbits(chunk.left, axis=1, count=rows).astype(bool)
        for node, left in zip(chunk.node.tolist(), flags, strict=True):
            if (chunk.tree, node) in out or len(out) == MAX_SPLITS:
                raise ParleyError("protocol_violation", f"{peer} sent the sides of a split twice.", party=peer)
            out[chunk.tree, node] = left
    return out


@PREDICT.role("features")
async def features(s: Session, splits: Splits, bins: NDArray[np.uint16]) -> None:
    out = s.stream(s.peer("label"), Sides)
    tree = np.array(splits.tree, dtype=np.int64)
    for t in np.unique(tree):
        chosen = np.flatnonzero(tree == t)
        left = [splits.left[i][bins[:, splits.feature[i]]].astype(bool) for i in chosen]
        nodes = np.array([splits.node[i] for i in chosen], dtype=np.uint32)
        await out.put(Sides(int(t), nodes, np.packbits(np.stack(left), axis=1)))
    await out.close()


def kept_model(inputs: StepInputs, key: str) -> dict[str, Any]:
    """What the training kept at this party; ParleyError "no_model"."""
    found = kept_with(inputs, key)
    if found is None:
        raise ParleyError("no_model", "No earlier step left a model here.", "Let it need the training step.")
    return found


def binned(s: Session, inputs: StepInputs, model: dict[str, Any]) -> tuple[NDArray[np.uint16], Frame]:
    """(n, F) bins of the aligned rows as the model made them, and the frame.

    Columns are prepared by the chain that training used, whatever rows these are.
    """
    frame = frame_of(inputs, s.me, prepared=model.get("prepared"))
    record = json.loads(model["binning"])
    if not record["columns"]:
        return np.empty((frame.rows.size, 0), dtype=np.uint16), frame
    with told():
        return np.ascontiguousarray(Binning.from_dict(record).transform(frame.table)), frame


@PREDICT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps `scores`, and `labels` when asked; tells the count."""
    kept = kept_model(inputs, "model")
    bins, frame = await s.compute(binned, s, inputs, kept)
    with told():
        model = Model.from_dict(json.loads(kept["model"]))
    offset = kept_offset(s, frame.table, model)
    scores = await label(s, Scorer(model, tuple(kept["order"]), bins, offset))
    keep = {"scores": scores, "rows": frame.rows, "part": frame.part, "task": kept["task"]}
    keep.update(kept_labels(s, frame.table, model))
    return StepOutputs(keep=keep, result={"rows": int(frame.rows.size)})


def kept_labels(s: Session, table: Any, model: Model) -> dict[str, NDArray[Any]]:
    """Where they were named, the aligned rows' `labels` (n,) as numbers, the way training read them, and `groups`."""
    p, ranked = s.params, model.objective.loss == "lambdarank"
    need_columns([c for c in (p.label, p.group) if c is not None], table.column_names, s.me)
    if (p.group is not None and not ranked) or (ranked and (p.group is None) != (p.label is None)):
        raise ParleyError(
            "bad_parameters", "group goes with the labels of a ranking.", "Name label and group, or none."
        )
    with told():
        found: dict[str, NDArray[Any]] = {}
        if p.label is not None:
            found["labels"] = label_values(table.column(p.label), _as_trained(p, model))
        if p.group is not None:
            found["groups"] = group_codes(table.column(p.group))
        return found


def kept_offset(s: Session, table: Any, model: Model) -> NDArray[np.float64] | None:
    """(n,) logarithms of the aligned rows' exposure, where one was named.

    ParleyError "unknown_column", "bad_weights", or "bad_parameters" for a model whose scores no exposure multiplies.
    """
    if s.params.exposure is None:
        return None
    if model.objective.loss not in LOG_LINK:
        raise ParleyError(
            "bad_parameters", "exposure goes with models of poisson, gamma and tweedie.", "Leave exposure out."
        )
    need_columns([s.params.exposure], table.column_names, s.me)
    with told():
        return np.log(positive_values(table.column(s.params.exposure), "the exposure", zero=False))


def _as_trained(params: Any, model: Model) -> TrainParams:
    kinds = {"logistic": "binary", "softmax": "multi"}
    classes = model.objective.classes if model.objective.loss == "softmax" else None
    fields = {"label": params.label, "objective": kinds.get(model.objective.loss, "regression"), "classes": classes}
    return TrainParams.model_validate({**fields, "positive": params.positive})


@PREDICT.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps and tells nothing."""
    kept_part = kept_model(inputs, "left")
    bins, _ = await s.compute(binned, s, inputs, kept_part)
    await features(s, Splits.of(kept_part), bins)
    return StepOutputs()


def needs_named(params: Any, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "unknown_column" where the label party lacks the labels to keep, or the exposure."""
    if me in cast["label"]:
        need_columns([c for c in (params.label, params.exposure, params.group) if c is not None], schema, me)


PREDICT.data_checks.append(needs_named)
PREDICT.wants = ("a boosted model",)
PREDICT.leaves = ("scores",)
