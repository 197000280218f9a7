"""factors^T times encrypted rows: exact, alike on every path, and with noise that stays in its budget."""

from __future__ import annotations

import numpy as np
import pytest

from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticeKey, LatticePeer, make_plan
from parley.crypto.errors import CryptoError

RNG = np.random.default_rng(41)
BOUND, MOST = 1 << 16, 1 << 20


class Pair:
    def __init__(self, most=MOST, **wanted):
        self.plan = make_plan(Layout(2, BOUND, most), 1 << 16, **{"floor": 10, **wanted})
        self.key = LatticeKey(self.plan, b"run")
        self.peer = LatticePeer(self.key.encode(), self.plan, b"run")

    def through(self, values, factors, rows=None):
        sums = self.peer.products(self.peer.receive(self.key.encrypt(values)), factors, rows)
        return self.key.decrypt(self.peer.release(sums), weighted=True), sums.inner.worst


@pytest.fixture(params=["", "avx2", "baseline"])
def path(request, monkeypatch):
    monkeypatch.setenv("PARLEY_CPU", request.param)


@pytest.mark.parametrize(
    "wanted", [{"x": 8}, {"x": 16}, {"x": 32}, {"x": 16, "profile": "wide"}, {"x": 32, "profile": "wide"}]
)
@pytest.mark.parametrize(
    ("rows", "columns", "largest"), [(1, 1, 127), (0, 3, 1), (63, 7, 127), (200, 33, 12), (900, 70, 3), (513, 9, 40)]
)
def test_products_are_exact(path, wanted, rows, columns, largest):
    pair = Pair(**wanted)
    values = RNG.integers(-BOUND, BOUND, (rows, 2), endpoint=True)
    factors = RNG.integers(-largest, largest, (rows, columns), endpoint=True).astype(np.int8)
    got, worst = pair.through(values, factors)
    assert np.array_equal(got, factors.astype(np.int64).T @ values)
    assert worst < 0.1


def test_the_largest_factors_and_columns(path):
    """Everything at its bound, every slot of the vectors in use: rounding keeps far from a quarter."""
    values = np.full((65, 2), BOUND)
    factors = np.full((65, 96), 127, np.int8)
    factors[:, ::2] = -127
    got, worst = Pair(most=65 * 127 * 127).through(values, factors)
    assert np.array_equal(got, factors.astype(np.int64).T @ values)
    assert worst < 0.1


def test_one_feature_of_a_linear_model():
    """A long column of small numbers, as gradients of a linear model want it."""
    values = RNG.integers(-BOUND, BOUND, (20_000, 2), endpoint=True)
    factors = np.clip(RNG.normal(0, 5, (20_000, 5)).round(), -127, 127).astype(np.int8)
    got, worst = Pair().through(values, factors)
    assert np.array_equal(got, factors.astype(np.int64).T @ values)
    assert worst < 0.1


def test_rows_pick_their_factors():
    values = RNG.integers(-BOUND, BOUND, (300, 2), endpoint=True)
    factors = RNG.integers(-9, 10, (1_000, 4)).astype(np.int8)
    rows = RNG.permutation(1_000)[:300].astype(np.int64)
    got, _ = Pair().through(values, factors, rows)
    assert np.array_equal(got, factors[rows].astype(np.int64).T @ values)


def test_factors_beyond_the_noise_budget_are_refused():
    pair = Pair(most=127 * 127 * 4, sharing=2)
    batch = pair.peer.receive(pair.key.encrypt(np.zeros((5, 2), np.int64)))
    column = np.array([[127], [127], [127], [127], [0]], np.int8)
    pair.peer.products(batch, column)
    column[4] = 1
    pair.peer.products(
        batch, np.repeat(column[:, :1] // 127 * 127, 2, 1) * np.array([[1], [1], [1], [1], [0]], np.int8)
    )
    three = np.repeat(column, 3, 1)
    three[4] = 0
    for bad in (column, three, np.full((5, 1), -128, np.int8)):
        with pytest.raises(CryptoError, match="overflow"):
            pair.peer.products(batch, bad)
    for shape in (
        np.zeros((4, 1), np.int8),
        np.zeros((5, 0), np.int8),
        np.zeros((5, 1), np.int64),
        np.zeros(5, np.int8),
    ):
        with pytest.raises(CryptoError, match="bad_shape"):
            pair.peer.products(batch, shape)
    for rows in (np.array([0, 1, 2, 3, 5]), np.array([0, 1, 2, 3, -1])):
        with pytest.raises(CryptoError, match="bad_bins"):
            pair.peer.products(batch, column, rows)
