"""What a features party's view of a training says about the labels, measured where both are known: pure.

While trees grow, the label party notes what each features party is told that sets rows apart (`Seen`). Afterwards two
attacks run on just that; nothing is sent for it.

    auc   the best guess, up to its sign, of the label from where rows sat: the two sides of the first tree's root, or
          the direction along which rows differ most over all trees
    nmi   rows that share nodes over the trees are joined, and fall into as many groups as there are classes: how much
          of the labels the groups say, from 0 to 1, by the better of two groupings

Of a strict training, in which nobody is told where rows sit, `splits_auc` and `splits_nmi` are the same attacks on the
sides that all rows take at the party's own winning splits: what it learns by a split is that the label differs across
it, which its own columns let it guess to some extent without any training.

With rows sampled by gradient, `drawn_auc` is the guess from in how many rounds a row was among those that are told.
Trees count up to the twentieth, own splits up to the 128th.

Both are 1 where the labels are found out; `auc` is 1/2 and `nmi` 0 where nothing is. They are attacks, no bounds: a
better one may find more. For several classes `auc` is the commonest one's against the others; numbers count as above
their median or not.
Source: Takahashi, Liu, Liu, *Eliminating label leakage in tree-based vertical federated learning* (ID2Graph), 2023, of
which the grouping is taken, with k-means on principal components in place of Louvain communities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ROWS, TREES, SPLITS, CELLS, AXES, TURNS = 10_000, 20, 128, 512, 8, 30


@dataclass
class Seen:
    """Where a features party can tell that rows differ, tree by tree: of `rows`, an even choice of `count` rows, the
    cell of each at every party."""

    count: int
    parties: tuple[str, ...]
    rows: Ints = field(init=False, repr=False)
    drawn: Ints = field(init=False, repr=False)
    first: dict[str, Ints] = field(init=False, repr=False)
    trees: dict[str, list[Ints]] = field(init=False, repr=False)
    splits: dict[str, list[Ints]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.rows = np.unique(np.linspace(0, self.count - 1, min(self.count, ROWS)).astype(np.int64))
        self.drawn = np.zeros(self.rows.size, dtype=np.int64)
        self.first = {}
        self.trees = {p: [] for p in self.parties}
        self.splits = {p: [] for p in self.parties}
        self._now = self._blank()

    def _blank(self) -> dict[str, Ints]:
        return {p: np.zeros(self.rows.size, dtype=np.int64) for p in self.parties}

    def told(self, party: str, values: NDArray[np.integer]) -> None:
        """`party` can tell rows with different `values` (n,), at least 0 and below 2^20, apart."""
        if len(self.trees[party]) == TREES:
            return
        both = self._now[party] << 20 | values[self.rows].astype(np.int64)
        self._now[party] = np.unique(both, return_inverse=True)[1].astype(np.int64)
        if party not in self.first and self._now[party].any():
            self.first[party] = self._now[party]

    def told_all(self, values: NDArray[np.integer]) -> None:
        for party in self.parties:
            self.told(party, values)

    def split(self, party: str, left: NDArray[np.bool_]) -> None:
        """`party` learns that one of its splits won; of all rows (n,), which go left there."""
        if len(self.splits[party]) < SPLITS:
            self.splits[party].append(left[self.rows].astype(np.int64))

    def sampled(self, flags: NDArray[np.bool_]) -> None:
        """All are told which rows (n,) a round learns from, large gradients among them."""
        self.drawn += flags[self.rows]

    def next_tree(self) -> None:
        for party, cells in self._now.items():
            if len(self.trees[party]) < TREES:
                self.trees[party].append(cells)
        self._now = self._blank()

    def state(self) -> dict[str, NDArray[np.uint16]]:
        """For a checkpoint: of each party its trees, its splits (how many, then all), and its first cells."""
        none = np.zeros(self.rows.size, dtype=np.int64)
        parts = {
            "seen_trees": [c for p in self.parties for c in self.trees[p]],
            "seen_splits": [c for p in self.parties for c in self.splits[p]],
            "seen_first": [self.first.get(p, none) for p in self.parties],
        }
        out = {k: np.array(v, dtype=np.uint16).reshape(len(v), self.rows.size) for k, v in parts.items()}
        counts = np.array([len(self.splits[p]) for p in self.parties], dtype=np.uint16)
        return out | {"seen_counts": counts, "seen_drawn": self.drawn.astype(np.uint16)}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint of the same job."""
        trees, splits, first = (
            np.asarray(state[k]).astype(np.int64) for k in ("seen_trees", "seen_splits", "seen_first")
        )
        ends = np.cumsum(state["seen_counts"], dtype=np.int64)
        self.drawn = np.asarray(state["seen_drawn"]).astype(np.int64)
        each = len(trees) // max(1, len(self.parties))
        for i, party in enumerate(self.parties):
            self.trees[party] = list(trees[i * each : (i + 1) * each])
            self.splits[party] = list(splits[(ends[i - 1] if i else 0) : ends[i]])
            if first[i].any():
                self.first[party] = first[i]

    def figures(self, y: Floats, classes: int | None) -> dict[str, dict[str, float | int]]:
        """For each party `auc`, `nmi`, and of how many trees and rows; `classes` is None for numbers."""
        wanted = y[self.rows]
        labels = (wanted > np.median(wanted)) if classes is None else wanted
        out: dict[str, dict[str, float | int]] = {}
        drawn = {}
        if self.drawn.any():
            commonest = labels == np.bincount(labels.astype(np.int64)).argmax()
            drawn = {"drawn_auc": round(abs(area(self.drawn.astype(np.float64), commonest) - 0.5) + 0.5, 4)}
        for party in self.parties:
            auc, nmi = attacks(self.trees[party], self.first.get(party), labels.astype(np.int64))
            sizes = {"trees": len(self.trees[party]), "rows": int(self.rows.size)}
            out[party] = {"auc": round(auc, 4), "nmi": round(nmi, 4), **sizes, **drawn}
            if own := self.splits[party]:
                auc, nmi = attacks(own, own[0], labels.astype(np.int64))
                out[party] |= {"splits_auc": round(auc, 4), "splits_nmi": round(nmi, 4)}
        return out


