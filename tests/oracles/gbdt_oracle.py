"""Boosted trees once more, centrally and plainly, as an oracle: imports nothing of ours.

Derivatives are rounded to a fixed point and summed as Python integers, each node loops over its features
and candidate cuts, and there is no histogram subtraction, no vectorised search and no shared helper. The
rules are those written in the product's docstrings: gain without the factor 1/2, cut after each value bin with missing
tried right and left, categories ordered by G/(H+lambda), ties to the lowest feature, cut, missing right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Grown:
    """A leaf with a weight, or a cut with its set of left bins (the missing one possibly among them)."""

    weight: float = 0.0
    feature: int = -1
    left_bins: frozenset[int] = frozenset()
    gain: float = 0.0
    children: list[Grown] = field(default_factory=list)


@dataclass
class Oracle:
    """task: binary, multiclass or regression; n_bins[f] counts the missing bin, which is the last."""

    task: str
    n_bins: list[int]
    categorical: list[bool]
    classes: int = 1
    rounds: int = 10
    depth: int = 3
    eta: float = 0.3
    lam: float = 1.0
    gamma: float = 0.0
    min_child: float = 1.0
    bits: int = 32
    start: list[float] = field(default_factory=list)
    forest: list[list[Grown]] = field(default_factory=list)

    def fit(self, bins: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Train and return raw scores (n, K) of the training rows."""
        n = len(y)
        if self.task == "regression":
            self.start = [math.fsum(y) / n]
        elif self.task == "binary":
            ones = float(np.sum(y == 1))
            self.start = [math.log(ones / (n - ones))]
        else:
            self.start = [math.log(max(float(np.sum(y == k)), 0.5) / n) for k in range(self.classes)]
        raw = np.array([self.start] * n)
        for _ in range(self.rounds):
            g, h = self._derivatives(y, raw)
            trees = []
            for k in range(self.classes):
                big_g = [round(x * 2**self.bits) for x in g[:, k].tolist()]
                big_h = [round(x * 2**self.bits) for x in h[:, k].tolist()]
                root = self._grow(bins, big_g, big_h, list(range(n)), 0)
                trees.append(root)
                raw[:, k] += self._score(root, bins)
            self.forest.append(trees)
        return raw

    def _derivatives(self, y: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.task == "regression":
            return raw - y[:, None], np.ones_like(raw)
        if self.task == "binary":
            p = 1 / (1 + np.exp(-raw))
            return p - y[:, None], p * (1 - p)
        e = np.exp(raw - raw.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return p - (y[:, None] == np.arange(self.classes)), 2 * p * (1 - p)

    def _value(self, g: int, h: int) -> float:
        below = h / 2**self.bits + self.lam
        return (g / 2**self.bits) ** 2 / below if below > 0 else 0.0

    def _grow(self, bins: np.ndarray, g: list[int], h: list[int], rows: list[int], depth: int) -> Grown:
        total_g, total_h = sum(g[i] for i in rows), sum(h[i] for i in rows)
        below = total_h / 2**self.bits + self.lam
        node = Grown(weight=-self.eta * (total_g / 2**self.bits) / below if below > 0 else 0.0)
        best = self._search(bins, g, h, rows, total_g, total_h) if depth < self.depth else None
        if best is None:
            return node
        node.gain, node.feature, node.left_bins = best
        sides: tuple[list[int], list[int]] = ([], [])
        column = bins[:, node.feature].tolist()
        for i in rows:
            sides[0 if column[i] in node.left_bins else 1].append(i)
        node.children = [self._grow(bins, g, h, side, depth + 1) for side in sides]
        return node

    def _search(
        self, bins: np.ndarray, g: list[int], h: list[int], rows: list[int], total_g: int, total_h: int
    ) -> tuple[float, int, frozenset[int]] | None:
        best = None
        best_gain = max(self.gamma, 1e-6)
        parent = self._value(total_g, total_h)
        for f, count in enumerate(self.n_bins):
            sums = [[0, 0] for _ in range(count)]
            column = bins[:, f].tolist()
            for i in rows:
                cell = sums[column[i]]
                cell[0] += g[i]
                cell[1] += h[i]
            missing, order = count - 1, list(range(count - 1))
            empty: set[int] = set()
            if self.categorical[f]:
                empty = {b for b in order if sums[b] == [0, 0]}
                scaled = self.lam * 2**self.bits
                order = sorted(
                    (b for b in order if b not in empty),
                    key=lambda b: (sums[b][0] / max(sums[b][1] + scaled, 1.0), b),
                )
            left_g = left_h = 0
            for position, b in enumerate(order):
                left_g, left_h = left_g + sums[b][0], left_h + sums[b][1]
                for extra in (False, True):
                    lg = left_g + (sums[missing][0] if extra else 0)
                    lh = left_h + (sums[missing][1] if extra else 0)
                    rg, rh = total_g - lg, total_h - lh
                    least = self.min_child * 2**self.bits
                    if lh <= 0 or rh <= 0 or lh < least or rh < least:
                        continue
                    gain = self._value(lg, lh) + self._value(rg, rh) - parent
                    if gain > best_gain:
                        best_gain = gain
                        members = set(order[: position + 1]) | ({missing} | empty if extra else set())
                        best = (gain, f, frozenset(members))
        return best

    def _score(self, root: Grown, bins: np.ndarray) -> np.ndarray:
        out = np.empty(len(bins))
        for i, row in enumerate(bins.tolist()):
            node = root
            while node.children:
                node = node.children[0 if row[node.feature] in node.left_bins else 1]
            out[i] = node.weight
        return out
