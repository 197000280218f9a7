"""Statistics of columns, by each party of its own; no message is sent between parties.

Ideal functionality: the submitter gets the numbers it asks for, of the columns it names, and nothing else.

Nobody learns anything of another's columns. Submitter learns of each column that a party brings the statistics that
are asked for (`column_statistics`), and with `extremes` its least and its greatest value, each of which is some row's
(`extreme_values`). Coordinator: nothing beyond that the step ran.
Not protected: many statistics of few rows say much about each of them; a column with fewer than `min_rows` values tells
its counts alone. Statistics of two sets of rows that differ by one row give that row by subtraction: the parties'
policies limit runs.
Source: Joanes & Gill, *Comparing measures of sample skewness and kurtosis*, 1998, for g1 and g2.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from parley.components.features.summary import summary
from parley.protocols.frame import local_frame
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.protocols.stats.columns import Columns, check_columns, chosen

Statistic = Literal["count", "missing", "distinct", "mean", "std", "skew", "kurtosis", "variation"]


class Params(Columns):
    """`statistics` and `quantiles` (0.01 to 0.99) of each column of the frame's `part`; all columns but `id` and
    `exclude`, or those that `columns` names by party. `extremes` adds min and max. Below `min_rows` values only counts
    are told."""

    statistics: list[Statistic] = Field(default=["count", "missing", "mean", "std"], min_length=1)
    quantiles: list[float] = Field(default_factory=list, max_length=99)
    extremes: bool = False
    part: Literal["all", "train", "validate", "test"] = "train"
    min_rows: int = Field(default=20, ge=2, le=1_000_000)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if any(not 0.01 <= q <= 0.99 for q in self.quantiles):
            raise ValueError("quantiles lie between 0.01 and 0.99; for the ends there is extremes")
        return self


SUMMARY = Protocol(
    "stats/summary",
    version=1,
    security=SEMI_HONEST,
    summary="Statistics of columns, by each party of its own.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["column_statistics", "extreme_values"], "coordinator": []},
    when={"submitter.extreme_values": ("extremes",)},
    params=Params,
)
SUMMARY.checks.append(check_columns)


@SUMMARY.role("member")
async def member(s: Session, inputs: StepInputs) -> list[dict[str, Any]]:
    return await s.compute(_summaries, s, inputs)


def _summaries(s: Session, inputs: StepInputs) -> list[dict[str, Any]]:
    p = s.params
    frame = local_frame(inputs, s.me)
    names = chosen(p, s.me, frame.table.column_names)
    rows = frame.table if p.part == "all" else frame.table.take(frame.of_part(p.part))
    wanted = (*p.statistics, *(("min", "max") if p.extremes else ()))
    with told():
        found = [(n, summary(rows, n, wanted, tuple(p.quantiles), p.min_rows)) for n in names]
    return [{"party": s.me, "feature": name, **numbers} for name, numbers in found]


@SUMMARY.job("member")
async def job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps nothing; tells the submitter the asked numbers."""
    return StepOutputs(result={"statistics": await member(s, inputs)})
