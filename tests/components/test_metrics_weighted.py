"""Measures with row weights, of classes, of numbers and of drift, against scikit-learn and SciPy-free formulas."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.metrics as sk
from sklearn.calibration import calibration_curve

from parley.components.errors import DataError
from parley.components.training import curves
from parley.components.training.metrics import auc, evaluate
from parley.components.training.metrics_drift import drift
from parley.components.training.metrics_regression import deviance

RNG = np.random.default_rng(7)
N = 900
Y = RNG.integers(0, 2, N)
SCORE = np.clip(0.5 * Y + RNG.normal(0.25, 0.3, N), 0, 1).round(2)  # many ties, some at 0 and 1
W = RNG.integers(0, 4, N).astype(float)


def test_weighted_binary_measures_are_scikit_learns() -> None:
    got = evaluate("binary", Y, SCORE, weights=W, threshold=0.4, points=2000)
    assert got["auc"] == pytest.approx(sk.roc_auc_score(Y, SCORE, sample_weight=W), abs=1e-12)
    assert got["gini"] == pytest.approx(2 * sk.roc_auc_score(Y, SCORE, sample_weight=W) - 1)
    assert got["average_precision"] == pytest.approx(sk.average_precision_score(Y, SCORE, sample_weight=W), abs=1e-12)
    assert got["brier"] == pytest.approx(sk.brier_score_loss(Y, SCORE, sample_weight=W))
    inside = np.clip(SCORE, 0.01, 0.99)
    losses = (evaluate("binary", Y, inside, weights=W)["log_loss"], sk.log_loss(Y, inside, sample_weight=W))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    table = got["confusion"]
    assert isinstance(table, dict)
    called = SCORE >= 0.4
    counts = [[table["tn"], table["fp"]], [table["fn"], table["tp"]]]
    np.testing.assert_allclose(counts, sk.confusion_matrix(Y, called, sample_weight=W))
    assert table["mcc"] == pytest.approx(sk.matthews_corrcoef(Y, called, sample_weight=W))
    assert table["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(Y, called, sample_weight=W))


def test_a_weight_of_two_is_a_row_twice() -> None:
    twice = np.repeat(np.arange(N), W.astype(int))
    weighted, repeated = (evaluate("binary", Y, SCORE, weights=W), evaluate("binary", Y[twice], SCORE[twice]))
    for name in ("auc", "ks", "average_precision", "best_f1", "brier", "accuracy", "expected_calibration_error"):
        assert weighted[name] == pytest.approx(repeated[name]), name
    lifts = [[b["lift"] for b in m["lift"]] for m in (weighted, repeated)]  # type: ignore[union-attr]  # lists of bands
    np.testing.assert_allclose(*lifts)


def test_calibration_is_scikit_learns_and_the_expected_error_its_mean() -> None:
    got = evaluate("binary", Y, SCORE * 0.999)  # scikit-learn puts a score of exactly 1 into the last bin as well
    rate, mean = calibration_curve(Y, SCORE * 0.999, n_bins=10)
    table = got["calibration"]
    assert isinstance(table, list)
    np.testing.assert_allclose([b["mean"] for b in table], mean)
    np.testing.assert_allclose([b["rate"] for b in table], rate)
    gaps = np.abs(rate - mean)
    rows = np.array([b["rows"] for b in table])
    assert rows.sum() == N
    assert got["expected_calibration_error"] == pytest.approx((gaps * rows).sum() / N)
    assert got["greatest_calibration_error"] == pytest.approx(gaps.max())
    histogram = got["histogram"]
    assert isinstance(histogram, dict)
    np.testing.assert_allclose(histogram["positives"], np.histogram(SCORE[Y == 1] * 0.999, 20, (0, 1))[0])
    np.testing.assert_allclose(histogram["negatives"], np.histogram(SCORE[Y == 0] * 0.999, 20, (0, 1))[0])


def test_the_best_f1_is_the_best_of_all_thresholds() -> None:
    best = max((float(sk.f1_score(Y, t <= SCORE)), float(t)) for t in np.unique(SCORE))
    got = evaluate("binary", Y, SCORE, thresholds=[0.1, 0.9])
    assert (got["best_f1"], got["best_f1_threshold"]) == pytest.approx(best)
    assert [c["threshold"] for c in got["confusions"]] == [0.5, 0.1, 0.9]  # type: ignore[union-attr]  # a list of dicts


def test_the_ks_chart_starts_ends_and_parts_as_ks_says() -> None:
    s = curves.steps(Y, SCORE)
    chart = curves.separation(s, 2000)
    gap = np.abs(np.array(chart["positives"]) - np.array(chart["negatives"])).max()
    assert gap == pytest.approx(curves.ks(s)[0])
    assert (chart["share"][0], chart["share"][-1], chart["positives"][-1], chart["negatives"][-1]) == (0, 1, 1, 1)


def test_band_rates_add_up_to_all_positives() -> None:
    table = curves.gains(curves.steps(Y, SCORE))
    assert sum(b["rate"] for b in table) / 10 == pytest.approx(Y.mean())
    assert table[0]["band_lift"] == pytest.approx(table[0]["lift"])


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    got = evaluate("binary", Y, SCORE * 3 - 1)
    assert got["calibration"] is None
    assert "calibration" in got["undefined"]  # type: ignore[operator]  # a dict


def test_the_auc_of_many_rows_is_exact() -> None:
    y = np.concatenate([np.ones(100_000), np.zeros(100_000)])
    score = np.concatenate([np.full(100_000, 0.5), np.full(99_999, 0.5), [0.4]])
    assert auc(y, score) == (0.5 * 99_999 + 1) / 100_000


@pytest.mark.parametrize("weights", [None, W])
def test_multiclass_averages_are_scikit_learns(weights: np.ndarray | None) -> None:
    y = RNG.integers(0, 4, N)
    p = RNG.dirichlet(np.ones(4), N) + 0.5 * np.eye(4)[y]
    p /= p.sum(axis=1, keepdims=True)
    got, called = evaluate("multiclass", y, p, weights=weights), p.argmax(axis=1)
    for average in ("macro", "micro", "weighted"):
        found = sk.precision_recall_fscore_support(y, called, average=average, sample_weight=weights)
        for name, value in zip(("precision", "recall", "f1"), found, strict=False):
            assert got[f"{average}_{name}"] == pytest.approx(value), (average, name)
    assert got["kappa"] == pytest.approx(sk.cohen_kappa_score(y, called, sample_weight=weights))
    assert got["log_loss"] == pytest.approx(sk.log_loss(y, p, sample_weight=weights))
    for average in ("macro", "weighted"):
        found = sk.roc_auc_score(y, p, multi_class="ovr", average=average, sample_weight=weights)
        assert got[f"{average}_auc"] == pytest.approx(found)
    np.testing.assert_allclose(got["confusion"], sk.confusion_matrix(y, called, sample_weight=weights))
    assert got["predicted"] == ["0", "1", "2", "3"]
    json.dumps(got, allow_nan=False)


def test_a_class_that_no_row_has_leaves_no_average_auc() -> None:
    got = evaluate("multiclass", [0, 1, 0, 1], np.tile([0.4, 0.5, 0.1], (4, 1)))
    assert got["macro_auc"] is None
    assert "macro_auc" in got["undefined"]  # type: ignore[operator]  # a dict
    assert got["auc_by_class"] == [0.5, 0.5, None]


@pytest.mark.parametrize("weights", [None, W])
def test_regression_measures_are_scikit_learns(weights: np.ndarray | None) -> None:
    y = RNG.gamma(2.0, 1.5, N)
    p = y * RNG.uniform(0.5, 1.6, N)
    got = evaluate("regression", y, p, weights=weights)
    w = {"sample_weight": weights}
    for name, value in {
        "mse": sk.mean_squared_error(y, p, **w),
        "mae": sk.mean_absolute_error(y, p, **w),
        "r2": sk.r2_score(y, p, **w),
        "explained_variance": sk.explained_variance_score(y, p, **w),
        "msle": sk.mean_squared_log_error(y, p, **w),
        "poisson_deviance": sk.mean_poisson_deviance(y, p, **w),
        "gamma_deviance": sk.mean_gamma_deviance(y, p, **w),
        "tweedie_deviance": sk.mean_tweedie_deviance(y, p, power=1.5, **w),
        "d2_poisson": sk.d2_tweedie_score(y, p, power=1, **w),
        "d2_gamma": sk.d2_tweedie_score(y, p, power=2, **w),
        "d2_tweedie": sk.d2_tweedie_score(y, p, power=1.5, **w),
    }.items():
        assert got[name] == pytest.approx(value), name
    if weights is None:
        assert got["median_absolute_error"] == pytest.approx(sk.median_absolute_error(y, p))
    bands = got["calibration"]
    assert isinstance(bands, list)
    assert sum(b["rows"] for b in bands) == (N if weights is None else W.sum())
    assert np.all(np.diff([b["mean"] for b in bands]) > 0)


def test_counts_with_zeros_have_a_poisson_deviance_and_no_gamma() -> None:
    y, p = np.array([0.0, 1, 2, 0]), np.array([0.2, 1.1, 1.5, 0.3])
    got = evaluate("regression", y, p)
    assert got["poisson_deviance"] == pytest.approx(sk.mean_poisson_deviance(y, p))
    assert (got["gamma_deviance"], got["d2_gamma"]) == (None, None)
    assert "gamma_deviance" in got["undefined"]  # type: ignore[operator]  # a dict
    assert evaluate("regression", y, p - 1.5)["msle"] is None
    for bad in (0.5, 3.0):
        with pytest.raises(DataError):
            deviance(y, p, bad)


def test_the_stability_index_is_the_sum_over_decile_bins() -> None:
    expected, actual = RNG.normal(0, 1, 4000), RNG.normal(0.3, 1.2, 2500)
    edges = np.quantile(expected, np.arange(1, 10) / 10, method="inverted_cdf")
    e = np.bincount(np.searchsorted(edges, expected), minlength=10) / 4000
    a = np.bincount(np.searchsorted(edges, actual), minlength=10) / 2500
    got = drift(expected, actual)
    assert got["psi"] == pytest.approx(float(((a - e) * np.log(a / e)).sum()))
    bins = got["bins"]
    assert isinstance(bins, list)
    assert [b["to"] for b in bins[:-1]] == edges.tolist()
    assert got["ks"] == pytest.approx(np.abs(np.cumsum(a) - np.cumsum(e)).max())
    assert drift(expected, expected[::-1])["psi"] == 0
    json.dumps(got, allow_nan=False)


def test_scores_outside_the_reference_drift_far_and_stay_finite() -> None:
    got = drift(np.arange(1000), np.full(500, 5000.0), min_cell=10)
    assert float(str(got["psi"])) > 1
    with pytest.raises(DataError, match="too_few_rows"):
        drift(np.arange(1000), np.arange(9), min_cell=10)


@pytest.mark.parametrize("weights", [[1.0], [-1.0, 1.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(DataError, match="bad_weights"):
        evaluate("binary", [0, 1], [0.2, 0.9], weights=weights)
