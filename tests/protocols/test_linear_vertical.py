"""Vertical linear models against central ones, on real tables: bit by bit in fixed point, and close to floats."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from vertical import CAST2, CAST3, part

from parley.components.training.linear import Family, Fixed
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit.conformance import bytes_by_tag
from parley.protocols.kit.local import Setting, sizes_of
from parley.protocols.linear.jobs import VERTICAL
from parley.protocols.linear.messages import Answer, Opened, Share, Vectors
from parley.protocols.linear.predict import PREDICT
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).parents[1] / "oracles"))
import linear_oracle as oracle
from tables import shared_table

SMALL = {"id": "id", "label": "y", "optimizer": "sgd", "frequencies": 12, "period": 32}


def sides(name: str, rows: int | None = None, key: str = "id", parts=("guest", "host")) -> list[pa.Table]:
    tables = [shared_table(f"{name}_hetero_{p}").sort_by(key) for p in parts]
    return [t.slice(0, rows) if rows else t for t in tables]


def matrix(table: pa.Table, *without: str) -> np.ndarray:
    return np.stack([table[c].to_numpy().astype(float) for c in table.column_names if c not in without], axis=1)


def fit(tables, params, cast=None, setting=None):
    names = ("bank", "bureau", "telco")
    inputs = {n: t if isinstance(t, StepInputs) else part(t) for n, t in zip(names, tables, strict=False)}
    cast = cast or (CAST3 if len(tables) == 3 else CAST2)
    return run_local(VERTICAL, cast, inputs, params, setting=setting), inputs


def weights(run, party: str) -> np.ndarray:
    return run[party].keep["weights"]


def joined(run, parties=("bank", "bureau"), k: int = 0) -> np.ndarray:
    """All weights, the constant last."""
    first = weights(run, parties[0])[k]
    return np.concatenate([first[:-1], *(weights(run, p)[k] for p in parties[1:]), first[-1:]])


def with_constant(*parts: np.ndarray) -> np.ndarray:
    return np.hstack([*(oracle.standardized(p) for p in parts), np.ones((len(parts[0]), 1))])


def test_logistic_training_equals_the_central_fixed_point_run_bit_by_bit():
    guest, host = sides("breast", 230)
    run, _ = fit([guest, host], {**SMALL, "epochs": 3, "learning_rate": 0.5, "l2": 0.1})
    family = Family("logistic", order=12, period=32.0)
    fixed = Fixed(family, 230)
    numbers = {"coefficients": family.slope.free.coefficients, "period": 32.0}
    numbers |= {"score_bits": fixed.score_bits, "value_bits": fixed.value_bits}
    numbers["factor_bits"] = [fixed.factor_bits(False), fixed.factor_bits(True)]
    ours, theirs = oracle.standardized(matrix(guest, "id", "y")), oracle.standardized(matrix(host, "id"))
    wanted = oracle.logistic_run(ours, theirs, guest["y"].to_numpy(), 3, 0.5, 0.1, numbers)
    assert np.array_equal(weights(run, "bank")[0], wanted[0])
    assert np.array_equal(weights(run, "bureau")[0], wanted[1])


def test_a_linear_model_of_three_parties_equals_the_central_one_bit_by_bit():
    tables = sides("motor", 400, "idx", ("guest", "host_1", "host_2"))
    params = {"id": "idx", "label": "motor_speed", "model": "linear", "optimizer": "sgd", "frequencies": 8}
    run, _ = fit(tables, {**params, "epochs": 3, "learning_rate": 0.2})
    y = tables[0]["motor_speed"].to_numpy()
    y = (y - y.mean()) / y.std()
    parts = [with_constant(matrix(tables[0], "idx", "motor_speed"))]
    parts += [oracle.standardized(matrix(t, "idx")) for t in tables[1:]]
    wanted = oracle.linear_run(parts, y, 3, 0.2, Fixed(Family("linear", order=8), 400).score_bits)
    for party, w in zip(("bank", "bureau", "telco"), wanted, strict=True):
        assert np.array_equal(weights(run, party)[0], w)
    losses = run["bank"].result["losses"]
    assert losses[0] == pytest.approx(0, abs=0.02)  # a term of the label alone is left out
    assert losses[2] < losses[1] < losses[0] - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("three", [False, True])
def test_logistic_training_is_close_to_floats(three):
    guest, host = sides("breast")
    tables = [guest, host.select(host.column_names[:9]), host.select(["id", *host.column_names[9:]])]
    run, _ = fit(tables if three else [guest, host], {**SMALL, "epochs": 6, "learning_rate": 0.3, "l2": 0.3})
    x = with_constant(matrix(guest, "id", "y"), matrix(host, "id"))
    wanted = oracle.descend("logistic", x, guest["y"].to_numpy(), 6, 0.3, 0.3)
    got = joined(run, ("bank", "bureau", "telco")[: 2 + three])
    assert np.abs(got - wanted).max() < 5e-4


@pytest.mark.slow
def test_at_its_end_logistic_training_is_where_scikit_learn_is():
    guest, host = sides("breast")
    run, _ = fit([guest, host], {**SMALL, "epochs": 100, "learning_rate": 0.5, "l2": 0.3})
    x, y = with_constant(matrix(guest, "id", "y"), matrix(host, "id"))[:, :-1], guest["y"].to_numpy()
    model = LogisticRegression(C=1 / (0.3 * len(y)), tol=1e-10, max_iter=1000).fit(x, y)
    got = joined(run)
    assert np.abs(got[:-1] - model.coef_[0]).max() < 5e-4
    assert abs(got[-1] - model.intercept_[0]) < 5e-3  # the slowest direction: not penalised


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["poisson", "gamma", "tweedie"])
def test_log_links_are_close_to_floats(kind):
    guest, host = sides("dvisits", 3000)
    if kind == "gamma":  # labels above zero
        guest = guest.set_column(1, "doctorco", pa.array(guest["doctorco"].to_numpy() + 0.5))
    params = {"id": "id", "label": "doctorco", "model": kind, "optimizer": "sgd", "learning_rate": 0.2, "epochs": 6}
    run, _ = fit([guest, host], params)
    x, y = with_constant(matrix(guest, "id", "doctorco"), matrix(host, "id")), guest["doctorco"].to_numpy()
    wanted = oracle.descend(kind, x, y / y.mean(), 6, 0.2)
    assert np.abs(joined(run) - wanted).max() < 1e-3
    assert run["bank"].result["losses"][-1] < run["bank"].result["losses"][0]


@pytest.mark.slow
def test_one_against_the_rest_trains_every_class_like_a_model_of_its_own():
    guest, host = sides("vehicle_scale")
    run, inputs = fit([guest, host], {**SMALL, "model": "ovr", "classes": 4, "epochs": 3, "learning_rate": 0.3})
    x, y = with_constant(matrix(guest, "id", "y"), matrix(host, "id")), guest["y"].to_numpy()
    for k, value in enumerate(np.unique(y)):
        wanted = oracle.descend("logistic", x, (y == value).astype(float), 3, 0.3)
        assert np.abs(joined(run, k=k) - wanted).max() < 5e-4
    scores = predicted(run, inputs, {"label": "y", "outputs": 4})
    assert scores["task"] == "multiclass"
    assert np.allclose(scores["scores"].sum(axis=1), 1)
    assert (scores["scores"].argmax(axis=1) == scores["labels"]).mean() > 0.5


@pytest.mark.slow
def test_a_full_batch_of_default_credit_is_close_to_floats():
    guest, host = sides("default_credit")
    run, _ = fit([guest, host], {"id": "id", "label": "y", "optimizer": "sgd", "learning_rate": 0.5, "epochs": 1})
    x, y = with_constant(matrix(guest, "id", "y"), matrix(host, "id")), guest["y"].to_numpy()
    assert np.abs(joined(run) - oracle.descend("logistic", x, y, 1, 0.5)).max() < 1e-4


def predicted(run, inputs, params):
    cast = CAST3 if len(inputs) == 3 else CAST2
    data = {p: StepInputs(i.table, {"train": run[p].keep, **i.needs}) for p, i in inputs.items()}
    return run_local(PREDICT, cast, data, params)["bank"].keep


@pytest.mark.slow
def test_batches_adam_and_both_penalties_learn_and_predictions_are_the_joined_models():
    guest, host = sides("breast")
    tables = [guest, host.select(host.column_names[:9]), host.select(["id", *host.column_names[9:]])]
    params = {**SMALL, "optimizer": "adam", "learning_rate": 0.05, "batch": 200, "epochs": 2, "l1": 0.01, "l2": 0.01}
    run, inputs = fit(tables, params)
    found = predicted(run, inputs, {"label": "y"})
    x = with_constant(matrix(guest, "id", "y"), matrix(host, "id"))
    z = x @ joined(run, ("bank", "bureau", "telco"))
    assert np.abs(found["scores"][:, 0] - 1 / (1 + np.exp(-z))).max() < 1e-5
    y = guest["y"].to_numpy()
    assert np.array_equal(found["labels"], y)
    assert ((z > 0) == y).mean() > 0.9


def test_training_stops_when_the_validation_loss_does_not_fall_and_keeps_the_best():
    guest, host = sides("breast", 400)
    held = {"part": (np.arange(400) % 4 == 3).astype(np.uint8)}
    inputs = [part(guest), part(host)]
    for given in inputs:
        given.needs["align"].update(held)
    params = {**SMALL, "frequencies": 8, "epochs": 9, "learning_rate": 3.5, "early_stopping": 1}
    run, _ = fit(inputs, params)
    told = run["bank"].result
    assert told["watched"] == "validation"
    assert told["validation_rows"] == 100
    assert told["rows"] == 300
    assert len(told["losses"]) < 9
    assert told["losses"][told["kept"] - 1] == min(told["losses"])
    shorter, _ = fit(inputs, {**params, "epochs": told["kept"], "early_stopping": 0})
    assert all(np.array_equal(weights(run, p), weights(shorter, p)) for p in ("bank", "bureau"))


def test_a_second_training_goes_on_where_the_first_one_ended():
    guest, host = sides("breast", 230)
    params = {**SMALL, "frequencies": 8, "learning_rate": 0.3}
    whole, _ = fit([guest, host], {**params, "epochs": 2})
    first, inputs = fit([guest, host], {**params, "epochs": 1})
    again = [StepInputs(i.table, {"before": first[p].keep, **i.needs}) for p, i in inputs.items()]
    second, _ = fit(again, {**params, "epochs": 1, "warm_start": True})
    assert np.array_equal(joined(whole), joined(second))
    with pytest.raises(ParleyError) as e:
        fit([guest, host], {**params, "epochs": 1, "warm_start": True})
    assert e.value.code == "no_model"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"batch": 100}, "too_few_rows"),
        ({"label": "x0"}, "bad_labels"),
        ({"model": "poisson", "label": "x0"}, "bad_labels"),
        ({"columns": {"bureau": ["x0", "nope"]}}, "unknown_column"),
        ({"columns": {"other": ["x0"]}}, "bad_parameters"),
        ({"columns": {"bureau": []}}, "no_features"),
        ({"model": "ovr"}, "bad_parameters"),
        ({"learning_rate": 100, "epochs": 9}, "diverged"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, code):
    guest, host = sides("breast", 230)
    with pytest.raises(ParleyError) as e:
        fit([guest, host], {**SMALL, "frequencies": 8, "epochs": 1, **change})
    assert e.value.code == code


def test_missing_values_and_texts_are_refused_by_column():
    guest, host = sides("breast", 230)
    holed = host.set_column(1, "x0", pa.array([None, *host["x0"].to_pylist()[1:]], pa.float64()))
    texts = host.set_column(1, "x0", pa.array(["a"] * 230))
    for table, code in ((holed, "missing_values"), (texts, "not_numbers")):
        with pytest.raises(ParleyError) as e:
            fit([guest, table], {**SMALL, "epochs": 1})
        assert e.value.code == code
        assert "x0" in e.value.cause


def test_parties_with_other_rows_are_refused_by_name():
    guest, host = sides("breast", 230)
    with pytest.raises(ParleyError) as e:
        fit([guest, host.slice(0, 229)], {**SMALL, "epochs": 1})
    assert e.value.code == "protocol_violation"
    assert e.value.party in ("bank", "bureau")


@pytest.mark.parametrize(
    ("tag", "sender"), [(Share.TAG, "telco"), (Vectors.TAG, "bureau"), (Answer.TAG, "telco"), (Opened.TAG, "bank")]
)
def test_a_peer_that_sends_half_a_message_is_refused_by_name(tag, sender):
    guest, host = sides("breast", 230)
    tables = [guest, host.select(host.column_names[:9]), host.select(["id", *host.column_names[9:]])]
    done = []

    def halve(envelope, now):
        if now == "after" or done or envelope.address.tag != tag or envelope.address.sender != sender:
            return envelope
        done.append(envelope)
        return dataclasses.replace(envelope, body=envelope.body[: len(envelope.body) // 2])

    with pytest.raises(ParleyError) as e:
        fit(tables, {**SMALL, "frequencies": 8, "epochs": 1}, setting=Setting(fault=halve, patience=20))
    assert done
    assert e.value.code == "protocol_violation"
    assert e.value.party == sender


def test_bytes_on_the_wire_are_as_the_page_says():
    guest, host = sides("breast", 500)
    params = {**SMALL, "frequencies": 8, "epochs": 2}
    run, inputs = fit([guest, host], params)
    sent, model = bytes_by_tag(run.transcript), VERTICAL.validate(params, Cast(CAST2))
    for partner, owner, columns, here in (("bank", "bureau", 20, False), ("bureau", "bank", 11, True)):
        shape = model.product(500, columns, labels_here=here)
        assert sent[partner, owner, Vectors.TAG] == pytest.approx(2 * shape.vectors * shape.blocks * 163_840, rel=0.01)
        answer = shape.groups * (163_840 + 20 * shape.x)
        assert sent[owner, partner, Answer.TAG] == pytest.approx(2 * answer, rel=0.01)
    flows = VERTICAL.cost(model, Cast(CAST2), sizes_of(inputs))
    planned = {(f.sender, f.receiver, f.tag): f.bytes for f in flows}
    assert all(size <= planned[key] for key, size in sent.items())
