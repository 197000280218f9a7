"""Chosen columns of a table as rows of one width, so that every row can be masked alike, and back again.

A column takes one byte for whether there is a value, then its fixed width, or for text two bytes of length and as many
bytes as the job allows. Types are a closed list; text is UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Raw = NDArray[np.uint8]
TEXT = "string"
# A type that travels: the plain integers or floats that carry it.
FIXED = {
    **{n: n for n in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    **{f"timestamp[{unit}]": "int64" for unit in ("s", "ms", "us", "ns")},
    "float": "float32",
    "double": "float64",
    "bool": "uint8",
    "date32[day]": "int32",
}
WIDEST = 8


def width_of(kind: str, most_text: int) -> int:
    """Bytes of a column's part of a row; KeyError for a type that does not travel."""
    return 3 + most_text if kind == TEXT else 1 + np.dtype(FIXED[kind]).itemsize


def bound(columns: int, most_text: int) -> int:
    """The most bytes that a row of so many columns can have."""
    return columns * max(3 + most_text, 1 + WIDEST)


def kind_of(column: pa.ChunkedArray, name: str) -> str:
    """The type as it travels; ParleyError "bad_payload_type"."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TEXT
    if str(kind) not in FIXED:
        hint = "Whole numbers, floats, truth values, dates, times without a zone, and text can."
        raise ParleyError("bad_payload_type", f"Column {name!r} of type {kind} cannot be looked up.", hint)
    return str(kind)


def packed(table: pa.Table, columns: Sequence[str], most_text: int) -> tuple[list[str], Raw]:
    """The types, and (n, width) the rows; ParleyError "bad_payload_type", "text_too_long"."""
    kinds = [kind_of(table.column(c), c) for c in columns]
    parts = [np.empty((table.num_rows, 0), np.uint8)]
    for name, kind in zip(columns, kinds, strict=True):
        column = table.column(name)
        parts.append(np.asarray(column.is_valid().to_numpy()).astype(np.uint8)[:, None])
        parts.append(_texts(column, name, most_text) if kind == TEXT else _fixed(column, kind))
    return kinds, np.hstack(parts)


def _fixed(column: pa.ChunkedArray, kind: str) -> Raw:
    import pyarrow as pa

    carrier = pa.from_numpy_dtype(np.dtype(FIXED[kind]))
    plain = column.cast(carrier) if str(column.type) != str(carrier) else column
    values = np.ascontiguousarray(plain.fill_null(0).to_numpy()).astype(np.dtype(FIXED[kind]).newbyteorder("<"))
    return values.view(np.uint8).reshape(len(values), -1)


def _texts(column: pa.ChunkedArray, name: str, most_text: int) -> Raw:
    import pyarrow as pa

    plain = pa.concat_arrays([pa.array([], pa.large_string()), *column.cast(pa.large_string()).fill_null("").chunks])
    _, offsets_raw, data_raw = plain.buffers()
    offsets = np.frombuffer(offsets_raw, np.int64, len(plain) + 1, plain.offset * 8)
    lengths = np.diff(offsets)
    if lengths.size and int(lengths.max()) > most_text:
        raise ParleyError(
            "text_too_long", f"Column {name!r} has a text of more than {most_text} bytes.", "Raise `max_text`."
        )
    data = np.frombuffer(data_raw, np.uint8)[offsets[0] : offsets[-1]] if data_raw is not None else lengths[:0]
    out = np.zeros((len(plain), 2 + most_text), np.uint8)
    out[:, :2] = lengths.astype("<u2").view(np.uint8).reshape(-1, 2)
    out[:, 2:][np.arange(most_text)[None, :] < lengths[:, None]] = data
    return out


def unpacked(
    rows: Raw, valid: NDArray[np.bool_], names: Sequence[str], kinds: Sequence[str], most_text: int
) -> pa.Table:
    """A table of rows (n, width); where `valid` is false every column is null.

    ValueError for bytes that no column packs to.
    """
    import pyarrow as pa

    out: dict[str, Any] = {}
    at = 0
    for name, kind in zip(names, kinds, strict=True):
        width = width_of(kind, most_text)
        part = np.ascontiguousarray(rows[:, at : at + width])
        at += width
        if np.any(part[valid, 0] > 1):
            raise ValueError("a row that says neither that there is a value nor that there is none")
        missing = ~(valid & (part[:, 0] == 1))
        out[name] = _text_of(part[:, 1:], missing) if kind == TEXT else _fixed_of(part[:, 1:], kind, missing)
    return pa.table(out)


def _fixed_of(raw: Raw, kind: str, missing: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    values = np.ascontiguousarray(raw).view(np.dtype(FIXED[kind]).newbyteorder("<")).reshape(-1)
    plain = pa.array(np.where(missing, values.dtype.type(0), values), mask=missing)
    if kind == "bool":
        return plain.cast(pa.bool_())
    if kind.startswith("timestamp"):
        return plain.cast(pa.timestamp(kind[len("timestamp[") : -1]))
    return plain.cast(pa.date32()) if kind.startswith("date32") else plain


def _text_of(raw: Raw, missing: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    lengths = np.ascontiguousarray(raw[:, :2]).view("<u2").reshape(-1).astype(np.int64)
    lengths[missing] = 0
    if lengths.size and int(lengths.max()) > raw.shape[1] - 2:
        raise ValueError("a text that is longer than its row")
    data = raw[:, 2:][np.arange(raw.shape[1] - 2)[None, :] < lengths[:, None]]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    present = pa.array(~missing).buffers()[1]
    made = pa.Array.from_buffers(
        pa.large_string(), len(raw), [present, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
    )
    try:
        made.validate(full=True)
    except pa.ArrowInvalid:
        raise ValueError("a text that is no UTF-8") from None
    return made.cast(pa.string())