def attacks(cells: list[Ints], first: Ints | None, labels: Ints) -> tuple[float, float]:
    """(auc, nmi) of `labels` (m,), from each tree's cells (m,) and the first cells in which rows differed at all."""
    kinds, counts = np.unique(labels, return_counts=True)
    varied = [c for c in cells if c.any()]
    if kinds.size < 2 or not varied:
        return 0.5, 0.0
    axes = principal(varied)
    commonest = labels == kinds[counts.argmax()]
    guesses = [axes[:, 0]] if first is None else [axes[:, 0], first.astype(np.float64)]
    auc = max(abs(area(g, commonest) - 0.5) for g in guesses) + 0.5
    return auc, max(mutual(found, labels) for found in groups(axes, int(kinds.size)))


def principal(cells: list[Ints]) -> Floats:
    """(m, axes) rows along the directions in which their cells of all trees differ most; alike rows lie together.

    One column stands for each cell; of very many the ones with the most rows count.
    """
    columns = [(c, k, n) for c in cells for k, n in zip(*np.unique(c, return_counts=True), strict=True)]
    columns.sort(key=lambda x: -int(x[2]))
    x = np.stack([c == k for c, k, _ in columns[:CELLS]], axis=1).astype(np.float64)
    x -= x.mean(axis=0)
    _, vectors = np.linalg.eigh(x.T @ x)
    return np.asarray(x @ vectors[:, ::-1][:, :AXES])


def groups(points: Floats, k: int) -> list[Ints]:
    """(m,) the group of each point, in two ways: k-means from points far apart, and from shares of the first axis; the
    same each time."""
    far = points[[int(np.argmax((points**2).sum(axis=1)))]]
    while len(far) < k:
        far = np.vstack([far, points[int(_distances(points, far).min(axis=1).argmax())]])
    shares = np.array_split(np.argsort(points[:, 0], kind="stable"), k)
    return [_settled(points, far), _settled(points, np.stack([points[share].mean(axis=0) for share in shares]))]


def _settled(points: Floats, centres: Floats) -> Ints:
    at = np.full(len(points), -1, dtype=np.int64)
    for _ in range(TURNS):
        now = _distances(points, centres).argmin(axis=1)
        if np.array_equal(now, at):
            break
        at = now
        centres = np.stack([points[at == j].mean(axis=0) if np.any(at == j) else c for j, c in enumerate(centres)])
    return at


def _distances(points: Floats, centres: Floats) -> Floats:
    return np.asarray(((points[:, None, :] - centres) ** 2).sum(axis=2))


def area(score: Floats, truth: NDArray[np.bool_]) -> float:
    """The chance that a true row scores above another, ties counting half."""
    _, where, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    positive = int(truth.sum())
    above = float(ranks[truth].sum()) - positive * (positive + 1) / 2
    return above / (positive * (truth.size - positive))


def mutual(a: Ints, b: Ints) -> float:
    """Mutual information of two groupings over the mean of their entropies; 0 where one of them is a single group."""
    joint = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(joint, (a, b), 1.0 / a.size)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    entropy = [-float((p[p > 0] * np.log(p[p > 0])).sum()) for p in (rows, columns)]
    if min(entropy) <= 0:
        return 0.0
    there = joint > 0
    shared = float((joint[there] * np.log(joint[there] / np.outer(rows, columns)[there])).sum())
    return max(0.0, 2 * shared / sum(entropy))
