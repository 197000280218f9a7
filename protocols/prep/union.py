"""The rows of two earlier steps, one after the other; no message is sent.

Ideal functionality: every member keeps the rows of one needed step and then those of the other (in the order of their
names), with the parts they had there, prepared as both were.

Nobody learns anything of another's columns; the submitter learns how many rows there are (`row_count`).
Not protected: nothing is shown that could be.
Source: none; it is a concatenation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from parley.protocols.frame import Frame, frame_of
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.protocols.kit.protocol import NoParams
from parley.wire.errors import ParleyError

UNION = Protocol(
    "prep/union",
    version=1,
    security=SEMI_HONEST,
    summary="The rows of two earlier steps, one after the other.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["row_count"], "coordinator": ["sizes"]},
    params=NoParams,
)


def united(inputs: StepInputs, me: str) -> Frame:
    """ParleyError "bad_union" unless exactly two needs have rows, prepared alike and without a row in common."""
    needs = {name: kept for name, kept in sorted(inputs.needs.items()) if "rows" in kept}
    if len(needs) != 2:
        raise ParleyError("bad_union", "A union needs exactly two steps with rows.", "Name both under `needs`.")
    first, second = (frame_of(replace(inputs, needs={n: kept}), me) for n, kept in needs.items())
    if first.pipeline.to_json() != second.pipeline.to_json():
        raise ParleyError("bad_union", "The two steps' columns were prepared in two ways.", "Unite, then prepare.")
    if np.intersect1d(first.rows, second.rows).size:
        raise ParleyError("bad_union", "The two steps have rows in common.", "Unite steps of different rows.")
    import pyarrow as pa

    return Frame(
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.part, second.part]),
        pa.concat_tables([first.table, second.table]),
        first.pipeline,
        max(first.depth, second.depth) + 1,
    )


@UNION.role("member")
async def member(s: Session, inputs: StepInputs) -> Frame:
    return await s.compute(united, inputs, s.me)


@UNION.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame of both; by the names of the steps, the first in order comes first at every party."""
    frame = await member(s, inputs)
    return StepOutputs(keep=frame.keep(), result={"rows": int(frame.rows.size)})


UNION.moves_rows = True
