"""Measures against scikit-learn, and the ones that do not exist."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.metrics as sk

from parley.components.errors import DataError
from parley.components.training import curves
from parley.components.training.metrics import auc, confusion_matrix, evaluate, ks, log_loss

RNG = np.random.default_rng(7)
Y = (RNG.random(2000) < 0.2).astype(float)
SCORE = np.round(np.clip(0.3 * Y + RNG.random(2000) * 0.7, 0, 1), 2)  # two digits: many ties


def test_binary_measures_are_scikit_learns() -> None:
    got = evaluate("binary", Y, SCORE, threshold=0.4, points=10_000)
    fpr, tpr, _ = sk.roc_curve(Y, SCORE, drop_intermediate=False)
    assert got["auc"] == pytest.approx(sk.roc_auc_score(Y, SCORE), abs=1e-12)
    assert got["ks"] == pytest.approx(np.max(np.abs(tpr - fpr)), abs=1e-12)
    assert got["average_precision"] == pytest.approx(sk.average_precision_score(Y, SCORE), abs=1e-12)
    assert got["log_loss"] == pytest.approx(sk.log_loss(Y, np.clip(SCORE, 1e-15, 1)), rel=1e-9)
    assert got["accuracy"] == sk.accuracy_score(Y, SCORE >= 0.4)
    np.testing.assert_allclose(got["roc"]["fpr"], fpr)  # type: ignore[index]
    np.testing.assert_allclose(got["roc"]["tpr"], tpr)  # type: ignore[index]
    precision, recall, _ = sk.precision_recall_curve(Y, SCORE)
    np.testing.assert_allclose(got["pr"]["precision"], precision[:-1][::-1])  # type: ignore[index]
    np.testing.assert_allclose(got["pr"]["recall"], recall[:-1][::-1])  # type: ignore[index]
    table = got["confusion"]
    assert isinstance(table, dict)
    assert [[table["tn"], table["fp"]], [table["fn"], table["tp"]]] == sk.confusion_matrix(Y, SCORE >= 0.4).tolist()
    assert table["f1"] == pytest.approx(sk.f1_score(Y, SCORE >= 0.4))
    json.dumps(got, allow_nan=False)


def test_ties_count_one_half_and_order_does_not_matter() -> None:
    assert auc([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.5
    assert auc([0, 1, 1], [0.1, 0.1, 0.9]) == 0.75
    order = RNG.permutation(Y.size)
    assert auc(Y[order], SCORE[order]) == auc(Y, SCORE)
    assert ks([0, 0, 1, 1], [1, 2, 3, 4]) == 1.0


def test_curves_are_thinned_with_their_ends() -> None:
    thin = curves.roc(curves.steps(Y, SCORE), 7)
    assert len(thin["fpr"]) == 7
    assert (thin["fpr"][0], thin["tpr"][0], thin["fpr"][-1], thin["tpr"][-1]) == (0, 0, 1, 1)


def test_lift_of_a_perfect_and_of_a_constant_score() -> None:
    y = np.array([1.0] * 10 + [0.0] * 90)
    perfect = curves.gains(curves.steps(y, y))
    assert [(b["capture"], b["lift"]) for b in perfect[:2]] == [
        (1.0, pytest.approx(10)),
        (1.0, pytest.approx(5)),
    ]
    assert [b["lift"] for b in curves.gains(curves.steps(y, np.zeros(100)))] == pytest.approx([1.0] * 10)


def test_multiclass_measures_are_scikit_learns() -> None:
    y = RNG.integers(0, 4, 500)
    p = RNG.dirichlet(np.ones(4), 500) + 0.5 * np.eye(4)[y]
    p /= p.sum(axis=1, keepdims=True)
    got = evaluate("multiclass", y, p)
    called = p.argmax(axis=1)
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(y, called))
    assert got["macro_f1"] == pytest.approx(sk.f1_score(y, called, average="macro"))
    assert got["log_loss"] == pytest.approx(sk.log_loss(y, p))
    assert got["confusion"] == sk.confusion_matrix(y, called).tolist() == confusion_matrix(y, p).tolist()


def test_regression_measures_are_scikit_learns() -> None:
    y = RNG.normal(size=300)
    p = y + RNG.normal(size=300) * 0.3 + 0.1
    got = evaluate("regression", y, p)
    assert got["mae"] == pytest.approx(sk.mean_absolute_error(y, p))
    assert got["rmse"] == pytest.approx(sk.root_mean_squared_error(y, p))
    assert got["r2"] == pytest.approx(sk.r2_score(y, p))
    assert got["explained_variance"] == pytest.approx(sk.explained_variance_score(y, p))


def test_what_does_not_exist_is_none_with_the_reason() -> None:
    got = evaluate("binary", [1, 1], [0.2, 0.9])
    assert got["auc"] is None
    assert got["accuracy"] == 0.5
    assert "auc" in got["undefined"]  # type: ignore[operator]
    flat = evaluate("regression", [2.0, 2.0], [1.0, 3.0])
    assert (flat["r2"], flat["rmse"]) == (None, 1.0)
    json.dumps([got, flat], allow_nan=False)
    with pytest.raises(DataError, match="one_class"):
        auc([0, 0], [0.1, 0.2])


@pytest.mark.parametrize(
    ("y", "score", "code"),
    [
        ([], [], "no_rows"),
        ([0, 1], [0.5], "bad_scores"),
        ([0, 1], [0.5, float("nan")], "bad_scores"),
        ([0, float("nan")], [0.5, 0.5], "bad_scores"),
        ([0, 2], [0.5, 0.5], "bad_labels"),
    ],
)
def test_what_no_measure_accepts_is_refused(y: list[float], score: list[float], code: str) -> None:
    with pytest.raises(DataError) as caught:
        evaluate("binary", y, score)
    assert caught.value.code == code


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert log_loss([1.0], [0.0]) == pytest.approx(-np.log(1e-15))
