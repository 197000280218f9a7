"""Exact noise: its distribution by the formula, beside an independent sampler, and what must be noticed."""

from __future__ import annotations

import math
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2
from shared import need

from parley.crypto.errors import CryptoError
from parley.crypto.noise import discrete_gaussian, discrete_laplace
from parley.crypto.prg import Keystream, Rng

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from noise_oracle import Oracle

ALARM = 1e-9
N = 300_000
LAPLACE = [Fraction(1, 20), Fraction(1, 3), Fraction(1), Fraction(7, 2), Fraction(1000, 7), Fraction(10**9 + 7)]
GAUSSIAN = [Fraction(1, 20), Fraction(1, 2), Fraction(1), Fraction(10, 3), Fraction(12345), Fraction(10**12)]


def stream(name: str) -> Keystream:
    return Keystream(bytes(32), name.encode())


def weights(kind: str, scale: Fraction, reach: int) -> np.ndarray:
    """Probabilities of -reach .. reach, by the formula."""
    y = np.abs(np.arange(-reach, reach + 1, dtype=np.float64))
    w = np.exp(-y / float(scale)) if kind == "laplace" else np.exp(-(y**2) / (2 * float(scale)))
    return w / w.sum()


def p_value(values: np.ndarray, kind: str, scale: Fraction) -> float:
    """Chi-square of the sample against the formula, in at most some eighty cells of which each expects 50 or more."""
    spread = float(scale) if kind == "laplace" else math.sqrt(float(scale))
    step = max(1, int(spread / 8))  # cells of `step` neighbours; wide scales have more values than cells
    reach = int(40 * spread + 40) // step if kind == "laplace" else int(12 * spread + 12) // step
    cells = np.floor_divide(values + step // 2, step)
    if step == 1:
        expected = weights(kind, scale, reach) * values.size
    else:  # the formula's integral over a cell, by its closed form; steps this wide make the sum and it one
        edges = (np.arange(-reach, reach + 2) * step - step // 2) - 0.5
        if kind == "laplace":
            below = np.where(edges < 0, 0.5 * np.exp(np.minimum(edges, 0) / spread), 0)
            cdf = np.where(edges < 0, below, 1 - 0.5 * np.exp(-np.maximum(edges, 0) / spread))
        else:
            cdf = np.array([0.5 * (1 + math.erf(e / spread / math.sqrt(2))) for e in edges])
        expected = np.diff(cdf) * values.size
    observed = np.bincount(np.clip(cells + reach, 0, 2 * reach), minlength=2 * reach + 1)
    kept = expected >= 50
    o, e = np.append(observed[kept], observed[~kept].sum()), np.append(expected[kept], expected[~kept].sum())
    e, o = (e, o) if e[-1] > 5 else (e[:-1], o[:-1])
    return float(chi2.sf(((o - e) ** 2 / e).sum(), max(1, e.size - 1)))


def draw(kind: str, scale: Fraction, n: int = N, name: str = "noise") -> np.ndarray:
    sampler = discrete_laplace if kind == "laplace" else discrete_gaussian
    return sampler(stream(f"{name}/{kind}/{scale}"), n, scale)


CASES = [("laplace", s) for s in LAPLACE] + [("gaussian", s) for s in GAUSSIAN]


@pytest.mark.parametrize(("kind", "scale"), CASES, ids=lambda x: str(x))
def test_values_come_as_the_formula_says(kind, scale):
    assert p_value(draw(kind, scale), kind, scale) > ALARM


@pytest.mark.parametrize(("kind", "scale"), [c for c in CASES if c[1] >= Fraction(1, 3)], ids=lambda x: str(x))
def test_a_scale_a_twentieth_off_would_be_noticed(kind, scale):
    assert p_value(draw(kind, scale * Fraction(21, 20)), kind, scale) < ALARM


def test_rounded_floating_point_noise_would_be_noticed():
    rounded = np.rint(np.random.default_rng(1).laplace(0, 1, N)).astype(np.int64)
    assert p_value(rounded, "laplace", Fraction(1)) < ALARM
    assert (
        p_value(np.rint(np.random.default_rng(1).normal(0, 0.5, N)).astype(np.int64), "gaussian", Fraction(1, 4))
        < ALARM
    )


@pytest.mark.parametrize(
    ("kind", "scale"), [("laplace", Fraction(7, 2)), ("gaussian", Fraction(10, 3)), ("gaussian", Fraction(1, 2))]
)
def test_an_independent_sampler_of_fractions_draws_alike(kind, scale):
    oracle = Oracle(np.random.default_rng(3))
    theirs = np.array([getattr(oracle, kind)(scale) for _ in range(20_000)])
    assert p_value(theirs, kind, scale) > ALARM
    ours = draw(kind, scale, 20_000)
    assert abs(ours.var() - theirs.var()) < 0.15 * theirs.var()


def test_the_far_tail_is_there():
    values = draw("laplace", Fraction(1), 2_000_000)
    beyond = np.count_nonzero(np.abs(values) >= 10)
    expected = values.size * 2 * math.exp(-10) / (1 + math.exp(-1))
    assert abs(beyond - expected) < 7 * math.sqrt(expected)


def test_one_stream_gives_one_sample_and_another_another():
    first, again, other = (discrete_gaussian(stream(n), 1000, 100) for n in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(discrete_laplace(Rng(), 1000, 100), discrete_laplace(Rng(), 1000, 100))


def test_extreme_scales_and_no_values():
    assert not discrete_laplace(stream("tiny"), 1000, Fraction(1, (1 << 52) - 1)).any()
    huge = discrete_laplace(stream("huge"), 1000, (1 << 52) - 1)
    assert 1 << 50 < np.abs(huge).mean() < 1 << 54
    assert discrete_gaussian(Rng(), 0, 1).shape == (0,)
    wide = discrete_gaussian(stream("wide"), 2000, ((1 << 28) - 2) ** 2)
    assert 0.9 < wide.std() / (1 << 28) < 1.1


@pytest.mark.parametrize("scale", [0, -1, 0.5, True, "1", 1 << 58, Fraction(1, 1 << 58), None])
def test_other_scales_are_refused(scale):
    for sampler in (discrete_laplace, discrete_gaussian):
        with pytest.raises(CryptoError) as caught:
            sampler(Rng(), 1, scale)
        assert caught.value.code == "bad_scale"


def test_a_variance_too_large_for_its_denominator_is_refused():
    with pytest.raises(CryptoError, match="bad_scale"):
        discrete_gaussian(Rng(), 1, Fraction((1 << 58) - 1, 1 << 10))
    with pytest.raises(CryptoError, match="bad_range"):
        discrete_laplace(Rng(), -1, 1)


def test_a_source_that_fails_ends_the_batch():
    class Broken(Keystream):
        def bytes(self, n: int) -> bytes:
            raise OSError("no entropy")

    with pytest.raises(OSError, match="no entropy"):
        discrete_laplace(Broken(bytes(32), b""), 10, 1)


def published(kind: str) -> list[tuple[float, float]]:
    """(variance, granularity) of each published case."""
    text = need(f"vectors/dp/{kind}_closeness.textproto").read_text()
    found = re.findall(r"variance: ([0-9.]+)\s+l2_tolerance: [0-9.]+\s+granularity: ([0-9.]+)", text)
    assert len(found) >= 10
    return [(float(v), float(g)) for v, g in found]


@pytest.mark.parametrize("kind", ["laplace", "gaussian"])
def test_the_published_cases_have_their_variance_and_shape(kind):
    """Noise on each case's grid: variance within a twentieth of what is stated, shape by the formula."""
    for variance, granularity in sorted(set(published(kind))):
        steps = Fraction(variance / granularity**2).limit_denominator(1000)
        if kind == "laplace":
            scale = Fraction(math.sqrt(float(steps) / 2)).limit_denominator(1000)
        else:
            scale = steps
        values = draw(kind, scale, 100_000, "published")
        assert abs(values.var() * granularity**2 / variance - 1) < 0.05
        assert p_value(values, kind, scale) > ALARM
