"""Binds the two roles of an intersection to datasets: what they read, what they keep, what the submitter is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from parley.protocols.inputs import table_of
from parley.protocols.kit import Cast, Session, StepInputs, StepOutputs
from parley.protocols.kit import Protocol as Declared
from parley.protocols.psi.ids import IdColumn, check_key_data, check_key_params, columns_of, key_column


class Alignment(Protocol):
    """What a role found: the places (k,) of the common records in its column's rows, None where it is not told."""

    @property
    def outcome(self) -> Literal["ok", "empty", "below_floor"]: ...

    @property
    def positions(self) -> NDArray[np.int64] | None: ...


Role = Callable[[Session, IdColumn], Awaitable[Alignment]]


def bind(protocol: Declared, receiver: Role, sender: Role) -> None:
    """Both keep `rows` and `count` where they are told them; the submitter hears the receiver's count alone."""

    async def receiver_job(s: Session, inputs: StepInputs) -> StepOutputs:
        outputs = await _run(receiver, s, inputs)
        if "count" in outputs.keep:
            outputs.result = {"intersection": outputs.keep["count"]}
        return outputs

    async def sender_job(s: Session, inputs: StepInputs) -> StepOutputs:
        return await _run(sender, s, inputs)

    protocol.job("receiver")(receiver_job)
    protocol.job("sender")(sender_job)
    protocol.checks.append(check_key_params)
    protocol.data_checks.append(_check_data)
    protocol.moves_rows = True


async def _run(role: Role, s: Session, inputs: StepInputs) -> StepOutputs:
    column = await s.compute(_column, s, inputs)
    found = await role(s, column)
    if found.positions is None:
        return StepOutputs(outcome=found.outcome)
    rows = column.rows[found.positions]
    return StepOutputs(keep={"rows": rows, "count": int(rows.size)}, outcome=found.outcome)


def _column(s: Session, inputs: StepInputs) -> IdColumn:
    return key_column(table_of(inputs, s.me, columns_of(s.params.id, s.me)), s.params, s.me, s.cast)


def _check_data(params: Any, cast: Cast, me: str, schema: dict[str, str]) -> None:
    check_key_data(params, me, schema)
