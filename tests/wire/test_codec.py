"""The closed codec and the envelope: round trips, limits, and refusal of everything else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.wire import codec
from parley.wire.canonical import canonical, parse
from parley.wire.envelope import Address, Envelope
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=12
)


@given(st.dictionaries(st.text(), values, max_size=5))
@settings(max_examples=200, deadline=None)
def test_round_trip(fields):
    assert codec.decode(codec.encode(fields)) == fields


@given(st.sampled_from(codec.DTYPES), st.lists(st.integers(0, 5), max_size=4))
@settings(max_examples=100, deadline=None)
def test_arrays_round_trip(dtype, shape):
    array = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
    back = codec.decode(codec.encode({"a": array}))["a"]
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert back.shape == array.shape


def test_tables_round_trip():
    table = pa.table({"id": ["a", None], "x": [1.5, float("inf")]})
    assert codec.decode(codec.encode({"t": table}))["t"].equals(table)


def outcome(raw: bytes) -> str:
    try:
        codec.decode(raw)
    except ParleyError as e:
        return e.code
    return "decoded"


@given(st.binary(max_size=400))
@settings(max_examples=500, deadline=None)
def test_noise_is_refused_or_canonical(raw):
    assert outcome(raw) in ("decoded", "malformed")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bytes_never_crash(data):
    raw = bytearray(codec.encode({"a": np.arange(6, dtype=np.int64), "b": "text", "t": pa.table({"x": [1, 2]})}))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert outcome(bytes(raw)) in ("decoded", "malformed")


@pytest.mark.parametrize("shape", [[2**40, 2**40], [2**63], [5], [0, 1]])
def test_shapes_that_lie_are_refused_before_allocation(shape):
    entry = pb.Entry(key="a", value=pb.Value(array=pb.Array(dtype="int64", shape=shape, data=b"\0" * 16)))
    with pytest.raises(ParleyError):
        codec.decode(pb.ValueMap(entries=[entry]).SerializeToString())


@pytest.mark.parametrize("dtype", ["object", "O", "U8", "complex128", "datetime64[ns]", ""])
def test_other_dtypes_are_refused(dtype):
    entry = pb.Entry(key="a", value=pb.Value(array=pb.Array(dtype=dtype, shape=[0], data=b"")))
    with pytest.raises(ParleyError):
        codec.decode(pb.ValueMap(entries=[entry]).SerializeToString())


def test_objects_do_not_travel():
    for value in (object(), np.array([object()]), {1, 2}, lambda: 0):
        with pytest.raises((TypeError, AttributeError)):
            codec.encode({"a": value})


def test_envelopes():
    address = Address("j", 1, "s", (("tree", 3), ("level", 2)), "t/1", "a", "b", 9)
    envelope = Envelope(address, b"body", True, False)
    assert Envelope.decode(envelope.encode()) == envelope
    old = pb.Envelope.FromString(envelope.encode())
    old.version = 99
    with pytest.raises(ParleyError) as e:
        Envelope.decode(old.SerializeToString())
    assert e.value.code == "version_mismatch"
    assert "body" not in repr(envelope)


@pytest.mark.parametrize("where", ["unknown field", "second body", "long address"])
def test_an_envelope_carries_little_beside_its_body(where):
    """Found by fuzzing: protobuf keeps the last of two bodies and skips what it does not know, uncounted."""
    address = Address("j", 1, "s", (), "t/1", "a", "b", 9)
    raw, junk = Envelope(address, b"body").encode(), b"x" * 100_000
    if where == "unknown field":
        raw += b"\x9a\x06\xa0\x8d\x06" + junk
    elif where == "second body":
        raw = pb.Envelope(body=junk).SerializeToString() + raw
    else:
        raw = Envelope(Address("j" * 100_000, 1, "s", (), "t/1", "a", "b", 9), b"body").encode()
    with pytest.raises(ParleyError) as e:
        Envelope.decode(raw)
    assert e.value.code == "malformed"


def test_canonical_json():
    assert canonical({"b": 1, "a": [1.5, None, "é"]}) == '{"a":[1.5,null,"é"],"b":1}'.encode()
    for bad in (b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 100 + b"]" * 100, b"\xff"):
        with pytest.raises(ValueError):
            parse(bad)
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})


@pytest.mark.parametrize("shape", [[0, 2**63], [2**63, 0], [0, 2**40, 2**40], [0, 2**62], [0, 2**29]])
def test_an_empty_array_names_no_huge_dimension(shape):
    """Found by fuzzing: no bytes agree with any of these, and numpy's own refusals are not ours."""
    entry = pb.Entry(key="a", value=pb.Value(array=pb.Array(dtype="int64", shape=shape, data=b"")))
    with pytest.raises(ParleyError) as e:
        codec.decode(pb.ValueMap(entries=[entry]).SerializeToString())
    assert e.value.code == "malformed"


def stream(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def with_table(raw: bytes) -> bytes:
    return pb.ValueMap(entries=[pb.Entry(key="t", value=pb.Value(table=raw))]).SerializeToString()


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_table_that_grows_when_it_is_read_is_refused(compression):
    """Found by fuzzing: two kilobytes that become forty megabytes."""
    bomb = with_table(stream(pa.table({"x": np.zeros(5_000_000)}), compression=compression))
    assert len(bomb) < 400_000
    before = pa.total_allocated_bytes()
    with pytest.raises(ParleyError) as e:
        codec.decode(bomb)
    assert e.value.code == "malformed"
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_a_table_has_no_more_rows_than_bytes_can_hold():
    many = with_table(stream(pa.table({"x": pa.nulls(1 << 24)})))
    assert len(many) < 1000
    with pytest.raises(ParleyError):
        codec.decode(many)


TABLES = {
    "numbers": pa.table({"x": [1.5, None], "y": pa.array([1, 2], pa.uint8())}),
    "words": pa.table({"x": pa.array(["a", "b", "a"]).dictionary_encode(), "n": pa.nulls(3)}),
    "nested": pa.table({"x": [[1, 2], [], None], "s": [{"a": 1}, None, {"a": 3}]}),
    "empty": pa.table({"x": pa.array([], pa.int64())}),
    "no columns": pa.table({}),
}


@pytest.mark.parametrize("name", TABLES)
def test_ordinary_tables_pass_and_are_refused_where_no_table_is_due(name):
    raw = codec.encode({"t": TABLES[name]})
    assert codec.decode(raw)["t"].equals(TABLES[name])
    with pytest.raises(ParleyError):
        codec.decode(raw, tables=False)


@pytest.mark.parametrize("name", TABLES)
def test_changed_tables_never_crash(name):
    raw = stream(TABLES[name])
    rng = np.random.default_rng(7)
    for _ in range(400):
        changed = bytearray(raw)
        for at in rng.integers(0, len(raw), size=int(rng.integers(1, 4))):
            changed[at] ^= 1 << int(rng.integers(0, 8))
        cut = len(raw) if rng.uniform() < 0.8 else int(rng.integers(0, len(raw)))
        assert outcome(with_table(bytes(changed[:cut]))) in ("decoded", "malformed")
