"""Binds correlations to datasets: what a member reads, what it keeps, what the submitter is told."""

from __future__ import annotations

from typing import Any

from parley.components.features.values import matrix
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import told
from parley.protocols.kit import Session, StepInputs, StepOutputs
from parley.protocols.prep.columns import chosen, number
from parley.protocols.stats.correlation import CORRELATION, Floats, member, pairs
from parley.wire.errors import ParleyError


def _columns(s: Session, inputs: StepInputs) -> tuple[Frame, list[str], Floats]:
    """The frame, and this party's columns of its training rows; DataError "missing_values"."""
    frame = frame_of(inputs, s.me)
    names = chosen(s.params, s.me, frame.table, number)
    if not names:
        raise ParleyError("no_columns", f"{s.me} has no numeric column.", "Name some under `columns`.", party=s.me)
    with told():
        return frame, names, matrix(frame.table, names)[frame.training]


@CORRELATION.job("member")
async def member_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame and its correlations; tells the submitter pairs above the threshold, and inflation factors."""
    frame, names, x = await s.compute(_columns, s, inputs)
    found = await member(s, x)
    shown = names if s.params.share_names else [f"#{k}" for k in range(len(names))]
    result: dict[str, Any] = {"rows": len(x), "pairs": pairs(s.me, found, names, s.params, s.cast["member"])}
    keep = {"correlated": names, "correlations": found.own, "cross": found.cross}
    if found.inflation is not None:
        result["vif"] = [{"column": c, "vif": float(v)} for c, v in zip(shown, found.inflation, strict=True)]
        keep["inflation"] = found.inflation
    return StepOutputs(keep={**frame.keep(), **keep}, result=result)
