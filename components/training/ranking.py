"""Ranking within groups: derivatives that lift NDCG, and the measures of an order.

Rows of one group (a query, a customer, a day) compete with each other and with nobody else. A label is a relevance
l = 0, 1, 2, ...; a row at place k, counted from 1, with gain 2^l - 1, adds gain / log2(1 + k) to the discounted gain
DCG of its group, and NDCG divides that by the DCG of the best order. The derivatives are LambdaMART's: for every pair
of a group with l_i > l_j of which the better placed one is among the first TOP, with r = 1 / (1 + exp(s_i - s_j)) and D
the change of NDCG if both changed places,

    g_i -= r D, g_j += r D, and both h += r (1 - r) D.

Equal scores stand in the order of the rows. Source: Burges, *From RankNet to LambdaRank to LambdaMART*, 2010, with the
truncation that LightGBM has.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TOP = 30  # of a pair, the better placed row is among so many; the best order is counted up to here
WATCHED = 10  # what is followed in training is NDCG of the first ten
MAX_RELEVANCE = 30
MAX_GROUP = 100_000
_BLOCK = 1 << 21  # pairs that are looked at in one go


def checked_relevance(y: Floats) -> Floats:
    """The labels (n,), finite; DataError "bad_labels" unless whole numbers in [0, MAX_RELEVANCE]."""
    if np.any(y != np.floor(y)) or y.min() < 0 or y.max() > MAX_RELEVANCE:
        raise DataError(
            "bad_labels", f"labels of a ranking are whole numbers, 0 to {MAX_RELEVANCE}", "recode the labels"
        )
    return y


def checked_groups(y: Floats, groups: Ints | None) -> Ints:
    """(n,) numbers of the rows' groups; DataError "bad_groups" for none, too large ones, or nothing to put in order."""
    if groups is None or groups.shape != y.shape:
        raise DataError("bad_groups", "a ranking needs the group of every row", "name the column: `group`")
    sizes = np.unique(groups, return_counts=True)[1]
    if sizes.max() > MAX_GROUP:
        raise DataError("bad_groups", f"a group has more than {MAX_GROUP} rows", "divide it")
    if not any((y[rows] != y[rows][:, :1]).any() for rows in batches(groups)):
        raise DataError("bad_groups", "no group has rows of different labels", "look at the column of groups")
    return groups


def lambdas(y: Floats, score: Floats, groups: Ints) -> tuple[Floats, Floats]:
    """g and h, (n,) each, of rows with relevance y (n,), at scores (n,)."""
    g, h = np.zeros(y.size), np.zeros(y.size)
    for rows in batches(groups):
        rows = np.take_along_axis(rows, np.argsort(-score[rows], axis=1, kind="stable"), axis=1)
        top = min(TOP, rows.shape[1])
        slope, curve = _pairs(y[rows], score[rows], top)
        g[rows] += slope.sum(axis=1)
        h[rows] += curve.sum(axis=1)
        g[rows[:, :top]] -= slope.sum(axis=2)
        h[rows[:, :top]] += curve.sum(axis=2)
    return g, h


def _pairs(y: Floats, score: Floats, top: int) -> tuple[Floats, Floats]:
    """(groups, top, m) of each pair's places: how the first is pulled up, and how that changes; zero unless first
    comes before second. Rows (groups, m) stand in the order of their scores."""
    gains = 2.0**y - 1
    best = dcg(-np.sort(-gains, axis=1), top)
    scale = np.divide(1.0, best, out=np.zeros_like(best), where=best > 0)[:, None, None]
    places = discounts(y.shape[1])
    change = np.abs(gains[:, :top, None] - gains[:, None, :]) * np.abs(places[:top, None] - places[None, :]) * scale
    change *= np.arange(top)[:, None] < np.arange(y.shape[1])
    way = np.sign(y[:, :top, None] - y[:, None, :])
    apart = way * (score[:, :top, None] - score[:, None, :])
    small = np.exp(-np.abs(apart))
    wrong = np.where(apart >= 0, small, 1.0) / (1.0 + small)  # 1 / (1 + exp(apart)), without overflow
    return way * wrong * change, wrong * (1 - wrong) * change


def discounts(m: int) -> Floats:
    """(m,) 1 / log2(1 + k) of places k = 1 .. m."""
    return np.asarray(1.0 / np.log2(np.arange(m) + 2.0))


def dcg(gains: Floats, top: int) -> Floats:
    """(groups,) the discounted gain of the first `top` of gains (groups, m), in order."""
    first = gains[:, :top]
    return np.asarray((first * discounts(first.shape[1])).sum(axis=1))


def ndcg(y: Floats, score: Floats, groups: Ints, top: int) -> Floats:
    """(groups that have a row of relevance above 0,) NDCG of the first `top`, in no order that means anything."""
    found = []
    for rows in batches(groups):
        gains = 2.0 ** y[rows] - 1
        best = dcg(-np.sort(-gains, axis=1), top)
        ours = dcg(np.take_along_axis(gains, np.argsort(-score[rows], axis=1, kind="stable"), axis=1), top)
        found.append(ours[best > 0] / best[best > 0])
    return np.concatenate([np.zeros(0), *found])


def precision_ranks(y: Floats, score: Floats, groups: Ints) -> tuple[Floats, Floats]:
    """Average precision, and 1 / place of the first hit, of each group with a row of relevance above 0."""
    precise, first = [], []
    for rows in batches(groups):
        hit = np.take_along_axis(y[rows] > 0, np.argsort(-score[rows], axis=1, kind="stable"), axis=1)
        hit = hit[hit.any(axis=1)]
        at = np.arange(1, hit.shape[1] + 1)
        precise.append((np.cumsum(hit, axis=1) / at * hit).sum(axis=1) / np.maximum(1, hit.sum(axis=1)))
        first.append(1.0 / (1 + hit.argmax(axis=1)))
    return np.concatenate([np.zeros(0), *precise]), np.concatenate([np.zeros(0), *first])


def batches(groups: Ints) -> Iterator[Ints]:
    """(some groups, m) rows of groups of m rows, each row once; rows of a group in their own order."""
    order = np.argsort(groups, kind="stable")
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    for m in np.unique(sizes).tolist():
        here = starts[sizes == m]
        at_once = max(1, _BLOCK // (m * min(TOP, m)))
        for a in range(0, here.size, at_once):
            yield order[here[a : a + at_once, None] + np.arange(m)]
