"""Neighbouring bins joined until few are left, from counts alone: what each bin holds of events and of other rows.

A grouping is (b,) int64, the new bin of each old one, rising from 0 without gaps. Counts may be weighted. All methods
are deterministic and look at the counts in one fixed order; of equally good ways the one with the earlier cut is taken.

    small      joins a bin with fewer rows than a minimum, the smallest first, with the smaller of its neighbours
    chi        joins the two neighbours whose shares of events differ least (chi-square of the 2 x 2 table)
    optimal    of all groupings the one with the largest information value, or largest decrease of Gini impurity, by
               dynamic programming; monotone, with shares of events that rise or fall throughout
    ks         parts the bins where the cumulative shares of events and others are farthest apart, and the parts again

Source: Kerber, *ChiMerge*, 1992; Navas-Palencia, *Optimal binning*, 2020 (the problem; the program here is ours).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]
Method = Literal["chi", "optimal", "gini", "ks"]


def grouped(counts: NDArray[np.generic], groups: Groups, size: int | None = None) -> Floats:
    """(g, ...) sums of counts (b, ...) by group, `size` of them or as many as there are."""
    size = int(groups.max(initial=-1)) + 1 if size is None else size
    out = np.zeros((size, *counts.shape[1:]), dtype=np.float64)
    np.add.at(out, groups, counts)
    return out


def of_cuts(starts: list[int], size: int) -> Groups:
    """The grouping whose groups begin at these places, rising from 0."""
    flags = np.zeros(size, dtype=np.int64)
    flags[starts[1:]] = 1
    return np.cumsum(flags)


def join_small(counts: Floats, least: Floats | float) -> Groups:
    """`counts` (b,) or (b, c): joins until each group has at least `least` of every kind, or one group is left."""
    table = counts.reshape(len(counts), -1).astype(np.float64)
    starts, sums = list(range(len(table))), list(table)
    wanted = np.broadcast_to(np.asarray(least, dtype=np.float64), table.shape[1:])
    while len(sums) > 1:
        short = [(float(row.sum()), k) for k, row in enumerate(sums) if np.any(row < wanted)]
        if not short:
            break
        k = min(short)[1]
        sides = [(float(sums[j].sum()), j) for j in (k - 1, k + 1) if 0 <= j < len(sums)]
        first = min(k, min(sides)[1])
        sums[first : first + 2] = [sums[first] + sums[first + 1]]
        del starts[first + 1]
    return of_cuts(starts, len(table))


def merged(method: Method, events: Floats, others: Floats, bins: int, least: float, *, monotone: bool) -> Groups:
    """At most `bins` groups of (b,) counts, each with at least `least` rows where that can be had."""
    if len(events) <= 1:
        return np.zeros(len(events), dtype=np.int64)
    if method == "chi":
        return _chi(events, others, bins, least)
    if method == "ks":
        return _ks(events, others, bins, least)
    return _optimal(events, others, bins, least, gini=method == "gini", monotone=monotone)


def _chi(events: Floats, others: Floats, bins: int, least: float) -> Groups:
    groups = join_small(events + others, least)
    starts = [int(k) for k in np.flatnonzero(np.diff(groups, prepend=-1))]
    table = grouped(np.stack([events, others], axis=1), groups)
    while len(table) > bins:
        first = int(np.argmin(_chi_square(table[:-1], table[1:])))
        table[first] += table[first + 1]
        table = np.delete(table, first + 1, axis=0)
        del starts[first + 1]
    return of_cuts(starts, len(events))


def _chi_square(a: Floats, b: Floats) -> Floats:
    """(k,) of the tables [a_i, b_i], 0 where a row or a column is empty."""
    n = (a + b).sum(axis=1)
    below = a.sum(axis=1) * b.sum(axis=1) * (a + b).prod(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = n * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) ** 2 / below
    return np.where(below > 0, found, 0.0)


def _ks(events: Floats, others: Floats, bins: int, least: float) -> Groups:
    starts = [0]
    ahead = [(0, len(events))]
    while ahead and len(starts) < bins:
        found = [(_ks_cut(events[a:b], others[a:b], least), a, b) for a, b in ahead]
        (gap, cut), a, b = max(found, key=lambda f: (f[0][0], -f[1]))
        if gap <= 0:
            break
        ahead.remove((a, b))
        ahead += [(a, a + cut), (a + cut, b)]
        starts.append(a + cut)
    return of_cuts(sorted(starts), len(events))


def _ks_cut(events: Floats, others: Floats, least: float) -> tuple[float, int]:
    """(largest gap weighed by the part's rows, where), (0, 0) where no cut leaves enough on both sides."""
    rows = events + others
    left = np.cumsum(rows)[:-1]
    if not left.size or events.sum() <= 0 or others.sum() <= 0:
        return 0.0, 0
    gaps = np.abs(np.cumsum(events)[:-1] / events.sum() - np.cumsum(others)[:-1] / others.sum())
    gaps = np.where((left >= least) & (rows.sum() - left >= least), gaps, 0.0)
    at = int(np.argmax(gaps))
    return float(gaps[at] * rows.sum()), at + 1


def _optimal(events: Floats, others: Floats, bins: int, least: float, *, gini: bool, monotone: bool) -> Groups:
    score, share, allowed = _spans(events, others, least, gini=gini)
    if not monotone:
        found = [_best(score, np.zeros_like(share), allowed, bins, 1)]
    else:
        found = [_best(score, share, allowed, bins, direction) for direction in (1, -1)]
    _, starts = max(found, key=lambda f: f[0])
    return of_cuts(starts, len(events))


def _spans(events: Floats, others: Floats, least: float, *, gini: bool) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(b, b) of each span i..j of bins: what it adds to the sum that is maximised, its share of events, if allowed."""
    first = np.concatenate([[0.0], np.cumsum(events)]), np.concatenate([[0.0], np.cumsum(others)])
    e, o = (c[None, 1:] - c[:-1, None] for c in first)
    total_e, total_o = max(float(events.sum()), 1e-300), max(float(others.sum()), 1e-300)
    upper = np.triu(np.ones(e.shape, dtype=bool))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(e + o > 0, e / (e + o), 0.0)
        if gini:
            score = np.where(e + o > 0, (e * e + o * o) / (e + o), 0.0)
        else:
            a, b = np.maximum(e, 0.5) / total_e, np.maximum(o, 0.5) / total_o
            score = (a - b) * np.log(a / b)
    return np.where(upper, score, 0.0), share, upper & (e + o >= least)


def _best(
    score: Floats, share: Floats, allowed: NDArray[np.bool_], bins: int, direction: int
) -> tuple[float, list[int]]:
    """(sum, starts of the groups) of the best way to part all bins into at most `bins` allowed spans in order."""
    size, most = len(score), min(bins, len(score))
    value = np.full((size, size, most), -np.inf)  # the best of 0..j in k + 1 groups, the last of which is i..j
    back = np.zeros((size, size, most), dtype=np.int64)
    value[0, :, 0] = np.where(allowed[0], score[0], -np.inf)
    for j in range(size):
        for i in range(1, j + 1):
            if not allowed[i, j]:
                continue
            fits = direction * share[:i, i - 1] <= direction * share[i, j]
            before = np.where(fits[:, None], value[:i, i - 1, : most - 1], -np.inf)
            at = np.argmax(before, axis=0)
            value[i, j, 1:] = score[i, j] + before[at, np.arange(most - 1)]
            back[i, j, 1:] = at
    i, k = divmod(int(np.argmax(value[:, -1])), most)
    if not np.isfinite(value[i, -1, k]):
        return -np.inf, [0]
    found, starts, j = float(value[i, -1, k]), [i], size - 1
    while k > 0:
        i, j, k = int(back[i, j, k]), i - 1, k - 1
        starts.insert(0, i)
    return found, starts
