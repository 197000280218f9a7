"""Facts of columns, correlation, inflation, drift and choices, against numpy, scikit-learn and the printed formulas."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from parley.components.errors import DataError
from parley.components.features.selection import (
    ALONE,
    apart,
    at_least_one,
    best,
    correlations,
    facts,
    inflation,
    not_inflated,
    pairs_above,
    standardised,
)
from parley.components.features.stability import psi, shifts


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 4))
    x[:, 3] = x[:, 0] + x[:, 1] + 0.1 * rng.normal(size=400)
    return pa.table({f"x{k}": x[:, k] * 10**k + 5 for k in range(4)})


def test_facts_of_a_column():
    t = pa.table({"a": [1.0, None, 3.0, float("nan")], "c": ["x", "x", None, "y"], "k": [2, 2, 2, 2], "n": [None] * 4})
    a = facts(t, "a")
    assert (a.missing, a.unique, a.top_share, a.std, a.variation) == (0.5, 2, 0.5, 1.0, 0.5)
    c = facts(t, "c")
    assert (c.missing, c.unique, c.top_share) == (0.25, 2, 2 / 3)
    assert np.isnan(c.std)
    assert (facts(t, "k").std, facts(t, "k").variation, facts(t, "n").missing) == (0.0, 0.0, 1.0)


def test_correlations_are_numpys(table):
    found = correlations(standardised(table, table.column_names))
    theirs = np.corrcoef(np.stack([c.to_numpy() for c in table.columns]))
    assert found == pytest.approx(theirs)
    assert pairs_above(found, 0.6).tolist() == [[0, 3], [1, 3]]


def test_inflation_is_that_of_regressions(table):
    found = inflation(correlations(standardised(table, table.column_names)))
    x = np.stack([c.to_numpy() for c in table.columns], axis=1)
    for k in range(4):
        others = np.delete(x, k, axis=1)
        r2 = LinearRegression().fit(others, x[:, k]).score(others, x[:, k])
        assert found[k] == pytest.approx(1 / (1 - r2))
    assert not_inflated(correlations(standardised(table, table.column_names)), 5.0).tolist() == [
        True,
        True,
        True,
        False,
    ]
    twice = np.ones((2, 2))
    assert inflation(twice).max() > 1e9
    assert inflation(twice).max() <= ALONE
    assert not_inflated(twice, 10).sum() == 1


def test_of_two_that_correlate_the_worthier_stays():
    pairs = np.array([[0, 1], [1, 2]], dtype=np.uint32)
    assert apart(pairs, np.array([0.1, 0.5, 0.2])).tolist() == [False, True, False]
    assert apart(pairs, np.array([0.5, 0.2, 0.1])).tolist() == [True, False, True]
    assert apart(np.empty((0, 2), np.uint32), np.zeros(2)).all()


def test_the_best_of_all():
    worth = np.array([0.3, 0.1, 0.2, 0.0])
    assert best(worth, threshold=0.1).tolist() == [True, True, True, False]
    assert best(worth, threshold=0.1, top_k=2).tolist() == [True, False, True, False]
    assert best(worth, top_percentile=25).tolist() == [True, False, False, False]
    gone, standing = np.zeros(3, bool), np.array([False, True, True])
    assert at_least_one(gone, standing, [9.0, 1.0, 2.0]).tolist() == [False, False, True]
    assert not at_least_one(gone, gone, [1.0, 2.0, 3.0]).any()


def test_drift_is_the_printed_formula():
    assert psi([50, 50], [50, 50]) == 0
    assert psi([50, 50, 0], [25, 75, 0]) == pytest.approx(0.25 * np.log(1.5) - 0.25 * np.log(0.5))
    assert psi([10, 0], [5, 5]) == pytest.approx(0.45 * np.log(10) - 0.5 * np.log(0.5))
    with pytest.raises(DataError):
        psi([1], [0])
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    before = pa.table({"same": x, "moved": x})
    after = pa.table({"same": rng.normal(size=2000), "moved": rng.normal(size=2000) + 1})
    found = shifts(before, after, ["same", "moved"])
    assert found["same"] < 0.02
    assert found["moved"] > 0.5
