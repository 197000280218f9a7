"""Some of the common rows, the same at every party.

Ideal functionality: all parties keep the same sample, without replacement, in the order in which the rows stood. At
random it comes from the contract's public seed and nothing is sent. By a column, the party in the role `label`, whose
column it is, draws at secret random a share or a count of the rows of each value that the job names.
Adversary: semi-honest; one that lies draws other rows, which no one can check.

    step  from -> to        message  carries                         bytes
    1     label -> member   Chosen   which rows, by column           1/8 per row

Member learns, where a column decides, which rows were chosen (`sample_rows`): where values have different shares, a row
that was chosen has more likely a value with a large one. Label learns nothing. Submitter learns how many rows there
are (`sample_size`). Coordinator: sizes.
Not protected: what the shares in the job say together with the sample, above all a share of 0 or 1.
Source: Cochran, *Sampling Techniques*, 1977, chapter 5.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.errors import DataError
from parley.protocols.frame import Frame, local_frame
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
from parley.protocols.prep.rows import sampled, size_of, strata_of
from parley.wire.errors import ParleyError

Ints = NDArray[np.int64]
Share = Annotated[float, Field(ge=0, le=1e9)]


@message("prep.sample.chosen/1")
class Chosen(Message):
    flags: Annotated[NDArray[np.uint8], array("bytes", dtype="uint8")]


class Params(BaseModel):
    """`share`: up to 1 a share of the rows, above 1 a count. With `column`, of the label party, and `shares`: each
    value of it (as text) its own share, the others none."""

    model_config = ConfigDict(extra="forbid")
    share: Share | None = None
    column: str | None = Field(default=None, min_length=1)
    shares: dict[str, Share] | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.column is None) != (self.shares is None) or (self.share is None) == (self.shares is None):
            raise ValueError("a sample takes either share, or column with shares")
        for size in (self.share, *(self.shares or {}).values()):
            if size is not None and size > 1 and size != int(size):
                raise ValueError("a count is whole")
        return self


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """A bit for each row and member, where a column decides."""
    if params.column is None:
        return []
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    return [Flow(Chosen.TAG, cast["label"][0], party, 1, n // 8 + 1) for party in cast.get("member", ())]


SAMPLE = Protocol(
    "prep/sample",
    version=1,
    security=SEMI_HONEST,
    summary="Some of the common rows, the same at every party.",
    roles={"label": "one", "member": "many"},
    optional_roles=("label", "member"),
    steps=[Step("label", "member", Chosen, "sample_rows")],
    learns={"label": [], "member": ["sample_rows"], "submitter": ["sample_size"], "coordinator": ["sizes"]},
    when={"member.sample_rows": ("column",)},
    params=Params,
    cost=cost,
)


def _size(share: float, rows: int) -> int:
    return rows if share == 1 else size_of(share, rows)


def draw(s: Session, frame: Frame) -> Ints:
    """The label party's sample: rising positions."""
    need_columns([s.params.column], frame.table.column_names, s.me)
    with told():
        strata, values = strata_of(frame.table, s.params.column)
        unknown = set(s.params.shares) - set(values)
        if unknown:
            raise DataError("unknown_value", f"`shares` names {len(unknown)} values that the column does not have")
        counts = np.bincount(strata, minlength=len(values))
        wanted = {k: share for k, v in enumerate(values) if (share := s.params.shares.get(v)) is not None}
        return sampled(strata, s.rng.permutation, {k: float(_size(w, counts[k])) for k, w in wanted.items()})


def at_random(s: Session, frame: Frame) -> Ints:
    n = frame.rows.size
    with told():
        return np.sort(s.coins.permutation(n)[: _size(s.params.share, n)])


@SAMPLE.role("label")
async def label(s: Session, frame: Frame) -> Ints:
    if s.params.column is None:
        return at_random(s, frame)
    chosen = await s.compute(draw, s, frame)
    flags = np.zeros(frame.rows.size, dtype=bool)
    flags[chosen] = True
    await together(*(s.send(p, Chosen(np.packbits(flags))) for p in s.peers("member")))
    return chosen


@SAMPLE.role("member")
async def member(s: Session, frame: Frame) -> Ints:
    if s.params.column is None:
        return at_random(s, frame)
    n, boss = frame.rows.size, s.peer("label")
    flags = np.unpackbits((await s.recv(boss, Chosen, bytes=-(-n // 8))).flags).astype(bool)
    if flags[n:].any():
        raise ParleyError("protocol_violation", f"{boss} chose rows that there are not.", party=boss)
    return np.flatnonzero(flags)


async def _job(s: Session, inputs: StepInputs, role: Any) -> StepOutputs:
    frame = await s.compute(local_frame, inputs, s.me)
    chosen = await role(s, frame)
    first = (*s.cast.get("label", ()), *s.cast.get("member", ()))[0]
    outcome = StepOutputs(keep=frame.select(chosen).keep(), result={"rows": int(chosen.size)} if s.me == first else {})
    if chosen.size == 0:
        outcome.outcome = "empty"
    return outcome


@SAMPLE.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame of the sample; one party tells the submitter its size."""
    return await _job(s, inputs, label)


@SAMPLE.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    return await _job(s, inputs, member)


def _check_params(params: Params, cast: Cast) -> None:
    if params.column is not None and not cast.get("label"):
        raise ParleyError("bad_roles", "A sample by a column needs the party with the column in the role label.")
    if not cast.parties():
        raise ParleyError("bad_roles", "A sample needs somebody in a role.")


SAMPLE.checks.append(_check_params)
SAMPLE.moves_rows = True
