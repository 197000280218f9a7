"""Split training against one network trained centrally on torch's modules; what it refuses, keeps and resumes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from vertical import CAST2, CAST3, split_inputs

from parley.components.training import nn_mlp
from parley.protocols import registry
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting, sizes_of
from parley.protocols.kit.processes import run_processes
from parley.protocols.nn import features_side, label_side
from parley.protocols.nn.jobs import SPLIT
from parley.protocols.nn.messages import Activations, EpochDone, Final, Gradients, Meet, Watched
from parley.protocols.nn.predict import PREDICT
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from nn_oracle import trained as central
from tables import joined

BASE = {"label": "y", "id": "id", "epochs": 4, "batch": 64}


def vertical(name: str) -> dict[str, StepInputs]:
    """The guest's columns and labels at bank, the host's in halves at bureau and telco."""
    table = joined(name)
    host = [x for x in table.column_names if x.startswith("h_")]
    guest = [x for x in table.column_names if x not in host]
    half = len(host) // 2
    return split_inputs(table, guest, ["id", *host[:half]], ["id", *host[half:]])


def toy(rows: int = 40, seed: int = 1, parties: int = 2) -> dict[str, StepInputs]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    y = (x[:, 0] + x[:, 2] > 0).astype(int)
    table = pa.table({"id": np.arange(rows), "y": y, **{f"x{k}": x[:, k] for k in range(4)}})
    return split_inputs(table, ["id", "y", "x0"], *(["id", "x1", "x2"], ["id", "x3"])[: parties - 1])


def trained(data, params=None, setting=None):
    cast = CAST3 if "telco" in data else CAST2
    return run_local(SPLIT, cast, data, {**BASE, **(params or {})}, setting=setting)


class Noted:
    """First weights and batches as the parties made them."""

    def __init__(self, monkeypatch) -> None:
        self.weights, self.top, self.epochs = {}, {}, {}
        monkeypatch.setattr(features_side, "first_weights", self._weights(features_side.first_weights))
        monkeypatch.setattr(label_side, "first_weights", self._weights(label_side.first_weights))
        monkeypatch.setattr(label_side, "initial", self._top(label_side.initial))
        monkeypatch.setattr(label_side, "batches", self._batches(label_side.batches))

    def _weights(self, ours):
        def noted(s, party, inputs):
            self.weights[party] = ours(s, party, inputs)
            return self.weights[party]

        return noted

    def _top(self, ours):
        def noted(*args):
            self.top = ours(*args)
            return self.top

        return noted

    def _batches(self, ours):
        def noted(s, training, epoch):
            self.epochs[epoch] = ours(s, training, epoch)
            return self.epochs[epoch]

        return noted


def columns_of(data: dict[str, StepInputs], party: str) -> pa.Table:
    """A party's table in the order of the aligned rows, without labels and ids."""
    table, rows = data[party].table, data[party].needs["align"]["rows"]
    at = {r: k for k, r in enumerate(table.column("_row").to_pylist())}
    return table.take([at[r] for r in rows.tolist()])


CONFIGURED = [
    ("breast", "binary", {}),
    ("breast", "binary", {"optimiser": "sgd", "learning_rate": 0.1, "momentum": 0.9, "activation": "tanh"}),
    ("vehicle_scale", "multi", {"classes": 4, "weight_decay": 0.001, "bottom": [12], "top": []}),
    ("student", "regression", {"bottom": {"bank": [4], "bureau": [6, 3], "telco": [2]}, "top": [5, 5]}),
]


