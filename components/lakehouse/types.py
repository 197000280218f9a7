"""The column types a warehouse stores, their names, and the conversion of foreign Arrow types to them.

name        Arrow type             accepted on import
int64       int64                  every signed and unsigned integer that fits
float64     float64                every float; NaN and infinities are kept as they are
bool        bool
string      string                 large strings, string views, dictionaries of strings, all-null columns
binary      binary                 large and fixed-size binary
date        date32                 date64
timestamp   timestamp[us]          every unit that loses nothing below a microsecond
timestamptz timestamp[us, UTC]     as above, any zone (the instant is kept, the zone name is not)
decimal     decimal128             as it is, up to 38 digits
"""

from __future__ import annotations

import pyarrow as pa

from parley.components.errors import DataError

TYPES: dict[str, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


def type_name(dtype: pa.DataType) -> str:
    """The name of a stored Arrow type, for example `int64`; decimals are spelt `decimal(p, s)`."""
    if pa.types.is_decimal(dtype):
        return f"decimal({dtype.precision}, {dtype.scale})"
    for name, known in TYPES.items():
        if dtype.equals(known):
            return name
    return str(dtype)


def stored_type(dtype: pa.DataType) -> pa.DataType | None:
    """The type under which a column of `dtype` is stored, or None when a warehouse cannot hold it."""
    t = pa.types
    if t.is_dictionary(dtype):
        inner = stored_type(dtype.value_type)
        return inner
    rules = (
        (t.is_integer, pa.int64()),
        (t.is_floating, pa.float64()),
        (t.is_boolean, pa.bool_()),
        (_is_text, pa.string()),
        (_is_binary, pa.binary()),
        (t.is_date, pa.date32()),
    )
    for accepts, target in rules:
        if accepts(dtype):
            return target
    if t.is_timestamp(dtype):
        return TYPES["timestamptz" if dtype.tz else "timestamp"]
    if t.is_decimal(dtype) and dtype.precision <= 38:
        return pa.decimal128(dtype.precision, dtype.scale)
    return None


def _is_text(dtype: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(dtype) or t.is_large_string(dtype) or t.is_string_view(dtype) or t.is_null(dtype))


def _is_binary(dtype: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_binary(dtype) or t.is_large_binary(dtype) or t.is_fixed_size_binary(dtype))


def to_stored(table: pa.Table) -> pa.Table:
    """`table` with every column in its stored type; raises DataError `unsupported_type` or `lossy_type`."""
    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        target = stored_type(field.type)
        if target is None:
            raise DataError(
                "unsupported_type",
                f"column {field.name!r} has type {field.type}, which a table cannot hold",
                "convert it to numbers, text, dates or timestamps, or leave it out",
            )
        columns.append(cast_column(field.name, column, target))
    schema = pa.schema([pa.field(f.name, c.type) for f, c in zip(table.schema, columns, strict=True)])
    return pa.Table.from_arrays(columns, schema=schema)


def cast_column(name: str, column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """`column` as `target`, exactly; DataError `lossy_type` when a value has no equal there."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type.equals(target):
        return column
    try:
        return column.cast(target)
    except pa.ArrowInvalid:
        # Arrow's own text quotes the offending value, so it is not passed on.
        raise DataError(
            "lossy_type",
            f"column {name!r} holds values that do not fit type {type_name(target)}",
            "choose another type for the column, or correct the file",
        ) from None
    except pa.ArrowNotImplementedError:
        raise DataError(
            "type_mismatch",
            f"column {name!r} of type {type_name(column.type)} cannot become {type_name(target)}",
            "choose another type for the column",
        ) from None
