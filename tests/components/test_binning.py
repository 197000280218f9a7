"""Binning: edges, missing values, categories, unseen values, closed dictionary form."""

from __future__ import annotations

import copy
import datetime
import json

import numpy as np
import pyarrow as pa
import pytest

from parley.components.errors import DataError
from parley.components.features import Binning, BinSpec, fit_bins

INF, NAN = float("inf"), float("nan")


def bins_of(values: list[object], max_bins: int = 4, then: list[object] | None = None) -> tuple[Binning, list[int]]:
    binning = fit_bins(pa.table({"c": values}), ["c"], max_bins)
    return binning, binning.transform(pa.table({"c": values if then is None else then}))[:, 0].tolist()


def test_few_values_have_a_bin_each_and_edges_are_midpoints() -> None:
    binning, codes = bins_of([3, 1, 2, 1])
    assert binning.columns[0].edges == (1.5, 2.5)
    assert (codes, binning.n_bins) == ([2, 0, 1, 0], (4,))


def test_many_values_are_cut_at_the_stated_ranks() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1.0, 11.0))
    binning, codes = bins_of(values.tolist())
    assert binning.columns[0].edges == (3.0, 5.0, 8.0)  # ranks ceil(10 k / 4)
    assert np.bincount(codes).tolist() == [3, 2, 3, 2]


def test_equal_values_are_never_split() -> None:
    binning, codes = bins_of([0.0] * 90 + list(range(1, 11)))
    assert binning.columns[0].edges == (0.0,)
    assert set(codes[:90]) == {0}


def test_null_and_nan_are_missing_and_infinities_go_to_the_ends() -> None:
    binning, codes = bins_of([1.0, None, NAN, INF, -INF, 2.0, 3.0])
    assert binning.columns[0].edges == (1.5, 2.5)
    assert codes == [0, 3, 3, 2, 0, 1, 2]
    assert json.loads(json.dumps(binning.to_dict(), allow_nan=False)) == binning.to_dict()


def test_neighbouring_and_huge_floats_stay_apart() -> None:
    low = 1.0
    for pair in ([low, np.nextafter(low, 2)], [-1.7e308, 1.7e308], [0.0, 5e-324]):
        assert bins_of([float(x) for x in pair])[1] == [0, 1]


@pytest.mark.parametrize(
    ("values", "note", "codes"),
    [
        ([5, 5, None], "constant", [0, 0, 1]),
        ([None, NAN], "all_missing", [1, 1]),
        ([INF, INF], "constant", [0, 0]),
        (["a", "a", None], "constant", [0, 0, 1]),
        ([None, None], "all_missing", [1, 1]),
    ],
)
def test_columns_that_say_nothing_have_one_bin_and_a_note(values: list[object], note: str, codes: list[int]) -> None:
    binning, got = bins_of(values)
    assert (got, binning.notes(), binning.n_bins) == (codes, {"c": note}, (2,))


def test_categories_are_ranked_by_count_then_name_and_the_rest_is_other() -> None:
    values = ["z"] * 3 + ["b", "a", "b", "a", "c", "d", "e", None]
    binning, codes = bins_of(values, 4)
    assert binning.columns[0].categories == ("z", "a", "b")
    assert codes == [0, 0, 0, 2, 1, 2, 1, 3, 3, 3, 4]
    assert bins_of(values, 4, ["unseen", "a", None])[1] == [3, 1, 4]


def test_an_unseen_category_without_other_is_missing() -> None:
    assert bins_of(["a", "b"], 4, ["c", "b", None])[1] == [2, 1, 2]


def test_bool_dictionary_and_date_columns() -> None:
    assert bins_of([True, False, True, None])[1] == [0, 1, 0, 2]
    table = pa.table({"c": pa.array(["x", "y", "x"]).dictionary_encode()})
    assert fit_bins(table, ["c"], 4).transform(table)[:, 0].tolist() == [0, 1, 0]
    assert bins_of([datetime.date(2020, 1, d) for d in (3, 1, 2)])[1] == [2, 0, 1]


def test_bins_depend_on_neither_row_order_nor_chunks() -> None:
    rng = np.random.default_rng(2)
    table = pa.table({"x": rng.normal(size=500), "s": rng.choice(list("abcdefgh"), 500)})
    mixed = table.take(rng.permutation(500))
    chunked = pa.concat_tables([mixed.slice(0, 123), mixed.slice(123)])
    assert fit_bins(table, ["x", "s"], 5) == fit_bins(chunked, ["x", "s"], 5)
    codes = fit_bins(table, ["x", "s"], 5).transform(table)
    assert codes.shape == (500, 2)
    assert codes.dtype == np.uint16
    assert np.bincount(codes[:, 0]).tolist() == [100] * 5


def test_refusals() -> None:
    table = pa.table({"age": [1, 2], "l": [[1], [2]]})
    binning = fit_bins(table, ["age"], 4)
    for code, act in [
        ("unknown_column", lambda: fit_bins(table, ["aeg"], 4)),
        ("unsupported_type", lambda: fit_bins(table, ["l"], 4)),
        ("no_features", lambda: fit_bins(table, [], 4)),
        ("bad_parameter", lambda: fit_bins(table, ["age"], 1)),
        ("bad_parameter", lambda: fit_bins(table, ["age", "age"], 4)),
        ("type_mismatch", lambda: binning.transform(pa.table({"age": ["x"]}))),
        ("unknown_column", lambda: binning.transform(pa.table({"b": [1]}))),
        ("bad_parameter", lambda: BinSpec((1,), (False,))),
    ]:
        with pytest.raises(DataError) as caught:
            act()
        assert caught.value.code == code


def test_the_dictionary_form_is_exact_and_closed() -> None:
    table = pa.table({"x": [0.1, 0.2, 0.7], "s": ["a", "b", None]})
    binning = fit_bins(table, ["x", "s"], 4)
    form = json.loads(json.dumps(binning.to_dict()))
    assert Binning.from_dict(form) == binning
    changes = [
        ("edges", [2.0, 1.0]),
        ("edges", [NAN]),
        ("kind", "text"),
        ("categories", ["a"]),
        ("note", "x"),
    ]
    for key, value in [*changes, ("name", 5), ("extra", 1), ("other", 1)]:
        bad = copy.deepcopy(form)
        bad["columns"][0][key] = value
        with pytest.raises(DataError, match="bad_binning"):
            Binning.from_dict(bad)
    for bad in (None, [], {"version": 2, "columns": []}, {"version": 1, "columns": form["columns"] * 2}):
        with pytest.raises(DataError, match="bad_binning"):
            Binning.from_dict(bad)
