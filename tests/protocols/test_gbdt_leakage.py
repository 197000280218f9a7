"""Label inference from what a features party sees of a training: checks of the measure, and what fast trees tell."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score
from vertical import split_inputs, train, use_plain

from parley.components.training.growing import CLOSED
from parley.protocols.gbdt.leakage import Seen, area, attacks, mutual
from parley.protocols.gbdt.messages import Chosen, Level

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def trained(name: str, **params):
    table = joined(name)
    guest = [x for x in table.column_names if not x.startswith("h_")]
    data = split_inputs(table, guest, ["id", *(x for x in table.column_names if x.startswith("h_"))])
    return train(data, params)


def from_transcript(run, rows: int) -> list[np.ndarray]:
    """Each tree's cells as the features party itself can tell them from its messages: levels alone, in their order."""
    trees: dict[int, np.ndarray] = {}
    for e in run.transcript:
        if e.address.tag == Level.TAG:
            tree = dict(e.address.path)["tree"]
            slots = Level.decode(e.body, {}).slot.astype(np.int64)
            before = trees.get(tree, np.zeros(rows, dtype=np.int64))
            trees[tree] = np.unique(before * (CLOSED + 1) + slots, return_inverse=True)[1].astype(np.int64)
    return [trees[t] for t in sorted(trees)]


def test_measures_are_sklearns():
    rng = np.random.default_rng(0)
    score, truth = rng.integers(0, 9, 500).astype(float), rng.integers(0, 2, 500).astype(bool)
    assert area(score, truth) == pytest.approx(roc_auc_score(truth, score))
    a, b = rng.integers(0, 3, 500), rng.integers(0, 4, 500)
    b[a == 1] = 0
    assert mutual(a, b) == pytest.approx(normalized_mutual_info_score(a, b))
    assert mutual(a, np.zeros(500, dtype=np.int64)) == 0


@pytest.mark.parametrize(
    ("name", "params", "auc", "nmi"),
    [
        ("breast", {"trees": 1, "depth": 3}, 0.95, 0.5),
        ("breast", {"trees": 5, "depth": 3}, 0.97, 0.7),
        ("default_credit", {"trees": 1, "depth": 3}, 0.65, 0.1),
        ("default_credit", {"trees": 5, "depth": 3}, 0.7, 0.1),
    ],
)
def test_fast_trees_give_labels_away(name, params, auc, nmi):
    run = trained(name, **params)
    (found,) = run["bank"].result["leakage"].values()
    print(name, params, found)
    assert found["auc"] > auc
    assert found["nmi"] > nmi
    assert found["trees"] == params["trees"]


@pytest.mark.parametrize("name", ["breast", "default_credit"])
def test_labels_in_another_order_are_not_found(name):
    """The same view, against labels that have nothing to do with it."""
    run = trained(name, trees=5, depth=3)
    labels = run["bank"].keep["labels"].astype(np.int64)
    cells = from_transcript(run, labels.size)
    auc, nmi = attacks(cells, cells[0], np.random.default_rng(3).permutation(labels))
    # Four standard deviations of an AUC, for the better of two guesses, and the mean of a mutual information by chance.
    assert auc < 0.5 + 4 * np.sqrt(1 / (12 * labels.size * labels.mean() * (1 - labels.mean())))
    assert nmi < 10 / labels.size
    assert attacks(cells, cells[0], labels)[0] > auc + 0.1


def test_what_is_measured_is_what_was_sent():
    """The label party's notes are the cells that the transcript shows, and the party's own sides of the last level."""
    run = trained("breast", trees=3, depth=2)
    sent = from_transcript(run, 569)
    (found,) = run["bank"].result["leakage"].values()
    own = {
        (dict(e.address.path)["tree"], dict(e.address.path)["level"]): Chosen.decode(e.body, {})
        for e in run.transcript
        if e.address.tag == Chosen.TAG
    }
    assert any(c.slot.size for (_, level), c in own.items() if level == 1)
    labels = run["bank"].keep["labels"].astype(np.int64)
    told = attacks(sent, None, labels)
    assert found["auc"] >= round(told[0], 4) - 0.02
    seen = Seen(569, ("bureau",))
    for cells in sent:
        seen.told_all(cells)
        seen.next_tree()
    assert seen.figures(labels.astype(float), 2)["bureau"]["nmi"] == round(told[1], 4)


def test_a_view_that_tells_nothing_finds_nothing():
    seen = Seen(100, ("a", "b"))
    seen.told("b", np.arange(100) % 2)
    seen.next_tree()
    found = seen.figures((np.arange(100) % 2).astype(float), 2)
    assert found["a"] == {"auc": 0.5, "nmi": 0.0, "trees": 1, "rows": 100}
    assert found["b"] == {"auc": 1.0, "nmi": 1.0, "trees": 1, "rows": 100}


def test_rows_drawn_by_gradient_tell_of_the_rarer_class():
    labels = (np.arange(200) % 5 == 0).astype(float)
    seen, rng = Seen(200, ("a",)), np.random.default_rng(4)
    assert "drawn_auc" not in seen.figures(labels, 2)["a"]
    for _ in range(3):
        seen.sampled((labels == 1) | (rng.random(200) < 0.2))
    assert seen.figures(labels, 2)["a"]["drawn_auc"] > 0.9
    again = Seen(200, ("a",))
    again.resume(seen.state())
    assert again.figures(labels, 2) == seen.figures(labels, 2)
    chance = Seen(200, ("a",))
    chance.sampled(rng.random(200) < 0.5)
    assert chance.figures(labels, 2)["a"]["drawn_auc"] < 0.6


def test_many_rows_and_trees_are_sampled():
    seen = Seen(100_000, ("a",))
    for _ in range(25):
        seen.told_all(np.arange(100_000) % 3)
        seen.next_tree()
    found = seen.figures(np.arange(100_000) % 2.0, 2)["a"]
    assert (found["trees"], found["rows"]) == (20, 10_000)


def test_a_regression_and_classes_have_figures_too():
    rng = np.random.default_rng(1)
    seen = Seen(300, ("a",))
    values = rng.normal(size=300)
    seen.told_all((values > np.median(values)).astype(np.int64))
    seen.next_tree()
    assert seen.figures(values, None)["a"]["auc"] == 1.0
    assert 0 < seen.figures(np.digitize(values, [-0.5, 0.5]).astype(float), 3)["a"]["nmi"] < 1


def test_a_view_goes_on_from_a_checkpoint():
    rng = np.random.default_rng(2)
    values, labels = rng.integers(0, 4, (6, 200)), rng.integers(0, 2, 200).astype(float)
    whole, first = Seen(200, ("a", "b")), Seen(200, ("a", "b"))
    for k, v in enumerate(values):
        if k == 3:
            again = Seen(200, ("a", "b"))
            again.resume(first.state())
            first = again
        for seen in (whole, first):
            seen.told_all(v)
            seen.told("b", values[0])
            seen.split("b", v > 1)
            seen.next_tree()
    assert first.figures(labels, 2) == whole.figures(labels, 2)
    assert set(whole.figures(labels, 2)["b"]) > set(whole.figures(labels, 2)["a"])
