"""Whether real transcripts can be told from simulated ones: features of what a role sees, and a measure.

Guarantee: `auc_between` near 1/2 says that the given learner found nothing in these features; it is no proof that
there is nothing. A leak planted on purpose shows what the same learner does find, and belongs beside every use.

How sure: with n real and n simulated views in two folds, each view is scored once, by a learner that never saw it.
Under the null hypothesis a fold's AUC, over n/2 of each, has variance about 1 / (3 n), and the mean of two folds half
of that: a standard deviation of 0.0029 for n = 20,000. A bar at 0.52 lies 6.9 of them above 1/2, p < 1e-11; testing on
one half alone would leave it at 4.9, p = 5e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
View = Mapping[str, NDArray[np.generic]]  # one run as a role sees it: (rows, width) uint8 blocks and (k,) numbers
Learner = Callable[[Floats, NDArray[np.int64]], Callable[[Floats], NDArray[np.float64]]]
CELLS = 192  # single bytes of a block that become features of their own
KINDS = 8  # distinct values up to which a number is also taken apart


def stacked(views: Sequence[View]) -> dict[str, NDArray[np.generic]]:
    """Many views of one shape as one array for each name, runs first; ValueError when their shapes differ."""
    return {name: np.stack([v[name] for v in views]) for name in views[0]}


def features(views: Sequence[View]) -> Floats:
    """(runs, features): of each block byte and bit statistics, single bytes, order of rows, repeats within it and
    across blocks; of each number its value and its kinds. Real and simulated views go in together, so that one column
    means one thing.
    """
    named = stacked(views)
    blocks = {n: a for n, a in named.items() if a.ndim == 3 and a.dtype == np.uint8}
    out: list[Floats] = []
    for name, values in named.items():
        out += _block(blocks[name]) if name in blocks else _numbers(values)
    for a, b in combinations(blocks.values(), 2):
        if a.shape[2] == b.shape[2]:
            out.append(_shared(a, b))
    return np.hstack(out)


def _block(block: NDArray[np.generic]) -> list[Floats]:
    cells = block.astype(np.uint8)
    rows = cells.shape[1]
    flat = cells.reshape(len(cells), -1)
    out = [_histogram(flat >> 4), _histogram(flat & 15), flat.mean(axis=1, dtype=np.float32)[:, None]]
    out.append((flat if flat.shape[1] <= CELLS else np.hstack([flat[:, : CELLS // 2], flat[:, -CELLS // 2 :]])) / 255)
    out.append(np.unpackbits(cells, axis=2).sum(axis=1, dtype=np.uint16) / rows)
    if rows > 1:
        out += [_order(cells), _repeats(cells)]
    return [np.asarray(x, dtype=np.float32) for x in out]


def _histogram(nibbles: NDArray[np.integer[Any]]) -> Floats:
    return np.stack([(nibbles == k).mean(axis=1, dtype=np.float32) for k in range(16)], axis=1)


def _order(cells: NDArray[np.uint8]) -> Floats:
    """(runs, pairs): for each pair of rows whether the first is below the second, by their first bytes."""
    head = np.zeros(cells.shape[:2], dtype=np.uint64)
    for k in range(min(8, cells.shape[2])):
        head = head << np.uint64(8) | cells[:, :, k]
    pairs = list(combinations(range(min(cells.shape[1], 8)), 2))
    return np.stack([head[:, i] < head[:, j] for i, j in pairs], axis=1).astype(np.float32)


def _repeats(cells: NDArray[np.uint8]) -> Floats:
    pairs = combinations(range(min(cells.shape[1], 8)), 2)
    same = [np.all(cells[:, i] == cells[:, j], axis=1) for i, j in pairs]
    return np.asarray(np.stack(same, axis=1).sum(axis=1, keepdims=True), dtype=np.float32)


def _shared(a: NDArray[np.generic], b: NDArray[np.generic]) -> Floats:
    """(runs, rows of a + 1): the place in b of each row of a, or -1, and how many have one."""
    found = np.full(a.shape[:2], -1, dtype=np.float32)
    for j in range(b.shape[1]):
        found[np.all(a == b[:, j : j + 1], axis=2)] = j
    return np.hstack([found, (found >= 0).sum(axis=1, keepdims=True)]).astype(np.float32)


def _numbers(values: NDArray[np.generic]) -> list[Floats]:
    flat = values.reshape(len(values), -1).astype(np.float32)
    out = [flat]
    for column in flat.T:
        kinds = np.unique(column)
        if 1 < kinds.size <= KINDS:
            out.append((column[:, None] == kinds).astype(np.float32))
    return out


def auc(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The chance that a positive scores above a negative, ties counting half."""
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    positive = int(np.sum(truth == 1))
    above = float(ranks[truth == 1].sum()) - positive * (positive + 1) / 2
    return above / (positive * (truth.size - positive))


def auc_between(both: Floats, learner: Learner) -> float:
    """`both` holds as many simulated runs as real ones, the real ones first.

    Mean AUC of two folds, each scored by a learner trained on the other; views at one index share a fold."""
    half = len(both) // 2
    truth, fold = np.repeat([1, 0], half), np.tile(np.arange(half) % 2, 2)
    varied = both.std(axis=0) > 0
    x = both[:, varied] if varied.any() else both[:, :1].copy()
    x -= x.mean(axis=0)
    x /= np.maximum(x.std(axis=0), 1e-6)
    found = []
    for k in (0, 1):
        score = learner(x[fold != k], truth[fold != k])
        found.append(auc(score(x[fold == k]), truth[fold == k]))
    return float(np.mean(found))
