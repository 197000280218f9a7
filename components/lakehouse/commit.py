"""A keyed commitment to a table's schema and content."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.errors import DataError
from parley.components.lakehouse.types import to_stored, type_name

KEY_BYTES = 32
_LABEL = b"parley/table-commitment/1"


def commitment(table: pa.Table, key: bytes) -> bytes:
    """The 32-byte HMAC-SHA256 of `table`'s canonical form under `key`.

    Guarantee: two tables with the same digest under the same key have the same column names in the same
    order, the same stored types and the same cells in the same row order; who lacks the key can neither
    tell which of two tables was committed to nor test a guess.
    Not guaranteed: whoever is given the key can test guesses, so it goes to an auditor only; and two
    commitments under one key show whether their tables are equal.

    Chunking, dictionary encoding and the width of string offsets do not change the digest; every NaN counts
    as the same value; -0.0 and 0.0 differ. `key` holds at least 32 secret bytes (DataError `weak_key`).
    """
    table = to_stored(table)
    return commitment_of(zip(table.column_names, table.columns, strict=True), table.shape, key)


def commitment_of(columns: Iterable[tuple[str, pa.ChunkedArray]], shape: tuple[int, int], key: bytes) -> bytes:
    """The same of a table of `shape` (rows, columns), from its columns in their order and stored types, one by one."""
    if len(key) < KEY_BYTES:
        raise DataError("weak_key", f"a commitment key has at least {KEY_BYTES} bytes")
    mac = hmac.new(key, _LABEL, hashlib.sha256)
    mac.update(_number(shape[0]) + _number(shape[1]))
    for name, column in columns:
        for text in (name, type_name(column.type)):
            encoded = text.encode()
            mac.update(_number(len(encoded)) + encoded)
        for block in _canonical(column):
            mac.update(block)
    return mac.digest()


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _canonical(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Validity (one byte a cell), then lengths for text and binary (8 bytes a cell), then the cells' bytes.

    Each part has a length that the parts before it determine, so the encoding can be read only one way.
    """
    for chunk in column.chunks:
        yield _bytes(chunk.is_valid(), np.dtype("u1"))
    dtype = column.type
    if pa.types.is_decimal(dtype):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        chunks = [pc.fill_null(c.cast(pa.large_binary()), b"") for c in column.chunks]
        for chunk in chunks:
            yield _bytes(pc.binary_length(chunk), np.dtype("<i8"))
        for chunk in chunks:
            yield _payload(chunk)
        return
    for chunk in column.chunks:
        yield _fixed(chunk)


def _bytes(values: pa.Array, dtype: np.dtype[np.generic]) -> bytes:
    return np.asarray(values.to_numpy(zero_copy_only=False)).astype(dtype).tobytes()


def _payload(chunk: pa.LargeBinaryArray) -> bytes:
    """The concatenated cells of a null-free large binary array."""
    _, offsets, data = chunk.buffers()
    if offsets is None or data is None or len(chunk) == 0:
        return b""
    ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return bytes(memoryview(data)[int(ends[0]) : int(ends[-1])])


def _fixed(chunk: pa.Array) -> bytes:
    """The little-endian bytes of a fixed-width column; nulls are written as zero, NaN as one bit pattern."""
    dtype = chunk.type
    if pa.types.is_boolean(dtype):
        return _bytes(pc.fill_null(chunk, False), np.dtype("u1"))
    if pa.types.is_floating(dtype):
        floats = np.array(pc.fill_null(chunk, 0.0).to_numpy(zero_copy_only=False), dtype="<f8")
        floats[np.isnan(floats)] = np.nan
        return floats.tobytes()
    as_integer = pa.int32() if pa.types.is_date(dtype) else pa.int64()
    integers = pc.fill_null(chunk.cast(as_integer), 0)
    return _bytes(integers, np.dtype("<i8"))