@pytest.mark.parametrize(("name", "kind", "extra"), CONFIGURED)
def test_it_is_the_network_that_one_party_with_all_columns_would_train(name, kind, extra, monkeypatch):
    data, noted = vertical(name), Noted(monkeypatch)
    params = {**BASE, "objective": kind, "learning_rate": 0.01, **extra}
    run = trained(data, params)
    tables = {p: columns_of(data, p) for p in ("bank", "bureau", "telco")}
    xs = [
        np.stack([t.column(n).to_numpy() for n in t.column_names if n not in ("id", "y", "_row")], axis=1)
        for t in tables.values()
    ]
    y = tables["bank"].column("y").to_numpy().astype(float)
    fitted = (y - y.mean()) / y.std() if kind == "regression" else y
    outputs = central(
        xs,
        fitted,
        [noted.weights[p] for p in tables],
        noted.top,
        [noted.epochs[e] for e in range(params["epochs"])],
        kind=kind,
        activation=params.get("activation", "relu"),
        optimiser=params.get("optimiser", "adam"),
        rate=params["learning_rate"],
        momentum=params.get("momentum", 0.0),
        decay=params.get("weight_decay", 0.0),
    ).astype(float)
    if kind == "multi":
        e = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        expected = e / e.sum(axis=1, keepdims=True)
    else:
        expected = 1 / (1 + np.exp(-outputs)) if kind == "binary" else outputs * y.std() + y.mean()
    tolerance = 1e-5 * (y.std() if kind == "regression" else 1)
    np.testing.assert_allclose(run["bank"].keep["scores"], expected, rtol=0, atol=tolerance)
    assert sum(len(b) for b in noted.epochs[0]) == len(y)
    assert run["bank"].result["losses"][-1] < run["bank"].result["losses"][0]


def test_other_weights_or_batches_give_another_network(monkeypatch):
    """The comparison above can fail: another public seed moves scores by far more than its tolerance."""
    data = vertical("breast")
    a, b = (trained(data, setting=Setting(seed=bytes([k]) * 32))["bank"].keep["scores"] for k in (0, 1))
    assert np.abs(a - b).max() > 1e-2


def test_it_learns_what_neither_party_could_alone():
    run = trained(vertical("breast"), {"epochs": 15, "validation": 0.3, "early_stopping": 5})
    kept = run["bank"].keep
    held = kept["validation"] == 1
    assert roc_auc_score(kept["labels"][held], kept["scores"][held, 0]) > 0.98
    assert run["bank"].result["validation_rows"] == held.sum() == round(0.3 * len(held))


def test_the_same_run_twice_is_the_same_to_the_bit():
    a, b = (trained(toy(parties=3)) for _ in range(2))
    assert [e.body for e in a.transcript if e.address.receiver == "telco"] == [
        e.body for e in b.transcript if e.address.receiver == "telco"
    ]
    np.testing.assert_array_equal(a["bank"].keep["scores"], b["bank"].keep["scores"])


def test_early_stopping_keeps_the_best_epoch_at_every_party():
    data = toy(60)
    params = {"epochs": 40, "validation": 0.3, "early_stopping": 2, "learning_rate": 0.2, "batch": 8}
    run = trained(data, params)
    losses, kept = run["bank"].result["losses"], run["bank"].result["epochs"]
    assert kept == int(np.argmin(losses)) + 1 < len(losses) == kept + 2
    again = trained(data, {**params, "epochs": kept, "early_stopping": 0})
    np.testing.assert_array_equal(run["bureau"].keep["nn.0.weight"], again["bureau"].keep["nn.0.weight"])
    np.testing.assert_array_equal(run["bank"].keep["scores"], again["bank"].keep["scores"])


@pytest.mark.parametrize("extra", [{}, {"optimiser": "sgd", "momentum": 0.5, "validation": 0.25, "early_stopping": 3}])
def test_a_resumed_training_ends_with_the_same_network(extra):
    data = toy(parties=3)
    whole = trained(data, extra)
    assert set(whole.checkpoints) == {"bank", "bureau", "telco"}
    at = sorted(whole.checkpoints["bank"])[1]
    resumed = {p: (at, kept[at]) for p, kept in whole.checkpoints.items()}
    again = trained(data, extra, Setting(attempt=2, resumed=resumed))
    np.testing.assert_array_equal(again["bank"].keep["scores"], whole["bank"].keep["scores"])
    assert again["bank"].result == whole["bank"].result
    assert len(again.transcript) < len(whole.transcript)


@pytest.mark.parametrize("extra", [{}, {"objective": "multi", "classes": 2}, {"bottom": [3], "top": []}])
def test_prediction_gives_the_scores_of_training(extra):
    data = toy(parties=3)
    run = trained(data, extra)
    needs = {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}
    found = run_local(PREDICT, CAST3, needs, {"label": "y"})["bank"]
    np.testing.assert_allclose(found.keep["scores"], run["bank"].keep["scores"], atol=1e-7)
    np.testing.assert_array_equal(found.keep["labels"], run["bank"].keep["labels"])


