"""How far two sets of scores have drifted apart: the population stability index and the distance of distributions.

PSI = sum over bins of (a - e) ln(a / e), with the shares e of the reference and a of the scores in question, in bins
that hold about equal rows of the reference. Customary reading: below 0.1 stable, above 0.25 another population. An
empty bin counts as half a row. With `min_cell` > 1 the counts of every bin are rounded to multiples of it first, and
all figures follow from the rounded counts, so that no bin tells of single rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training.curves import Floats, Ints

BINS = 10


def drift(reference: npt.ArrayLike, scores: npt.ArrayLike, *, bins: int = BINS, min_cell: int = 1) -> dict[str, object]:
    """The figures of one score column (n,) against a reference (m,), JSON-able.

    psi, ks (the greatest distance of the binned distributions), mean_reference, mean, rows_reference, rows, and
    `bins`: a list of {from, to, reference, actual, psi} with shares; open ends are None. DataError `no_rows`,
    `bad_scores`, `too_few_rows`.
    """
    expected, actual = _scores(reference, min_cell), _scores(scores, min_cell)
    edges = _edges(expected, bins)
    e, a = (
        _shares(np.bincount(np.searchsorted(edges, v), minlength=edges.size + 1), min_cell) for v in (expected, actual)
    )
    parts = (a - e) * np.log(a / e)
    limits = [None, *edges.tolist(), None]
    return {
        "psi": float(parts.sum()),
        "ks": float(np.abs(np.cumsum(a / a.sum()) - np.cumsum(e / e.sum())).max()),
        "mean_reference": float(expected.mean()),
        "mean": float(actual.mean()),
        "rows_reference": int(expected.size),
        "rows": int(actual.size),
        "bins": [
            {"from": limits[i], "to": limits[i + 1], "reference": float(e[i]), "actual": float(a[i]), "psi": float(p)}
            for i, p in enumerate(parts)
        ],
    }


def _scores(values: npt.ArrayLike, min_cell: int) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise DataError("bad_scores", "scores are missing, not finite or of several columns")
    if found.size == 0:
        raise DataError("no_rows", "there is no score to compare")
    if found.size < min_cell:
        raise DataError("too_few_rows", f"there are fewer than {min_cell} scores to compare", "compare more rows")
    return found


def _edges(values: Floats, bins: int) -> Floats:
    """Rising upper edges of all bins but the last, at values of the reference; equal values are never parted."""
    ordered = np.sort(values)
    ranks = -(-np.arange(1, bins, dtype=np.int64) * ordered.size // bins)
    edges = np.unique(ordered[ranks - 1])
    return np.asarray(edges[edges < ordered[-1]], dtype=np.float64)


def _shares(counts: Ints, min_cell: int) -> Floats:
    """Counts, rounded to multiples of `min_cell`, as shares above 0."""
    rounded = np.rint(counts / min_cell)
    floor = np.where(rounded > 0, rounded, 0.5)
    return np.asarray(floor / max(float(rounded.sum()), 1.0), dtype=np.float64)
