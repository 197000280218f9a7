"""Transforms: against scikit-learn where it has them, exact through JSON, and defined for what training never saw."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import impute as sk_impute
from sklearn import preprocessing

from parley.components.errors import DataError
from parley.components.features.binning import fit_bins
from parley.components.features.encode import OneHot, Ordinal, categories_of
from parley.components.features.impute import Impute, fit_impute
from parley.components.features.pipeline import Pipeline
from parley.components.features.scale import Clip, fit_clip, fit_scale
from parley.components.features.shape import BinIndex, Cast, Power, Rename
from parley.components.features.values import numbers

NAN = float("nan")
TABLE = pa.table(
    {
        "_row": [0, 1, 2, 3, 4, 5],
        "income": [10.0, None, 30.0, NAN, 50.0, 90.0],
        "age": pa.array([30, 40, None, 40, 50, 60], pa.int64()),
        "town": ["b", "a", None, "a", "c", "b"],
        "member": [True, False, True, None, True, True],
        "since": [datetime.date(2020, 2, 29 - k) for k in range(6)],
    }
)
WRITTEN = pa.table({"t": ["1.5", " 2e1", "x", None]})
LATER = pa.table({"income": [NAN, float("inf")], "age": [None, 7], "town": ["new", None], "member": [None, True]})


def values(table: pa.Table, name: str) -> list[object]:
    return table.column(name).to_pylist()


@pytest.mark.parametrize("method", ["mean", "median", "mode"])
def test_gaps_are_filled_as_scikit_learn_fills_them(method):
    ours = fit_impute(TABLE, ["income", "age"], method).apply(TABLE)
    strategy = "most_frequent" if method == "mode" else method
    given_ = np.column_stack([numbers(TABLE, n) for n in ("income", "age")])
    theirs = sk_impute.SimpleImputer(strategy=strategy).fit_transform(given_)
    assert np.array_equal(np.column_stack([numbers(ours, n) for n in ("income", "age")]), theirs)


def test_texts_truth_values_and_indicators():
    made = fit_impute(TABLE, ["town", "member", "age"], indicators=True)
    done = made.apply(TABLE)
    assert values(done, "town") == ["b", "a", "a", "a", "c", "b"]  # the least of the most frequent
    assert values(done, "town.missing") == [0, 0, 1, 0, 0, 0]
    assert values(done, "age") == [30, 40, 44, 40, 50, 60]
    assert done.schema.field("age").type == pa.int64()
    assert values(made.apply(LATER), "town") == ["new", "a"]
    assert values(fit_impute(TABLE, ["town"], "constant", value="?").apply(TABLE), "town")[2] == "?"


@pytest.mark.parametrize(("method", "scaler"), [
    ("standard", preprocessing.StandardScaler()), ("min_max", preprocessing.MinMaxScaler((-1, 3))),
    ("robust", preprocessing.RobustScaler()),
])  # fmt: skip
def test_scales_are_those_of_scikit_learn(method, scaler):
    ours = numbers(fit_scale(TABLE, ["income"], method, low=-1, high=3).apply(TABLE), "income")
    theirs = scaler.fit_transform(numbers(TABLE, "income")[:, None])[:, 0]
    assert ours == pytest.approx(theirs, nan_ok=True, abs=1e-12)


def test_limits():
    strict = fit_scale(TABLE, ["income"], "min_max", strict=True)
    assert numbers(strict.apply(LATER), "income")[1] == 1.0
    constant = pa.table({"x": [3.0, 3.0, None]})
    assert numbers(fit_scale(constant, ["x"]).apply(constant), "x")[:2].tolist() == [0, 0]
    clip = fit_clip(TABLE, ["income"], 0.25, 0.75)
    low, high = np.nanquantile(numbers(TABLE, "income"), (0.25, 0.75))
    assert clip == Clip((("income", low, high),))
    assert numbers(clip.apply(TABLE), "income").tolist()[0] == low


def test_categories_as_numbers():
    known = categories_of(TABLE, ["town"])
    hot = OneHot(known).apply(TABLE)
    assert hot.column_names[3:6] == ["town.1", "town.2", "town.3"]
    theirs = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(
        np.array(["a", "b", "c"])[:, None]
    )
    given_ = np.array(["b", "a", "none", "a", "c", "b"])[:, None]
    assert np.array_equal(np.column_stack([values(hot, n) for n in hot.column_names[3:6]]), theirs.transform(given_))
    assert OneHot(known, drop_first=True).apply(LATER).column_names == ["income", "age", "town.2", "town.3", "member"]
    assert values(OneHot(known).apply(LATER), "town.1") == [0, 0]
    assert values(Ordinal(known).apply(TABLE), "town") == [1, 0, None, 0, 2, 1]
    assert values(Ordinal(known).apply(LATER), "town") == [None, None]
    assert categories_of(TABLE, ["town"], order="count") == (("town", ("a", "b", "c")),)


def test_shapes():
    assert values(Power(("income",), "sqrt").apply(pa.table({"income": [-1.0, 4.0]})), "income") == [None, 2.0]
    parts = Cast(("since",), "date_parts").apply(TABLE)
    assert [values(parts, f"since.{p}")[0] for p in ("year", "month", "day", "weekday")] == [2020, 2, 29, 5]
    assert values(Cast(("t",), "number").apply(WRITTEN), "t") == [
        1.5,
        20,
        None,
        None,
    ]
    assert values(Cast(("age",), "text").apply(TABLE), "age")[0] == "30"
    assert Rename((("age", "years"),)).apply(TABLE).column_names[2] == "years"
    with pytest.raises(DataError, match="same name"):
        Rename((("age", "income"),)).apply(TABLE)
    bins = BinIndex(fit_bins(TABLE, ["income"], 2)).apply(TABLE)
    assert values(bins, "income") == [0, 2, 0, 2, 1, 1]


@pytest.mark.parametrize("problem", [
    lambda: fit_impute(pa.table({"x": pa.array([None], pa.float64())}), ["x"]),
    lambda: fit_scale(TABLE, ["town"]),
    lambda: fit_scale(TABLE, ["incme"]),
    lambda: fit_clip(TABLE, ["income"], 0.9, 0.1),
    lambda: categories_of(TABLE, ["town"], most=2),
    lambda: Cast(("age",), "date_parts").apply(TABLE),
    lambda: Impute((("income", "text"),)).apply(TABLE),
])  # fmt: skip
def test_what_cannot_be_is_refused_without_a_value(problem):
    with pytest.raises(DataError) as e:
        problem()
    assert not {"90", "b", "a", "c"} & set(str(e.value).replace("'", " ").split()) - {"a"}


def every_kind() -> Pipeline:
    bins = fit_bins(TABLE, ["income"], 3)
    return Pipeline(
        (
            fit_impute(TABLE, ["income", "age", "town"], indicators=True),
            OneHot(categories_of(TABLE, ["member"])),
            Ordinal(categories_of(TABLE, ["town"])),
            fit_scale(TABLE, ["age"], "min_max", strict=True),
            fit_clip(TABLE, ["income"], 0.1, 0.9),
            Power(("income",), "log1p"),
            Cast(("since",), "date_parts"),
            Rename((("age", "years"),)),
            BinIndex(bins),
        )
    )


def test_a_chain_goes_through_json_and_does_the_same():
    chain = every_kind()
    again = Pipeline.from_json(chain.to_json())
    assert again == chain
    assert again.apply(TABLE).equals(chain.apply(TABLE))


def paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for k, v in inner for p in paths(v, (*path, k)))]


RECORD = json.loads(every_kind().to_json())
PLACES = [p for p in paths(RECORD) if p]


@given(place=st.sampled_from(PLACES), junk=st.sampled_from([None, [], {}, -1, "x", 1.5, True, [[]], [["a"]]]))
def test_a_damaged_record_is_refused_or_whole(place, junk):
    """A changed record either raises DataError or is a chain that can be written down again."""
    record = json.loads(json.dumps(RECORD))
    at = record
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = junk
    try:
        made = Pipeline.from_json(json.dumps(record))
    except DataError:
        return
    assert Pipeline.from_json(made.to_json()) == made
