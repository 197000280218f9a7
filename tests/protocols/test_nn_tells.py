"""What the cut of split training tells: labels found from derivatives; clipping and noise, and what they promise."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from seeded import Seeded
from sklearn.metrics import roc_auc_score
from vertical import CAST2, split_inputs

from parley.protocols import registry
from parley.protocols.kit import Cast, Sizes, StepInputs, run_local
from parley.protocols.kit.session import Context, Session
from parley.protocols.nn import noise as cut_noise
from parley.protocols.nn.jobs import SPLIT
from parley.protocols.nn.leakage import attacks
from parley.protocols.nn.messages import Activations, Final, Gradients
from parley.protocols.nn.noise import GRID, noised
from parley.protocols.nn.params import epsilon
from parley.protocols.nn.predict import PREDICT

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined

PARAMS = {"label": "y", "id": "id", "epochs": 3, "batch": 64}


@pytest.fixture(scope="module")
def breast() -> dict[str, StepInputs]:
    table = joined("breast")
    host = [x for x in table.column_names if x.startswith("h_")]
    return split_inputs(table, [x for x in table.column_names if x not in host], ["id", *host])


@pytest.fixture(scope="module")
def plain(breast):
    return run_local(SPLIT, CAST2, breast, PARAMS)


def by_epoch(run, kind) -> dict[int, np.ndarray]:
    """(n, w) of an epoch as its receiver got it, from the transcript alone."""
    out: dict[int, list[np.ndarray]] = {}
    for e in run.transcript:
        if e.address.tag == kind.TAG and not e.last:
            out.setdefault(dict(e.address.path).get("epoch", 0), []).append(kind.decode(e.body, {}).values)
    return {epoch: np.concatenate(parts) for epoch, parts in out.items()}


def labels_by_epoch(run) -> dict[int, np.ndarray]:
    """Labels in the order in which rows were sent, from the public coins."""
    cast = Cast(CAST2)
    params = SPLIT.validate(PARAMS, cast)
    s = Session(Context("local", "step", 1, "bank", cast, params, bytes(32), None))
    y = run["bank"].keep["labels"]
    return {e: y[s.at(epoch=e).coins.permutation(y.size)] for e in range(PARAMS["epochs"])}


def test_a_plain_cut_gives_labels_away(plain):
    """Power: on an undefended cut the attacks find nearly every label."""
    (found,) = plain["bank"].result["leakage"].values()
    print(found)
    assert found["direction_auc"] > 0.95
    assert found["norm_auc"] > 0.55
    assert found["epochs"] == 3


def test_the_measure_is_made_on_what_the_features_party_was_sent(plain):
    seen, labels = by_epoch(plain, Gradients), labels_by_epoch(plain)
    each = [attacks(seen[e], labels[e] == 1) for e in range(3)]
    (found,) = plain["bank"].result["leakage"].values()
    assert found["norm_auc"] == pytest.approx(max(a for a, _ in each), abs=1e-4)
    assert found["direction_auc"] == pytest.approx(max(b for _, b in each), abs=1e-4)
    norms = np.linalg.norm(seen[0], axis=1)
    auc = roc_auc_score(labels[0], norms)
    assert each[0][0] == pytest.approx(max(auc, 1 - auc))


def test_labels_in_another_order_are_not_found(plain):
    """The same view, against labels that have nothing to do with it: four standard deviations of an AUC."""
    truth = np.random.default_rng(3).permutation(plain["bank"].keep["labels"]) == 1
    bar = 0.5 + 4 * math.sqrt((truth.size + 1) / (12 * truth.sum() * (~truth).sum()))
    assert max(attacks(by_epoch(plain, Gradients)[0], truth)) < bar


def test_a_planted_sign_and_a_planted_length_are_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400) == 1
    noise = rng.normal(size=(400, 5)).astype(np.float32)
    norm, direction = attacks(noise * np.where(truth, 3, 1)[:, None].astype(np.float32), truth)
    assert norm > 0.95
    assert direction < 0.6
    _, direction = attacks(noise + np.where(truth, 3, -3)[:, None].astype(np.float32), truth)
    assert direction > 0.99
    assert attacks(noise, np.ones(400, dtype=bool)) == (0.5, 0.5)


def test_much_noise_hides_labels_that_little_noise_shows(breast):
    found = {}
    for noise in (0.05, 50.0):
        run = run_local(SPLIT, CAST2, breast, {**PARAMS, "cut": "noised", "noise": noise})
        (found[noise],) = run["bank"].result["leakage"].values()
    print(found)
    assert found[0.05]["direction_auc"] > 0.95
    assert max(found[50.0]["direction_auc"], found[50.0]["norm_auc"]) < 0.62


# ---------------------------------------------------------------- clipping and noise


def test_rows_are_no_longer_than_the_clip_and_keep_their_direction():
    values = np.random.default_rng(1).normal(size=(500, 6)).astype(np.float32) * 10
    values[:100] *= 1e-3
    sent = noised(values, 0.5, 0.01, Seeded("clip")).astype(np.float64)
    assert np.linalg.norm(sent, axis=1).max() < 0.5 + 0.01 * 0.5 * 8
    short = np.linalg.norm(values, axis=1) < 0.5
    assert short.sum() == 100
    assert np.abs(sent - values)[short].max() < 0.01 * 0.5 * 6
    cosine = (sent * values).sum(axis=1) / np.linalg.norm(sent, axis=1) / np.linalg.norm(values, axis=1)
    assert cosine[~short].min() > 0.99


def test_clipped_rows_lie_within_the_clip_on_the_grid(monkeypatch):
    """The bound that epsilon stands on, in exact integers, before noise."""
    monkeypatch.setattr(cut_noise, "discrete_gaussian", lambda n, variance, source: np.zeros(n, dtype=np.int64))
    values = np.random.default_rng(2).normal(size=(2000, 7)).astype(np.float32) * 1e5
    steps = np.round(noised(values, 0.37, 1.0, Seeded("grid")).astype(np.float64) / 0.37 * GRID).astype(np.int64)
    assert (steps**2).sum(axis=1).max() <= GRID**2
    assert (steps**2).sum(axis=1).min() > 0.999 * GRID**2


def test_noise_has_the_stated_spread():
    sent = noised(np.zeros((20_000, 4), dtype=np.float32), 2.0, 1.5, Seeded("spread")).astype(np.float64)
    assert sent.std() == pytest.approx(3.0, rel=6 / math.sqrt(2 * sent.size))
    assert abs(sent.mean()) < 6 * 3.0 / math.sqrt(sent.size)


def test_two_runs_draw_other_noise_and_a_plain_one_none(breast, plain):
    runs = [run_local(SPLIT, CAST2, breast, {**PARAMS, "epochs": 1, "cut": "noised"}) for _ in range(2)]
    a, b = (by_epoch(r, Activations)[0] for r in runs)
    assert np.abs(a - b).max() > 0.5
    again = run_local(SPLIT, CAST2, breast, PARAMS)
    np.testing.assert_array_equal(by_epoch(again, Activations)[0], by_epoch(plain, Activations)[0])


def test_predictions_of_a_noised_network_are_noised_too(breast):
    run = run_local(SPLIT, CAST2, breast, {**PARAMS, "cut": "noised", "noise": 5.0})
    needs = {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in breast.items()}
    a, b = (run_local(PREDICT, CAST2, needs, {}).transcript[0].body for _ in range(2))
    assert a != b
    final = by_epoch(run, Final)[0]
    assert final.std() > 3


def test_epsilon_is_that_of_the_gaussian_mechanism_composed():
    """By another way: the least over orders of Renyi's divergence of k Gaussians, which lies at or below it."""
    for sent, noise, delta in ((1, 2.0, 1e-5), (21, 10.0, 1e-6), (500, 40.0, 1e-5)):
        orders = np.linspace(1.0001, 400, 400_000)
        renyi = sent * orders * 4 / (2 * noise**2) + math.log(1 / delta) / (orders - 1)
        assert epsilon(sent, noise, delta) == pytest.approx(renyi.min(), rel=1e-3)


