"""The lattice's parts against independent ones: products by definition, another ChaCha20, noise by counting."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from scipy import stats

from parley.crypto import _native, _native_testing

RNG = np.random.default_rng(5)
RINGS = [(n, i) for n in (4096, 8192) for i in range(len(_native.lattice_primes(n)))]
ALARM = 1e-9


@pytest.fixture(params=["", "avx2", "baseline"])
def path(request, monkeypatch):
    monkeypatch.setenv("PARLEY_CPU", request.param)
    return request.param


def test_the_variable_chooses_and_refuses_others(monkeypatch):
    monkeypatch.setenv("PARLEY_CPU", "baseline")
    assert _native.lattice_kernel() == "baseline"
    monkeypatch.setenv("PARLEY_CPU", "avx2")
    assert _native.lattice_kernel() in ("avx2", "baseline")
    assert _native.ristretto_kernel() == "baseline"
    monkeypatch.setenv("PARLEY_CPU", "widest")
    with pytest.raises(ValueError, match="PARLEY_CPU"):
        _native.lattice_kernel()


@pytest.mark.parametrize("n", [4096, 8192])
def test_primes_split_the_ring(n):
    for q in _native.lattice_primes(n):
        assert q < 1 << 50
        assert q % (2 * n) == 1
        assert all(pow(a, q - 1, q) == 1 for a in (2, 3, 5, 7, 11))


def negacyclic(a: np.ndarray, terms: list[tuple[int, int]], q: int) -> np.ndarray:
    """a times a sparse polynomial, by the definition X^n = -1."""
    n, out = len(a), [0] * len(a)
    for place, factor in terms:
        for k, value in enumerate(a.tolist()):
            at, sign = (k + place) % n, -1 if k + place >= n else 1
            out[at] += sign * value * factor
    return np.array([v % q for v in out], np.uint64)


@pytest.mark.parametrize(("n", "prime"), RINGS)
def test_products_are_the_rings(path, n, prime):
    q = _native.lattice_primes(n)[prime]
    a = RNG.integers(0, q, n).astype(np.uint64)
    a[:4] = [q - 1, 0, 1, q - 2]
    terms = [(0, q - 1), (1, 3), (n // 2, q // 2), (n - 1, q - 5), (n - 3, 1)]
    b = np.zeros(n, np.uint64)
    for place, factor in terms:
        b[place] = factor
    there = [_native_testing.transform(n, prime, True, x) for x in (a, b)]
    got = _native_testing.transform(n, prime, False, _native_testing.product(n, prime, *there))
    assert np.array_equal(got, negacyclic(a, terms, q))


@pytest.mark.parametrize(("n", "prime"), RINGS)
def test_transforms_of_edge_values_are_undone(path, n, prime):
    q = _native.lattice_primes(n)[prime]
    for a in (np.full(n, q - 1, np.uint64), np.zeros(n, np.uint64), np.arange(n, dtype=np.uint64) % 2 * (q - 1)):
        there = _native_testing.transform(n, prime, True, a)
        assert int(there.max()) < q
        assert np.array_equal(_native_testing.transform(n, prime, False, there), a)


@pytest.mark.parametrize(("n", "prime"), RINGS)
def test_transforms_are_values_at_bit_reversed_roots(path, n, prime):
    """X goes to the root of each place, so the order is part of the format: 1, X and X^2 must agree."""
    q = _native.lattice_primes(n)[prime]
    x = np.zeros(n, np.uint64)
    x[1] = 1
    roots = _native_testing.transform(n, prime, True, x).tolist()
    assert len(set(roots)) == n
    assert all(pow(r, n, q) == q - 1 for r in roots[:16])
    first, bits = roots[0], n.bit_length() - 1
    for place in (1, 2, 3, n // 2, n - 1):
        assert roots[place] == pow(first, 2 * int(f"{place:0{bits}b}"[::-1], 2) + 1, q)


@pytest.mark.parametrize("n", [4096, 8192])
def test_pointwise_products(path, n):
    for prime, q in enumerate(_native.lattice_primes(n)):
        a = np.concatenate([RNG.integers(0, q, 64), [q - 1, q - 1, 0, 1, q - 1, q // 2, q // 2 + 1, 2]]).astype(
            np.uint64
        )
        b = np.concatenate([RNG.integers(0, q, 64), [q - 1, 1, q - 1, 0, q // 2, 2, 2, q - 1]]).astype(np.uint64)
        want = [x * y % q for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert _native_testing.product(n, prime, a, b).tolist() == want


@pytest.mark.parametrize(("n", "x"), [(4096, 8), (4096, 16), (4096, 32), (8192, 16), (8192, 32)])
def test_short_transforms_are_undone_within_rounding(path, n, x):
    limbs = 3 if n == 4096 else 5
    a = RNG.integers(-(1 << 33), 1 << 33, (limbs, n)).astype(np.float64)
    assert np.abs(_native_testing.there_and_back(n, x, a) - a).max() < 1e-4


@pytest.mark.parametrize("blocks", [1, 3, 4, 15, 16, 17, 64])
def test_the_stream_is_chacha20(path, blocks):
    key, nonce = bytes(range(32)), bytes(range(100, 112))
    theirs = Cipher(algorithms.ChaCha20(key, (7).to_bytes(4, "little") + nonce), None).encryptor()
    assert _native_testing.keystream(key, nonce, 7, blocks).tobytes() == theirs.update(bytes(64 * blocks))


def test_the_stream_gives_rfc_8439s_block(path):
    nonce = bytes.fromhex("000000090000004a00000000")
    block = _native_testing.keystream(bytes(range(32)), nonce, 1, 1).tobytes()
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c06803")


def test_noise_is_the_difference_of_two_counts(path):
    words = np.frombuffer(np.random.default_rng(9).bytes(8 * 1 << 16), np.uint64)
    low, high = words & np.uint64(0x1FFFFF), words >> np.uint64(21) & np.uint64(0x1FFFFF)
    want = np.bitwise_count(low).astype(np.int64) - np.bitwise_count(high).astype(np.int64)
    got = _native_testing.noise(words)
    assert np.array_equal(got, want)
    bins = np.arange(-9, 10)
    seen = np.array([(np.clip(got, -9, 9) == k).sum() for k in bins])
    mass = stats.binom.pmf(np.arange(43), 42, 0.5)  # a difference of two counts of 21, moved by 21
    expected = np.array([mass[k + 21] for k in bins])
    expected[0], expected[-1] = mass[:13].sum(), mass[30:].sum()
    assert stats.chisquare(seen, expected / expected.sum() * len(got)).pvalue > ALARM


def test_secrets_are_ternary_and_even():
    s = np.concatenate([_native_testing.secrets(8192, 4, bytes([k] * 32)) for k in range(4)]).reshape(-1)
    seen = [int((s == k).sum()) for k in (-1, 0, 1)]
    assert sum(seen) == len(s)
    assert stats.chisquare(seen).pvalue > ALARM


def redrawn(words: np.ndarray, n: int, q: int) -> list[int]:
    """The rule in words: each place takes its word; those not below q take, in order, the words behind."""
    masked = (words & np.uint64((1 << 50) - 1)).tolist()
    out, rest = masked[:n], iter(masked[n:])
    for j in range(n):
        while out[j] >= q:
            out[j] = next(rest)
    return out


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_uniform_residues_are_redrawn_in_order(path, share):
    q, n, key, nonce = int(share * (1 << 50)), 4096, bytes([3] * 32), bytes(12)
    stream = _native_testing.keystream(key, nonce, 0, 4 * n // 8).view(np.uint64)
    assert _native_testing.residues(n, q, key, nonce).tolist() == redrawn(stream, n, q)
