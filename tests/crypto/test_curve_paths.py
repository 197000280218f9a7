"""Every instruction set gives the same bytes: the portable kernel is the reference, the chosen one is compared."""

from __future__ import annotations

import numpy as np
import pytest
import rbcl

from parley.crypto import _native, curve
from parley.crypto.curve import ORDER, Ids

P = 2**255 - 19
SIZES = (0, 1, 7, 8, 9, 15, 16, 17, 255, 256, 257)


@pytest.fixture(autouse=True)
def two_paths(monkeypatch):
    monkeypatch.delenv("PARLEY_CPU", raising=False)
    if _native.ristretto_kernel() == "baseline":
        pytest.skip("this CPU has the portable kernel only: nothing to compare it with")


def both(monkeypatch, work):
    """The result on the CPU's own path, then on the portable one."""
    fast = work()
    monkeypatch.setenv("PARLEY_CPU", "baseline")
    assert _native.ristretto_kernel() == "baseline"
    slow = work()
    monkeypatch.delenv("PARLEY_CPU")
    return fast, slow


def same(monkeypatch, work):
    fast, slow = both(monkeypatch, work)
    for f, s in zip(fast, slow, strict=True):
        assert np.array_equal(f, s)
    return slow


def digits(k: int) -> np.ndarray:
    return curve._scalar(k.to_bytes(32, "little"))


@pytest.mark.parametrize("n", SIZES)
def test_hash_and_multiply(monkeypatch, n):
    ids = Ids.from_list([b"id-%d" % i for i in range(n)])
    k = digits(0x1234567 << 200)
    points, ok = same(monkeypatch, lambda: _native.ristretto_hash(ids.data, ids.offsets, curve._tag(b"t"), k, 2))
    assert ok.all()
    assert len(points) == n
    products, ok = same(monkeypatch, lambda: _native.ristretto_multiply(points, digits(ORDER - 3), 1))
    assert ok.all()
    assert len(products) == n


def encodings() -> np.ndarray:
    """Valid, invalid and non-canonical rows mixed, so that a bad lane always has good neighbours."""
    rng = np.random.default_rng(11)
    rows = [int(x).to_bytes(32, "little") for x in (0, 1, 2, P - 1, P, P + 1, 2**255 - 1, 2**256 - 1)]
    rows += [(P + k).to_bytes(32, "little") for k in range(-32, 19)]
    rows += [k.to_bytes(32, "little") for k in range(256)]
    rows += [bytes(r) for r in rng.integers(0, 256, (1500, 32), dtype=np.uint8) & np.uint8(0xFE)]
    valid = curve.hash_to_group(Ids.from_list([b"v%d" % i for i in range(len(rows))]), b"t")
    mixed = np.empty((2 * len(rows), 32), np.uint8)
    mixed[0::2] = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
    mixed[1::2] = valid
    mixed[1::8, 31] |= 0x80
    return mixed


def test_validity_and_products_of_hostile_encodings(monkeypatch):
    rows = encodings()
    for k in (1, 2, 8, ORDER - 1, int.from_bytes(curve.random_scalar(), "little")):
        _, ok = same(monkeypatch, lambda k=k: _native.ristretto_multiply(rows, digits(k), 1))
        assert 0.3 < ok.mean() < 0.9
        assert not ok[1::8].any()


@pytest.mark.slow
def test_65536_encodings_against_the_portable_kernel_and_libsodium(monkeypatch):
    """Random, near p, small, and with bit 255 set; libsodium reads bit 255 as absent, which is undone here."""
    rng = np.random.default_rng(65536)
    n = 1 << 16
    rows = rng.integers(0, 256, (n, 32), dtype=np.uint8)
    rows[:, 0] &= 0xFE  # an odd one is refused at once
    rows[: n // 2, 31] &= 0x7F
    near = [(P + k).to_bytes(32, "little") for k in range(-32, 32)] + [k.to_bytes(32, "little") for k in range(4096)]
    rows[: len(near)] = np.frombuffer(b"".join(near), np.uint8).reshape(-1, 32)
    for value in (1, 0, ORDER - 1, int.from_bytes(curve.random_scalar(), "little")):
        k = value.to_bytes(32, "little")
        (out, ok), (slow, slow_ok) = both(
            monkeypatch, lambda k=k: _native.ristretto_multiply(rows, np.frombuffer(k, np.uint8), 2)
        )
        assert np.array_equal(out, slow)
        assert np.array_equal(ok, slow_ok)
        if value == 0:
            assert not ok.any()
            assert not out.any()
    strict = [rbcl.crypto_core_ristretto255_is_valid_point(r.tobytes()) and r[31] < 128 and r.any() for r in rows]
    assert np.array_equal(ok[:, 0] == 1, np.array(strict, np.bool_))
    assert 8_000 < ok.sum() < 20_000
    lenient = [rbcl.crypto_core_ristretto255_is_valid_point(r.tobytes()) for r in rows[n // 2 :: 8]]
    assert sum(lenient) > ok[n // 2 :: 8].sum()
    for at in np.flatnonzero(ok)[:3000]:
        assert out[at].tobytes() == rbcl.crypto_scalarmult_ristretto255(k, rows[at].tobytes())


def test_small_and_large_scalars_against_libsodium(monkeypatch):
    points = curve.hash_to_group(Ids.from_list([b"s%d" % i for i in range(3)]), b"t")
    for value in [
        *range(1, 40),
        *range(ORDER - 20, ORDER),
        *(1 << b for b in range(6, 252, 7)),
        ORDER // 2,
        ORDER // 2 + 1,
    ]:
        k = value.to_bytes(32, "little")
        got, _ = same(monkeypatch, lambda value=value: _native.ristretto_multiply(points, digits(value), 1))
        assert [r.tobytes() for r in got] == [rbcl.crypto_scalarmult_ristretto255(k, p.tobytes()) for p in points]


def test_extreme_field_values_are_mapped_alike(monkeypatch):
    edge = [0, 1, 2, P - 1, P, P + 1, 2**255 - 1, 2**255, 2**256 - 1, (P + 1) // 2]
    rows = [a.to_bytes(32, "little") + b.to_bytes(32, "little") for a in edge for b in edge]
    uniform = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 64)
    same(monkeypatch, lambda: _native.ristretto_map_multiply(uniform, curve._NO_SCALAR, 1))


def test_an_unknown_path_is_refused(monkeypatch):
    monkeypatch.setenv("PARLEY_CPU", "quantum")
    with pytest.raises(ValueError, match="PARLEY_CPU"):
        _native.ristretto_kernel()
