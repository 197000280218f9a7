"""What the steps that every party takes alone share: which columns, fitted on which rows, kept as what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from parley.components.features.pipeline import ROW, Transform
from parley.components.features.values import is_number, is_text
from parley.protocols.frame import Frame, local_frame
from parley.protocols.inputs import check_parties, need_columns, told
from parley.protocols.kit import Cast, Protocol, Session, Sizes, StepInputs, StepOutputs
from parley.protocols.kit.protocol import Reshape
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

ByParty = dict[str, list[str]]
Fit = Callable[[Any, "pa.Table", Sequence[str], str], list[Transform]]  # parameters, training rows, columns, party
Suits = Callable[["pa.DataType"], bool]


class Columns(BaseModel):
    """`columns` names a party's columns instead of all that suit; a party that is left out of it keeps its own as they
    are. `exclude` leaves columns out: ids and labels."""

    model_config = ConfigDict(extra="forbid")
    columns: ByParty | None = None
    exclude: list[str] | ByParty = Field(default_factory=list)


def number(kind: pa.DataType) -> bool:
    return is_number(kind)


def text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return is_text(kind) or (pa.types.is_dictionary(kind) and is_text(kind.value_type))


def anything(kind: pa.DataType) -> bool:
    return True


def chosen(params: Columns, me: str, table: pa.Table, suits: Suits) -> list[str]:
    """This party's columns, in the table's order or as `columns` names them; ParleyError "unknown_column"."""
    if params.columns is not None:
        named = params.columns.get(me, [])
        need_columns(named, table.column_names, me)
        return named
    without = params.exclude if isinstance(params.exclude, list) else params.exclude.get(me, [])
    if not isinstance(params.exclude, list):
        need_columns(without, table.column_names, me)
    return [f.name for f in table.schema if f.name not in without and f.name != ROW and suits(f.type)]


def fitted(s: Session, inputs: StepInputs, fit: Fit, suits: Suits) -> tuple[Frame, int]:
    """The frame with transforms that were fitted on its training rows, and how many columns they are about."""
    frame = local_frame(inputs, s.me)
    names = chosen(s.params, s.me, frame.table, suits)
    if not names:
        return frame.next(), 0
    with told():
        seen = frame.table if frame.training.all() else frame.table.filter(frame.training)
        return frame.with_transforms(fit(s.params, seen, names, s.me)), len(names)


def same(params: Any, cast: Cast, sizes: Sizes) -> Sizes:
    """As many columns as before, whatever they are called."""
    return sizes


def times(sizes: Sizes, cast: Cast, factor: int) -> Sizes:
    """At most so many times the columns of every party in the cast."""
    parties = cast.parties()
    return Sizes(sizes.rows, {p: n * (factor if p in parties else 1) for p, n in sizes.columns.items()})


def bind(protocol: Protocol, fit: Fit, suits: Suits, reshapes: Reshape = same) -> None:
    """Each member keeps the frame as its transforms leave it; the submitter hears how many columns they were."""

    @protocol.role("member")
    async def member(s: Session, inputs: StepInputs) -> tuple[Frame, int]:
        return await s.compute(fitted, s, inputs, fit, suits)

    async def job(s: Session, inputs: StepInputs) -> StepOutputs:
        frame, count = await member(s, inputs)
        return StepOutputs(keep=frame.keep(), result={"columns": count})

    protocol.job("member")(job)
    protocol.reshapes = reshapes
    protocol.checks.append(check_columns)


def check_columns(params: Columns, cast: Cast) -> None:
    """ParleyError "bad_parameters" for a party without a role, or a column named twice."""
    for value, what in ((params.columns, "columns"), (params.exclude, "exclude")):
        if isinstance(value, dict):
            check_parties(value, cast.parties(), what)
    for party, names in (params.columns or {}).items():
        if len(set(names)) != len(names):
            raise ParleyError("bad_parameters", f"columns names a column of {party} twice.")
