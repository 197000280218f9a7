"""Boosted trees with weights, log links, directions, several outputs a tree and best-leaf growth, centrally: an oracle.

It imports nothing of ours. Derivatives are rounded to a fixed point as it is documented (each channel first divided by
the power of two that brings it to at most 1) and added as Python integers; every node is searched by itself, row by
row. Losses are differentiated as they stand in the papers: Poisson and gamma regression with a log link, Tweedie's
compound Poisson (Jorgensen 1997), with XGBoost's factor exp(0.7) on the second derivative of the Poisson. Directions
are XGBoost's: weights within bounds, children's bounds parted at the middle of both weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

INF = math.inf


@dataclass
class Leaf:
    """A node: its rows, how deep it lies, its fixed-point sums, bounds, and once parted its cut and children."""

    rows: list[int]
    depth: int
    sums: list[int]
    low: float = -INF
    high: float = INF
    weights: list[float] = field(default_factory=list)
    feature: int = -1
    left_bins: frozenset[int] = frozenset()
    gain: float = 0.0
    children: list[Leaf] = field(default_factory=list)


@dataclass
class WideOracle:
    """`rows[r]` are (positions, factors) of round r's sample, all rows with factor 1 by default; `usable[r]` its
    features; `together` grows one tree a round for all outputs; `leaves` > 0 grows the best leaf next."""

    loss: str
    n_bins: list[int]
    categorical: list[bool]
    classes: int = 1
    together: bool = False
    rounds: int = 3
    depth: int = 3
    leaves: int = 0
    eta: float = 0.3
    lam: float = 1.0
    min_child: float = 1.0
    bits: int = 32
    power: float = 1.5
    delta: float = 1.0
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    groups: list[int] | None = None
    ways: list[int] | None = None
    rows: list[tuple[list[int], list[float]]] | None = None
    usable: list[list[bool]] | None = None
    forest: list[list[Leaf]] = field(default_factory=list)

    def fit(self, bins: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Train on all rows and return their raw scores (n, K)."""
        n = len(y)
        w = np.ones(n) if self.weights is None else self.weights
        off = np.zeros(n) if self.offset is None else self.offset
        raw = np.array([self._start(y, w, off)] * n) + off[:, None]
        for r in range(self.rounds):
            g, h = self._derivatives(y, raw)
            g, h = g * w[:, None], h * w[:, None]
            rows, factors = (list(range(n)), [1.0] * n) if self.rows is None else self.rows[r]
            wide = self.classes if self.together else 1
            usable = [True] * len(self.n_bins) if self.usable is None else self.usable[r]
            trees = []
            for first in range(0, self.classes, wide):
                channels = [[0] * (2 * wide) for _ in range(n)]
                for k in range(wide):
                    for at, part in ((0, g), (1, h)):
                        values = [part[i, first + k] * f for i, f in zip(rows, factors, strict=True)]
                        for i, v in zip(rows, self._fixed(values), strict=True):
                            channels[i][2 * k + at] = v
                root = self._grow(bins, channels, sorted(rows), usable)
                trees.append(root)
                for i, row in enumerate(bins.tolist()):
                    node = root
                    while node.children:
                        node = node.children[0 if row[node.feature] in node.left_bins else 1]
                    for k in range(wide):
                        raw[i, first + k] += self.eta * node.weights[k]
            self.forest.append(trees)
        return raw

    def _start(self, y: np.ndarray, w: np.ndarray, off: np.ndarray) -> list[float]:
        if self.loss == "squared":
            return [float((w * y).sum() / w.sum())]
        if self.loss in ("huber", "fair", "log_cosh"):
            # The least label up to which at least half of the weight lies.
            return [min(v for v in y.tolist() if w[y <= v].sum() >= w.sum() / 2)]
        if self.loss == "lambdarank":
            return [0.0]
        if self.loss == "logistic":
            return [math.log(float(w[y == 1].sum() / w[y == 0].sum()))]
        if self.loss == "softmax":
            return [math.log(float(w[y == k].sum() / w.sum())) for k in range(self.classes)]
        p = {"poisson": 1, "gamma": 2, "tweedie": self.power}[self.loss]
        # The constant b at which the summed derivative of the deviance is nothing.
        return [math.log(float((w * y * np.exp((1 - p) * off)).sum() / (w * np.exp((2 - p) * off)).sum()))]

    def _derivatives(self, y: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t = y[:, None]
        if self.loss == "squared":
            return raw - t, np.ones_like(raw)
        if self.loss in ("huber", "fair", "log_cosh"):
            z, c = raw - t, self.delta
            if self.loss == "huber":  # c^2 ((1 + z^2/c^2)^(1/2) - 1)
                return z * (1 + z * z / c**2) ** -0.5, (1 + z * z / c**2) ** -1.5
            if self.loss == "fair":  # c^2 (|z|/c - log(1 + |z|/c))
                return c * z / (c + abs(z)), c**2 / (c + abs(z)) ** 2
            return c * np.tanh(z / c), 1 / np.cosh(z / c) ** 2  # c^2 log cosh(z/c)
        if self.loss == "lambdarank":
            return self._ranked([int(v) for v in y], raw[:, 0].tolist())
        if self.loss == "logistic":
            q = 1 / (1 + np.exp(-raw))
            return q - t, q * (1 - q)
        if self.loss == "softmax":
            e = np.exp(raw - raw.max(axis=1, keepdims=True))
            q = e / e.sum(axis=1, keepdims=True)
            return q - (t == np.arange(self.classes)), 2 * q * (1 - q)
        m = np.exp(raw)
        if self.loss == "poisson":
            return m - t, np.exp(raw + 0.7)
        if self.loss == "gamma":
            return 1 - t / m, t / m
        p = self.power
        return m ** (2 - p) - t * m ** (1 - p), (2 - p) * m ** (2 - p) + (p - 1) * t * m ** (1 - p)

    def _ranked(self, y: list[int], score: list[float]) -> tuple[np.ndarray, np.ndarray]:
        """Burges 2010, pair by pair: the better placed row among the first 30, NDCG cut there as well."""
        g, h = np.zeros((len(y), 1)), np.zeros((len(y), 1))
        for name in set(self.groups or []):
            rows = [i for i, q in enumerate(self.groups or []) if q == name]
            rows.sort(key=lambda i: -score[i])
            best = sum(
                (2**v - 1) / math.log2(k + 2) for k, v in enumerate(sorted((y[i] for i in rows), reverse=True)[:30])
            )
            for a, i in enumerate(rows[:30]):
                for b in range(a + 1, len(rows)):
                    up, down = (i, rows[b]) if y[i] > y[rows[b]] else (rows[b], i)
                    if y[up] == y[down]:
                        continue
                    moved = (2 ** y[up] - 2 ** y[down]) * (1 / math.log2(a + 2) - 1 / math.log2(b + 2)) / best
                    r = 1 / (1 + math.exp(score[up] - score[down]))
                    g[up] -= r * moved
                    g[down] += r * moved
                    h[[up, down]] += r * (1 - r) * moved
        return g, h

    def _fixed(self, values: list[float]) -> list[int]:
        most = max((abs(v) for v in values), default=0.0)
        shift = math.frexp(most)[1] if most > 1 else 0
        return [round(v * 2.0 ** (self.bits - shift)) << shift for v in values]

    def _grow(self, bins: np.ndarray, channels: list[list[int]], rows: list[int], usable: list[bool]) -> Leaf:
        root = self._leaf(channels, rows, 0)
        found = {id(root): (root, self._search(bins, channels, root, usable))}
        leaves = 1
        while True:
            options = [(leaf, cut) for leaf, cut in found.values() if cut is not None]
            if not options or (self.leaves and leaves >= self.leaves):
                return root
            leaf, cut = max(options, key=lambda o: o[1][0]) if self.leaves else options[0]
            del found[id(leaf)]
            leaf.gain, leaf.feature, leaf.left_bins = cut
            sides: tuple[list[int], list[int]] = ([], [])
            for i in leaf.rows:
                sides[0 if int(bins[i, leaf.feature]) in leaf.left_bins else 1].append(i)
            leaf.children = [self._leaf(channels, side, leaf.depth + 1, leaf.low, leaf.high) for side in sides]
            way = self.ways[leaf.feature] if self.ways else 0
            if way:
                one, other = leaf.children
                middle = (one.weights[0] + other.weights[0]) / 2
                below, above = (one, other) if way > 0 else (other, one)
                below.high, above.low = middle, middle
            leaves += 1
            for child in leaf.children:
                child.weights = self._weights(child.sums, child.low, child.high)
                cut = self._search(bins, channels, child, usable) if child.depth < self.depth else None
                found[id(child)] = (child, cut)

    def _leaf(
        self, channels: list[list[int]], rows: list[int], depth: int, low: float = -INF, high: float = INF
    ) -> Leaf:
        sums = [sum(channels[i][c] for i in rows) for c in range(len(channels[0]))]
        return Leaf(rows, depth, sums, low, high, self._weights(sums, low, high))

    def _weights(self, sums: list[int], low: float, high: float) -> list[float]:
        one = 2.0**self.bits
        return [
            min(max(-(g / one) / (h / one + self.lam) if h / one + self.lam > 0 else 0.0, low), high)
            for g, h in zip(sums[0::2], sums[1::2], strict=True)
        ]

    def _worth(self, sums: list[int], weights: list[float]) -> float:
        one = 2.0**self.bits
        pairs = zip(sums[0::2], sums[1::2], weights, strict=True)
        return sum(-(2 * (g / one) * w + (h / one + self.lam) * w * w) for g, h, w in pairs)

    def _search(
        self, bins: np.ndarray, channels: list[list[int]], leaf: Leaf, usable: list[bool]
    ) -> tuple[float, int, frozenset[int]] | None:
        best, best_gain = None, 1e-6
        parent = self._worth(leaf.sums, leaf.weights)
        for f, count in enumerate(self.n_bins):
            if not usable[f]:
                continue
            cells = [[0] * len(leaf.sums) for _ in range(count)]
            for i, b in zip(leaf.rows, bins[leaf.rows, f].tolist(), strict=True):
                cells[b] = [a + c for a, c in zip(cells[b], channels[i], strict=True)]
            for order, empty in self._orders(f, cells):
                left = [0] * len(leaf.sums)
                for position, b in enumerate(order):
                    left = [a + c for a, c in zip(left, cells[b], strict=True)]
                    for extra in (False, True):
                        one = [a + c for a, c in zip(left, cells[-1], strict=True)] if extra else left
                        gain = self._gain(one, leaf, f, parent)
                        if gain > best_gain * (1 + 1e-12):
                            best_gain = gain
                            inside = set(order[: position + 1]) | ({count - 1} | empty if extra else set())
                            best = (gain, f, frozenset(inside))
        return best

    def _orders(self, f: int, cells: list[list[int]]) -> list[tuple[list[int], set[int]]]:
        values = list(range(len(cells) - 1))
        if not self.categorical[f]:
            return [(values, set())]
        empty = {b for b in values if not any(cells[b])}
        lam = self.lam * 2**self.bits
        out = []
        for k in range(len(cells[0]) // 2):
            ratio = {b: cells[b][2 * k] / max(cells[b][2 * k + 1] + lam, 1.0) for b in values}
            out.append((sorted((b for b in values if b not in empty), key=lambda b, r=ratio: (r[b], b)), empty))
        return out

    def _gain(self, left: list[int], leaf: Leaf, f: int, parent: float) -> float:
        right = [a - b for a, b in zip(leaf.sums, left, strict=True)]
        least = self.min_child * 2**self.bits
        if not all(sum(part[1::2]) > 0 and sum(part[1::2]) >= least for part in (left, right)):
            return -INF
        one, other = (self._weights(part, leaf.low, leaf.high) for part in (left, right))
        if self.ways and self.ways[f] * (other[0] - one[0]) < 0:
            return -INF
        return self._worth(left, one) + self._worth(right, other) - parent
