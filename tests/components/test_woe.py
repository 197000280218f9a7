"""Bins joined by counts, weights of evidence, and bins as numbers, against definitions tried one by one."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from parley.components.errors import DataError
from parley.components.features.binning import fit_bins
from parley.components.features.merging import grouped, join_small, merged
from parley.components.features.pipeline import Pipeline
from parley.components.features.woe import (
    BinValues,
    given_bins,
    information_value,
    labels_of,
    weight_of_evidence,
    width_bins,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import woe_oracle as oracle


def drawn(seed: int, size: int = 8) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return [(int(a), int(b)) for a, b in rng.integers(1, 40, size=(size, 2))]


def columns(table):
    both = np.array(table, dtype=np.float64)
    return both[:, 0], both[:, 1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("monotone", [True, False])
def test_optimal_bins_are_the_best_of_all_ways(seed, monotone):
    table = drawn(seed)
    groups = merged("optimal", *columns(table), 4, 30, monotone=monotone)
    got = grouped(np.array(table), groups)
    assert got.sum(axis=1).min() >= 30
    assert len(got) <= 4
    assert information_value(got[:, 0], got[:, 1]) == pytest.approx(oracle.best_iv(table, 4, 30, monotone), rel=1e-12)
    if monotone:
        steps = np.sign(np.diff(got[:, 0] / got.sum(axis=1)))
        assert not {1.0, -1.0} <= set(steps.tolist())


def test_chi_joins_the_least_different_first():
    table = drawn(9)
    pairs = [oracle.chi_square(a, b) for a, b in pairwise(table)]
    groups = merged("chi", *columns(table), len(table) - 1, 0, monotone=False)
    assert int(np.flatnonzero(np.diff(groups) == 0)[0]) == int(np.argmin(pairs))
    assert int(merged("chi", *columns(table), 3, 0, monotone=False).max()) == 2


def test_ks_parts_where_the_shares_are_farthest_apart():
    table = drawn(3)
    groups = merged("ks", *columns(table), 2, 0, monotone=False)
    assert int(np.flatnonzero(np.diff(groups))[0]) + 1 == oracle.ks_cut(table)


def test_gini_keeps_pure_bins_apart():
    events, others = np.array([20.0, 20, 0, 0, 20]), np.array([0.0, 0, 20, 20, 0])
    assert merged("gini", events, others, 3, 1, monotone=False).tolist() == [0, 0, 1, 1, 2]


def test_small_bins_are_joined_with_the_smaller_neighbour():
    assert join_small(np.array([50.0, 3, 10, 50]), 5).tolist() == [0, 1, 1, 2]
    assert join_small(np.array([1.0, 1, 1]), 5).tolist() == [0, 0, 0]
    assert join_small(np.array([[9.0, 0], [9, 9], [0, 8]]), 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_their_definition(seed):
    table = [*drawn(seed), (0, 7), (4, 0), (0, 0)]
    assert weight_of_evidence(*columns(table)) == pytest.approx(oracle.woe(table), abs=1e-12)
    assert information_value(*columns(table)) == pytest.approx(oracle.iv(table), abs=1e-12)


def test_labels_of_one_kind_say_nothing():
    assert information_value(np.array([5.0, 6]), np.zeros(2)) == 0
    assert weight_of_evidence(np.array([5.0, 6]), np.zeros(2)).tolist() == [0, 0]


def test_widths_and_given_edges():
    table = pa.table({"a": [0.0, 1, 2, 3, 4, None], "t": ["x", "y", "x", "x", "y", None], "c": [5.0] * 6})
    made = width_bins(table, ["a", "t", "c"], 4)
    assert made.columns[0].edges == (1.0, 2.0, 3.0)
    assert made.transform(table)[:, 0].tolist() == [0, 0, 1, 2, 3, 4]
    assert given_bins(table, ["a", "t"], {"a": [2.5]}, 4).columns[0].edges == (2.5,)
    for wrong in ([], [2.0, 1.0], [float("nan")]):
        with pytest.raises(DataError, match="edges"):
            given_bins(table, ["a"], {"a": wrong}, 4)
    with pytest.raises(DataError):
        given_bins(table, ["t"], {"t": [1.0]}, 4)


def test_bins_become_their_numbers_and_back_from_text():
    table = pa.table({"a": [0.0, 1, 2, 3, None], "b": ["u", "v", "u", None, "w"]})
    binning = fit_bins(table, ["a", "b"], 3)
    values = tuple(tuple(10.0 * k + f for k in range(n)) for f, n in enumerate(binning.n_bins))
    again = Pipeline.from_json(Pipeline((BinValues(binning, values),)).to_json())
    out = again.apply(table)
    codes = binning.transform(table)
    for f, name in enumerate(("a", "b")):
        assert out.column(name).to_pylist() == [values[f][c] for c in codes[:, f]]
    with pytest.raises(DataError, match="bin_values"):
        BinValues(binning, (values[0], values[1][:-1]))
    with pytest.raises(DataError, match="bin_values"):
        BinValues.from_dict({"binning": binning.to_dict(), "values": [[1.0], "x"]})


def test_bins_are_told_in_words():
    numeric = fit_bins(pa.table({"a": [0.0, 1, 2, 3]}), ["a"], 4).columns[0]
    assert labels_of(numeric, np.array([0, 0, 1, 1, 2])) == ["(-inf, 1.5]", "(1.5, inf]", "missing"]
    text = fit_bins(pa.table({"b": ["u", "u", "v"]}), ["b"], 4).columns[0]
    assert labels_of(text, np.array([0, 1, 1])) == ['"u"', '"v" or missing']
