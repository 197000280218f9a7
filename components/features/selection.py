"""Which columns are worth keeping: by what they hold, by how they hang together, by a measure of their worth.

Pure functions of one party's columns; a measure that somebody else computed comes in as numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.features.values import column, is_number, numbers

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pairs = npt.NDArray[np.uint32]
ALONE = 1e12  # a column that others determine altogether has this inflation at least


@dataclass(frozen=True)
class Facts:
    """Of a column: share of missing values, distinct values, share of the most frequent one among those present; of
    numbers also standard deviation and that over the mean's size, NaN for others."""

    missing: float
    unique: int
    top_share: float
    std: float
    variation: float


def facts(table: pa.Table, name: str) -> Facts:
    """DataError "unknown_column"; a column without any value has 0 distinct ones."""
    found = column(table, name)
    std = variation = float("nan")
    if is_number(found.type):
        values = numbers(table, name)
        present = values[np.isfinite(values)]
        found = pa.chunked_array([pa.array(values, from_pandas=True)])
        if present.size:
            std, mean = float(present.std()), abs(float(present.mean()))
            variation = std / mean if mean else float("inf") if std else 0.0
    counts = pc.value_counts(found.drop_null()).field("counts").to_numpy()
    n, there = len(found), len(found) - found.null_count
    return Facts(1 - there / n if n else 0.0, len(counts), int(counts.max(initial=0)) / max(1, there), std, variation)


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


def best(
    worth: Floats, *, threshold: float | None = None, top_k: int | None = None, top_percentile: float | None = None
) -> Mask:
    """(F,) what is at least the threshold, and among the first `top_k` or `top_percentile` (0 to 100) of all.

    Ties go by place.
    """
    kept = np.ones(worth.size, dtype=bool) if threshold is None else worth >= threshold
    limits = [] if top_k is None else [top_k]
    if top_percentile is not None:
        limits.append(int(np.ceil(worth.size * top_percentile / 100)))
    for limit in limits:
        first = np.zeros(worth.size, dtype=bool)
        first[np.argsort(-worth, kind="stable")[:limit]] = True
        kept &= first
    return kept


def at_least_one(kept: Mask, standing: Mask, worth: Iterable[float]) -> Mask:
    """`kept`, or where nothing that stood is left, the worthiest of it."""
    if (kept & standing).any() or not standing.any():
        return kept & standing
    values = np.where(standing, np.nan_to_num(np.fromiter(worth, dtype=np.float64), nan=-np.inf), -np.inf)
    out = np.zeros_like(standing)
    out[int(np.argmax(values)) if np.isfinite(values).any() else int(np.argmax(standing))] = True
    return out
