"""How a party's columns hang together: correlation and inflation, against numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from parley.components.features.selection import (
    apart,
    correlations,
    inflation,
    not_inflated,
    pairs_above,
    standardised,
)


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 4))
    x[:, 3] = x[:, 0] + x[:, 1] + 0.1 * rng.normal(size=400)
    return pa.table({f"x{k}": x[:, k] * 10**k + 5 for k in range(4)})


def test_correlations_are_numpys(table):
    found = correlations(standardised(table, table.column_names))
    theirs = np.corrcoef(np.stack([c.to_numpy() for c in table.columns]))
    assert found == pytest.approx(theirs)
    assert pairs_above(found, 0.6).tolist() == [[0, 3], [1, 3]]


def test_missing_values_stand_at_the_mean_and_constants_correlate_with_nothing():
    x = standardised(pa.table({"a": [1.0, None, 3.0], "k": [2, 2, 2], "n": pa.array([None] * 3, pa.float64())}), "akn")
    assert x[:, 0] == pytest.approx([-np.sqrt(1.5), 0, np.sqrt(1.5)])
    assert not x[:, 1:].any()
    assert correlations(x).tolist() == np.eye(3).tolist()


def test_inflation_is_that_of_regressions(table):
    matrix = correlations(standardised(table, table.column_names))
    found = inflation(matrix)
    x = np.stack([c.to_numpy() for c in table.columns], axis=1)
    for k in range(4):
        others = np.delete(x, k, axis=1)
        r2 = LinearRegression().fit(others, x[:, k]).score(others, x[:, k])
        assert found[k] == pytest.approx(1 / (1 - r2))
    assert not_inflated(matrix, 5.0).tolist() == [True, True, True, False]
    twice = np.ones((2, 2))
    assert inflation(twice).max() > 1e9
    assert not_inflated(twice, 10).sum() == 1


def test_of_two_that_correlate_the_worthier_stays():
    pairs = np.array([[0, 1], [1, 2]], dtype=np.uint32)
    assert apart(pairs, np.array([0.1, 0.5, 0.2])).tolist() == [False, True, False]
    assert apart(pairs, np.array([0.5, 0.2, 0.1])).tolist() == [True, False, True]
    assert apart(np.empty((0, 2), np.uint32), np.zeros(2)).all()
