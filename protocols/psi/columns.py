"""What the newer intersections ask of a job about its id column, and the column itself at one party."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from parley.protocols.inputs import ROW, check_parties, need_columns, one_of, table_of
from parley.protocols.kit import Cast, Protocol, Session, StepInputs
from parley.protocols.psi.ids import IdColumn, check_id_type, id_column
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]


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


async def column_of_all(s: Session, inputs: StepInputs) -> tuple[IdColumn, Ints]:
    """This party's distinct ids, and for each of its rows (n,) which of them it has, -1 for none; errors as above."""
    name, table = one_of(s.params.id, s.me) or "", table_of(inputs, s.me)
    need_columns([name], table.column_names, s.me)
    column = await s.compute(id_column, table, name, s.params.normalise)
    return column, await s.compute(_which, table, name, s.params.normalise, column)


def _which(table: pa.Table, name: str, normalise: Any, column: IdColumn) -> Ints:
    """Which id each row has, by way of the distinct spellings: those that mean one id are met round after round."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spelt = table.column(name).combine_chunks()
    if not pa.types.is_dictionary(spelt.type):
        spelt = spelt.dictionary_encode()
    left = pa.table({"id": spelt.dictionary, ROW: pa.array(np.arange(len(spelt.dictionary), dtype=np.int64))})
    means = np.full(len(spelt.dictionary) + 1, -1, np.int64)  # the last one is for rows without any
    while left.num_rows:
        try:
            found = id_column(left, "id", normalise)
        except ParleyError as e:
            if e.code == "no_ids":
                break
            raise
        means[found.rows] = pc.index_in(found.ids, value_set=column.ids).to_numpy(zero_copy_only=False)
        left = left.filter(pa.array(means[left.column(ROW).to_numpy()] < 0))
    codes = spelt.indices.fill_null(len(spelt.dictionary)).to_numpy(zero_copy_only=False)
    which: Ints = means[codes.astype(np.int64)]
    return which


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
