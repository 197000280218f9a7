"""Scores of aligned rows by a model that `linear/vertical` trained.

Ideal functionality: the label party gets the model's score of every aligned row, the sum of all parties' parts.
Adversary: semi-honest. Features parties hide their parts from each other and the label party with masks that are
uniform modulo 2^64 and cancel in the sum, so that only the sum can be read, also by parties that pool what they hold.

    step  from -> to            message  carries                                    bytes
    1     features -> features  Mask     uniform numbers, one for each row          8 per row and output
    2     features -> label     Masked   its part of the scores, with all masks     8 per row and output

Label learns the score of each row (`scores`), and so the sum of the others' parts of it (`others_scores`): with a
single features party that is this party's part. Features learns how many rows are aligned (`row_count`).
Coordinator: sizes.

Not protected: columns of a features party against a label party that gathers more scores than that party has columns
and knows much about some of them.
Source: additive masking, as in Bonawitz et al. 2017 without its dropouts.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from parley.components.training.linear import Family, Fixed, Floats, Ints, Kind, Words
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import kept, need_columns, told
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
from parley.protocols.linear.data import Scale, label_values
from parley.protocols.linear.params import Params as TrainParams
from parley.wire.errors import ParleyError


@message("linear.predict.mask/1")
class Mask(Message):
    words: Annotated[NDArray[np.uint64], array("outputs", "n", dtype="uint64")]


@message("linear.predict.masked/1")
class Masked(Message):
    words: Annotated[NDArray[np.uint64], array("outputs", "n", dtype="uint64")]


class Params(BaseModel):
    """`label` names a column of labels to keep beside the scores, where there is one; `positive` as in training.

    `outputs` bounds the model: its classes, or 1.
    """

    model_config = ConfigDict(extra="forbid")
    label: str | None = None
    positive: str | int | None = None
    outputs: int = 1


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """8 bytes a row and output from each features party to the label party, and to each other features party."""
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    size = 8 * n * params.outputs + 256
    flows = [Flow(Masked.TAG, p, q, 1, size) for p in cast["features"] for q in cast["label"]]
    return flows + [Flow(Mask.TAG, p, q, 1, size) for p in cast["features"] for q in cast["features"] if p != q]


PREDICT = Protocol(
    "linear/predict",
    version=1,
    security=SEMI_HONEST,
    summary="Scores of aligned rows by a vertical linear model.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("features", "features", Mask, "row_count"),
        Step("features", "label", Masked, "others_scores"),
    ],
    learns={"label": ["scores", "others_scores"], "features": ["row_count"], "coordinator": ["sizes"]},
    params=Params,
    cost=cost,
)


@PREDICT.role("label")
async def label(s: Session, part: Words) -> Words:
    """`part` (K, n) of the scores as ring elements to the whole scores."""
    total = part.copy()
    for peer in s.peers("features"):
        total += (await s.recv(peer, Masked, outputs=part.shape[0], n=part.shape[1])).words
    return total


@PREDICT.role("features")
async def features(s: Session, part: Words) -> None:
    masked, others = part.copy(), s.peers("features")
    for peer in others:
        mask = s.rng.words64(part.size).reshape(part.shape)
        masked += mask
        await s.send(peer, Mask(mask))
    for peer in others:
        masked -= (await s.recv(peer, Mask, outputs=part.shape[0], n=part.shape[1])).words
    await s.send(s.peer("label"), Masked(masked))


# ---------------------------------------------------------------- jobs


def _model(inputs: StepInputs) -> dict[str, Any]:
    found = kept(inputs, "linear")
    if found is None:
        raise ParleyError("no_model", "No earlier step left a linear model here.", "Let it need the training step.")
    return found


def fixed_of(model: dict[str, Any]) -> Fixed:
    """The arithmetic that a kept model was trained in."""
    kept_family = model["linear"]
    kind: Kind = "logistic" if kept_family["model"] == "ovr" else kept_family["model"]
    family = Family(kind, kept_family["power"], int(kept_family["frequencies"]), float(kept_family["period"]))
    return Fixed(family, int(model["fixed_rows"]))


def _scored(s: Session, inputs: StepInputs, *, is_label: bool) -> tuple[Words, Fixed, Frame]:
    """(K, n) this party's part."""
    model, frame = _model(inputs), frame_of(inputs, s.me)
    fixed, scale, weights = fixed_of(model), Scale.of(model), np.asarray(model["weights"], dtype=np.float64)
    need_columns(scale.names, frame.table.column_names, s.me)
    if weights.shape[0] > s.params.outputs:
        raise ParleyError("bad_parameters", f"The model has {weights.shape[0]} outputs.", "Say so: `outputs`.")
    with told():
        x = scale.apply(frame.table)
        if is_label and model["intercept"]:
            x = np.concatenate([x, np.ones((frame.rows.size, 1))], axis=1)
        columns: Ints = fixed.columns(x)
        scores = np.stack([fixed.scores(columns, w) for w in weights])
    return scores.view(np.uint64), fixed, frame


def predictions(model: dict[str, Any], fixed: Fixed, total: Words) -> Floats:
    """(n, K) probabilities, or values in the label's own scale."""
    mean = fixed.family.mean(total.view(np.int64).astype(np.float64) * 2.0**-fixed.score_bits).T
    if model["linear"]["model"] == "ovr":
        shares: Floats = mean / mean.sum(axis=1, keepdims=True)
        return shares
    return float(model["shift"]) + float(model["factor"]) * mean


@PREDICT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps `scores`, and `labels` when asked; tells the count."""
    model = _model(inputs)
    part, fixed, frame = await s.compute(lambda: _scored(s, inputs, is_label=True))
    scores = predictions(model, fixed, await label(s, part))
    tasks = {"logistic": "binary", "ovr": "multiclass"}
    keep: dict[str, Any] = {
        "scores": scores,
        "rows": frame.rows,
        "part": frame.part,
        "task": tasks.get(model["linear"]["model"], "regression"),
    }
    if s.params.label is not None:
        need_columns([s.params.label], frame.table.column_names, s.me)
        with told():
            keep["labels"] = _labels(s.params, model, frame)
    return StepOutputs(keep=keep, result={"rows": int(frame.rows.size)})


def _labels(params: Params, model: dict[str, Any], frame: Frame) -> Floats:
    """(n,) labels as they were trained on: classes by number."""
    kind, classes = model["linear"]["model"], list(model["classes"])
    fields = {"label": params.label, "model": kind, "classes": len(classes) or None, "positive": params.positive}
    y, names = label_values(frame.table.column(params.label), TrainParams.model_validate(fields))
    if names != classes:
        raise ParleyError("bad_labels", "The labels have other classes than the model.", "Leave `label` out.")
    return np.argmax(y, axis=1).astype(np.float64) if classes else y[:, 0]


@PREDICT.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Needs the training and an alignment; keeps and tells nothing."""
    part, _, _ = await s.compute(lambda: _scored(s, inputs, is_label=False))
    await features(s, part)
    return StepOutputs()


def _check_data(params: Params, cast: Cast, me: str, schema: dict[str, str]) -> None:
    if params.label is not None and me in cast["label"]:
        need_columns([params.label], schema, me)


PREDICT.data_checks.append(_check_data)
PREDICT.wants = ("a linear model",)
PREDICT.leaves = ("scores",)
