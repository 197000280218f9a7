"""Training rows divided into folds, of which each in turn is held out: cross-validation. No message is sent.

Ideal functionality: with `folds` all members keep the same division of their common training rows into so many folds of
equal size (one row more or less), from the contract's public seed; rows that an earlier step held out are left aside.
With `fold`, a step that needs such a one keeps the same rows with that fold for testing (or `hold: validate`) and the
others for training. As many steps as there are folds, each with a training step after it, cross-validate: every row is
held out exactly once.

Nobody learns anything of another's columns; the submitter learns how many rows each fold or part has (`part_counts`).
Not protected: what later steps show of a part by itself. A preparation that is fitted before the folds has seen the
rows that they hold out; let it need a fold's step.
Source: Stone, *Cross-validatory choice and assessment of statistical predictions*, 1974.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.protocols.frame import PART_NAMES, TRAIN, Frame, frame_of, local_frame
from parley.protocols.inputs import kept
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.wire.errors import ParleyError

Folds = NDArray[np.uint8]


class Params(BaseModel):
    """`folds`: divide into so many; or `fold`: hold this one out, from 0 on, of the step that divided, as the part
    `hold`."""

    model_config = ConfigDict(extra="forbid")
    folds: int | None = Field(default=None, ge=2, le=100)
    fold: int | None = Field(default=None, ge=0, le=99)
    hold: Literal["validate", "test"] = "test"

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.folds is None) == (self.fold is None):
            raise ValueError("either folds, to divide, or fold, to hold one out")
        return self


FOLDS = Protocol(
    "prep/folds",
    version=1,
    security=SEMI_HONEST,
    summary="Training rows divided into folds, of which each in turn is held out.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["part_counts"], "coordinator": ["sizes"]},
    params=Params,
)


def divided(s: Session, frame: Frame) -> tuple[Frame, Folds]:
    """The training rows and the fold of each; ParleyError "too_few_rows" when a fold would be empty."""
    training = frame.select(np.flatnonzero(frame.training))
    n, k = training.rows.size, s.params.folds
    if n < k:
        raise ParleyError("too_few_rows", "There are fewer training rows than folds.", "Ask for fewer folds.")
    fold = np.empty(n, dtype=np.uint8)
    fold[s.coins.permutation(n)] = np.arange(n) % k
    return training, fold


def held_out(s: Session, frame: Frame, fold: Folds | None) -> Frame:
    """The frame with one fold held out; ParleyError "no_folds" unless the needed step divided these very rows."""
    if fold is None or fold.shape != frame.rows.shape:
        hint = "Let it need a prep/folds step with `folds`, and nothing made of it."
        raise ParleyError("no_folds", "The step that this one needs did not divide its rows into folds.", hint)
    if s.params.fold > int(fold.max()):
        raise ParleyError("bad_parameters", f"There are folds 0 to {int(fold.max())}.", "`fold` counts from 0.")
    return frame.with_part(np.where(fold == s.params.fold, PART_NAMES.index(s.params.hold), TRAIN).astype(np.uint8))


@FOLDS.role("member")
async def member(s: Session, inputs: StepInputs) -> tuple[Frame, Folds | None]:
    """The frame, and the fold of each row where this step divides."""
    if s.params.fold is None:
        return divided(s, await s.compute(local_frame, inputs, s.me))
    before = kept(inputs, "folds")
    fold = None if before is None else np.asarray(before["folds"], dtype=np.uint8)
    return held_out(s, await s.compute(frame_of, inputs, s.me), fold), None


@FOLDS.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame, and the fold of each row or the parts; one party tells the submitter the counts."""
    frame, fold = await member(s, inputs)
    if fold is None:
        keep, counts = frame.keep(), np.bincount(frame.part, minlength=len(PART_NAMES)).tolist()
        result: dict[str, object] = dict(zip(PART_NAMES, counts, strict=True))
    else:
        keep, result = frame.keep() | {"folds": fold}, {"folds": np.bincount(fold).tolist()}
    return StepOutputs(keep=keep, result=result if s.me == s.cast["member"][0] else {})
