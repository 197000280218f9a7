"""Preparation steps: the same rows everywhere, fitted on training rows alone, a whole job equal to a central run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from cases import CASES, COLUMNS, table
from shared import need
from vertical import split_inputs, use_plain

from parley.components.errors import DataError
from parley.components.features import fit_bins
from parley.components.features.encode import OneHot, categories_of
from parley.components.features.impute import fit_impute
from parley.components.features.pipeline import Pipeline
from parley.components.features.scale import fit_scale
from parley.components.lakehouse import load_file
from parley.components.training.gbdt import Objective, Params, train
from parley.protocols import registry
from parley.protocols.frame import TEST, TRAIN, VALIDATE, frame_of
from parley.protocols.kit import LocalRun, StepInputs, run_local
from parley.protocols.prep.rows import order_of, parts_in_order, stratified_parts
from parley.wire.errors import ParleyError

EVERYBODY = {"member": ["bank", "bureau", "telco"]}
DECIDER = {"label": "bank", "member": ["bureau", "telco"]}


def run(name: str, inputs: dict[str, StepInputs], params: dict[str, object], cast: object = None) -> LocalRun:
    return run_local(registry.load(name), cast or EVERYBODY, inputs, params)  # type: ignore[arg-type]  # a plain dict


def after(inputs: dict[str, StepInputs], done: LocalRun, step: str) -> dict[str, StepInputs]:
    return {p: StepInputs(i.table, {**i.needs, step: done[p].keep}) for p, i in inputs.items()}


def aligned(inputs: dict[str, StepInputs], name: str) -> np.ndarray:
    """A column of the bank's in the order of the common rows."""
    return frame_of(inputs["bank"], "bank").table.column(name).to_numpy()


@pytest.fixture
def inputs() -> dict[str, StepInputs]:
    return split_inputs(table(rows=200), *COLUMNS)


def test_a_random_division_is_the_same_everywhere_and_sends_nothing(inputs):
    done = run("prep/split", inputs, {"validate": 0.1, "test": 50})
    part = done["bank"].keep["part"]
    assert np.bincount(part).tolist() == [130, 20, 50]
    assert all(np.array_equal(done[p].keep["part"], part) for p in ("bureau", "telco"))
    assert done["bank"].result == {"train": 130, "validate": 20, "test": 50}
    assert not done["bureau"].result
    assert not any(done.egress.values())


def test_a_stratified_division_keeps_the_shares_of_each_value(inputs):
    done = run("prep/split", inputs, {"test": 0.25, "by": "stratified", "column": "y"}, DECIDER)
    y = aligned(inputs, "y")
    part = done["bank"].keep["part"]
    for value in (0, 1):
        assert (part[y == value] == TEST).sum() == round(0.25 * (y == value).sum())
    assert all(np.array_equal(done[p].keep["part"], part) for p in ("bureau", "telco"))
    assert [(r.tag, r.disclosure) for r in done.egress["bank"]] == [("prep.split.parts/1", "split_rows")] * 2
    again = run("prep/split", inputs, {"test": 0.25, "by": "stratified", "column": "y"}, DECIDER)
    assert not np.array_equal(again["bank"].keep["part"], part), "a stratified draw is secret, not the contract's"


def test_by_time_the_latest_rows_are_for_testing(inputs):
    done = run("prep/split", inputs, {"validate": 0.1, "test": 0.2, "by": "time", "column": "x0"}, DECIDER)
    x, part = aligned(inputs, "x0"), done["telco"].keep["part"]
    assert x[part == TEST].min() >= x[part == VALIDATE].max()
    assert x[part == VALIDATE].min() >= x[part == TRAIN].max()


def test_rows_without_a_time_or_too_few_rows_are_told():
    with pytest.raises(DataError, match="missing_values"):
        order_of(pa.table({"t": [1, None]}), "t")
    with pytest.raises(DataError, match="too_few_rows"):
        parts_in_order(np.arange(4), 2, 2)
    with pytest.raises(DataError, match="too_few_rows"):
        stratified_parts(np.array([0, 0, 0]), np.random.default_rng(1).permutation, 0.4, 0.5)


@pytest.mark.parametrize(("params", "cast", "size"), [
    ({"share": 0.25}, EVERYBODY, 50), ({"share": 30}, EVERYBODY, 30), ({"share": 1}, EVERYBODY, 200),
    ({"column": "y", "shares": {"1": 7}}, DECIDER, 7),
])  # fmt: skip
def test_a_sample_is_the_same_everywhere(inputs, params, cast, size):
    done = run("prep/sample", inputs, params, cast)
    rows = done["bank"].keep["rows"]
    assert rows.size == size == done["bank"].result["rows"]
    assert all(
        np.array_equal(done[p].keep["rows"] - done[p].keep["rows"][0], rows - rows[0]) for p in EVERYBODY["member"]
    )
    frames = {p: frame_of(StepInputs(i.table, {"s": done[p].keep}), p) for p, i in inputs.items()}
    ids = [f.table.column("id").to_pylist() for f in frames.values()]
    assert ids[0] == ids[1] == ids[2]
    if "shares" in params:
        assert set(frames["bank"].table.column("y").to_pylist()) == {1}


def test_an_unknown_value_is_refused_without_saying_it(inputs):
    with pytest.raises(ParleyError) as e:
        run("prep/sample", inputs, {"column": "y", "shares": {"zebra": 1}}, DECIDER)
    assert e.value.code == "unknown_value"
    assert "zebra" not in str(e.value)