def test_a_label_party_without_columns_takes_part():
    data = toy()
    run = trained(data, {"columns": {"bank": []}})
    assert not any(k.startswith("nn.own") for k in run["bank"].keep)
    needs = {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}
    found = run_local(PREDICT, CAST2, needs, {})["bank"].keep["scores"]
    np.testing.assert_allclose(found, run["bank"].keep["scores"], atol=1e-7)


def test_what_is_kept_is_arrays_and_text():
    run = trained(toy())
    for outputs in run.outputs.values():
        for name, value in outputs.keep.items():
            assert isinstance(value, np.ndarray | str | int | list), name
    assert run["bureau"].keep["nn.0.weight"].dtype == np.float32
    assert json.loads(run["bureau"].keep["nn_part"])["columns"] == ["x1", "x2"]
    assert run["bureau"].result == {}


# ---------------------------------------------------------------- what is refused


def changing(tag, change):
    """Replaces the first message of this kind."""
    done = []

    def fault(envelope, now):
        if now == "before" and envelope.address.tag == tag.TAG and not envelope.last and not done:
            done.append(True)
            return dataclasses.replace(envelope, body=change(tag.decode(envelope.body, {})).encode())
        return envelope

    return fault


CHEATS = [
    ("bureau", Activations, lambda m: Activations(m.values[:-1])),
    ("bureau", Activations, lambda m: Activations(np.hstack([m.values, m.values]))),
    ("bureau", Watched, lambda m: Watched(m.values[:-1])),
    ("bureau", Watched, lambda m: Watched(np.vstack([m.values, m.values]))),
    ("bureau", Final, lambda m: Final(np.vstack([m.values, m.values]))),
    ("bank", Gradients, lambda m: Gradients(m.values[1:])),
    ("bank", Meet, lambda m: Meet(m.count + 1, m.training, m.watched)),
    ("bank", Meet, lambda m: Meet(m.count, m.training + 1, m.watched - 1)),
    ("bank", EpochDone, lambda m: EpochDone(True, 9)),
]


@pytest.mark.parametrize(("who", "kind", "change"), CHEATS)
def test_who_does_not_keep_to_it_is_named(who, kind, change):
    with pytest.raises(ParleyError) as e:
        trained(toy(), {"validation": 0.25}, Setting(fault=changing(kind, change), patience=3))
    assert e.value.code in ("protocol_violation", "egress_cap"), e.value
    assert e.value.party == who


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e13])
@pytest.mark.parametrize(("who", "kind"), [("bureau", Activations), ("bank", Gradients), ("bureau", Final)])
def test_numbers_that_are_none_are_refused(who, kind, bad):
    """They are refused at the receiver, whatever its peer's own checks let pass."""

    def fault(envelope, now):
        if now == "before" and envelope.address.tag == kind.TAG and not envelope.last:
            values = kind.decode(envelope.body, {}).values.copy()
            values[0, 0] = bad
            with pytest.MonkeyPatch.context() as m:
                m.setattr(kind, "check", lambda self: None)
                return dataclasses.replace(envelope, body=kind(values).encode())
        return envelope

    with pytest.raises(ParleyError) as e:
        trained(toy(), {}, Setting(fault=fault, patience=3))
    assert (e.value.code, e.value.party) == ("protocol_violation", who)


def test_what_columns_and_labels_must_be():
    data = toy()
    with_gap = data["bureau"].table.set_column(1, "x1", pa.array([None, *range(39)], pa.float64()))
    words = data["bureau"].table.set_column(1, "x1", pa.array([str(k) for k in range(40)]))
    same = data["bank"].table.set_column(1, "y", pa.array([1] * 40))
    for party, table, code in (
        ("bureau", with_gap, "missing_values"),
        ("bureau", words, "not_numbers"),
        ("bank", same, "one_class"),
    ):
        with pytest.raises(ParleyError) as e:
            trained({**data, party: StepInputs(table, data[party].needs)})
        assert e.value.code == code
    for params in ({"bottom": []}, {"noise": 2.0}, {"classes": 3}, {"bottom": {"nobody": [3]}}, {"momentum": 0.5}):
        with pytest.raises(ParleyError) as e:
            trained(data, params)
        assert e.value.code == "bad_parameters"
    with pytest.raises(ParleyError) as e:
        trained(data, {"early_stopping": 2})
    assert e.value.code == "no_validation_rows"


