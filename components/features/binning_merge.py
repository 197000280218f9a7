"""Bins merged by what is counted in them: those with few rows, those alike, and the best choice of all.

Every function takes the counts of one feature's bins in order and answers with the merged bin (B,) of each, numbered
0, 1, ... by first appearance. Pure functions of counts: they need no rows and no edges.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from parley.components.features.woe import ADJUSTMENT, shares

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def numbered(groups: npt.ArrayLike) -> Ints:
    """The same groups with numbers in order of first appearance."""
    _, first, inverse = np.unique(np.asarray(groups, dtype=np.int64), return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    found: Ints = rank[inverse.reshape(-1)]
    return found


def by_group(counts: npt.ArrayLike, groups: Ints) -> Ints:
    """Sums of `counts` (B,) over each group."""
    out = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(out, groups, np.asarray(counts, dtype=np.int64))
    return out


def join_small(rows: npt.ArrayLike, ordered: bool, least: int) -> Ints:
    """No bin with fewer than `least` rows, unless it is the only one.

    The smallest bin is joined to its smaller neighbour; without an order, to the next smallest of all.
    """
    counts = np.asarray(rows, dtype=np.int64).tolist()
    members = [[k] for k in range(len(counts))]
    while len(counts) > 1 and min(counts) < least:
        at = counts.index(min(counts))
        others = [k for k in ((at - 1, at + 1) if ordered else range(len(counts))) if 0 <= k < len(counts) and k != at]
        into = min(others, key=lambda k: counts[k])
        low, high = sorted((at, into))
        counts[low] += counts.pop(high)
        members[low] += members.pop(high)
    return _groups(members, sum(map(len, members)))


def chi_square(rows: npt.ArrayLike, events: npt.ArrayLike, most: int, confidence: float = 0.95) -> Ints:
    """Neighbours whose event rates differ least are merged, until at most `most` bins are left and all neighbours
    differ with `confidence` by a chi-square test of one degree of freedom. Source: Kerber, *ChiMerge*, 1992."""
    threshold = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    r, e = np.asarray(rows, dtype=np.float64), np.asarray(events, dtype=np.float64)
    members = [[k] for k in range(r.size)]
    while r.size > 1:
        statistic = _neighbours(r, e)
        at = int(np.argmin(statistic))
        if r.size <= most and statistic[at] >= threshold:
            break
        r[at] += r[at + 1]
        e[at] += e[at + 1]
        r, e = np.delete(r, at + 1), np.delete(e, at + 1)
        members[at] += members.pop(at + 1)
    return _groups(members, sum(map(len, members)))


def _neighbours(r: Floats, e: Floats) -> Floats:
    """(B - 1,) the chi-square statistic of each two neighbours; 0 where both have one outcome only."""
    n, both = r[:-1] + r[1:], e[:-1] + e[1:]
    cross = e[:-1] * (r[1:] - e[1:]) - e[1:] * (r[:-1] - e[:-1])
    below = r[:-1] * r[1:] * both * (n - both)
    found: Floats = n * cross**2 / np.where(below > 0, below, 1)
    return found


def optimal(
    rows: npt.ArrayLike,
    events: npt.ArrayLike,
    most: int,
    *,
    monotone: bool = True,
    totals: tuple[int, int] | None = None,
    adjustment: float = ADJUSTMENT,
) -> Ints:
    """Of all ways to merge neighbours into at most `most` bins the one with the largest information value; with
    `monotone`, of those whose event rates never fall, or never rise.

    By dynamic programming over the last bin; of equally good ways the one with fewest bins. `totals` are (rows, events)
    of the whole feature where other bins (missing) count, too. O(most B^3).
    """
    r, e = np.asarray(rows, dtype=np.int64), np.asarray(events, dtype=np.int64)
    value, rate = _spans(r, e, totals or (int(r.sum()), int(e.sum())), adjustment)
    ways = [rate, -rate] if monotone else [np.zeros_like(rate)]
    found = [_best(value, way, min(most, r.size)) for way in ways]
    cuts = max(found, key=lambda f: f[0])[1]
    return np.searchsorted(np.asarray(cuts[1:], dtype=np.int64), np.arange(r.size), side="right").astype(np.int64)


def by_rate(rows: npt.ArrayLike, events: npt.ArrayLike) -> Ints:
    """The order (B,) in which bins without one of their own are merged: lowest event rate first."""
    r, e = np.asarray(rows, dtype=np.float64), np.asarray(events, dtype=np.float64)
    return np.argsort(e / np.maximum(r, 1), kind="stable").astype(np.int64)


def _spans(r: Ints, e: Ints, totals: tuple[int, int], adjustment: float) -> tuple[Floats, Floats]:
    """(B + 1, B + 1) information value and event rate of the bin from i up to j, at [i, j] where i < j."""
    size = r.size
    to_r, to_e = np.concatenate([[0], np.cumsum(r)]), np.concatenate([[0], np.cumsum(e)])
    spans_r, spans_e = to_r[None, :] - to_r[:, None], to_e[None, :] - to_e[:, None]
    good = np.triu(np.ones((size + 1, size + 1), dtype=bool), 1)
    spans_r, spans_e = np.where(good, spans_r, 1), np.where(good, spans_e, 0)
    of_events, of_others = shares(spans_r, spans_e, totals, adjustment)
    value = np.where(good, (of_events - of_others) * np.log(of_events / of_others), -np.inf)
    return value, spans_e / np.maximum(spans_r, 1)


def _best(value: Floats, rate: Floats, most: int) -> tuple[float, list[int]]:
    """The best total and where its bins begin, rates never falling from one bin to the next."""
    size = len(value) - 1
    # may[i, j, m]: whether the bin from j to m can follow the one from i to j
    may = rate[:, :, None] <= rate[None, :, :]
    best = np.full_like(value, -np.inf)
    best[0] = value[0]
    choices: list[npt.NDArray[np.intp]] = []
    totals = [best[:, size].copy()]
    for _ in range(1, most):
        reached = np.where(may, best[:, :, None], -np.inf)
        choices.append(reached.argmax(axis=0))
        best = reached.max(axis=0) + value
        totals.append(best[:, size].copy())
    bins = int(np.argmax([t.max() for t in totals]))
    last, cuts = int(np.argmax(totals[bins])), [size]
    total = float(totals[bins][last])
    for k in range(bins, -1, -1):
        cuts.append(last)
        if k:
            last = int(choices[k - 1][last, cuts[-2]])
    return total, cuts[:0:-1]


def _groups(members: list[list[int]], size: int) -> Ints:
    out = np.empty(size, dtype=np.int64)
    for k, some in enumerate(members):
        out[some] = k
    return numbered(out)