def test_a_union_has_both_steps_rows_and_refuses_common_ones():
    case = CASES["prep/union"]
    built = case.build()
    done = case.run(inputs=built)
    assert done["telco"].keep["rows"].size == 24
    both = {
        p: StepInputs(i.table, {"a": i.needs["a"], "b": {"rows": np.asarray(i.needs["a"]["rows"])[:1]}})
        for p, i in built.items()
    }
    with pytest.raises(ParleyError) as e:
        case.run(inputs=both)
    assert e.value.code == "bad_union"


def test_only_training_rows_teach_a_transform(inputs):
    split = run("prep/split", inputs, {"test": 0.5})
    prepared = run("prep/scale", after(inputs, split, "split"), {"columns": {"bank": ["x0"]}})
    x = aligned(inputs, "x0")
    seen = x[split["bank"].keep["part"] == TRAIN]
    frame = frame_of(StepInputs(inputs["bank"].table, {"s": prepared["bank"].keep}), "bank")
    assert frame.table.column("x0").to_numpy() == pytest.approx((x - seen.mean()) / seen.std())
    assert prepared["bank"].result == {"columns": 1}
    assert prepared["telco"].result == {"columns": 0}


def test_each_party_renames_and_drops_its_own(inputs):
    names = {"bank": {"x0": "a"}, "telco": {"x3": "a"}}
    renamed = run("prep/transform", inputs, {"do": "rename", "names": names})
    given = after(inputs, renamed, "rename")
    assert frame_of(given["telco"], "telco").table.column_names == ["id", "a", "_row"]
    dropped = run("prep/transform", given, {"do": "drop", "columns": {"telco": ["id"]}})
    assert frame_of(after(given, dropped, "drop")["telco"], "telco").table.column_names == ["_row", "a"]
    with pytest.raises(ParleyError) as e:
        run("prep/transform", given, {"do": "keep", "columns": {"telco": ["x3"]}})
    assert (e.value.code, e.value.party) == ("unknown_column", "telco")


@pytest.mark.parametrize(("name", "params", "cast"), [
    ("prep/split", {"by": "time", "column": "x0"}, EVERYBODY),
    ("prep/split", {"validate": 0.6, "test": 0.5}, EVERYBODY), ("prep/split", {"column": "x0"}, DECIDER),
    ("prep/sample", {}, EVERYBODY), ("prep/sample", {"share": 2.5}, EVERYBODY),
    ("prep/impute", {"method": "constant"}, EVERYBODY), ("prep/transform", {"do": "drop"}, EVERYBODY),
    ("prep/scale", {"columns": {"nobody": ["x"]}}, EVERYBODY), ("prep/scale", {"low": 1, "high": 1}, EVERYBODY),
])  # fmt: skip
def test_parameters_that_make_no_sense_are_refused_before_anything_runs(inputs, name, params, cast):
    with pytest.raises(ParleyError) as e:
        run(name, inputs, params, cast)
    assert e.value.code in ("bad_parameters", "bad_roles")


def test_a_prepared_training_is_the_central_one(monkeypatch):
    """breast, with holes and a text: imputed, encoded, scaled by each party, trained; the same on the joined table."""
    use_plain(monkeypatch)
    sides = {
        p: load_file(need(f"data/breast_hetero_{s}.csv")).sort_by("id")
        for p, s in (("bank", "guest"), ("bureau", "host"))
    }
    holes = np.random.default_rng(5).random(569) < 0.1
    for p, column in (("bank", "x0"), ("bureau", "x3")):
        t = sides[p]
        with_holes = pa.array(np.where(holes, np.nan, t.column(column).to_numpy()), from_pandas=True)
        sides[p] = t.set_column(t.column_names.index(column), column, with_holes)
        kind = pa.array(np.array(["low", "mid", "high"])[np.digitize(t.column("x1").to_numpy(), (-0.5, 0.5))])
        sides[p] = sides[p].append_column("kind", kind).append_column("_row", pa.array(np.arange(569)))
    at = {p: StepInputs(t, {"align": {"rows": np.arange(569), "count": 569}}) for p, t in sides.items()}
    cast = {"member": ["bank", "bureau"]}
    for step, params in (
        ("impute", {"method": "median", "exclude": ["id", "y"]}), ("encode", {}), ("scale", {"exclude": ["id", "y"]}),
    ):  # fmt: skip
        at = after(at, run(f"prep/{step}", at, params, cast), step)
    trained = run_local(
        registry.load("gbdt/vertical"), {"label": "bank", "features": ["bureau"]}, at,
        {"label": "y", "id": "id", "trees": 3, "depth": 3, "bins": 16},
    )  # fmt: skip
    joined, bins = [], []
    for p, names in (("bank", ["x0", "x1"]), ("bureau", ["x3", "x1"])):
        t = sides[p]
        columns = [c for c in t.column_names if c not in ("id", "y", "_row")]
        chain = Pipeline((fit_impute(t, columns, "median"),))
        chain = chain.then([OneHot(categories_of(t, ["kind"]))])
        done = chain.apply(t)
        scaled = [c for c in done.column_names if c not in ("id", "y", "_row")]
        done = fit_scale(done, scaled).apply(done)
        bins.append(fit_bins(done, scaled, 16))
        joined.append(bins[-1].transform(done))
        assert names[0] in scaled
    spec = bins[0].spec.joined(bins[1].spec)
    y = sides["bank"].column("y").to_numpy().astype(float)
    central = train(
        np.concatenate(joined, axis=1),
        y,
        Params(rounds=3, depth=3, scale_bits=32),
        spec=spec,
        objective=Objective("logistic"),
    )
    assert trained["bank"].keep["scores"] == pytest.approx(central.predict(np.concatenate(joined, axis=1)), abs=1e-12)
