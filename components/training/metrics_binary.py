"""Measures of a binary score: separation, confusion at thresholds, calibration, score histogram.

Numbers that stand for all rows (AUC, KS, log loss, Brier) are exact. What shows groups of rows (curves, bands,
confusion, calibration, histogram) is read from steps of `min_cell` rows or more, joined once, so that two tables
together cannot be subtracted down to fewer rows. What is told of such a group is exact: this is protection of small
cells, not differential privacy, and a group whose rows all have one label says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training import curves
from parley.components.training.curves import Floats, Ints, Steps, Weights, checked, counted, weighed

CLIP = 1e-15
BANDS = 10


def confusion(
    y: npt.ArrayLike, score: npt.ArrayLike, threshold: float, w: npt.ArrayLike | None = None
) -> dict[str, float | None]:
    """Counts with rows of score >= threshold called 1, and the rates; a rate over nothing is None."""
    return confusion_at(counted(y, score, w), threshold, whole=w is None)


def confusion_at(s: Steps, threshold: float, *, whole: bool = True) -> dict[str, float | None]:
    """The same from steps: on coarse ones the cut is the nearest one at or above the threshold.

    `cut` is the lowest score called 1, None when no row is; counts are whole numbers unless rows have weights.
    """
    tp, fp, cut = s.called(threshold)
    fn, tn = s.positives - tp, s.negatives - fp
    total = s.positives + s.negatives
    spread = float(np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    recall, specificity = _share(tp, tp + fn), _share(tn, tn + fp)
    counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    return {
        "threshold": float(threshold),
        "cut": cut if np.isfinite(cut) else None,
        **{k: int(v) if whole else v for k, v in counts.items()},
        "called": _share(tp + fp, total),
        "accuracy": (tp + tn) / total,
        "balanced_accuracy": None if recall is None or specificity is None else (recall + specificity) / 2,
        "precision": _share(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / spread if spread else None,
    }


def brier(y: npt.ArrayLike, p: npt.ArrayLike, w: npt.ArrayLike | None = None) -> float:
    """Mean squared distance of probability and label."""
    labels, scores = checked(y, p)
    return float(np.average((labels - scores) ** 2, weights=weighed(w, labels.size)))


def log_loss(y: npt.ArrayLike, p: npt.ArrayLike, w: npt.ArrayLike | None = None) -> float:
    """Mean negative log likelihood of labels 0 and 1 under p = P(1), clipped at 1e-15."""
    labels, scores = checked(y, p)
    chosen = np.where(labels == 1, scores, 1 - scores)
    return float(np.average(-np.log(np.clip(chosen, CLIP, 1.0)), weights=weighed(w, labels.size)))


@dataclass(frozen=True)
class Cells:
    """For each step, from the greatest score: its lowest score, weight, mean score and share of 1; (s,) each."""

    low: Floats
    weight: Floats
    mean: Floats
    rate: Floats


def cells(y: Floats, score: Floats, w: Weights, s: Steps) -> Cells:
    """What the steps `s` of these rows hold."""
    at = s.of(score)
    weight = np.bincount(at, weights=w, minlength=s.rows.size).astype(np.float64)
    held = np.where(weight > 0, weight, 1.0)
    mean = np.bincount(at, weights=w * score, minlength=s.rows.size) / held
    rate = np.bincount(at, weights=w * y, minlength=s.rows.size) / held
    return Cells(s.threshold, weight, mean, rate)


def calibration(c: Cells, bins: int = BANDS) -> list[dict[str, float]]:
    """Mean score and rate of 1 by `bins` equal bins of 0 .. 1, lowest first; empty bins are left out.

    A cell goes whole into the bin of its lowest score, so that no bin tells of fewer rows than a cell.
    """
    where = _bin(c.low, bins)
    held = np.bincount(where, weights=c.weight, minlength=bins)
    mean = np.bincount(where, weights=c.weight * c.mean, minlength=bins)
    rate = np.bincount(where, weights=c.weight * c.rate, minlength=bins)
    return [
        {"rows": float(held[b]), "mean": float(mean[b] / held[b]), "rate": float(rate[b] / held[b])}
        for b in range(bins)
        if held[b] > 0
    ]


def calibration_errors(table: Sequence[dict[str, float]]) -> tuple[float, float]:
    """(expected, greatest) distance of mean score and rate over the bins of a `calibration` table."""
    gaps = np.array([abs(b["mean"] - b["rate"]) for b in table])
    return float(np.average(gaps, weights=[b["rows"] for b in table])), float(gaps.max())


def histogram(c: Cells, bins: int = 20) -> dict[str, list[float]]:
    """Rows of each label by score, in `bins` equal bins of 0 .. 1; a cell goes whole into one of them."""
    where = _bin(c.low, bins)
    return {
        "edges": np.linspace(0, 1, bins + 1).tolist(),
        "positives": np.bincount(where, weights=c.weight * c.rate, minlength=bins).round(9).tolist(),
        "negatives": np.bincount(where, weights=c.weight * (1 - c.rate), minlength=bins).round(9).tolist(),
    }


def _bin(score: Floats, bins: int) -> Ints:
    return np.clip(np.floor(score * bins).astype(np.int64), 0, bins - 1)


def binary(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    w: npt.ArrayLike | None,
    thresholds: Sequence[float],
    points: int,
    min_cell: int,
) -> dict[str, object]:
    """All measures of P(1) (n,) as `metrics.evaluate` names them; the first threshold is that of `confusion`."""
    labels, scores = checked(y, score)
    weights = weighed(w, labels.size)
    whole = counted(labels, scores, w)
    coarse = whole.coarse(min_cell)
    undefined: dict[str, str] = {}
    at = [confusion_at(coarse, t, whole=w is None) for t in thresholds]
    result: dict[str, object] = {
        "task": "binary",
        "rows": int(labels.size),
        "undefined": undefined,
        "positives": whole.positives,
        "log_loss": log_loss(labels, scores, w),
        "brier": brier(labels, scores, w),
        "confusion": at[0],
        "confusions": at,
        "accuracy": at[0]["accuracy"],
    }
    result |= _calibrated(labels, scores, weights, coarse, undefined)
    return result | _separated(whole, coarse, points, undefined)


def _calibrated(y: Floats, p: Floats, w: Weights, coarse: Steps, undefined: dict[str, str]) -> dict[str, object]:
    if p.min() < 0 or p.max() > 1:
        names = ("calibration", "expected_calibration_error", "greatest_calibration_error", "histogram")
        undefined.update(dict.fromkeys(names, "the scores are no probabilities"))
        return dict.fromkeys(names)
    found = cells(y, p, w, coarse)
    table = calibration(found)
    expected, greatest = calibration_errors(table)
    return {
        "calibration": table,
        "expected_calibration_error": expected,
        "greatest_calibration_error": greatest,
        "histogram": histogram(found),
    }


def _separated(whole: Steps, coarse: Steps, points: int, undefined: dict[str, str]) -> dict[str, object]:
    read: dict[str, Callable[[], object]] = {
        "auc": lambda: curves.auc(whole),
        "gini": lambda: 2 * curves.auc(whole) - 1,
        "ks": lambda: curves.ks(whole)[0],
        "ks_threshold": lambda: curves.ks(coarse)[1],
        "average_precision": lambda: curves.average_precision(whole),
        "best_f1": lambda: curves.best_f1(coarse)[0],
        "best_f1_threshold": lambda: curves.best_f1(coarse)[1],
        "roc": lambda: curves.roc(coarse, points),
        "pr": lambda: curves.precision_recall(coarse, points),
        "separation": lambda: curves.separation(coarse, points),
        "lift": lambda: curves.gains(coarse, BANDS),
    }
    if whole.positives == 0 or whole.negatives == 0:
        undefined.update(dict.fromkeys(read, "all rows have the same label, so no threshold curve exists"))
        return dict.fromkeys(read)
    return {name: value() for name, value in read.items()}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def need_cell(rows: int, min_cell: int) -> None:
    """DataError `too_few_rows` when all rows together are fewer than one cell."""
    if rows < min_cell:
        raise DataError(
            "too_few_rows", f"there are fewer than {min_cell} rows to measure", "measure more rows, or lower min_cell"
        )
