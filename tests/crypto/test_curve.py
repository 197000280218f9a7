"""ristretto255: RFC vectors, an independent library, and everything that must be refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import rbcl
from shared import need

from parley.crypto import _native, curve
from parley.crypto.curve import ORDER, Ids
from parley.crypto.errors import CryptoError

BASE = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")
# RFC 9496, A.1: the first multiples of the generator
MULTIPLES = [
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
]
# RFC 9496, A.2: encodings that are not elements
BAD = [
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
    "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
    "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
    "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
    "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
    "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad87",
    "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
    "0000000000000000000000000000000000000000000000000000000000000000",  # the identity
]


def points(*encodings: bytes | str) -> np.ndarray:
    raw = [bytes.fromhex(e) if isinstance(e, str) else e for e in encodings]
    return np.frombuffer(b"".join(raw), np.uint8).reshape(-1, 32)


def scalar(k: int) -> bytes:
    return (k % ORDER).to_bytes(32, "little")


def test_multiples_of_the_generator():
    for k, want in enumerate(MULTIPLES, 1):
        assert curve.multiply(points(BASE), scalar(k))[0].tobytes().hex() == want


@pytest.mark.parametrize("bad", BAD)
def test_what_is_not_an_element_is_refused_by_index(bad):
    with pytest.raises(CryptoError) as e:
        curve.multiply(points(BASE, BASE, bad), scalar(7))
    assert (e.value.code, e.value.index) == ("bad_point", 2)
    with pytest.raises(CryptoError):
        curve.check(points(bad))


def test_bit_255_is_refused_where_a_lenient_library_reads_it():
    lenient = bytes([*BASE[:31], BASE[31] | 0x80])
    with pytest.raises(CryptoError):
        curve.check(points(lenient))
    curve.check(points(BASE))


def test_equal_to_libsodium():
    n = 300
    rng = np.random.default_rng(3)
    uniform = rng.integers(0, 256, (n, 64), dtype=np.uint8)
    uniform[:4] = [[0] * 64, [255] * 64, [1] + [0] * 63, [0xED] + [0xFF] * 30 + [0x7F] + [0] * 32]
    ours, ok = _native.ristretto_from_uniform(uniform, 2)
    theirs = [rbcl.crypto_core_ristretto255_from_hash(row.tobytes()) for row in uniform]
    assert [r.tobytes() for r in ours[ok[:, 0] == 1]] == [t for t, good in zip(theirs, ok[:, 0], strict=True) if good]
    valid = ours[ok[:, 0] == 1]
    k = curve.random_scalar()
    product = curve.multiply(valid, k)
    assert [r.tobytes() for r in product] == [rbcl.crypto_scalarmult_ristretto255(k, r.tobytes()) for r in valid]


def test_edge_scalars():
    p = curve.hash_to_group(Ids.from_list([b"x", b"y"]), b"tag")
    for k in (1, 2, 7, 8, 15, 16, 2**251, ORDER - 1, ORDER - 2):
        want = [rbcl.crypto_scalarmult_ristretto255(scalar(k), r.tobytes()) for r in p]
        assert [r.tobytes() for r in curve.multiply(p, scalar(k))] == want
    for bad in (bytes(32), ORDER.to_bytes(32, "little"), b"\xff" * 32, b"short"):
        with pytest.raises(CryptoError, match="bad_scalar"):
            curve.multiply(p, bad)


def test_oprf_vectors():
    suites = json.loads(need("vectors/oprf/allVectors.json").read_text())
    used = 0
    for suite in suites:
        if suite["identifier"] != "ristretto255-SHA512":
            continue
        dst = bytes.fromhex(suite["groupDST"])
        for v in suite["vectors"]:
            inputs, blinds, blinded = (v[k].split(",") for k in ("Input", "Blind", "BlindedElement"))
            if suite["mode"] == 2:
                continue  # the partially oblivious mode tweaks the key, not the blinded element
            for i, b, want in zip(inputs, blinds, blinded, strict=True):
                got = curve.hash_and_multiply(Ids.from_list([bytes.fromhex(i)]), bytes.fromhex(b), dst)
                assert got[0].tobytes().hex() == want
                used += 1
    assert used >= 6


def test_blinding_commutes():
    ids = Ids.from_list([f"id-{k}".encode() for k in range(700)] + [b""])
    a, b = curve.random_scalar(), curve.random_scalar()
    assert a != b
    left = curve.multiply(curve.hash_and_multiply(ids, a, b"t"), b)
    right = curve.multiply(curve.hash_and_multiply(ids, b, b"t"), a)
    assert np.array_equal(left, right)
    assert len(np.unique(left, axis=0)) == len(ids)
    assert not np.array_equal(curve.hash_to_group(ids, b"t"), curve.hash_to_group(ids, b"u"))


def test_ids_from_arrow_columns():
    values = ["a", "", "é", "long " * 40]
    want = curve.hash_to_group(Ids.from_list([v.encode() for v in values]), b"t")
    for column in (
        pa.array(values),
        pa.array(values, pa.large_string()),
        pa.array([v.encode() for v in values]),
        pa.array(["skipped", *values]).slice(1),
        pa.chunked_array([values[:1], values[1:]]),
    ):
        assert np.array_equal(curve.hash_to_group(Ids.from_arrow(column), b"t"), want)
    assert len(Ids.from_arrow(pa.array([], pa.string()))) == 0
    for bad in (pa.array(["a", None]), pa.array([1, 2])):
        with pytest.raises(CryptoError, match="bad_ids"):
            Ids.from_arrow(bad)


def test_empty_batches():
    none = Ids.from_list([])
    assert curve.hash_to_group(none, b"t").shape == (0, 32)
    assert curve.multiply(np.zeros((0, 32), np.uint8), scalar(5)).shape == (0, 32)
