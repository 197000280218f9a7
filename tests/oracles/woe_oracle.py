"""Binning by evidence on joined columns, written another way: rows in Python lists, formulas as they are printed."""

from __future__ import annotations

import math
from itertools import combinations, pairwise


def quantile_bin(values: list[float], most: int) -> list[int]:
    """Each value's bin by the greatest value of each of `most` equal shares of the sorted ones."""
    ordered = sorted(values)
    if len(set(ordered)) <= most:
        distinct = sorted(set(ordered))
        return [distinct.index(v) for v in values]
    ends = sorted({ordered[math.ceil(k * len(ordered) / most) - 1] for k in range(1, most)} - {ordered[-1]})
    return [sum(v > e for e in ends) for v in values]


def table(bins: list[int], labels: list[int]) -> list[tuple[int, int]]:
    """(rows, events) of each bin in order."""
    return [(bins.count(b), sum(y for k, y in zip(bins, labels, strict=True) if k == b)) for b in range(max(bins) + 1)]


def evidence(counts: list[tuple[int, int]], add: float = 0.5) -> tuple[list[float], float]:
    """(weights, information value)."""
    events = sum(e for _, e in counts)
    others = sum(r - e for r, e in counts)
    woe, iv = [], 0.0
    for r, e in counts:
        good = (e or add) / events
        bad = ((r - e) or add) / others
        woe.append(math.log(good / bad))
        iv += (good - bad) * woe[-1]
    return woe, iv


def best_merging(counts: list[tuple[int, int]], most: int, monotone: bool) -> float:
    """The largest information value of all ways to cut a row of bins, by trying all of them."""
    best = -math.inf
    for k in range(min(most, len(counts))):
        for cuts in combinations(range(1, len(counts)), k):
            ends = [0, *cuts, len(counts)]
            merged = [tuple(map(sum, zip(*counts[a:b], strict=True))) for a, b in pairwise(ends)]
            rates = [e / r for r, e in merged]
            rising = all(a <= b for a, b in pairwise(rates))
            falling = all(a >= b for a, b in pairwise(rates))
            if not monotone or rising or falling:
                best = max(best, evidence(merged)[1])
    return best


def chi_merging(counts: list[tuple[int, int]], most: int, level: float) -> list[tuple[int, int]]:
    """Neighbours merged by scipy's test of a two by two table until all differ at `level`, and `most` are left."""
    from scipy.stats import chi2, chi2_contingency

    rows = list(counts)
    while len(rows) > 1:
        statistic = []
        for (r, e), (q, f) in pairwise(rows):
            whole = [[e, r - e], [f, q - f]]
            one_sided = e + f == 0 or r - e + q - f == 0
            statistic.append(0.0 if one_sided else chi2_contingency(whole, correction=False).statistic)
        at = min(range(len(statistic)), key=lambda k: statistic[k])
        if len(rows) <= most and statistic[at] >= chi2.ppf(level, 1):
            break
        rows[at : at + 2] = [(rows[at][0] + rows[at + 1][0], rows[at][1] + rows[at + 1][1])]
    return rows
