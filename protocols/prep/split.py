"""Common rows divided into parts: training, validation, testing.

Ideal functionality: all parties keep the same division of their common rows. At random it comes from the contract's
public seed and nothing is sent. By a column, the party in the role `label`, whose column it is, divides: each of its
values by the same shares, at secret random, or the latest rows for testing and those before them for validation.
Adversary: semi-honest; one that lies divides differently, which no one can check.

    step  from -> to        message  carries                      bytes
    1     label -> member   Parts    each row's part, by column   1 per row

Member learns, where a column decides, which rows are in which part (`split_rows`): of rows divided by time, which are
the late ones; of a stratified division what the counts of a part say: shares of a value's rows are rounded, so that a
value of few rows may have none in a part, and a row there then has another value. Of values with many rows it learns
nothing, since each has its shares at secret random. Label learns nothing. Submitter learns how many rows each part has
(`part_counts`). Coordinator: sizes.
Not protected: what later steps show of a part by itself.
Source: Kohavi, *A study of cross-validation and bootstrap for accuracy estimation*, 1995, on stratified division.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.protocols.frame import PART_NAMES, Frame, local_frame
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
from parley.protocols.prep.rows import Parts as Division
from parley.protocols.prep.rows import order_of, parts_in_order, strata_of, stratified_parts
from parley.wire.errors import ParleyError


@message("prep.split.parts/1")
class Parts(Message):
    part: Annotated[NDArray[np.uint8], array("n", dtype="uint8")]

    def check(self) -> None:
        if self.part.max(initial=0) >= len(PART_NAMES):
            raise ValueError("a row is in a part that there is not")


class Params(BaseModel):
    """`validate` and `test`: a share of the rows, or a count from 1 on; what is left is for training. `by`: at random,
    `stratified` by the values of the label party's `column`, or by `time` in it."""

    model_config = ConfigDict(extra="forbid")
    validate_: float = Field(default=0.0, ge=0, le=1e9, alias="validate")
    test: float = Field(default=0.2, ge=0, le=1e9)
    by: Literal["random", "stratified", "time"] = "random"
    column: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.by == "random") == (self.column is not None):
            raise ValueError("column goes with stratified and time, and they need it")
        for size in (self.validate_, self.test):
            if size >= 1 and size != int(size):
                raise ValueError("a count is whole")
        if self.validate_ < 1 and self.test < 1 and self.validate_ + self.test >= 1:
            raise ValueError("nothing would be left for training")
        return self


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """A byte for each row and member, where a column decides."""
    if params.by == "random":
        return []
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    return [Flow(Parts.TAG, cast["label"][0], party, 1, n) for party in cast.get("member", ())]


SPLIT = Protocol(
    "prep/split",
    version=1,
    security=SEMI_HONEST,
    summary="Common rows divided into training, validation and testing.",
    roles={"label": "one", "member": "many"},
    optional_roles=("label", "member"),
    steps=[Step("label", "member", Parts, "split_rows")],
    learns={"label": [], "member": ["split_rows"], "submitter": ["part_counts"], "coordinator": ["sizes"]},
    when={"member.split_rows": ("by", "stratified", "time")},
    params=Params,
    cost=cost,
)


def divide(s: Session, frame: Frame) -> Division:
    """The label party's division by its column."""
    need_columns([s.params.column], frame.table.column_names, s.me)
    with told():
        if s.params.by == "time":
            return parts_in_order(order_of(frame.table, s.params.column), s.params.validate_, s.params.test)
        strata, _ = strata_of(frame.table, s.params.column)
        return stratified_parts(strata, s.rng.permutation, s.params.validate_, s.params.test)


def at_random(s: Session, frame: Frame) -> Division:
    with told():
        return parts_in_order(s.coins.permutation(frame.rows.size), s.params.validate_, s.params.test)


@SPLIT.role("label")
async def label(s: Session, frame: Frame) -> Division:
    if s.params.by == "random":
        return at_random(s, frame)
    part = await s.compute(divide, s, frame)
    await together(*(s.send(p, Parts(part)) for p in s.peers("member")))
    return part


@SPLIT.role("member")
async def member(s: Session, frame: Frame) -> Division:
    if s.params.by == "random":
        return at_random(s, frame)
    return (await s.recv(s.peer("label"), Parts, n=frame.rows.size)).part


async def _job(s: Session, inputs: StepInputs, role: Any) -> StepOutputs:
    frame = await s.compute(local_frame, inputs, s.me)
    part = await role(s, frame)
    counts = np.bincount(part, minlength=len(PART_NAMES)).tolist()
    told_by = (*s.cast.get("label", ()), *s.cast.get("member", ()))[0]
    result = dict(zip(PART_NAMES, counts, strict=True)) if s.me == told_by else {}
    return StepOutputs(keep=frame.with_part(part).keep(), result=result)


@SPLIT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame in parts; one party tells the submitter their sizes."""
    return await _job(s, inputs, label)


@SPLIT.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    return await _job(s, inputs, member)


def _check_params(params: Params, cast: Cast) -> None:
    if params.by != "random" and not cast.get("label"):
        raise ParleyError("bad_roles", f"A split by {params.by} needs the party with the column in the role label.")
    if not cast.parties():
        raise ParleyError("bad_roles", "A split needs somebody in a role.")


SPLIT.checks.append(_check_params)
SPLIT.moves_rows = True
