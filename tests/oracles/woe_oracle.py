"""Weight of evidence, information value and the best joined bins, straight from their definitions; imports nothing of
ours."""

from __future__ import annotations

import math
from itertools import combinations


def counts(codes, labels, size):
    """[(events, others)] of each bin, one row at a time."""
    out = [[0, 0] for _ in range(size)]
    for code, y in zip(codes, labels, strict=True):
        out[code][0 if y else 1] += 1
    return [tuple(c) for c in out]


def woe(table, adjustment=0.5):
    total_e, total_o = (math.fsum(c[k] for c in table) for k in (0, 1))
    return [math.log(((e or adjustment) / total_e) / ((o or adjustment) / total_o)) if e + o else 0.0 for e, o in table]


def iv(table, adjustment=0.5):
    total_e, total_o = (math.fsum(c[k] for c in table) for k in (0, 1))
    return math.fsum(
        ((e or adjustment) / total_e - (o or adjustment) / total_o) * w
        for (e, o), w in zip(table, woe(table, adjustment), strict=True)
        if e + o
    )


def joined(table, starts):
    ends = [*starts[1:], len(table)]
    return [tuple(sum(c[k] for c in table[a:b]) for k in (0, 1)) for a, b in zip(starts, ends, strict=True)]


def best_iv(table, bins, least, monotone):
    """The largest information value of all ways to join neighbours: every way is tried."""
    best = -1.0
    for k in range(bins):
        for cuts in combinations(range(1, len(table)), k):
            parts = joined(table, [0, *cuts])
            if any(e + o < least for e, o in parts):
                continue
            shares = [e / (e + o) for e, o in parts]
            if monotone and shares != sorted(shares) and shares != sorted(shares, reverse=True):
                continue
            best = max(best, iv(parts))
    return best


def ks_cut(table):
    """Where cumulative shares are farthest apart."""
    total_e, total_o = (sum(c[k] for c in table) for k in (0, 1))
    before = [[sum(c[side] for c in table[:k]) for side in (0, 1)] for k in range(1, len(table))]
    gaps = [abs(e / total_e - o / total_o) for e, o in before]
    return gaps.index(max(gaps)) + 1


def chi_square(a, b):
    columns, n = (a[0] + b[0], a[1] + b[1]), sum(a) + sum(b)
    expected = [[sum(row) * columns[k] / n for k in (0, 1)] for row in (a, b)]
    return sum((row[k] - e[k]) ** 2 / e[k] for row, e in zip((a, b), expected, strict=True) for k in (0, 1))
