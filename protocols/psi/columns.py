"""The key of a step at one party, its job's checks of it, and which key each of the party's rows has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.protocols.inputs import need_columns, row_ids, table_of
from parley.protocols.kit import Cast, Protocol, Session, StepInputs
from parley.protocols.psi.ids import (
    Duplicates,
    IdColumn,
    KeyParams,
    check_key_data,
    check_key_params,
    columns_of,
    duplicates_of,
    id_column,
    key_column,
)

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]


async def column_of(s: Session, inputs: StepInputs) -> IdColumn:
    """This party's distinct ids; ParleyError "no_dataset" and what `key_column` raises."""
    return await s.compute(_keys, s, inputs)


def _keys(s: Session, inputs: StepInputs) -> IdColumn:
    return key_column(table_of(inputs, s.me, columns_of(s.params.id, s.me)), s.params, s.me, s.cast)


async def column_of_all(s: Session, inputs: StepInputs) -> tuple[IdColumn, Ints]:
    """This party's distinct ids, and for each of its rows (n,) which of them it has, -1 for none; errors as above.

    Rows with equal ids are refused only where the job says `duplicates: refuse`.
    """
    return await s.compute(with_all_rows, table_of(inputs, s.me), s.params, s.me, s.cast)


def with_all_rows(table: pa.Table, params: KeyParams, me: str, cast: Cast) -> tuple[IdColumn, Ints]:
    """As `column_of_all`, of a table."""
    names = columns_of(params.id, me)
    need_columns(names, table.column_names, me)
    how: Duplicates = "refuse" if duplicates_of(params, me, cast) == "refuse" else "all"
    column = id_column(table, names, params.normalise, how)
    of = np.arange(len(column), dtype=np.int64)
    if column.starts is not None:
        of = np.repeat(of, np.diff(column.starts))
    rows = row_ids(table)
    order = np.argsort(rows, kind="stable")
    which = np.full(rows.size, -1, dtype=np.int64)
    which[order[np.searchsorted(rows, column.rows, sorter=order)]] = of
    first = column if column.starts is None else IdColumn(column.ids, column.rows[column.starts[:-1]])
    return first, which


def check_keys(protocol: Protocol) -> None:
    """Let a protocol look at its job's key before anything is signed."""
    protocol.checks.append(check_key_params)
    protocol.data_checks.append(_check_data)


def _check_data(params: Any, cast: Cast, me: str, schema: Mapping[str, str]) -> None:
    check_key_data(params, me, schema)
