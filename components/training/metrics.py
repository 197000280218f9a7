"""Measures of a model's predictions, and `evaluate`, which puts a task's measures into one JSON-able dict.

A measure that does not exist for the given rows (an AUC with one class, an R2 of constant labels) is None in
`evaluate`, with the reason under `undefined`; it is never NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training import curves, metrics_binary, metrics_classes
from parley.components.training.metrics_binary import binary, confusion, need_cell
from parley.components.training.metrics_classes import class_codes, confusion_matrix, multiclass
from parley.components.training.metrics_ranking import ranking
from parley.components.training.metrics_regression import TWEEDIE, regression, rmse

Task = Literal["binary", "multiclass", "regression", "ranking"]

__all__ = ["Task", "auc", "class_codes", "confusion", "confusion_matrix", "evaluate", "ks", "log_loss", "rmse"]


def auc(y: npt.ArrayLike, score: npt.ArrayLike, w: npt.ArrayLike | None = None) -> float:
    """Area under the ROC curve, ties exact; DataError `one_class` when it does not exist."""
    return curves.auc(curves.steps(y, score, w))


def ks(y: npt.ArrayLike, score: npt.ArrayLike, w: npt.ArrayLike | None = None) -> float:
    """The Kolmogorov-Smirnov distance of the two classes' scores; DataError `one_class`."""
    return curves.ks(curves.steps(y, score, w))[0]


def log_loss(y: npt.ArrayLike, p: npt.ArrayLike, w: npt.ArrayLike | None = None) -> float:
    """Mean negative log likelihood of labels (n,) under p (n,) = P(1), or p (n, K); p is clipped at 1e-15."""
    table = np.asarray(p, dtype=np.float64)
    if table.ndim == 1:
        return metrics_binary.log_loss(y, table, w)
    return metrics_classes.log_loss(y, table, w)


def evaluate(
    task: Task,
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    threshold: float = 0.5,
    thresholds: Sequence[float] = (),
    points: int = 200,
    min_cell: int = 1,
    power: float = TWEEDIE,
    groups: npt.ArrayLike | None = None,
) -> dict[str, object]:
    """All measures of a task, JSON-able; `score` is P(1) (n,), class probabilities (n, K), or values (n,).

    binary: auc, gini, ks, ks_threshold, average_precision, best_f1, log_loss, brier, accuracy, positives,
    expected_calibration_error; roc, pr, separation, lift, calibration, histogram; confusion at `threshold`, confusions
    there and at `thresholds`.
    multiclass: accuracy, macro_ / micro_ / weighted_ precision, recall and f1, kappa, log_loss, macro_auc,
    weighted_auc, auc_by_class, by_class, confusion (true by predicted class, whose names are `predicted`).
    regression: mae, mse, rmse, bias, median_absolute_error, r2, explained_variance, msle, calibration, and the deviance
    and d2 of poisson, gamma and tweedie (of `power`).
    ranking, of rows in `groups` (n,): ndcg_1, ndcg_3, ndcg_5, ndcg_10, map, mrr, groups, groups_without.
    All: task, rows, undefined {measure: reason}. Curves hold at most `points` points, and every group of rows that a
    curve or table tells of holds at least `min_cell` rows (see `metrics_binary`).
    Raises DataError for labels and scores that no measure accepts, `too_few_rows` for fewer than `min_cell`.
    """
    values = np.asarray(score, dtype=np.float64)
    need_cell(len(values) or min_cell, min_cell)
    if task == "multiclass":
        return multiclass(y, values, weights, min_cell)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if task == "binary":
        return binary(y, values, weights, (threshold, *thresholds), points, min_cell)
    if task == "regression":
        return regression(y, values, weights, min_cell, power)
    if task == "ranking":
        return ranking(y, values, groups)
    raise DataError("bad_parameter", "a task is binary, multiclass, regression or ranking")
