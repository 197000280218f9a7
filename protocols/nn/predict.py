"""Scores of aligned rows by a network that split training left in parts at several parties.

Ideal functionality: the label party gets the network's score of every aligned row. Adversary: semi-honest; as in
training, what is at the cut is shown row by row, and is for parties whose policies allow that.

    step  from -> to          message      carries                                    bytes
    1     features -> label   Activations  the last own layer's values of each row    4 per row and width

Label learns every features party's values at the cut for each row (`individual_updates`), from which columns may be
computed back. Features learns nothing but its own number of aligned rows. Coordinator: sizes.

A network that was trained with a noised cut is asked with the same noise: each prediction of a row is one more message
about it, 2 / noise^2-concentrated private by itself, and adds to what training said of it. Not protected: columns
against the label party with a plain cut.
Source: Vepakomma, Gupta, Swedish, Raskar, *Split learning for health*, 2018.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.training.nn_loss import Loss
from parley.components.training.nn_mlp import Network, taken
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import kept as kept_with
from parley.protocols.inputs import need_columns, together, told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Protocol, Session, Sizes, Step, StepInputs, StepOutputs
from parley.protocols.nn.data import label_values, matrix
from parley.protocols.nn.exchange import rows_from, send_rows
from parley.protocols.nn.jobs import need_torch
from parley.protocols.nn.label_side import join
from parley.protocols.nn.messages import CHUNK, Scored
from parley.wire.errors import ParleyError

Floats = NDArray[np.float32]


class Params(BaseModel):
    """`label` names a column of labels to keep beside the scores, where there is one; `positive` as in training.

    `width` bounds the model: the most numbers that a features party sends of a row.
    """

    model_config = ConfigDict(extra="forbid")
    label: str | None = None
    positive: str | int | None = None
    width: int = Field(default=64, ge=1, le=1024)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """4 bytes a row and number at the cut."""
    (label,) = cast["label"]
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    return [Flow(Scored.TAG, p, label, -(-n // CHUNK) + 1, 4 * n * params.width) for p in cast["features"]]


PREDICT = Protocol(
    "nn/predict",
    version=1,
    security=SEMI_HONEST,
    summary="Scores of aligned rows by a network of split training.",
    roles={"label": "one", "features": "many"},
    steps=[Step("features", "label", Scored, "individual_updates", stream=True)],
    learns={"label": ["scores", "individual_updates"], "features": [], "coordinator": ["sizes"]},
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Part:
    """One party's layers, none at a label party without columns, its columns (n, F), and how its values leave."""

    net: Network | None
    x: Floats = field(repr=False)
    cut: dict[str, float | str]


@dataclass(frozen=True)
class Head:
    """What the label party has beside its own part: the layers behind the cut, and each party's width in order."""

    top: Network
    loss: Loss
    order: tuple[str, ...]
    widths: Mapping[str, int]


def part_of(kept: Mapping[str, Any], frame: Frame, prefix: str = "nn") -> Part:
    """This party's part for the frame's rows; DataError when its columns do not fit, ParleyError "unknown_column"."""
    shape = json.loads(kept["nn_part"])
    need_columns(shape["columns"], frame.table.column_names, "this party")
    arrays = {k: np.asarray(v, dtype=np.float32) for k, v in taken(prefix, kept).items()}
    net = Network(arrays, shape["activation"], bent=True) if arrays else None
    return Part(net, matrix(frame.table, shape["columns"]), {k: shape[k] for k in ("cut", "clip", "noise")})


@PREDICT.role("label")
async def label(s: Session, part: Part, head: Head) -> NDArray[np.float64]:
    """(n, K) predictions."""
    peers = s.peers("features")
    if set(peers) != set(head.order) - {s.me}:
        raise ParleyError("model_mismatch", "The model was trained with other parties.", "Keep the roles of training.")
    if max(head.widths[p] for p in peers) > s.params.width:
        raise ParleyError("bad_parameters", "The model sends more numbers of a row than `width` allows.")
    found = await together(*(rows_from(s, p, Scored, len(part.x), head.widths[p]) for p in peers))
    given = dict(zip(peers, found, strict=True))
    return await s.compute(_scores, part, head, given)


def _scores(part: Part, head: Head, given: Mapping[str, Floats]) -> NDArray[np.float64]:
    return head.loss.predictions(head.top.values(join(part.net, part.x, given, head.order)))


@PREDICT.role("features")
async def features(s: Session, part: Part) -> None:
    assert part.net is not None
    await send_rows(s, s.peer("label"), Scored, part.net, part.x, **part.cut)


def _kept(inputs: StepInputs) -> dict[str, Any]:
    found = kept_with(inputs, "nn_part")
    if found is None:
        raise ParleyError("no_model", "No earlier step left a network here.", "Let it need the training step.")
    return found


def _prepared(s: Session, inputs: StepInputs, prefix: str) -> tuple[Part, Frame]:
    """This party's part and the rows to score, prepared by the chain that training used, whatever rows these are."""
    need_torch(s.me)
    kept = _kept(inputs)
    frame = frame_of(inputs, s.me, prepared=kept.get("prepared"))
    with told():
        return part_of(kept, frame, prefix), frame


def _head(kept: Mapping[str, Any], activation: str) -> Head:
    top = {k: np.asarray(v, dtype=np.float32) for k, v in taken("nn.top", kept).items()}
    bend: Any = activation
    loss = Loss(**json.loads(kept["nn_loss"]))
    return Head(Network(top, bend, bent=False), loss, tuple(kept["order"]), json.loads(kept["nn_widths"]))


@PREDICT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps `scores`, and `labels` when asked; tells the count."""
    part, frame = await s.compute(_prepared, s, inputs, "nn.own")
    kept = _kept(inputs)
    head = await s.compute(_head, kept, json.loads(kept["nn_part"])["activation"])
    scores = await label(s, part, head)
    keep = {"scores": scores, "rows": frame.rows, "part": frame.part, "task": kept["task"]}
    if s.params.label is not None:
        need_columns([s.params.label], frame.table.column_names, s.me)
        with told():
            keep["labels"] = label_values(frame.table.column(s.params.label), head.loss.kind, s.params.positive)
    return StepOutputs(keep=keep, result={"rows": int(frame.rows.size)})


@PREDICT.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps and tells nothing."""
    part, _ = await s.compute(_prepared, s, inputs, "nn")
    await features(s, part)
    return StepOutputs()


def check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    """ParleyError "torch_missing", or "unknown_column" where the label party lacks the labels to keep."""
    need_torch(me)
    if params.label is not None and me in cast["label"]:
        need_columns([params.label], schema, me)


PREDICT.data_checks.append(check_data)
PREDICT.wants = ("a network",)
PREDICT.leaves = ("scores",)