def test_a_training_that_runs_away_says_so():
    data = toy()
    table = data["bureau"].table
    far = table.set_column(1, "x1", pa.array(np.linspace(-1e9, 1e9, 40)))
    with pytest.raises(ParleyError) as e:
        trained({**data, "bureau": StepInputs(far, data["bureau"].needs)}, {"optimiser": "sgd", "learning_rate": 10})
    assert e.value.code == "diverged"
    assert "learning_rate" in e.value.hint


def test_the_scale_of_numbers_is_that_of_training_rows_alone():
    data = toy()
    y = np.arange(40.0)
    table = data["bank"].table.set_column(1, "y", pa.array(y))
    part = np.zeros(40, dtype=np.uint8)
    part[30:35], part[35:] = 1, 2
    rows = data["bank"].needs["align"]["rows"]
    frame = {"align": {"rows": rows, "part": part, "depth": 1}}
    given = {"bank": StepInputs(table, frame), "bureau": StepInputs(data["bureau"].table, frame)}
    run = trained(given, {"objective": "regression"})
    at = dict(zip(table.column("_row").to_pylist(), y, strict=True))
    learnt = np.array([at[r] for r in rows[:30].tolist()])
    kept = json.loads(run["bank"].keep["nn_loss"])
    assert (kept["mean"], kept["spread"]) == pytest.approx((learnt.mean(), learnt.std()))
    assert (run["bank"].result["rows"], run["bank"].result["validation_rows"]) == (30, 5)
    assert run["bank"].keep["scores"].shape == (40, 1)


def test_every_role_in_a_process_of_its_own():
    data = toy()
    cast = {"label": ("bank",), "features": ("bureau",)}
    run = run_processes(SPLIT, cast, data, {**BASE, "validation": 0.25, "early_stopping": 2})
    np.testing.assert_allclose(
        run["bank"].keep["scores"],
        trained(data, {"validation": 0.25, "early_stopping": 2})["bank"].keep["scores"],
        atol=1e-6,
    )
    json.dumps(run["bank"].result, allow_nan=False)


def test_without_torch_the_job_is_refused_plainly(monkeypatch):
    monkeypatch.setattr(nn_mlp.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParleyError) as e:
        trained(toy())
    assert e.value.code == "torch_missing"
    assert "pip install" in e.value.hint
    for protocol, params in ((SPLIT, {"label": "y"}), (PREDICT, {})):
        with pytest.raises(ParleyError) as e:
            protocol.data_checks[0](protocol.validate(params, Cast(CAST2)), Cast(CAST2), "bureau", {"x": "double"})
        assert (e.value.code, e.value.party) == ("torch_missing", "bureau")


def test_declarations_are_read_without_torch():
    code = (
        "import sys; from parley.protocols import registry; "
        "[registry.load(n).declaration() for n in ('nn/split', 'nn/predict')]; print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip() == "False"


def test_bytes_are_as_the_page_says():
    data = toy()
    run = trained(data, {"validation": 0.25, "bottom": [5]})
    found = c.bytes_by_tag(run.transcript)
    cost = {
        f.tag: f.bytes
        for f in registry.load("nn/split").cost(
            SPLIT.validate({**BASE, "bottom": [5]}, Cast(CAST2)), Cast(CAST2), sizes_of(data)
        )
    }
    assert 4 * 30 * 4 * 5 < found["bureau", "bank", Activations.TAG] < 4 * 30 * 4 * 5 + 4 * 64
    assert 4 * 40 * 5 < found["bureau", "bank", Final.TAG] < 4 * 40 * 5 + 128
    assert cost[Activations.TAG] == 4 * 4 * 40 * 5


@pytest.mark.parametrize("extra", [{}, {"objective": "multi", "classes": 2}])
def test_scores_of_training_and_prediction_can_be_measured(extra):
    data = toy(parties=3)
    run = trained(data, {**extra, "validation": 0.25})
    needs = {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}
    again = run_local(PREDICT, CAST3, needs, {"label": "y"})["bank"].keep
    evaluate = registry.load("evaluate")
    for kept, parts in ((run["bank"].keep, {"training", "validation"}), (again, {"all"})):
        found = run_local(evaluate, {"label": "bank"}, {"bank": StepInputs(None, {"train": kept})}, {})["bank"].result
        assert set(found["metrics"]) == parts
