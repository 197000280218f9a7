"""What the newer intersections ask of a job about its id column, and the column itself at one party."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from parley.protocols.inputs import check_parties, need_columns, one_of, table_of
from parley.protocols.kit import Cast, Protocol, Session, StepInputs
from parley.protocols.psi.ids import IdColumn, check_id_type, id_column
from parley.wire.errors import ParleyError


class KeyParams(BaseModel):
    """`id`: the id column, one name for all or one for each party; `normalise`: how its text is made comparable."""

    model_config = ConfigDict(extra="forbid")
    id: str | dict[str, str]
    normalise: Literal["none", "nfc", "nfkc", "nfkc-casefold"] = "nfc"


async def column_of(s: Session, inputs: StepInputs) -> IdColumn:
    """This party's distinct ids; ParleyError "no_dataset", "unknown_column" and what `id_column` raises."""
    name, table = one_of(s.params.id, s.me) or "", table_of(inputs, s.me)
    need_columns([name], table.column_names, s.me)
    return await s.compute(id_column, table, name, s.params.normalise)


def check_key_params(params: Any, cast: Cast) -> None:
    """ParleyError "bad_parameters" unless `id` names one column for everybody, or one for each party."""
    if isinstance(params.id, dict):
        check_parties(params.id, cast.parties(), "id")
        for party in cast.parties():
            if party not in params.id:
                raise ParleyError("bad_parameters", f"id names no column for {party}.", "Name one for each party.")


def check_key_data(params: Any, cast: Cast, me: str, schema: Mapping[str, str]) -> None:
    """ParleyError "unknown_column", "bad_id_type" when a party's declared column cannot be its id."""
    column = one_of(params.id, me) or ""
    need_columns([column], schema, me)
    check_id_type(column, dict(schema), me)


def check_keys(protocol: Protocol) -> None:
    """Let a protocol look at its job's id column before anything is signed."""
    protocol.checks.append(check_key_params)
    protocol.data_checks.append(check_key_data)
