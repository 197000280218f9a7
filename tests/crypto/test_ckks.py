"""Approximate sums and products: near the truth, within the table, and never bare."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from parley.crypto.ahe.ckks import (
    PRODUCTS,
    PROFILES,
    STANDARD,
    SUMS,
    Circuit,
    CkksPublicKey,
    CkksSecretKey,
)
from parley.crypto.errors import CryptoError

SUM = Circuit(SUMS, magnitude=8, terms=3, queries=4)
PRODUCT = Circuit(PRODUCTS, magnitude=8, terms=2, factor=4, security=20)


@pytest.fixture(scope="module")
def sums():
    return CkksSecretKey.generate(SUM)


@pytest.fixture(scope="module")
def products():
    return CkksSecretKey.generate(PRODUCT)


def numbers(width: int, seed: int, bound: float = 8) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-bound, bound, width)


def bare(key: CkksSecretKey, raw: bytes, width: int) -> np.ndarray:
    """What SEAL alone decrypts: only a test may."""
    return np.array(key.public.vector(raw, width).inner.decrypt(key._secret))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_parameters_are_within_the_standards_table(profile):
    assert sum(profile.modulus_bits) <= STANDARD[profile.degree]
    wider = replace(profile, modulus_bits=(*profile.modulus_bits, *[60] * 4))
    with pytest.raises(CryptoError, match="bad_key"):
        CkksSecretKey.generate(Circuit(wider, 1))
    with pytest.raises((ValueError, RuntimeError)):  # SEAL keeps the same table
        CkksSecretKey(Circuit(wider, 1))


def test_a_sum_comes_back_within_its_deviation(sums):
    peer = CkksPublicKey.decode(sums.public.encode())
    x, y, z = (numbers(1000, k) for k in range(3))
    a, b = (peer.vector(sums.public.encrypt(v), 1000) for v in (x, y))
    total = peer.add(peer.add(a, b), peer.vector(peer.encrypt(z), 1000))
    found = sums.decrypt(peer.release(total, SUM), 1000)
    error = found - (x + y + z)
    assert np.abs(error).max() < 7 * SUM.deviation
    assert 0.9 < error.std() / SUM.deviation < 1.1
    assert SUM.deviation < 1e-2


def test_a_product_comes_back_within_its_deviation(products):
    peer = CkksPublicKey.decode(products.public.encode())
    x, y, f, g = (numbers(500, k, bound) for k, bound in ((0, 8), (1, 8), (2, 4), (3, 4)))
    a, b = (peer.vector(products.public.encrypt(v), 500) for v in (x, y))
    total = peer.add(peer.multiply_plain(a, f), peer.multiply_plain(b, g))
    found = products.decrypt(peer.release(total, PRODUCT), 500)
    error = found - (x * f + y * g)
    assert 0.9 < error.std() / PRODUCT.deviation < 1.1
    with pytest.raises(CryptoError, match="no product is left"):
        peer.multiply_plain(peer.multiply_plain(a, f), f)


def test_the_declared_bounds_hold_for_what_seal_alone_decrypts(sums, products):
    for k in range(5):
        x = numbers(SUMS.slots, k)
        assert np.abs(bare(sums, sums.public.encrypt(x), x.size) - x).max() < SUMS.fresh_error
        y, f = numbers(2000, k), numbers(2000, k + 50, 4)
        peer = products.public
        inner = peer.multiply_plain(peer.vector(peer.encrypt(y), 2000), f).inner
        one = replace(PRODUCT, terms=1)
        assert np.abs(np.array(inner.decrypt(products._secret)) - y * f).max() < one.error


def test_bare_decryptions_show_the_error_and_released_ones_do_not(sums):
    """Li and Micciancio's attack starts from the error: it is in the low bits of what SEAL decrypts, and of a result
    on the grid, with noise, nothing is left of it."""
    x = np.zeros(SUMS.slots)
    raw = sums.public.encrypt(x)
    first, again = bare(sums, raw, x.size), bare(sums, raw, x.size)
    assert np.array_equal(first, again)  # undefended: the error itself, every time
    assert first.any()
    fresh = CkksSecretKey.generate(replace(SUM, queries=2))
    raw = fresh.public.encrypt(x)
    error = bare(fresh, raw, x.size)
    one, two = (fresh.decrypt(raw, x.size) for _ in range(2))
    assert not np.any(one % SUM.grid)
    assert not np.array_equal(one, two)
    assert abs(np.corrcoef(one, error)[0, 1]) < 0.08
    assert abs(np.corrcoef(first, again)[0, 1]) > 0.99


def test_the_owner_sees_only_covered_errors_of_a_peers_product(products):
    """The peer's factors stand in the error of a bare product; a released one differs from it by far more than that."""
    peer = products.public
    x, f = np.ones(800), numbers(800, 9, 4)
    product = peer.multiply_plain(peer.vector(peer.encrypt(x), 800), f)
    undefended = np.array(product.inner.decrypt(products._secret))
    released = [bare(products, peer.release(product, PRODUCT), 800) for _ in range(2)]
    assert np.array_equal(np.array(product.inner.decrypt(products._secret)), undefended)
    for one in released:
        assert (one - undefended).std() > 1000 * PRODUCT.error
    assert abs(np.corrcoef(released[0] - undefended, released[1] - undefended)[0, 1]) < 0.25


def test_no_more_results_than_declared():
    key = CkksSecretKey.generate(Circuit(SUMS, 1, queries=1))
    raw = key.public.encrypt(np.ones(3))
    assert key.decrypt(raw, 3) == pytest.approx(np.ones(3), abs=0.1)
    with pytest.raises(CryptoError, match="exhausted"):
        key.decrypt(raw, 3)


def test_secrets_do_not_travel(sums):
    with pytest.raises(CryptoError, match="secret_key"):
        pickle.dumps(sums)
    with pytest.raises(CryptoError, match="not_released"):
        pickle.dumps(sums.public.vector(sums.public.encrypt(np.ones(2)), 2))
    private = b"sums\x00" + sums._context.serialize(save_secret_key=True)
    with pytest.raises(CryptoError, match="bad_key"):
        CkksPublicKey.decode(private)


def test_what_is_no_key_or_ciphertext_is_refused(sums, products):
    good, raw = sums.public.encode(), sums.public.encrypt(np.ones(4))
    for bad in (
        b"",
        b"sums\x00",
        b"none\x00" + good[5:],
        good[:-9],
        b"products\x00" + good[5:],
        b"sums\x00" + bytes(900),
    ):
        with pytest.raises(CryptoError, match="bad_key"):
            CkksPublicKey.decode(bad)
    other = products.public.encrypt(np.ones(4))
    for bad, width in ((b"", 4), (b"abc", 4), (raw[:-20], 4), (raw, 5), (other, 4), (bytes(5000), 4)):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            sums.public.vector(bad, width)


@pytest.mark.parametrize(
    "wrong",
    [
        {"magnitude": 0}, {"terms": 0}, {"queries": 0}, {"factor": -1}, {"security": 10}, {"factor": 2},
        {"magnitude": 2.0**80},
    ],
)  # fmt: skip
def test_circuits_that_cannot_be_are_refused(wrong):
    with pytest.raises(CryptoError):
        replace(SUM, **wrong)


def test_values_of_another_shape_are_refused(sums):
    for bad in (np.ones((2, 2)), np.ones(SUMS.slots + 1), np.array([np.nan]), np.ones(0)):
        with pytest.raises(CryptoError, match="bad_shape"):
            sums.public.encrypt(bad)
