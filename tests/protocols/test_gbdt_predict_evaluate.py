"""Prediction by a trained model, and measures of what training and prediction kept."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score
from vertical import CAST3, Times, part, split_inputs, train, use_plain

from parley.components.features.pipeline import KINDS, Pipeline
from parley.protocols.evaluate.metrics import EVALUATE
from parley.protocols.frame import frame_of
from parley.protocols.gbdt.predict import PREDICT
from parley.protocols.gbdt.predict_jobs import SCORE
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.wire.errors import ParleyError

COLUMNS = (["id", "y", "x0", "x1"], ["id", "x2", "x3"], ["id", "x4", "city"])


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def table(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).round(2)
    y = (x[:, 0] + x[:, 2] * x[:, 3] > 0).astype(int) + (x[:, 4] > 1)
    gaps = pa.array(np.where(rng.uniform(size=n) < 0.2, np.nan, x[:, 4]), from_pandas=True)
    city = np.array(["north", "south", "east"])[rng.integers(0, 3, n)]
    return pa.table({"id": np.arange(n), "y": y, **{f"x{k}": x[:, k] for k in range(4)}, "x4": gaps, "city": city})


def inputs(n: int = 300, seed: int = 3, binary: bool = True) -> dict[str, StepInputs]:
    t = table(n, seed)
    if binary:
        t = t.set_column(1, "y", pa.array((t.column("y").to_numpy() > 0).astype(int)))
    return split_inputs(t, *COLUMNS)


def predict(trained, data, params=None, setting=None):
    given = {p: StepInputs(d.table, {"train": trained[p].keep, **d.needs}) for p, d in data.items()}
    return run_local(PREDICT, CAST3, given, {"label": "y"} if params is None else params, setting=setting)


def evaluate(keep, **params):
    return run_local(EVALUATE, {"label": "bank"}, {"bank": StepInputs(None, {"train": keep})}, params)["bank"].result


@pytest.mark.parametrize(
    "params", [{}, {"early_stopping": 2, "validation": 0.25}, {"objective": "multi", "classes": 3}]
)
def test_predicting_the_training_rows_gives_the_training_scores(params):
    data = inputs(binary="classes" not in params)
    trained = train(data, {"trees": 6, **params})
    run = predict(trained, data)
    np.testing.assert_allclose(run["bank"].keep["scores"], trained["bank"].keep["scores"], atol=1e-12)
    assert run["bank"].keep["labels"].tolist() == trained["bank"].keep["labels"].tolist()
    assert run["bureau"].keep == {}
    assert run["bank"].result == {"rows": 300}


def test_new_rows_with_unseen_categories_are_scored_as_the_joined_model_would():
    from parley.components.features import Binning
    from parley.components.training.trees import Model

    trained = train(inputs(), {"trees": 6})
    fresh = table(80, 9)
    fresh = fresh.set_column(7, "city", pa.array(["west"] * 40 + ["east"] * 40))
    run = predict(trained, split_inputs(fresh, *COLUMNS), {})
    bins = [
        Binning.from_dict(json.loads(trained[p].keep["binning"])).transform(fresh) for p in ("bank", "bureau", "telco")
    ]
    model = Model.from_dict(json.loads(trained["bank"].keep["model"]))
    np.testing.assert_allclose(run["bank"].keep["scores"], model.predict(np.hstack(bins)), atol=1e-12)
    assert "labels" not in run["bank"].keep


def test_bytes_are_one_bit_per_row_and_split():
    trained = train(inputs(), {"trees": 6})
    run = predict(trained, inputs())
    for party in ("bureau", "telco"):
        splits = len(trained[party].keep["tree"])
        (size,) = (v for (sender, _, _), v in c.bytes_by_tag(run.transcript).items() if sender == party)
        assert splits * 38 <= size <= splits * 42 + 150 * 7
    assert not run.egress["bank"]


def test_a_wrong_or_missing_part_of_the_model_is_told():
    trained = train(inputs(), {"trees": 3})
    other = dict(trained["bureau"].keep)
    for key in ("tree", "node", "feature", "left"):
        other[key] = other[key][:1]
    given = {p: StepInputs(d.table, {"train": trained[p].keep, **d.needs}) for p, d in inputs().items()}
    given["bureau"].needs["train"] = other
    with pytest.raises(ParleyError) as e:
        run_local(PREDICT, CAST3, given, {})
    assert e.value.code == "model_mismatch"
    with pytest.raises(ParleyError) as e:
        run_local(PREDICT, CAST3, inputs(), {})
    assert e.value.code == "no_model"


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_of_a_prediction_is_refused(change):
    trained, data = train(inputs(), {"trees": 2}), inputs()
    n = len(predict(trained, data).transcript)
    for index, error in c.mutations(lambda setting: predict(trained, data, setting=setting), n, change):
        assert error is not None, index
    assert all(e.code == "peer_lost" for _, _, e in c.losses(lambda s: predict(trained, data, setting=s), n) if e)


def test_measures_are_sklearns():
    keep = train(inputs(), {"trees": 8, "validation": 0.3})["bank"].keep
    found = evaluate(keep)["metrics"]
    mask = keep["validation"].astype(bool)
    assert set(found) == {"training", "validation"}
    for name, rows in (("training", ~mask), ("validation", mask)):
        assert found[name]["auc"] == pytest.approx(roc_auc_score(keep["labels"][rows], keep["scores"][rows, 0]))
        assert found[name]["rows"] == rows.sum()
        assert {"ks", "roc", "pr", "lift", "confusion"} <= set(found[name])
    assert evaluate(keep, rows="all")["metrics"]["all"]["rows"] == 300
    json.dumps(found, allow_nan=False)


def test_measures_of_classes_and_of_a_regression():
    data = inputs(binary=False)
    keep = train(data, {"trees": 3, "objective": "multi", "classes": 3})["bank"].keep
    accuracy = accuracy_score(keep["labels"], keep["scores"].argmax(axis=1))
    assert evaluate(keep)["metrics"]["all"]["accuracy"] == pytest.approx(accuracy)
    keep = train(data, {"trees": 3, "objective": "regression"})["bank"].keep
    error = mean_squared_error(keep["labels"], keep["scores"][:, 0])
    assert evaluate(keep)["metrics"]["all"]["rmse"] == pytest.approx(np.sqrt(error))


def test_what_cannot_be_measured_is_said():
    keep = train(inputs(), {"trees": 1})["bank"].keep
    for changed, params, code in (
        ({}, {"rows": "validation"}, "no_rows"),
        ({"scores": None}, {}, "no_scores"),
        ({"labels": None}, {}, "no_labels"),
    ):
        given = {k: v for k, v in {**keep, **changed}.items() if v is not None}
        with pytest.raises(ParleyError) as e:
            evaluate(given, **params)
        assert e.value.code == code


def test_prediction_aligns_by_row_ids():
    data = inputs()
    trained = train(data, {"trees": 4})
    order = np.random.default_rng(1).permutation(300)[:50]
    t = table(300, 3)
    some = {p: part(t.select(cols), order) for p, cols in zip(("bank", "bureau", "telco"), COLUMNS, strict=True)}
    run = predict(trained, some, {}, Setting())
    np.testing.assert_allclose(run["bank"].keep["scores"], trained["bank"].keep["scores"][order], atol=1e-12)


@pytest.mark.parametrize("protocol", [PREDICT, SCORE])
def test_other_rows_are_prepared_as_the_training_rows_were(protocol, monkeypatch):
    """The chain comes with the model: the table lies there raw, and the new alignment knows nothing of it."""
    monkeypatch.setitem(KINDS, "times", ("vertical", "Times"))
    data = inputs()
    prepared = frame_of(data["bureau"], "bureau").with_transforms([Times("x3", -3.0)]).keep()
    ready = {
        p: StepInputs(d.table, {**d.needs, **({"prep": prepared} if p == "bureau" else {})}) for p, d in data.items()
    }
    trained = train(ready, {"trees": 4})
    assert trained["bureau"].keep["prepared"] == prepared["prepared"]
    order = np.random.default_rng(1).permutation(300)[:50]
    t = table(300, 3)
    t = t.set_column(1, "y", pa.array((t.column("y").to_numpy() > 0).astype(int)))
    some = {p: part(t.select(cols), order) for p, cols in zip(("bank", "bureau", "telco"), COLUMNS, strict=True)}
    given = {p: StepInputs(d.table, {"train": trained[p].keep, **d.needs}) for p, d in some.items()}
    params = {"label": "y", **({"scale_bits": 32} if protocol is SCORE else {})}
    run = run_local(protocol, CAST3, given, params)
    np.testing.assert_allclose(run["bank"].keep["scores"], trained["bank"].keep["scores"][order], atol=1e-6)
    raw = {**trained["bureau"].keep, "prepared": Pipeline().to_json()}
    given["bureau"].needs["train"] = raw
    wrong = run_local(protocol, CAST3, given, params)["bank"].keep["scores"]
    assert np.abs(wrong - trained["bank"].keep["scores"][order]).max() > 0.01
