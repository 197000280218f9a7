"""CKKS: parameters within the standard, errors within the bound, nothing unflooded, and the leak that this closes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tenseal as ts
from scipy import stats

from parley.crypto.ahe import ckks
from parley.crypto.ahe.ckks import Circuit, CkksOwner, CkksPeer
from parley.crypto.errors import CryptoError

ALARM = 1e-9
CIRCUIT = Circuit(size=64, outputs=64, value_bound=8.0, factor_sum=100.0, releases=1000)


@pytest.fixture(scope="module")
def owner() -> CkksOwner:
    return CkksOwner(CIRCUIT)


@pytest.fixture(scope="module")
def public(owner) -> bytes:
    return owner.public()


@pytest.fixture(scope="module")
def peer(public) -> CkksPeer:
    return CkksPeer(public, CIRCUIT)


def bare(owner: CkksOwner, raw: bytes, product: bool) -> np.ndarray:
    """The undefended decryption, which the product has no door to."""
    values = np.array(ts.ckks_vector_from(owner._context, raw).decrypt())
    return values * owner._correction if product else values


def inputs(seed: int = 1):
    rng = np.random.default_rng(seed)
    return rng.uniform(-8, 8, 64), rng.uniform(-8, 8, 64), rng.uniform(-3, 3, (64, 8))


def test_parameters_are_within_the_standard(owner):
    """The gate, at every row of the table, and the context that is really made."""
    for degree, most in ckks.LARGEST_MODULUS.items():
        ckks.check_parameters(degree, (most,))
        with pytest.raises(CryptoError, match="bad_parameters"):
            ckks.check_parameters(degree, (most, 1))
    for degree, moduli in ((12345, (60,)), (8192, ckks.MODULI), (16384, ())):
        with pytest.raises(CryptoError, match="bad_parameters"):
            ckks.check_parameters(degree, moduli)
    parms = ckks._data(owner._context).key_context_data().parms()
    total = math.prod(ckks._primes(owner._context)).bit_length()
    assert parms.poly_modulus_degree() == 16384
    assert total == 240
    assert total <= 438


def test_results_are_right_and_errors_within_the_bound(owner, peer):
    x, y, w = inputs()
    a, b = owner.encrypt(x), owner.encrypt(y)
    worst = 0.0
    for raw, want, product in (
        (a, x, False),
        (peer.add(a, b), x + y, False),
        (peer.multiply_plain(a, w[:, 0].copy()), x * w[:, 0], True),
        (peer.dot(a, w[:, 0] / 3), np.array([x @ w[:, 0] / 3]), True),
        (peer.matrix(a, w / 3), x @ w / 3, True),
        (peer.matrix(peer.add(a, b), w / 3), (x + y) @ w / 3, True),
    ):
        worst = max(worst, float(np.abs(bare(owner, raw, product) - want).max()))
        got = owner.release(raw, product=product)
        assert np.abs(got - want).max() < 8 * CIRCUIT.deviation
    assert 0 < worst < CIRCUIT.error / 4
    assert worst > CIRCUIT.error / 1e5, "a bound that is far too wide would spoil results"


def test_released_values_carry_the_stated_noise(owner, peer):
    x, _, w = inputs()
    raw, want = peer.matrix(owner.encrypt(x), w / 3), x @ w / 3
    z = np.concatenate([owner.release(raw, product=True) - want for _ in range(100)]) / CIRCUIT.deviation
    assert stats.kstest(z, stats.norm.cdf).pvalue > ALARM
    assert stats.kstest(z * 2, stats.norm.cdf).pvalue < ALARM
    assert CIRCUIT.deviation >= math.sqrt(12 * 1000) * 2**20 * CIRCUIT.error


def test_an_error_tells_how_a_result_came_about_and_flooding_hides_it(owner, peer):
    """The same values, 7.2, by small inputs and large factors or the other way round: the bare error tells which."""
    bare_ones, flooded = [], []
    for value, factor in ((0.08, 90.0), (8.0, 0.9)):
        raws = [peer.multiply_plain(owner.encrypt(np.full(64, value)), np.full(64, factor)) for _ in range(6)]
        bare_ones.append([float(np.std(bare(owner, raw, True))) for raw in raws])
        flooded.append(np.concatenate([np.abs(owner.release(raw, product=True) - 7.2) for raw in raws]))
    assert min(bare_ones[0]) > 10 * max(bare_ones[1]), "undefended, every result tells its history"
    assert stats.mannwhitneyu(*flooded).pvalue > ALARM


def test_releases_are_counted():
    few = CkksOwner(Circuit(4, 4, 1.0, 1.0, 1))
    raw = few.encrypt(np.zeros(4))
    few.release(raw, product=False)
    with pytest.raises(CryptoError, match="exhausted"):
        few.release(raw, product=False)


def test_the_owners_handle_stays_inside(owner, public):
    assert repr(owner) == "CkksOwner(secret)"
    with pytest.raises(CryptoError, match="secret_key"):
        owner.__reduce__()
    context = ts.context_from(public)
    assert not context.has_secret_key()
    with pytest.raises(ValueError):
        ts.ckks_vector_from(context, owner.encrypt(np.zeros(64))).decrypt()


def test_foreign_contexts_are_refused(owner):
    secret = owner._context.serialize(save_secret_key=True, save_galois_keys=True)
    weak = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60])
    weak.global_scale = 2.0**40
    weak.generate_galois_keys()
    weak.make_context_public()
    for bad in (b"", b"no context", secret, weak.serialize(), owner._context.serialize(save_galois_keys=False)):
        with pytest.raises(CryptoError, match="bad_key"):
            CkksPeer(bad, CIRCUIT)


def test_what_exceeds_the_circuit_is_refused(owner, peer):
    raw = owner.encrypt(np.zeros(64))
    few = CkksOwner(Circuit(64, 8, 1.0, 1.0, 1))
    for code, call in (
        ("bad_shape", lambda: owner.encrypt(np.zeros(63))),
        ("bad_shape", lambda: owner.encrypt(np.zeros(64, np.float32))),
        ("overflow", lambda: owner.encrypt(np.full(64, 9.0))),
        ("overflow", lambda: owner.encrypt(np.full(64, np.nan))),
        ("bad_shape", lambda: peer.dot(raw, np.zeros(63))),
        ("bad_shape", lambda: peer.matrix(raw, np.zeros((64, 65)))),
        ("bad_shape", lambda: peer.matrix(raw, np.zeros((63, 8)))),
        ("bad_shape", lambda: peer.matrix(raw, np.zeros(64))),
        ("overflow", lambda: peer.dot(raw, np.full(64, 2.0))),
        ("overflow", lambda: peer.dot(raw, np.full(64, np.nan))),
        ("bad_ciphertext", lambda: peer.add(raw, raw[:1000])),
        ("bad_ciphertext", lambda: owner.release(b"x", product=False)),
        ("bad_ciphertext", lambda: few.release(raw, product=False)),
        ("bad_range", lambda: Circuit(8193, 1, 1.0, 1.0, 1)),
        ("bad_range", lambda: Circuit(1, 1, 1.0, 1.0, 0)),
        ("bad_range", lambda: Circuit(1, 1, float("nan"), 1.0, 1)),
    ):
        with pytest.raises(CryptoError, match=code):
            call()
