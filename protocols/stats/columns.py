"""What every step of statistics asks of a table: which columns, and labels that are 0 or 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.errors import DataError
from parley.components.features.values import column, numbers, texts
from parley.protocols.inputs import ROW, check_parties, need_columns
from parley.protocols.kit import Cast
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

ByParty = dict[str, list[str]]


class Columns(BaseModel):
    """`columns` names a party's columns instead of all; `id` and `exclude` name columns that are left out, for all
    parties or by party."""

    model_config = ConfigDict(extra="forbid")
    columns: ByParty = Field(default_factory=dict)
    exclude: list[str] | ByParty = Field(default_factory=list)
    id: str | dict[str, str] | None = None


def chosen(params: Columns, me: str, known: list[str], *without: str | None) -> list[str]:
    """This party's columns in the table's order, or as `columns` names them; ParleyError "unknown_column"."""
    left_out = {ROW, *without, params.id.get(me) if isinstance(params.id, dict) else params.id}
    if me in params.columns:
        need_columns(params.columns[me], known, me)
        return [c for c in params.columns[me] if c not in left_out]
    listed = params.exclude if isinstance(params.exclude, list) else params.exclude.get(me, [])
    if isinstance(params.exclude, dict):
        need_columns(listed, known, me)
    return [c for c in known if c not in left_out and c not in listed]


def check_columns(params: Columns, cast: Cast) -> None:
    """ParleyError "bad_parameters" for parties without a role, and columns that are named twice."""
    for name in ("id", "columns", "exclude"):
        value = getattr(params, name)
        if isinstance(value, dict):
            check_parties(value, cast.parties(), name)
    for party, names in params.columns.items():
        if len(set(names)) != len(names):
            raise ParleyError("bad_parameters", f"columns names a column of {party} twice.")


def zero_one(table: pa.Table, name: str, positive: str | int | None) -> NDArray[np.int64]:
    """(n,) labels; `positive` is the value that counts as 1, without one the column is 0 and 1, or truth values.

    DataError "bad_labels" for other values, missing ones, and where all rows have the same.
    """
    found = column(table, name)
    if found.null_count:
        raise DataError("bad_labels", "some rows have no label", "remove them before the alignment")
    if positive is not None:
        out = np.asarray(texts(table, name).to_numpy(zero_copy_only=False) == str(positive), dtype=np.int64)
    else:
        values = numbers(table, name)
        if not np.isin(values, (0.0, 1.0)).all():
            raise DataError("bad_labels", "the label has values beside 0 and 1", "say which is 1: `positive`")
        out = values.astype(np.int64)
    if out.size == 0 or out.min() == out.max():
        raise DataError("bad_labels", "all rows have the same label", "look at the label's values")
    return out
