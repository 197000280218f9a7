"""Bins merged by their counts, weights of evidence and the transforms they make, against code written another way."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.components.errors import DataError
from parley.components.features.binning import fit_bins
from parley.components.features.binning_edges import fit_width, with_edges
from parley.components.features.binning_merge import by_group, by_rate, chi_square, join_small, numbered, optimal
from parley.components.features.pipeline import Pipeline
from parley.components.features.woe import MergedIndex, Woe, weigh

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import woe_oracle as oracle

COUNTS = st.lists(
    st.integers(1, 60).flatmap(lambda r: st.tuples(st.just(r), st.integers(0, r))), min_size=1, max_size=7
)
MIXED = COUNTS.filter(lambda c: 0 < sum(e for _, e in c) < sum(r for r, _ in c))


def parts(counts):
    return tuple(np.array(x, dtype=np.int64) for x in zip(*counts, strict=True))


@given(MIXED)
def test_weights_and_information_are_the_printed_formulas(counts):
    woe, iv = weigh(*parts(counts))
    theirs, value = oracle.evidence(counts)
    assert woe == pytest.approx(theirs, abs=1e-12)
    assert iv == pytest.approx(value, abs=1e-12)


def test_a_bin_without_rows_weighs_nothing():
    woe, iv = weigh([0, 4, 4], [0, 1, 3])
    assert woe[0] == 0.0
    assert iv == pytest.approx(weigh([4, 4], [1, 3])[1])
    assert woe[2] == pytest.approx(np.log(3))


@settings(max_examples=60, deadline=None)
@given(MIXED, st.integers(1, 5), st.booleans())
def test_the_optimal_merging_is_the_best_of_all(counts, most, monotone):
    rows, events = parts(counts)
    groups = optimal(rows, events, most, monotone=monotone)
    assert groups.max() < most
    assert set(np.diff(groups)) <= {0, 1}
    made = list(zip(by_group(rows, groups).tolist(), by_group(events, groups).tolist(), strict=True))
    assert oracle.evidence(made)[1] == pytest.approx(oracle.best_merging(counts, most, monotone), abs=1e-9)
    rates = np.array([e / r for r, e in made])
    assert not monotone or (np.diff(rates) >= 0).all() or (np.diff(rates) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(MIXED, st.integers(1, 5), st.sampled_from([0.5, 0.95, 0.999]))
def test_chi_square_merging_is_scipys_tests(counts, most, level):
    rows, events = parts(counts)
    groups = chi_square(rows, events, most, level)
    made = list(zip(by_group(rows, groups).tolist(), by_group(events, groups).tolist(), strict=True))
    assert made == oracle.chi_merging(counts, most, level)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.booleans(), st.integers(1, 30))
def test_no_joined_bin_is_small(rows, ordered, least):
    groups = join_small(rows, ordered, least)
    counts = by_group(rows, groups)
    assert counts.sum() == sum(rows)
    assert counts.size == 1 or counts.min() >= least
    assert not ordered or set(np.diff(groups)) <= {0, 1}
    np.testing.assert_array_equal(groups, numbered(groups))


def test_categories_are_merged_by_rate_and_numbered_by_place():
    order = by_rate([10, 10, 10], [9, 1, 5])
    assert order.tolist() == [1, 2, 0]
    assert numbered([7, 7, 2, 9]).tolist() == [0, 0, 1, 2]


TABLE = pa.table({"a": [0.0, 1.0, 2.0, 10.0, None], "c": ["x", "y", "x", None, "z"], "k": [3, 3, 3, 3, 3]})


def test_equal_widths_and_given_edges():
    made = fit_width(TABLE, ["a", "c", "k"], 4)
    assert made.columns[0].edges == (2.5, 5.0, 7.5)
    assert made.columns[1].kind == "categorical"
    assert made.columns[2].value_bins == 1
    huge = fit_width(pa.table({"a": [-1.7e308, 1.7e308]}), ["a"], 2)
    assert huge.columns[0].edges == (0.0,)
    given_ = with_edges(made, {"a": [0.5, 3]})
    assert given_.transform(TABLE)[:, 0].tolist() == [0, 1, 1, 2, 3]
    for edges, code in (({"b": [1]}, "unknown_column"), ({"c": [1]}, "no_number"), ({"a": [2, 1]}, "bad_edges")):
        with pytest.raises(DataError) as e:
            with_edges(made, edges)
        assert e.value.code == code


def test_transforms_apply_and_are_read_again_exactly():
    binning = fit_bins(TABLE, ["a", "c"], 4)
    woe = Woe(binning, ((0.1, 0.2, 0.3, 0.4, -1 / 3), (1.0, 2.0, 3.0, 0.5)))
    index = MergedIndex(binning, ((0, 0, 1, 1, 2), (0, 0, 1, 2)))
    for transform, a, c in ((woe, [0.1, 0.2, 0.3, 0.4, -1 / 3], [1.0, 2.0, 1.0, 0.5, 3.0]),
                            (index, [0, 0, 1, 1, 2], [0, 0, 0, 2, 1])):  # fmt: skip
        chain = Pipeline((transform,))
        again = Pipeline.from_json(chain.to_json())
        assert again == chain
        assert again.apply(TABLE).column("a").to_pylist() == a
        assert again.apply(TABLE).column("c").to_pylist() == c


@pytest.mark.parametrize("values", [[[0.1]], [[1, 2, 3, 4, "x"], [1, 2, 3, 4]], [[0.0] * 5, [float("nan")] * 4], 7])
def test_damaged_records_are_refused(values):
    record = {"binning": fit_bins(TABLE, ["a", "c"], 4).to_dict(), "values": values}
    for kind in (Woe, MergedIndex):
        with pytest.raises(DataError) as e:
            kind.from_dict(record)
        assert e.value.code == "bad_transform"
