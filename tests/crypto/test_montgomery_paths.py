"""Every instruction set gives the same integers, and they are Python's: products, powers, sums by bin, joins."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

from parley.crypto import _native

LIMBS = (16, 32, 33, 48, 64, 96)  # 16 and 33 have portable code only
COUNTS = (0, 1, 7, 8, 9, 19)
RNG = np.random.default_rng(11)


def limbs(x: int, size: int) -> np.ndarray:
    return np.frombuffer(x.to_bytes(8 * size, "little"), np.uint64)


def rows(xs: list[int], size: int) -> np.ndarray:
    return np.stack([limbs(x, size) for x in xs]) if xs else np.zeros((0, size), np.uint64)


def ints(table: np.ndarray) -> list[int]:
    return [int.from_bytes(r.tobytes(), "little") for r in table]


def moduli(size: int) -> list[int]:
    """A random one, the largest (reduction at its tightest) and one just above a power of two."""
    top = 1 << (64 * size)
    return [secrets.randbelow(top >> 1) | 1 | (top >> 1), top - 1, (top >> 1) + 1]


def elements(n: int, count: int) -> list[int]:
    edges = [n - 1, 0, 1, n - 2, n >> 1]
    return (edges + [secrets.randbelow(n) for _ in range(count)])[:count]


@pytest.fixture(params=["own", "baseline"])
def kernel(request, monkeypatch):
    monkeypatch.delenv("PARLEY_CPU", raising=False)
    if request.param == "baseline":
        monkeypatch.setenv("PARLEY_CPU", "baseline")
    elif _native.Field(limbs((1 << 4096) - 1, 64)).kernel == "baseline":
        pytest.skip("this CPU has the portable kernel only")
    return request.param


def test_the_variable_chooses_and_refuses_others(monkeypatch):
    n = limbs((1 << 4096) - 1, 64)
    monkeypatch.setenv("PARLEY_CPU", "baseline")
    assert _native.Field(n).kernel == "baseline"
    monkeypatch.delenv("PARLEY_CPU")
    own = "ifma" if _native.ristretto_kernel() != "baseline" else "baseline"
    assert _native.Field(n).kernel == own
    monkeypatch.setenv("PARLEY_CPU", "fastest")
    with pytest.raises(ValueError, match="PARLEY_CPU"):
        _native.Field(n)


@pytest.mark.parametrize("size", LIMBS)
def test_products_and_the_way_in_and_out(kernel, size):
    for n in moduli(size):
        field = _native.Field(limbs(n, size))
        for count in COUNTS:
            a, b = elements(n, count), elements(n, count)[::-1]
            x, y = (field.enter(rows(v, size), 2) for v in (a, b))
            assert ints(field.leave(x, 2)) == a
            assert ints(field.leave(field.mul(x, y, 2), 1)) == [i * j % n for i, j in zip(a, b, strict=True)]
            if count:
                assert ints(field.leave(field.mul(x, y[:1], 1), 1)) == [i * b[0] % n for i in a]
            every = 1
            for i in a:
                every = every * i % n
            assert ints(field.leave(field.product(x), 1)) == [every]


def test_a_long_chain_of_edge_values(kernel):
    """n - 1 squared again and again: a value that slipped above its bound would show."""
    for size in (32, 48, 64, 96):
        n = (1 << (64 * size)) - 1
        field = _native.Field(limbs(n, size))
        x = field.enter(rows([n - 1, n - 2, n >> 1], size), 1)
        want = [n - 1, n - 2, n >> 1]
        for _ in range(40):
            x, want = field.mul(x, x, 1), [w * w % n for w in want]
        assert ints(field.leave(x, 1)) == want


@pytest.mark.parametrize("size", LIMBS)
def test_powers(kernel, size):
    n, e = moduli(size)[0], secrets.randbits(128)
    field = _native.Field(limbs(n, size))
    a = elements(n, 9)
    got = field.leave(field.pow(field.enter(rows(a, size), 1), limbs(e, 2), 2), 1)
    assert ints(got) == [pow(i, e, n) for i in a]
    base = secrets.randbelow(n)
    power = _native.Power(field, field.enter(limbs(base, size)[None, :], 1)[0], 5, 2)
    for count in (0, 1, 8, 11):
        exponents = RNG.integers(0, 256, (count, 5)).astype(np.uint8)
        wanted = [pow(base, int.from_bytes(r.tobytes(), "little"), n) for r in exponents]
        assert ints(field.leave(power.pow(exponents, 2), 1)) == wanted


@pytest.mark.parametrize("shape", [(0, 3, 2), (1, 1, 1), (60, 1, 3), (37, 3, 5), (50, 8, 4), (40, 11, 6), (9, 17, 2)])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_by_bin(kernel, shape, threads):
    count, features, n_bins = shape
    size = 32
    n = moduli(size)[0]
    field = _native.Field(limbs(n, size))
    a = elements(n, count)
    a = [x or 1 for x in a]
    bins = RNG.integers(0, n_bins, (count, features)).astype(np.uint16)
    for chosen in (np.arange(count), np.arange(0, count, 3), np.arange(0)):
        want = [1] * (features * n_bins)
        for r in chosen:
            for f in range(features):
                want[f * n_bins + bins[r, f]] = want[f * n_bins + bins[r, f]] * a[r] % n
        got = field.histogram(field.enter(rows(a, size), 1), bins, chosen.astype(np.int64), n_bins, threads)
        assert ints(field.leave(got, 1)) == want


def test_sums_of_many_rows_at_every_size(kernel):
    for size in (48, 64, 96):
        n = moduli(size)[1]
        field = _native.Field(limbs(n, size))
        a = [x or 1 for x in elements(n, 200)]
        bins = RNG.integers(0, 2, (200, 3)).astype(np.uint16)
        got = field.histogram(field.enter(rows(a, size), 1), bins, np.arange(200, dtype=np.int64), 2, 2)
        want = [1] * 6
        for r in range(200):
            for f in range(3):
                want[2 * f + bins[r, f]] = want[2 * f + bins[r, f]] * a[r] % n
        assert ints(field.leave(got, 1)) == want


@pytest.mark.parametrize(("count", "group"), [(1, 1), (5, 3), (24, 3), (25, 3), (7, 9), (30, 1)])
def test_joins(kernel, count, group):
    size, shift = 64, 13
    n = moduli(size)[0]
    field = _native.Field(limbs(n, size))
    a = elements(n, count)
    got = field.leave(field.join(field.enter(rows(a, size), 1), group, shift, 2), 1)
    want = []
    for g in range(0, count, group):
        joined = 1
        for j, x in enumerate(a[g : g + group]):
            joined = joined * pow(x, 1 << (shift * j), n) % n
        want.append(joined)
    assert ints(got) == want


def test_remainders_are_put_together(kernel):
    size = 32
    p, q = ((1 << 2048) - 1, (1 << 2048) - 3)
    field = _native.Field(limbs(q, size))
    inverse = field.enter(limbs(pow(p, -1, q), size)[None, :], 1)[0]
    xs = [secrets.randbelow(p * q) for _ in range(11)]
    got = _native.combine(
        rows([x % p for x in xs], size), rows([x % q for x in xs], size), field, limbs(p, size), inverse, 2
    )
    assert ints(got) == xs
