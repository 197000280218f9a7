"""Exact threshold curves of a binary score: ROC, precision-recall, lift, and the numbers read off them.

Rows with equal scores are one step of a curve, never ordered by chance. Labels y (n,) are 0 and 1, scores
(n,) finite, greater meaning more likely 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """For each distinct score, from the greatest: rows at or above it by label, (s,) each."""

    threshold: Floats
    true_positives: Ints
    false_positives: Ints

    @property
    def positives(self) -> int:
        """Rows labelled 1."""
        return int(self.true_positives[-1])

    @property
    def negatives(self) -> int:
        """Rows labelled 0."""
        return int(self.false_positives[-1])


def checked(y: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both as float64 (n,); DataError `no_rows`, `bad_scores` for other shapes and for non-finite values."""
    labels, scores = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise DataError("bad_scores", "there must be one score for each label")
    if labels.size == 0:
        raise DataError("no_rows", "there is no row to evaluate")
    if not (np.isfinite(labels).all() and np.isfinite(scores).all()):
        raise DataError("bad_scores", "labels or scores are missing or not finite")
    return labels, scores


def steps(y: npt.ArrayLike, score: npt.ArrayLike) -> Steps:
    """The steps of all curves; DataError `bad_labels`, and `one_class` when one label is absent."""
    labels, scores = checked(y, score)
    if np.any((labels != 0) & (labels != 1)):
        raise DataError("bad_labels", "labels of a binary task are 0 and 1")
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], labels[order].astype(np.int64)
    ends = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))
    true_positives = np.cumsum(hits)[ends]
    found = Steps(sorted_scores[ends], true_positives, ends + 1 - true_positives)
    if found.positives == 0 or found.negatives == 0:
        raise DataError("one_class", "all rows have the same label, so no threshold curve exists")
    return found


def auc(s: Steps) -> float:
    """Area under the ROC curve: the chance that a 1 outscores a 0, ties counting one half; exact."""
    tp = np.concatenate([[0], s.true_positives]).tolist()
    fp = np.concatenate([[0], s.false_positives]).tolist()
    doubled = sum((fp[i + 1] - fp[i]) * (tp[i + 1] + tp[i]) for i in range(len(tp) - 1))
    return float(doubled / (2 * s.positives * s.negatives))


def ks(s: Steps) -> tuple[float, float]:
    """(greatest distance of the two classes' score distributions, the threshold where it is)."""
    distance = np.abs(s.true_positives / s.positives - s.false_positives / s.negatives)
    at = int(distance.argmax())
    return float(distance[at]), float(s.threshold[at])


def roc(s: Steps, points: int) -> dict[str, list[float]]:
    """The ROC curve from (0, 0) to (1, 1) as fpr and tpr, thinned to at most `points` >= 2 of its corners."""
    fpr = np.concatenate([[0.0], s.false_positives / s.negatives])
    tpr = np.concatenate([[0.0], s.true_positives / s.positives])
    keep = _thin(fpr.size, points)
    return {"fpr": fpr[keep].tolist(), "tpr": tpr[keep].tolist()}


def precision_recall(s: Steps, points: int) -> dict[str, list[float]]:
    """The precision-recall curve from the greatest threshold down, thinned to at most `points` >= 2."""
    recall = s.true_positives / s.positives
    precision = s.true_positives / (s.true_positives + s.false_positives)
    keep = _thin(recall.size, points)
    return {"recall": recall[keep].tolist(), "precision": precision[keep].tolist()}


def average_precision(s: Steps) -> float:
    """Sum over thresholds of (recall gained) x (precision there), without interpolation."""
    gained = np.diff(s.true_positives, prepend=0) / s.positives
    return float((gained * s.true_positives / (s.true_positives + s.false_positives)).sum())


def gains(s: Steps, bands: int = 10) -> list[dict[str, float]]:
    """Rows from the best scored in `bands` equal bands: share of rows, capture (recall) and lift up to there.

    A band that ends within equal scores takes the share of them that random order gives on average.
    """
    rows = np.concatenate([[0], s.true_positives + s.false_positives]).astype(np.float64)
    hits = np.concatenate([[0], s.true_positives]).astype(np.float64)
    share = np.arange(1, bands + 1) / bands
    capture = np.interp(share * rows[-1], rows, hits) / s.positives
    return [{"share": float(a), "capture": float(c), "lift": float(c / a)} for a, c in zip(share, capture, strict=True)]


def _thin(size: int, points: int) -> Ints:
    """At most `points` positions of `size`, evenly spaced, the first and last among them."""
    if points < 2:
        raise DataError("bad_parameter", "a curve has at least two points")
    return np.unique(np.linspace(0, size - 1, min(size, points)).round().astype(np.int64))
