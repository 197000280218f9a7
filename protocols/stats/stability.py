"""How far columns have moved between two parts of a frame, by each party of its own; no message is sent between them.

Ideal functionality: the submitter gets the population stability index of each column that is asked for, over bins of
the training rows, and nothing else.

Nobody learns anything of another's columns. Submitter learns an index for each column (`column_stability`).
Coordinator: nothing beyond that the step ran.
Not protected: an index says how differently the two parts are spread, which of few rows can say much.
Source: Siddiqi, *Credit Risk Scorecards*, 2006.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from parley.components.features.stability import shifts
from parley.protocols.frame import local_frame
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.protocols.stats.columns import Columns, check_columns, chosen


class Params(Columns):
    """The index between training rows and those of `part`, over `bins` quantiles, or the categories, of the former;
    of all columns but `id` and `exclude`, or those that `columns` names by party."""

    part: Literal["validate", "test"] = "test"
    bins: int = Field(default=10, ge=2, le=255)


STABILITY = Protocol(
    "stats/stability",
    version=1,
    security=SEMI_HONEST,
    summary="How far columns have moved between two parts of a frame, by each party of its own.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["column_stability"], "coordinator": []},
    params=Params,
)
STABILITY.checks.append(check_columns)


@STABILITY.role("member")
async def member(s: Session, inputs: StepInputs) -> dict[str, float]:
    return await s.compute(_indices, s, inputs)


def _indices(s: Session, inputs: StepInputs) -> dict[str, float]:
    frame = local_frame(inputs, s.me)
    names = chosen(s.params, s.me, frame.table.column_names)
    with told():
        training = frame.table.filter(frame.training)
        return shifts(training, frame.table.take(frame.of_part(s.params.part)), names, s.params.bins)


@STABILITY.job("member")
async def job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps nothing; tells the submitter the index of each column."""
    found: list[dict[str, Any]] = [
        {"party": s.me, "feature": name, "psi": value} for name, value in (await member(s, inputs)).items()
    ]
    return StepOutputs(result={"stability": found})
