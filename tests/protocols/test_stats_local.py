"""Figures and stability of columns against scipy and plain definitions; what is told, and what is not."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from vertical import split_inputs

from parley.components.features.stability import index_of, stability
from parley.components.features.summary import COUNTS, MOMENTS, ORDER, figures
from parley.protocols import registry
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.wire.errors import ParleyError

EVERYBODY = {"member": ["bank", "bureau"]}


def test_figures_are_scipys():
    rng = np.random.default_rng(2)
    x = rng.gamma(2.0, 3.0, size=500)
    table = pa.table({"x": pa.array([None, *x])})
    got = figures(table, "x", [*COUNTS, *MOMENTS, *ORDER], [0.1, 0.9])
    wanted = {
        "count": 500, "missing": 1, "missing_rate": 1 / 501, "distinct": 500, "top_share": 1 / 500,
        "mean": x.mean(), "sum": x.sum(), "variance": x.var(ddof=1), "std": x.std(ddof=1),
        "cv": x.std(ddof=1) / x.mean(), "skew": stats.skew(x), "kurtosis": stats.kurtosis(x),
        "min": x.min(), "max": x.max(), "median": np.median(x),
        "q0.1": np.quantile(x, 0.1), "q0.9": np.quantile(x, 0.9),
    }  # fmt: skip
    assert got == pytest.approx(wanted, rel=1e-12)


def test_text_and_constant_columns_have_what_they_can():
    table = pa.table({"t": ["a", "b", "a", None], "c": [2.0] * 4, "n": pa.array([None] * 4, pa.float64())})
    text = figures(table, "t", [*COUNTS, *MOMENTS])
    assert (text["distinct"], text["top_share"], text["missing"], text["mean"]) == (2, 2 / 3, 1, None)
    assert figures(table, "c", ["std", "skew"]) == {"std": 0.0, "skew": None}
    assert figures(table, "n", ["count", "mean", "min"]) == {"count": 0, "mean": None, "min": None}


def test_stability_is_its_definition():
    e, a = np.array([50, 30, 20, 0]), np.array([40, 30, 25, 5])
    shares = [(x / 100, y / 100) for x, y in ((50, 40), (30, 30), (20, 25), (0.5, 5))]
    assert index_of(e, a) == pytest.approx(sum((y - x) * math.log(y / x) for x, y in shares), rel=1e-12)
    rng = np.random.default_rng(3)
    same, moved = (pa.table({"x": rng.normal(m, 1, 4000)}) for m in (0, 1))
    again = pa.table({"x": rng.normal(0, 1, 4000)})
    assert stability(same, again, "x", 10) < 0.02
    assert stability(same, moved, "x", 10) > 0.5


def test_a_member_tells_the_figures_that_were_asked_for_by_number():
    rng = np.random.default_rng(2)
    table = pa.table({"id": range(40), "a": rng.normal(size=40), "b": rng.normal(size=40), "few": [1.0] + [None] * 39})
    data = split_inputs(table, ["id", "a"], ["id", "b", "few"])
    params = {"exclude": ["id"], "figures": ["mean"]}
    done = run_local(registry.load("stats/summary"), EVERYBODY, data, params)
    assert done["bank"].result == {"columns": [{"column": "#0", "mean": pytest.approx(table["a"].to_numpy().mean())}]}
    assert done["bureau"].result["columns"][1] == {"column": "#1"}  # one value: nothing is told of it
    named = run_local(registry.load("stats/summary"), EVERYBODY, data, {**params, "share_names": True})
    assert named["bank"].result["columns"][0]["column"] == "a"


@pytest.mark.parametrize("wrong", [{"figures": ["min"]}, {"quantiles": [0.5]}, {"order": True, "quantiles": [2]}])
def test_single_values_are_told_only_where_the_job_says_so(wrong):
    with pytest.raises(ParleyError) as e:
        registry.load("stats/summary").validate(wrong, Cast(EVERYBODY))
    assert e.value.code == "bad_parameters"


def test_what_moved_between_parts_shows():
    rng = np.random.default_rng(5)
    part = np.repeat(np.array([0, 2], np.uint8), 300)
    table = pa.table({"a": rng.normal(size=600), "b": rng.normal(size=600) + part})
    data = split_inputs(table, ["a"], ["b"])
    rows = {p: d.needs["align"]["rows"] for p, d in data.items()}
    data = {p: StepInputs(d.table, {"split": {"rows": rows[p], "part": part, "depth": 1}}) for p, d in data.items()}
    done = run_local(registry.load("stats/stability"), EVERYBODY, data, {})
    assert done["bank"].result["columns"][0]["psi"] < 0.1
    assert done["bureau"].result["columns"][0]["psi"] > 1
    with pytest.raises(ParleyError) as e:
        run_local(registry.load("stats/stability"), EVERYBODY, data, {"second": "validate"})
    assert e.value.code == "too_few_rows"
