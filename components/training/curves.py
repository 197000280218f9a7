"""Exact threshold curves of a binary score: ROC, precision-recall, lift, and the numbers read off them.

Rows with equal scores are one step of a curve, never ordered by chance. Labels y (n,) are 0 and 1, scores
(n,) finite, greater meaning more likely 1. Row weights (n,), where given, take the place of counts.

A curve that is given out should not speak of single rows: `Steps.coarse(k)` joins neighbouring steps until each holds
at least k rows, and every curve and table read off the result then tells the labels of groups of k rows or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """For each distinct score, from the greatest: rows at or above it, by label (weights, where rows have some).

    `threshold` (s,) are the scores, `true_positives`, `false_positives` (s,) sums of weights, `rows` (s,) counts.
    """

    threshold: Floats
    true_positives: Floats
    false_positives: Floats
    rows: Ints

    @property
    def positives(self) -> float:
        """Rows labelled 1, or their weight."""
        return float(self.true_positives[-1])

    @property
    def negatives(self) -> float:
        """Rows labelled 0, or their weight."""
        return float(self.false_positives[-1])

    def coarse(self, min_cell: int) -> Steps:
        """Neighbouring steps joined, from the greatest score down, until each holds `min_cell` rows.

        A rest at the end joins the step above it, so fewer than 2 `min_cell` rows are one step.
        """
        if min_cell <= 1:
            return self
        keep, total, at = [], int(self.rows[-1]), 0
        while total - at >= 2 * min_cell:
            found = int(np.searchsorted(self.rows, at + min_cell))
            if total - int(self.rows[found]) < min_cell:
                break
            keep.append(found)
            at = int(self.rows[found])
        chosen = np.array([*keep, self.rows.size - 1])
        return Steps(
            self.threshold[chosen], self.true_positives[chosen], self.false_positives[chosen], self.rows[chosen]
        )

    def of(self, score: Floats) -> Ints:
        """(n,) the step of each of the rows that the steps were counted of."""
        # Rows above a step's lowest score belong to it or to one before it.
        return np.searchsorted(-self.threshold, -score, side="left").astype(np.int64)

    def called(self, threshold: float) -> tuple[float, float, float]:
        """(true positives, false positives, the cut) of rows with a score >= threshold, as far as the steps tell.

        On coarse steps the nearest cut is taken; it is the score that ends the step, or +inf above all of them.
        """
        last = int(np.searchsorted(-self.threshold, -threshold, side="right")) - 1
        if last < 0:
            return 0.0, 0.0, float("inf")
        return float(self.true_positives[last]), float(self.false_positives[last]), float(self.threshold[last])


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


def weighed(w: npt.ArrayLike | None, rows: int) -> Weights:
    """(n,) row weights, ones when None; DataError `bad_weights` unless finite, >= 0, not all zero."""
    if w is None:
        return np.ones(rows)
    weights = np.asarray(w, dtype=np.float64)
    if weights.shape != (rows,) or not np.isfinite(weights).all() or np.any(weights < 0) or not np.any(weights > 0):
        raise DataError("bad_weights", "row weights are finite, not negative, not all zero, one for each row")
    return weights


def counted(y: npt.ArrayLike, score: npt.ArrayLike, w: npt.ArrayLike | None = None) -> Steps:
    """The steps, whatever the labels are; DataError `bad_labels` unless they are 0 and 1, `bad_scores`."""
    labels, scores = checked(y, score)
    if np.any((labels != 0) & (labels != 1)):
        raise DataError("bad_labels", "labels of a binary task are 0 and 1")
    weights = weighed(w, labels.size)
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    ends = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))
    hits = np.cumsum((weights * labels)[order])[ends]
    misses = np.cumsum((weights * (1 - labels))[order])[ends]
    return Steps(sorted_scores[ends], hits, misses, ends + 1)


def steps(y: npt.ArrayLike, score: npt.ArrayLike, w: npt.ArrayLike | None = None) -> Steps:
    """The steps of all curves; DataError `bad_labels`, and `one_class` when one label is absent."""
    found = counted(y, score, w)
    if found.positives == 0 or found.negatives == 0:
        raise DataError("one_class", "all rows have the same label, so no threshold curve exists")
    return found


def auc(s: Steps) -> float:
    """Area under the ROC curve: the chance that a 1 outscores a 0, ties counting one half; exact without weights."""
    if s.positives * s.negatives < 2**52:  # whole numbers up to here are exact as floats, and so is their sum
        tp, fp = np.append(0.0, s.true_positives), np.append(0.0, s.false_positives)
        return float(np.dot(np.diff(fp), tp[1:] + tp[:-1]) / (2 * s.positives * s.negatives))
    tpr, fpr = np.append(0.0, s.true_positives / s.positives), np.append(0.0, s.false_positives / s.negatives)
    return float(np.dot(np.diff(fpr), tpr[1:] + tpr[:-1]) / 2)


def ks(s: Steps) -> tuple[float, float]:
    """(greatest distance of the two classes' score distributions, the threshold where it is)."""
    distance = np.abs(s.true_positives / s.positives - s.false_positives / s.negatives)
    at = int(distance.argmax())
    return float(distance[at]), float(s.threshold[at])


def roc(s: Steps, points: int) -> dict[str, list[float]]:
    """The ROC curve from (0, 0) to (1, 1) as fpr and tpr, thinned to at most `points` >= 2 of its corners."""
    fpr = np.concatenate([[0.0], s.false_positives / s.negatives])
    tpr = np.concatenate([[0.0], s.true_positives / s.positives])
    keep = thinned(fpr.size, points)
    return {"fpr": fpr[keep].tolist(), "tpr": tpr[keep].tolist()}


def precision_recall(s: Steps, points: int) -> dict[str, list[float]]:
    """The precision-recall curve from the greatest threshold down, thinned to at most `points` >= 2."""
    recall = s.true_positives / s.positives
    precision = _over(s.true_positives, s.true_positives + s.false_positives)
    keep = thinned(recall.size, points)
    return {"recall": recall[keep].tolist(), "precision": precision[keep].tolist()}


def separation(s: Steps, points: int) -> dict[str, list[float]]:
    """Both classes' share of rows scored so far over the share of all rows, best scored first: the KS chart."""
    share = np.concatenate([[0.0], s.rows / s.rows[-1]])
    high = np.concatenate([[0.0], s.true_positives / s.positives])
    low = np.concatenate([[0.0], s.false_positives / s.negatives])
    keep = thinned(share.size, points)
    return {"share": share[keep].tolist(), "positives": high[keep].tolist(), "negatives": low[keep].tolist()}


def average_precision(s: Steps) -> float:
    """Sum over thresholds of (recall gained) x (precision there), without interpolation."""
    gained = np.diff(s.true_positives, prepend=0) / s.positives
    return float((gained * _over(s.true_positives, s.true_positives + s.false_positives)).sum())


def best_f1(s: Steps) -> tuple[float, float]:
    """(the greatest F1 of any threshold, the threshold)."""
    f1 = 2 * s.true_positives / (s.true_positives + s.false_positives + s.positives)
    at = int(f1.argmax())
    return float(f1[at]), float(s.threshold[at])


def gains(s: Steps, bands: int = 10) -> list[dict[str, float]]:
    """Rows from the best scored in `bands` equal bands: what each band holds, and what all up to it capture.

    `share` of rows up to the band's end, `capture` (recall) and `lift` up to there; `rate` of 1 within the band and
    `band_lift`, that rate over the rate of all rows. A band that ends within a step takes the share of it that random
    order gives on average.
    """
    weight = np.concatenate([[0.0], s.true_positives + s.false_positives])
    hits = np.concatenate([[0.0], s.true_positives])
    share = np.arange(1, bands + 1) / bands
    caught = np.interp(share * weight[-1], weight, hits)
    capture = caught / s.positives
    rate = np.diff(caught, prepend=0.0) / (weight[-1] / bands)
    overall = s.positives / weight[-1]
    return [
        {
            "share": float(a),
            "capture": float(c),
            "lift": float(c / a),
            "rate": float(r),
            "band_lift": float(r / overall),
        }
        for a, c, r in zip(share, capture, rate, strict=True)
    ]


def thinned(size: int, points: int) -> Ints:
    """At most `points` positions of `size`, evenly spaced, the first and last among them."""
    if points < 2:
        raise DataError("bad_parameter", "a curve has at least two points")
    return np.unique(np.linspace(0, size - 1, min(size, points)).round().astype(np.int64))


def _over(a: Floats, b: Floats) -> Floats:
    """a / b, and 0 over nothing, as rows without weight give it."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
