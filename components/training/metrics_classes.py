"""Measures of class probabilities: accuracy, precision and recall by class and averaged, one-vs-rest AUC, log loss.

Averages over classes leave out a class that occurs neither as label nor as prediction; a rate over nothing counts as 0
in an average, as is usual. With `min_cell` > 1, predicted classes of fewer rows are one column of the confusion matrix,
together with the rarest other one while they are still too few, and have no row of their own among the classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training import curves
from parley.components.training.curves import Floats, Ints, Weights, weighed

CLIP = 1e-15


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


def confusion_matrix(y: npt.ArrayLike, p: Floats, w: npt.ArrayLike | None = None) -> npt.NDArray[np.generic]:
    """(K, K) true class by predicted class (the most likely one, the first among equals): counts, or weights."""
    codes, classes = class_codes(y, p), p.shape[1]
    flat = codes * classes + p.argmax(axis=1)
    held = np.bincount(flat, weights=None if w is None else weighed(w, codes.size), minlength=classes * classes)
    return held.reshape(classes, classes)


def log_loss(y: npt.ArrayLike, p: Floats, w: npt.ArrayLike | None = None) -> float:
    """Mean negative log likelihood of labels (n,) under p (n, K), clipped at 1e-15."""
    codes = class_codes(y, p)
    chosen = p[np.arange(codes.size), codes]
    return float(np.average(-np.log(np.clip(chosen, CLIP, 1.0)), weights=weighed(w, codes.size)))


def rates(matrix: Floats) -> dict[str, Floats]:
    """precision, recall, f1, support (K,) each from a confusion matrix (K, K); 0 over nothing."""
    hits, called, real = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return {
        "precision": _over(hits, called),
        "recall": _over(hits, real),
        "f1": _over(2 * hits, called + real),
        "support": real,
    }


def averages(matrix: Floats) -> dict[str, float]:
    """macro_, micro_ and weighted_ precision, recall and f1; micro ones all equal the accuracy."""
    found, named = rates(matrix), (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    out = {}
    for name in ("precision", "recall", "f1"):
        out[f"macro_{name}"] = float(found[name][named].mean())
        out[f"weighted_{name}"] = float(np.average(found[name], weights=found["support"]))
        out[f"micro_{name}"] = float(np.trace(matrix) / matrix.sum())
    return out


def kappa(matrix: Floats) -> float | None:
    """Cohen's kappa, None when chance alone explains all."""
    shares = matrix / matrix.sum()
    chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    return (float(np.trace(shares)) - chance) / (1 - chance) if chance < 1 else None


def one_vs_rest(y: Ints, p: Floats, w: npt.ArrayLike | None) -> list[float | None]:
    """AUC of each class's probability against all others; None for a class that no row, or every row, has."""
    out: list[float | None] = []
    for k in range(p.shape[1]):
        own = (y == k).astype(np.float64)
        s = curves.counted(own, p[:, k], w)
        out.append(curves.auc(s) if s.positives and s.negatives else None)
    return out


def multiclass(y: npt.ArrayLike, p: Floats, w: npt.ArrayLike | None, min_cell: int) -> dict[str, object]:
    """All measures of class probabilities (n, K) as `metrics.evaluate` names them."""
    codes = class_codes(y, p)
    matrix = confusion_matrix(codes, p, w).astype(np.float64)
    undefined: dict[str, str] = {}
    areas = one_vs_rest(codes, p, w)
    if None in areas:
        undefined.update(dict.fromkeys(("macro_auc", "weighted_auc"), "a class has no row, or all of them"))
        macro_auc, weighted_auc = None, None
    else:
        known = [a for a in areas if a is not None]
        macro_auc, weighted_auc = float(np.mean(known)), float(np.average(known, weights=matrix.sum(axis=1)))
    shown, predicted, few = _cells(matrix, np.bincount(p.argmax(axis=1), minlength=p.shape[1]), min_cell)
    return {
        "task": "multiclass",
        "rows": int(codes.size),
        "undefined": undefined,
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        **averages(matrix),
        "kappa": kappa(matrix),
        "log_loss": log_loss(codes, p, w),
        "macro_auc": macro_auc,
        "weighted_auc": weighted_auc,
        "auc_by_class": areas,
        "by_class": _by_class(matrix, few, whole=w is None),
        "confusion": (shown.astype(np.int64) if w is None else shown).tolist(),
        "predicted": predicted,
    }


def _cells(matrix: Floats, called: Ints, min_cell: int) -> tuple[Floats, list[str], set[int]]:
    """The matrix with rare predictions in one last column, the columns' names, and which classes are in it."""
    order = np.argsort(called, kind="stable")
    few = [int(k) for k in order if 0 < called[k] < min_cell]
    for k in order:
        if few and called[few].sum() < min_cell and called[k] >= min_cell:
            few.append(int(k))
    kept = [k for k in range(called.size) if k not in few]
    names = [str(k) for k in kept]
    if not few:
        return matrix, names, set()
    joined = np.column_stack([matrix[:, kept], matrix[:, few].sum(axis=1)])
    return joined, [*names, "others"], set(few)


def _by_class(matrix: Floats, few: set[int], *, whole: bool) -> list[dict[str, float | int | None]]:
    found = rates(matrix)
    out: list[dict[str, float | int | None]] = []
    for k in range(matrix.shape[0]):
        support = float(found["support"][k])
        line: dict[str, float | int | None] = {"class": k, "support": int(support) if whole else support}
        for name in ("precision", "recall", "f1"):
            line[name] = None if k in few else float(found[name][k])
        out.append(line)
    return out


def _over(a: Floats, b: Floats | Weights) -> Floats:
    return np.divide(a, b, out=np.zeros_like(a, dtype=np.float64), where=b > 0)