def test_plan_and_result_tell_the_same_epsilon(breast):
    params = {**PARAMS, "epochs": 2, "cut": "noised", "noise": 20.0}
    run = run_local(SPLIT, CAST2, breast, params)
    told = run["bank"].result["privacy"]
    rows = breast["bank"].table.num_rows
    assert told["row_epsilon"] == pytest.approx(epsilon(3, 20.0, 1e-5), abs=1e-3)
    assert told["all_epsilon"] == pytest.approx(epsilon(3 * rows, 20.0, 1e-5), abs=1e-3)
    typed = SPLIT.validate(params, Cast(CAST2))
    lines = SPLIT.figures(typed, Cast(CAST2), Sizes({"bank": rows, "bureau": rows}))
    assert f"{told['row_epsilon']:g}" in lines[0]
    assert SPLIT.figures(SPLIT.validate(PARAMS, Cast(CAST2)), Cast(CAST2), Sizes({})) == []


@pytest.mark.parametrize("cut", ["plain", "noised"])
def test_no_amount_of_noise_takes_the_red_word_away(cut):
    """The submitter chooses the noise, so policies judge every cut as rows in clear."""
    learned = registry.load("nn/split").declaration().learned({"label": "y", "cut": cut})
    assert "individual_updates" in learned["label"]
    assert "individual_updates" in learned["features"]
