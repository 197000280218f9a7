"""Measures of a model's predictions, and `evaluate`, which puts a task's measures into one JSON-able dict.

A measure that does not exist for the given rows (an AUC with one class, an R2 of constant labels) is None in
`evaluate`, with the reason under `undefined`; it is never NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training import curves
from parley.components.training.curves import Floats, Ints, checked

Task = Literal["binary", "multiclass", "regression"]
_CLIP = 1e-15


def auc(y: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Area under the ROC curve, ties exact; DataError `one_class` when it does not exist."""
    return curves.auc(curves.steps(y, score))


def ks(y: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The Kolmogorov-Smirnov distance of the two classes' scores; DataError `one_class`."""
    return curves.ks(curves.steps(y, score))[0]


def log_loss(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Mean negative log likelihood of labels (n,) under p (n,) = P(1), or p (n, K); p is clipped at 1e-15."""
    labels = np.asarray(y, dtype=np.float64)
    table = np.asarray(p, dtype=np.float64)
    if table.ndim == 1:
        _, table = checked(labels, table)
        table = np.stack([1 - table, table], axis=1)
    codes = class_codes(labels, table)
    chosen = table[np.arange(codes.size), codes]
    return float(-np.log(np.clip(chosen, _CLIP, 1.0)).mean())


def confusion(y: npt.ArrayLike, score: npt.ArrayLike, threshold: float) -> dict[str, float | None]:
    """Counts with rows of score >= threshold called 1, and the rates; a rate over nothing is None."""
    labels, scores = checked(y, score)
    called, real = scores >= threshold, labels == 1
    tp, fp = int((called & real).sum()), int((called & ~real).sum())
    fn, tn = int((~called & real).sum()), int((~called & ~real).sum())
    return {
        "threshold": float(threshold),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "accuracy": (tp + tn) / labels.size,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "specificity": tn / (tn + fp) if tn + fp else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }


def class_codes(y: npt.ArrayLike, p: Floats) -> Ints:
    """(n,) class numbers, checked against p (n, K); DataError `bad_labels`, `bad_scores`."""
    labels = np.asarray(y, dtype=np.float64)
    if p.ndim != 2 or labels.shape != (p.shape[0],) or not np.isfinite(p).all():
        raise DataError("bad_scores", "there must be one finite row of class probabilities for each label")
    if labels.size == 0:
        raise DataError("no_rows", "there is no row to evaluate")
    whole = np.isfinite(labels) & (labels == np.floor(labels))
    if not whole.all() or labels.min() < 0 or labels.max() >= p.shape[1]:
        raise DataError("bad_labels", f"labels are class numbers 0 .. {p.shape[1] - 1}")
    return labels.astype(np.int64)


def confusion_matrix(y: npt.ArrayLike, p: Floats) -> Ints:
    """(K, K) counts, true class by predicted class (the most likely one, the first among equals)."""
    codes, classes = class_codes(y, p), p.shape[1]
    flat = codes * classes + p.argmax(axis=1)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def rmse(y: npt.ArrayLike, prediction: npt.ArrayLike) -> float:
    """Root mean squared error, in the label's unit."""
    labels, values = checked(y, prediction)
    return float(np.sqrt(np.mean((labels - values) ** 2)))


def evaluate(
    task: Task,
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    threshold: float = 0.5,
    points: int = 200,
) -> dict[str, object]:
    """All measures of a task, JSON-able; `score` is P(1) (n,), class probabilities (n, K), or values (n,).

    binary: auc, ks, ks_threshold, average_precision, log_loss, accuracy, roc, pr, lift, confusion.
    multiclass: accuracy, macro_f1, log_loss, confusion. regression: mae, rmse, r2, explained_variance.
    All: task, rows, undefined {measure: reason}. Curves hold at most `points` points.
    Raises DataError for labels and scores that no measure accepts.
    """
    values = np.asarray(score, dtype=np.float64)
    if task == "binary":
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        return _binary(y, values, threshold, points)
    if task == "multiclass":
        return _multiclass(y, values)
    if task == "regression":
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        return _regression(y, values)
    raise DataError("bad_parameter", "a task is binary, multiclass or regression")


def _binary(y: npt.ArrayLike, score: Floats, threshold: float, points: int) -> dict[str, object]:
    labels, scores = checked(y, score)
    undefined: dict[str, str] = {}
    result: dict[str, object] = {"task": "binary", "rows": int(labels.size), "undefined": undefined}
    result["log_loss"] = log_loss(labels, scores)
    result["confusion"] = confusion(labels, scores, threshold)
    result["accuracy"] = float(((scores >= threshold) == (labels == 1)).mean())
    curve: dict[str, Callable[[curves.Steps], object]] = {
        "auc": curves.auc,
        "ks": lambda s: curves.ks(s)[0],
        "ks_threshold": lambda s: curves.ks(s)[1],
        "average_precision": curves.average_precision,
        "roc": lambda s: curves.roc(s, points),
        "pr": lambda s: curves.precision_recall(s, points),
        "lift": curves.gains,
    }
    try:
        s = curves.steps(labels, scores)
    except DataError as error:
        if error.code != "one_class":
            raise
        undefined.update(dict.fromkeys(curve, error.cause))
        return result | dict.fromkeys(curve)
    return result | {name: read(s) for name, read in curve.items()}


def _multiclass(y: npt.ArrayLike, p: Floats) -> dict[str, object]:
    matrix = confusion_matrix(y, p)
    rows = int(matrix.sum())
    hits = np.diag(matrix)
    named = matrix.sum(axis=0) + matrix.sum(axis=1)
    # A class that occurs neither as label nor as prediction has no F1 and is left out of the mean.
    f1 = 2 * hits[named > 0] / named[named > 0]
    return {
        "task": "multiclass",
        "rows": rows,
        "undefined": {},
        "accuracy": float(hits.sum() / rows),
        "macro_f1": float(f1.mean()),
        "log_loss": log_loss(y, p),
        "confusion": matrix.tolist(),
    }


def _regression(y: npt.ArrayLike, prediction: Floats) -> dict[str, object]:
    labels, values = checked(y, prediction)
    residual = labels - values
    spread = float(np.sum((labels - labels.mean()) ** 2))
    undefined: dict[str, str] = {}
    r2: float | None = None
    explained: float | None = None
    if spread > 0:
        r2 = float(1 - np.sum(residual**2) / spread)
        explained = float(1 - np.sum((residual - residual.mean()) ** 2) / spread)
    else:
        undefined.update(dict.fromkeys(("r2", "explained_variance"), "all labels are equal"))
    return {
        "task": "regression",
        "rows": int(labels.size),
        "undefined": undefined,
        "mae": float(np.abs(residual).mean()),
        "rmse": rmse(labels, values),
        "r2": r2,
        "explained_variance": explained,
    }
