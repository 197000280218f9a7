"""How far each party's own columns have moved between two parts of the rows; no message is sent.

Ideal functionality: the submitter gets for each column that a member names (or all of its columns) the population
stability index between two parts, by quantile bins of the first.

Submitter learns the indices (`stability_index`), columns by number unless `share_names`. Nobody else learns anything.
Not protected: an index is exact; each part needs min_rows rows.
Source: Siddiqi, *Credit Risk Scorecards*, 2006; see `components.features.stability`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from parley.components.features.stability import stability
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import told
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs
from parley.protocols.prep.columns import Columns, anything, check_columns, chosen
from parley.wire.errors import ParleyError

Part = Literal["train", "validate", "test"]


class Params(Columns):
    """Rows of part `first` against those of `second`, in at most `bins` bins."""

    first: Part = "train"
    second: Part = "test"
    bins: int = Field(default=10, ge=2, le=1000)
    min_rows: int = Field(default=50, ge=10, le=1 << 31)
    share_names: bool = False


STABILITY = Protocol(
    "stats/stability",
    version=1,
    security=SEMI_HONEST,
    summary="How far each party's own columns have moved between two parts of the rows.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["stability_index", "column_names"], "coordinator": ["sizes"]},
    when={"submitter.column_names": ("share_names",)},
    params=Params,
)
STABILITY.checks.append(check_columns)


def compared(params: Params, frame: Frame, me: str) -> list[dict[str, Any]]:
    """One entry a column; ParleyError "too_few_rows" where a part is too small."""
    first, second = (frame.table.take(frame.of_part(p)) for p in (params.first, params.second))
    if min(first.num_rows, second.num_rows) < params.min_rows:
        raise ParleyError(
            "too_few_rows", "A part has fewer rows than `min_rows`.", "Split the rows in an earlier step."
        )
    names = chosen(params, me, frame.table, anything)
    return [
        {"column": n if params.share_names else f"#{k}", "psi": stability(first, second, n, params.bins)}
        for k, n in enumerate(names)
    ]


@STABILITY.role("member")
async def member(s: Session, inputs: StepInputs) -> tuple[Frame, list[dict[str, Any]]]:
    frame = frame_of(inputs, s.me)
    with told():
        return frame, await s.compute(compared, s.params, frame, s.me)


@STABILITY.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame as it was; tells the submitter the indices."""
    frame, found = await member(s, inputs)
    return StepOutputs(keep=frame.keep(), result={"columns": found})
