"""Which columns a rule keeps, from one figure of each, or from how a party's own hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parley.components.features.values import numbers

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Pairs = NDArray[np.uint32]
ALONE = 1e12  # a column that others determine altogether has at most this inflation


def strongest(
    values: Floats, left: Mask, threshold: float | None, top_k: int | None, share: float | None, *, low: bool
) -> Mask:
    """(n,) of those `left`: figures at least `threshold`, or the `top_k` highest, or the share of highest, rounded up.

    `low` turns it around: at most, and lowest. Of equal figures the earlier column goes first. One rule is given.
    """
    sign = -1.0 if low else 1.0
    strength = np.where(left, sign * values, -np.inf)
    if threshold is not None:
        return left & (strength >= sign * threshold)
    count = int(left.sum())
    most = min(count, top_k if top_k is not None else math.ceil(count * (share or 0.0)))
    order = np.lexsort((np.arange(values.size), -strength, ~left))
    out = np.zeros(values.size, dtype=bool)
    out[order[:most]] = True
    return out


def standardised(table: pa.Table, names: Sequence[str]) -> Floats:
    """(n, F) columns of mean 0 and standard deviation 1, missing values at the mean; constant columns are 0."""
    out = np.zeros((table.num_rows, len(names)))
    for k, name in enumerate(names):
        values = numbers(table, name)
        seen = np.isfinite(values)
        if seen.any():
            centred = np.where(seen, values - values[seen].mean(), 0.0)
            spread = float(np.sqrt((centred**2).mean()))
            out[:, k] = centred / spread if spread > 0 else 0.0
    return out


def correlations(x: Floats) -> Floats:
    """(F, F) Pearson's, of `standardised` columns; a constant one correlates with nothing but itself."""
    out = x.T @ x / max(1, len(x))
    np.fill_diagonal(out, 1.0)
    return np.clip(out, -1.0, 1.0)


def pairs_above(matrix: Floats, threshold: float) -> Pairs:
    """(k, 2) places, first < second, of columns that correlate by more than `threshold` in size."""
    first, second = np.nonzero(np.triu(np.abs(matrix) > threshold, 1))
    return np.stack([first, second], axis=1).astype(np.uint32)


def apart(pairs: Pairs, worth: Floats) -> Mask:
    """(F,) which columns stay so that no pair does: the worthiest first, equal ones in their order."""
    kept = np.ones(worth.size, dtype=bool)
    linked: dict[int, list[int]] = {}
    for a, b in pairs.tolist():
        linked.setdefault(a, []).append(b)
        linked.setdefault(b, []).append(a)
    done = np.zeros(worth.size, dtype=bool)
    for k in np.argsort(-worth, kind="stable").tolist():
        done[k] = True
        if kept[k]:
            for other in linked.get(k, []):
                kept[other] &= done[other]
    return kept


def inflation(matrix: Floats) -> Floats:
    """(F,) variance inflation factors of a correlation matrix: the diagonal of its inverse, at most `ALONE`."""
    try:
        found = np.diag(np.linalg.inv(matrix))
    except np.linalg.LinAlgError:
        found = np.diag(np.linalg.pinv(matrix + 1e-13 * np.eye(len(matrix))))
    return np.where((found >= 1) & (found < ALONE), found, np.where(found >= ALONE, ALONE, 1.0))


def not_inflated(matrix: Floats, threshold: float) -> Mask:
    """(F,) which columns stay when the one with the largest factor goes, time and again, until none is above."""
    kept = np.ones(len(matrix), dtype=bool)
    while kept.sum() > 1:
        at = np.flatnonzero(kept)
        found = inflation(matrix[np.ix_(at, at)])
        worst = int(np.argmax(found))
        if found[worst] <= threshold:
            break
        kept[at[worst]] = False
    return kept
