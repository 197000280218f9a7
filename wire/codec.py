"""The closed codec: named fields of a fixed set of kinds, decoded within limits, never a class path.

Guarantee: decoding allocates at most a small multiple of the bytes received, accepts only the kinds listed here,
and refuses anything whose declared shape and bytes disagree. Not guaranteed: that the values make sense; the
message type checks that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

if TYPE_CHECKING:
    import pyarrow as pa

DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
MAX_BODY = 256 << 20
MAX_DIMENSIONS = 8
MAX_ITEMS = 100_000
MAX_DEPTH = 16
INT_LIMIT = 1 << 63

Value = Any  # None | bool | int | float | str | bytes | ndarray | pa.Table | list[Value] | dict[str, Value]


def refused(cause: str) -> ParleyError:
    return ParleyError("malformed", cause, "The sender's software or the link is broken; compare versions.")


def encode(fields: Mapping[str, Value]) -> bytes:
    """The bytes of a mapping of named values; TypeError for a kind outside the closed set."""
    out = pb.ValueMap()
    _put_map(out, fields, 0)
    return out.SerializeToString(deterministic=True)


def decode(raw: bytes, *, tables: bool = True) -> dict[str, Value]:
    """The mapping in `raw`; ParleyError("malformed") for anything but names in order and values within the limits.

    Other encodings of the same mapping, as protobuf allows them, are accepted: compare values, not bytes.
    Without `tables` a table is refused before Arrow sees a byte of it.
    """
    if len(raw) > MAX_BODY:
        raise refused("A message body is larger than the codec allows.")
    try:
        parsed = pb.ValueMap.FromString(raw)
    except DecodeError:
        raise refused("A message body does not parse.") from None
    return _get_map(parsed, 0, tables)


def _put_map(out: pb.ValueMap, fields: Mapping[str, Value], depth: int) -> None:
    for key in sorted(fields):
        entry = out.entries.add()
        entry.key = key
        _put(entry.value, fields[key], depth + 1)


def _put(out: pb.Value, value: Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TypeError("values nested too deeply")
    if value is None:
        out.none = True
    elif isinstance(value, bool | np.bool_):
        out.boolean = bool(value)
    elif isinstance(value, int | np.integer):
        out.integer = int(value)
    elif isinstance(value, float | np.floating):
        out.real = float(value)
    elif isinstance(value, str):
        out.text = value
    elif isinstance(value, bytes | bytearray | memoryview):
        out.raw = bytes(value)
    elif isinstance(value, np.ndarray):
        _put_array(out.array, value)
    elif isinstance(value, Mapping):
        out.map.SetInParent()
        _put_map(out.map, value, depth)
    elif isinstance(value, list | tuple):
        out.list.SetInParent()
        for item in value:
            _put(out.list.items.add(), item, depth + 1)
    else:
        out.table = _table_bytes(value)


def _put_array(out: pb.Array, value: np.ndarray) -> None:
    if value.dtype.name not in DTYPES:
        raise TypeError(f"arrays of dtype {value.dtype} do not travel")
    out.dtype = value.dtype.name
    out.shape.extend(value.shape)
    out.data = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False)).tobytes()


def _table_bytes(value: Value) -> bytes:
    import pyarrow as pa

    if not isinstance(value, pa.Table):
        raise TypeError(f"values of type {type(value).__name__} do not travel")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write_table(value)
    return bytes(sink.getvalue())


def _get_map(node: pb.ValueMap, depth: int, tables: bool) -> dict[str, Value]:
    if len(node.entries) > MAX_ITEMS:
        raise refused("A message body has too many entries.")
    out: dict[str, Value] = {}
    previous: str | None = None
    for entry in node.entries:
        if previous is not None and entry.key <= previous:
            raise refused("Entries of a message body are not in canonical order.")
        previous = entry.key
        out[entry.key] = _get(entry.value, depth + 1, tables)
    return out


def _get(node: pb.Value, depth: int, tables: bool) -> Value:
    if depth > MAX_DEPTH:
        raise refused("A message body is nested too deeply.")
    kind = node.WhichOneof("kind")
    if kind == "none":
        return None
    if kind in ("boolean", "integer", "real", "text", "raw"):
        return getattr(node, kind)
    if kind == "array":
        return _get_array(node.array)
    if kind == "map":
        return _get_map(node.map, depth, tables)
    if kind == "list":
        if len(node.list.items) > MAX_ITEMS:
            raise refused("A list in a message body is too long.")
        return [_get(item, depth + 1, tables) for item in node.list.items]
    if kind == "table" and tables:
        return _get_table(node.table)
    raise refused("A message body holds a value of unknown kind.")


def _get_array(node: pb.Array) -> np.ndarray:
    if node.dtype not in DTYPES or len(node.shape) > MAX_DIMENSIONS:
        raise refused("An array has an unknown dtype or too many dimensions.")
    dtype = np.dtype(node.dtype).newbyteorder("<")
    shape = tuple(int(n) for n in node.shape)
    if math.prod(shape) * dtype.itemsize != len(node.data):  # Python integers: no overflow, before any allocation
        raise refused("An array's shape and its bytes disagree.")
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > MAX_BODY:  # an empty array may name any other dimension
        raise refused("An empty array has a dimension that is too large.")
    array = np.frombuffer(node.data, dtype=dtype).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _get_table(raw: bytes) -> pa.Table:
    import pyarrow as pa

    from parley.wire.arrow import check_stream

    check_stream(raw)
    try:
        with pa.ipc.open_stream(pa.py_buffer(raw)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        raise refused("A table in a message body is not a valid Arrow stream.") from None
    return table
