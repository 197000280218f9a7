"""The parameters against the published table and an estimate of our own, and the figures a plan states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import PROFILES, make_plan
from parley.crypto.ahe.lattice.plan import INFORMATION, check_security
from parley.crypto.errors import CryptoError

# Bossuat et al., Security Guidelines for Implementing Homomorphic Encryption (eprint 2024/463), table 5.2: log2 q at
# most, 128 bits classical, uniform ternary secrets, errors of width 3.19 (ours: 3.24).
TABLE = {4096: 106, 8192: 214}
SIGMA, TERNARY = math.sqrt(10.5), math.sqrt(2 / 3)


def root_hermite(beta: int) -> float:
    """log2 of the root Hermite factor of BKZ with this block size (Chen 2013)."""
    return math.log2((math.pi * beta) ** (1 / beta) * beta / (2 * math.pi * math.e)) / (2 * (beta - 1))


def block_size(n: int, log_q: float) -> tuple[int, int]:
    """(beta, d): the least block size whose primal attack finds the secret, over the number of samples.

    Unique shortest vectors by Kannan's embedding with the secret scaled up to the error's width (Bai, Galbraith 2014),
    success where the projected vector is shorter than the last block's Gram-Schmidt norm (Alkim et al. 2016).
    """
    scale = n * math.log2(SIGMA / TERNARY)
    for beta in range(80, 1200):
        log_delta = root_hermite(beta)
        for m in range(n // 4, 2 * n, n // 40):
            d = n + m + 1
            shortest = math.log2(SIGMA) + math.log2(beta) / 2
            if shortest <= (2 * beta - d - 1) * log_delta + (m * log_q + scale) / d:
                return beta, d
    raise AssertionError("no block size suffices")


def core_svp(n: int, log_q: float) -> float:
    """Bits of a classical sieve in the blocks, with its tours: 0.292 beta + 16.4 + log2(8 d)."""
    beta, d = block_size(n, log_q)
    return 0.292 * beta + 16.4 + math.log2(8 * d)


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_within_the_table(name):
    p = PROFILES[name]
    assert p.q.bit_length() <= TABLE[p.n]
    check_security(p.n, p.q)
    with pytest.raises(CryptoError, match="weak_parameters"):
        check_security(p.n, 1 << TABLE[p.n])
    with pytest.raises(CryptoError, match="weak_parameters"):
        check_security(p.n // 4, p.q)


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_have_128_bits_by_our_own_estimate(name):
    p = PROFILES[name]
    assert core_svp(p.n, math.log2(p.q)) > 136


def test_the_estimate_can_fail():
    """It finds the 2018 standard's limit for this ring at its edge, and a larger modulus below it."""
    assert 124 < core_svp(4096, 109) < 132
    assert core_svp(4096, 120) < 120


def test_the_narrowest_profile_that_meets_the_floor_is_taken():
    small, large = Layout(2, 1 << 16, 5_000), Layout(2, 1 << 16, 100_000)
    assert make_plan(small, 150_000).profile.name == "standard"
    assert make_plan(large, 50 * 307_200).profile.name == "wide"
    assert make_plan(large, 50 * 307_200, floor=28).profile.name == "standard"
    assert make_plan(small, 150_000, profile="wide").profile.name == "wide"
    assert make_plan(small, 150_000, x=8).x == 8


def test_less_must_be_asked_for():
    layout = Layout(2, 1 << 16, 100_000)
    for wanted in ({"profile": "standard"}, {"x": 8}, {"floor": 90.0}):
        with pytest.raises(CryptoError) as refused:
            make_plan(layout, 50 * 307_200, **wanted)
        assert refused.value.code == "floor"
    assert make_plan(layout, 50 * 307_200, x=8, floor=28).distance_bits < 40


@pytest.mark.parametrize(
    ("rows", "bound", "outputs", "profile", "bits"),
    # By hand: q / 2^33 leaves delta = 66, F = 64; sigma = sqrt(10.5 * 105463) = 1052.3; sqrt(I) = 1.7652 / 2^63;
    # 1 + 63 - 0.82 - 10.04 - 23.87 / 2 = 41.2.
    [(100_000, 1 << 16, 15_360_000, "standard", 41.20), (100_000, 1 << 16, 15_360_000, "wide", 91.17)],
)
def test_the_distance_is_the_derivations(rows, bound, outputs, profile, bits):
    plan = make_plan(Layout(2, bound, rows), outputs, profile=profile, floor=0, sharing=1)
    assert plan.distance_bits == pytest.approx(bits, abs=0.02)
    assert f"2^-{plan.distance_bits:.1f}" in plan.describe()
    shared = make_plan(Layout(2, bound, rows), outputs, profile=profile, floor=0)
    assert 2 < plan.distance_bits - shared.distance_bits < 2.5  # half of log2 32, less what does not grow


def test_the_information_of_the_noise_is_what_the_distance_takes():
    """By sums over a small discrete instance: four uniform numbers of w values each."""
    w = 4096
    one = np.full(w, 1 / w)
    two = np.convolve(one, one)
    p = np.sqrt(np.maximum(signal.fftconvolve(two, two), 0))
    information = 4 * np.sum(np.diff(np.concatenate([[0], p, [0]])) ** 2)
    assert information * w**2 == pytest.approx(INFORMATION, rel=2e-3)
    # The distance between the noise and itself moved by d, exactly, is below the bound for one output.
    for d in (1, 40, 400):
        exact = np.abs(np.concatenate([p**2, np.zeros(d)]) - np.concatenate([np.zeros(d), p**2])).sum() / 2
        assert exact < math.sqrt(information) * d / 2 * 1.001


@pytest.mark.parametrize("most", [1, 1 << 20, (1 << 33) - 1, 1 << 33, 1 << 38])
@pytest.mark.parametrize("profile", PROFILES)
def test_sums_with_their_noise_stay_below_half_a_modulus(most, profile):
    plan = make_plan(Layout(1, most, 1), 1, profile=profile, floor=0)
    q, step = plan.profile.q, 1 << plan.delta
    assert most * step + step // 2 < q // 2
    assert (2 * most + 1) * 2 * step > q  # the largest step that fits
    switched = math.prod(plan.profile.primes[1:])
    rounding = 12 * math.sqrt((plan.profile.n * 2 / 3 + 1) / 12) * switched
    assert (1 << plan.flood) + rounding + 12 * plan.sigma < 0.45 * step
    assert 32 <= plan.flood <= plan.delta - 2


def test_what_does_not_fit_is_refused():
    with pytest.raises(CryptoError, match="overflow"):
        make_plan(Layout(1, 1 << 41, 1), 1, floor=0)
    with pytest.raises(CryptoError, match="overflow"):
        make_plan(Layout(1, 1, 1), 1, x=64)
    for wanted in ({"outputs": 0}, {"floor": -1}, {"sharing": 0}, {"sharing": 33}):
        with pytest.raises(CryptoError, match="bad_range"):
            make_plan(Layout(1, 1, 1), **{"outputs": 1, **wanted})
    with pytest.raises(CryptoError, match="unknown_profile"):
        make_plan(Layout(1, 1, 1), 1, profile="narrow")
