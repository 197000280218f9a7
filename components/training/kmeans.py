"""The arithmetic of k-means in whole numbers: the same on every machine, and sums over columns in any order.

Values are fixed point, in units of 2^-bits; squared distances therefore in units of 2^-2 bits. Source: Lloyd 1982.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError

Ints = NDArray[np.int64]
ROOM = 62  # bits of a squared distance over all columns, so that differences keep their sign in 64


def column_limit(parties: int, max_value: float, bits: int) -> int:
    """How many columns each of so many parties may bring for every squared distance to stay below 2^62."""
    widest = 2 * int(np.ceil(max_value * 2**bits)) + 1
    return (1 << ROOM) // (max(1, parties) * widest**2)


def fixed(values: NDArray[np.float64], max_value: float, bits: int, name: str) -> Ints:
    """(n,) units of 2^-bits, rounded half to even; DataError "missing_values", "out_of_range" naming the column."""
    if np.isnan(values).any():
        raise DataError("missing_values", f"column {name!r} has missing values", "impute it first")
    if values.size and float(np.abs(values).max()) > max_value:
        raise DataError("out_of_range", f"column {name!r} has values beyond max_value", "scale it, or raise max_value")
    return np.rint(values * 2.0**bits).astype(np.int64)


def squared_distances(rows: Ints, centres: Ints) -> Ints:
    """(n, k) from rows (n, d) to centres (k, d), over these columns alone."""
    out = np.empty((len(rows), len(centres)), dtype=np.int64)
    for j, centre in enumerate(centres):
        away = rows - centre
        np.einsum("ij,ij->i", away, away, out=out[:, j])
    return out


def nearest(distances: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(n,) the least of each row (n, k), given modulo 2^64 and up to a constant of the row; the first of equals."""
    against_first = (distances - distances[:, :1]).view(np.int64)
    found: NDArray[np.uint8] = against_first.argmin(axis=1).astype(np.uint8)
    return found


def means(rows: Ints, clusters: NDArray[np.uint8], before: Ints) -> Ints:
    """(k, d) the mean of each cluster's rows, rounded half up; an empty cluster's centre stays as it was."""
    out = before.copy()
    for j in range(len(before)):
        own = rows[clusters == j]
        if len(own):
            out[j] = (2 * own.sum(axis=0) + len(own)) // (2 * len(own))
    return out


def spread(rows: Ints, clusters: NDArray[np.uint8], centres: Ints) -> int:
    """The sum of squared distances of all rows to their own centres, exactly."""
    away = rows - centres[clusters]
    each = np.einsum("ij,ij->i", away, away)
    # In halves of 31 bits: a sum over very many rows is larger than a machine word.
    return (int((each >> 31).sum()) << 31) + int((each & ((1 << 31) - 1)).sum())


def told_sizes(clusters: NDArray[np.uint8], k: int, least: int) -> list[int | None]:
    """Rows in each of k clusters, None for one of 1 to least - 1 rows.

    One size alone is not left out: whoever knows how many rows there are could work it out; the smallest of the others
    goes with it.
    """
    counts = np.bincount(clusters, minlength=k)
    hidden = (counts > 0) & (counts < least)
    if int(hidden.sum()) == 1 and k > 1:
        others = np.where(hidden | (counts == 0), np.iinfo(np.int64).max, counts)
        hidden[int(others.argmin())] = True
    return [None if hide else int(n) for n, hide in zip(counts, hidden, strict=True)]
