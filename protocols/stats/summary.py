"""Figures of each party's own columns, told to the submitter; no message is sent.

Ideal functionality: the submitter gets, for the columns that a member names (or all of its columns), the figures that
were asked for: counts and moments, and where `order` is set least, greatest and middle values and quantiles.

Submitter learns the figures (`column_statistics`), with `share_names` the names of the columns, which else go by
number (`column_names`), and with `order` values that stand in single rows (`order_statistics`). Nobody else
learns anything.
Not protected: figures are exact, and figures of two sets of rows that differ in one row tell that row's value: a column
needs min_rows values, and policies decide who may ask.
Source: `components.features.summary`.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from parley.components.features.summary import ORDER, figures
from parley.protocols.frame import Frame, local_frame
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.protocols.prep.columns import Columns, anything, check_columns, chosen

Wanted = Literal[
    "count", "missing", "missing_rate", "distinct", "top_share",
    "mean", "sum", "variance", "std", "cv", "skew", "kurtosis", "min", "max", "median",
]  # fmt: skip


class Params(Columns):
    """`figures` of the rows of one `part`; min, max, median and `quantiles` need `order`."""

    figures: list[Wanted] = Field(default=["count", "missing", "mean", "std"], min_length=1)
    quantiles: list[float] = Field(default_factory=list, max_length=100)
    order: bool = False
    part: Literal["all", "train", "validate", "test"] = "all"
    min_rows: int = Field(default=10, ge=2, le=1 << 31)
    share_names: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.order and (self.quantiles or set(self.figures) & set(ORDER)):
            raise ValueError("min, max, median and quantiles are values of single rows: they need order")
        if any(not 0 <= q <= 1 for q in self.quantiles):
            raise ValueError("a quantile is from 0 to 1")
        return self


SUMMARY = Protocol(
    "stats/summary",
    version=1,
    security=SEMI_HONEST,
    summary="Figures of each party's own columns.",
    roles={"member": "many"},
    steps=[],
    learns={
        "member": [],
        "submitter": ["column_statistics", "column_names", "order_statistics"],
        "coordinator": ["sizes"],
    },
    when={"submitter.order_statistics": ("order",), "submitter.column_names": ("share_names",)},
    params=Params,
)
SUMMARY.checks.append(check_columns)


def summed_up(params: Params, frame: Frame, me: str) -> list[dict[str, Any]]:
    """One entry a column; of one with fewer than min_rows values only its number (and name)."""
    names = chosen(params, me, frame.table, anything)
    seen = frame.table.take(frame.of_part(params.part))
    out = []
    for number, name in enumerate(names):
        entry: dict[str, Any] = {"column": name if params.share_names else f"#{number}"}
        if figures(seen, name, ["count"])["count"] >= params.min_rows:  # type: ignore[operator]  # a count is a number
            entry |= figures(seen, name, params.figures, params.quantiles)
        out.append(entry)
    return out


@SUMMARY.role("member")
async def member(s: Session, inputs: StepInputs) -> tuple[Frame, list[dict[str, Any]]]:
    frame = local_frame(inputs, s.me)
    with told():
        return frame, await s.compute(summed_up, s.params, frame, s.me)


@SUMMARY.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame as it was; tells the submitter the figures."""
    frame, found = await member(s, inputs)
    return StepOutputs(keep=frame.keep(), result={"columns": found})
