"""ristretto255: RFC vectors, an independent library, and everything that must be refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rbcl
from shared import need

from parley.crypto import _native, curve
from parley.crypto.curve import ORDER, Ids
from parley.crypto.errors import CryptoError
from parley.crypto.threads import limit, limited

BASE = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")
RFC = json.loads((Path(__file__).parent / "rfc9496.json").read_text(encoding="utf-8"))
ZERO = bytes(32)


@pytest.fixture(params=["own", "baseline"], autouse=True)
def kernel(request, monkeypatch):
    """Every test here runs on the CPU's own kernel and on the portable one."""
    monkeypatch.delenv("PARLEY_CPU", raising=False)
    if request.param == "baseline":
        monkeypatch.setenv("PARLEY_CPU", "baseline")


def points(*encodings: bytes | str) -> np.ndarray:
    raw = [bytes.fromhex(e) if isinstance(e, str) else e for e in encodings]
    return np.frombuffer(b"".join(raw), np.uint8).reshape(-1, 32)


def scalar(k: int) -> bytes:
    return (k % ORDER).to_bytes(32, "little")


def test_multiples_of_the_generator():
    """RFC 9496, A.1; the first of them is the identity, which is refused."""
    identity, *multiples = RFC["multiples"]
    assert len(multiples) == 15
    for k, want in enumerate(multiples, 1):
        assert curve.multiply(points(BASE), scalar(k))[0].tobytes().hex() == want
        assert curve.multiply(points(want), scalar(pow(k, -1, ORDER)))[0].tobytes() == BASE
    curve.check(points(*multiples))
    with pytest.raises(CryptoError, match="bad_point"):
        curve.check(points(identity))


@pytest.mark.parametrize("bad", [*RFC["not_elements"], ZERO.hex()])
def test_what_is_not_an_element_is_refused_by_index(bad):
    """RFC 9496, A.2, and the identity."""
    with pytest.raises(CryptoError) as e:
        curve.multiply(points(BASE, BASE, bad), scalar(7))
    assert (e.value.code, e.value.index) == ("bad_point", 2)
    with pytest.raises(CryptoError):
        curve.check(points(bad))


def test_the_map_from_uniform_bytes():
    """RFC 9496, A.3."""
    assert (len(RFC["not_elements"]), len(RFC["mapped"])) == (29, 11)
    rows = np.frombuffer(b"".join(bytes.fromhex(given) for given, _ in RFC["mapped"]), np.uint8).reshape(-1, 64)
    out, ok = _native.ristretto_map_multiply(rows, curve._NO_SCALAR, 1)
    assert ok.all()
    assert [r.tobytes().hex() for r in out] == [want for _, want in RFC["mapped"]]


def test_a_product_that_is_the_identity_is_refused_and_blank():
    """The order and zero never come this far from Python; the kernel is asked directly."""
    rows = curve.hash_to_group(Ids.from_list([b"%d" % i for i in range(20)]), b"t")
    for k in (0, ORDER):
        out, ok = _native.ristretto_multiply(rows, np.frombuffer(k.to_bytes(32, "little"), np.uint8), 1)
        assert not ok.any()
        assert not out.any()


def test_bad_rows_leave_their_neighbours_alone():
    """One inversion serves 256 rows: a zero among them would spoil them all."""
    rows = curve.hash_to_group(Ids.from_list([b"%d" % i for i in range(300)]), b"t")
    k = curve._scalar(curve.random_scalar())
    want, _ = _native.ristretto_multiply(rows, k, 1)
    mixed = rows.copy()
    bad = np.array([0, 1, 15, 16, 17, 100, 255, 256, 299])
    for at, encoding in zip(bad, [ZERO.hex(), *RFC["not_elements"]], strict=False):
        mixed[at] = points(encoding)[0]
    out, ok = _native.ristretto_multiply(mixed, k, 1)
    assert np.flatnonzero(ok[:, 0] == 0).tolist() == bad.tolist()
    assert not out[bad].any()
    good = ok[:, 0] == 1
    assert np.array_equal(out[good], want[good])


def test_results_do_not_depend_on_the_threads():
    ids = Ids.from_list([b"%d" % i for i in range(1100)])
    k = curve.random_scalar()
    with limited(1):
        assert limit() == 1
        want = curve.hash_and_multiply(ids, k, b"t")
        with limited(5):
            assert limit() == 5
            assert np.array_equal(curve.hash_and_multiply(ids, k, b"t"), want)
        assert limit() == 1
    assert np.array_equal(curve.hash_and_multiply(ids, k, b"t"), want)
    for bad in (0, -1, 257):
        with pytest.raises(CryptoError, match="bad_range"), limited(bad):
            pass


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
    ours, ok = _native.ristretto_map_multiply(uniform, curve._NO_SCALAR, 2)
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
