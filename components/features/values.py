"""Columns as arrays and back: numbers with NaN for what is missing, texts, and a table with a column replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.errors import DataError, unknown_name

Floats = npt.NDArray[np.float64]
Numbers = tuple[tuple[str, float], ...]


def column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """DataError "unknown_column"; dictionaries as their values."""
    if name not in table.column_names:
        raise unknown_name("column", name, (c for c in table.column_names if c != "_row"))
    found = table.column(name)
    return found.cast(found.type.value_type) if pa.types.is_dictionary(found.type) else found


def is_number(kind: pa.DataType) -> bool:
    """Whether values of the type can be scaled: integers, floats, decimals, truth values."""
    t = pa.types
    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or t.is_boolean(kind))


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def numbers(table: pa.Table, name: str) -> Floats:
    """(n,) float64, NaN where missing; DataError "no_number" for a column of another type."""
    found = column(table, name)
    if not is_number(found.type):
        raise DataError(
            "no_number", f"column {name!r} of type {found.type} holds no numbers", "encode or cast it first"
        )
    if pa.types.is_boolean(found.type):
        found = found.cast(pa.int8())
    return np.asarray(pc.fill_null(found.cast(pa.float64(), safe=False), float("nan")).to_numpy(), dtype=np.float64)


def texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    """(n,) strings, null where missing; truth values as true and false, numbers as they print."""
    return column(table, name).cast(pa.string())


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with the column's values in their old place; floats with NaN become null there."""
    made = as_column(values)
    return table.set_column(table.column_names.index(name), name, made)


def as_column(values: Any) -> Any:
    return pa.array(values, from_pandas=True) if isinstance(values, np.ndarray) else values


def checked_pairs(value: object, kind: str, width: int) -> list[list[Any]]:
    """A record's list of [column, number, ...] with `width` finite numbers each; DataError "bad_transform"."""
    from parley.components.features.pipeline import bad_transform

    if not isinstance(value, list):
        raise bad_transform(kind)
    for entry in value:
        if not isinstance(entry, list) or len(entry) != 1 + width or type(entry[0]) is not str:
            raise bad_transform(kind)
        if not all(type(x) in (int, float) and np.isfinite(x) for x in entry[1:]):
            raise bad_transform(kind)
    return value


def matrix(table: pa.Table, names: Iterable[str]) -> Floats:
    """(n, F) float64 of columns without gaps; DataError "missing_values" or "not_numbers" with the column's name."""
    out = []
    for name in names:
        column = table.column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise DataError("not_numbers", f"the column {name!r} holds no numbers", "Encode it in an earlier step.")
        values = np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
        if not np.isfinite(values).all():
            raise DataError("missing_values", f"the column {name!r} has missing values", "Impute them first.")
        out.append(values)
    return np.stack(out, axis=1) if out else np.empty((table.num_rows, 0))
