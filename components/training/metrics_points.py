"""How points of a scorecard are spread: bands of points with the bad rate in each and at or above each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training.curves import checked, counted, weighed
from parley.components.training.metrics_binary import cells, need_cell

MAX_BANDS = 500


def bands(
    points: npt.ArrayLike,
    labels: npt.ArrayLike | None,
    *,
    width: float,
    bad: int = 1,
    min_cell: int = 1,
    by: npt.ArrayLike | None = None,
) -> list[dict[str, float | None]]:
    """Bands of `width` points, highest first: from, to, rows, share, share_above, bad_rate, bad_rate_above.

    `share_above` and `bad_rate_above` are of all rows in this band and higher ones: what a cut-off at `from` lets pass.
    Rates are None without labels. Rows are joined to cells of `min_cell` by the scores `by` (n,) that the points were
    made of (or by the points), as `metrics.evaluate` joins them, and a cell goes whole into the band of its lowest
    points: what this table and measures of the same rows tell of together are cells still.
    DataError `bad_scores`, `bad_labels`, `no_rows`, `too_few_rows`.
    """
    known = labels is not None
    y, values = checked(np.zeros(np.shape(points)) if labels is None else labels, points)
    scores = values if by is None else checked(y, by)[1]
    need_cell(values.size, min_cell)
    if not width > 0 or (values.max() - values.min()) / width > MAX_BANDS:
        raise DataError("bad_parameter", f"there would be more than {MAX_BANDS} bands of points", "take wider bands")
    outcome = y if bad == 1 else 1 - y
    joined = counted(outcome, scores).coarse(min_cell)
    c = cells(outcome, scores, weighed(None, values.size), joined)
    low = np.full(joined.rows.size, np.inf)
    np.minimum.at(low, joined.of(scores), values)
    where = np.floor(low / width).astype(np.int64)
    found, at = np.unique(-where, return_inverse=True)
    rows = np.bincount(at, weights=c.weight)
    hits = np.bincount(at, weights=c.weight * c.rate)
    above, hits_above = np.cumsum(rows), np.cumsum(hits)
    return [
        {
            "from": float(-b * width),
            "to": float((1 - b) * width),
            "rows": int(n),
            "share": float(n / values.size),
            "share_above": float(m / values.size),
            "bad_rate": float(h / n) if known else None,
            "bad_rate_above": float(k / m) if known else None,
        }
        for b, n, m, h, k in zip(found.tolist(), rows, above, hits, hits_above, strict=True)
    ]
