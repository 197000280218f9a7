"""Summaries and drift: scipy's numbers on real tables, only what was asked for, few rows say nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from vertical import split_inputs

from parley.protocols import registry
from parley.protocols.kit import StepInputs, run_local
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined

MEMBERS = {"member": ["bank", "bureau"]}
EVERYTHING = ["count", "missing", "distinct", "mean", "std", "skew", "kurtosis", "variation"]


def run(name: str, inputs, params):
    return run_local(registry.load(name), MEMBERS, inputs, params)


def split(table: pa.Table) -> dict[str, StepInputs]:
    guest = [x for x in table.column_names if not x.startswith("h_")]
    return split_inputs(table, guest, ["id", *(x for x in table.column_names if x.startswith("h_"))])


def parted(inputs, test: float = 0.5):
    done = run("prep/split", inputs, {"test": test})
    return {p: StepInputs(i.table, {"split": done[p].keep}) for p, i in inputs.items()}, done["bank"].keep["part"]


@pytest.mark.parametrize("name", ["breast", "default_credit"])
def test_every_statistic_is_scipys_of_the_training_rows(name):
    table = joined(name)
    inputs, part = parted(split(table))
    given = {"statistics": EVERYTHING, "quantiles": [0.05, 0.5], "extremes": True, "id": "id"}
    done = run("stats/summary", inputs, given)
    found = [*done["bank"].result["statistics"], *done["bureau"].result["statistics"]]
    assert len(found) == table.num_columns - 1
    for f in found:
        x = table.column(f["feature"]).to_numpy()[part == 0].astype(float)
        expected = {
            "count": x.size, "missing": 0, "distinct": np.unique(x).size, "mean": x.mean(), "std": x.std(),
            "skew": stats.skew(x), "kurtosis": stats.kurtosis(x), "variation": stats.variation(x) * np.sign(x.mean()),
            "min": x.min(), "max": x.max(), "q5": np.quantile(x, 0.05), "q50": np.median(x),
        }  # fmt: skip
        assert {k: v for k, v in f.items() if k not in ("party", "feature")} == pytest.approx(expected, rel=1e-9)
    assert not done.transcript


def test_only_what_was_asked_for_is_told():
    inputs = split(joined("breast"))
    done = run("stats/summary", inputs, {"columns": {"bank": ["x0"], "bureau": []}, "statistics": ["mean"]})
    assert [set(f) for f in done["bank"].result["statistics"]] == [{"party", "feature", "mean"}]
    assert done["bureau"].result == {"statistics": []}
    declared = registry.load("stats/summary").declaration()
    assert declared.learned({})["submitter"] == ("column_statistics",)
    assert "extreme_values" in declared.learned({"extremes": True})["submitter"]


def test_few_values_texts_and_constants():
    table = pa.table({
        "id": range(30), "few": [1.5] * 5 + [None] * 25, "text": ["a", "b", None] * 10, "one": [2] * 30,
        "h_x": [float("inf"), *range(29)],
    })  # fmt: skip
    done = run("stats/summary", split(table), {"statistics": EVERYTHING, "quantiles": [0.5], "id": "id"})
    few, text, one = done["bank"].result["statistics"]
    assert (few["count"], few["missing"]) == (5, 25)
    assert {few[k] for k in ("distinct", "mean", "std", "skew", "q50")} == {None}
    assert (text["count"], text["distinct"], text["mean"]) == (20, 2, None)
    assert (one["std"], one["skew"], one["variation"], one["q50"]) == (0.0, None, 0.0, 2.0)
    (x,) = done["bureau"].result["statistics"]
    assert (x["count"], x["mean"]) == (30, 14.0)


def test_drift_between_parts():
    rng = np.random.default_rng(2)
    rows, part_at = 4000, 0.5
    table = pa.table({"id": np.arange(rows), "a": rng.normal(size=rows), "h_b": rng.normal(size=rows)})
    inputs, part = parted(split(table), part_at)
    shifted = table.column("h_b").to_numpy() + (part == 2)
    moved = split(table.set_column(2, "h_b", pa.array(shifted)))
    given = {p: StepInputs(moved[p].table, inputs[p].needs) for p in inputs}
    done = run("stats/stability", given, {"id": "id"})
    (a,), (b,) = (done[p].result["stability"] for p in ("bank", "bureau"))
    assert a["psi"] < 0.02
    # Two normals one apart, over ten equal shares of the first: the printed formula on scipy's own shares.
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    now = np.diff(np.concatenate([[0], stats.norm.cdf(edges - 1), [1]]))
    assert b["psi"] == pytest.approx(((now - 0.1) * np.log(now / 0.1)).sum(), rel=0.1)
    assert not done.transcript


@pytest.mark.parametrize(("name", "params", "code"), [
    ("stats/summary", {"quantiles": [0.0]}, "bad_parameters"), ("stats/summary", {"statistics": []}, "bad_parameters"),
    ("stats/summary", {"statistics": ["max"]}, "bad_parameters"),
    ("stats/summary", {"columns": {"nobody": ["a"]}}, "bad_parameters"),
    ("stats/summary", {"columns": {"bank": ["nothing"]}}, "unknown_column"), ("stats/stability", {}, "no_rows"),
])  # fmt: skip
def test_what_cannot_be_told_is_refused(name, params, code):
    with pytest.raises(ParleyError) as e:
        run(name, split(joined("breast")), params)
    assert e.value.code == code
