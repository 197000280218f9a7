"""One tree while it grows, step by step: it sees histograms and which rows go left, wherever these come from.

Level-wise, a step parts every open node that has a split; leaf-wise, the one with the greatest gain. Of two sibling
nodes only the smaller one's histogram is summed; the other is the difference from the parent. Nodes are numbered as
they come into being. Source: Chen & Guestrin, *XGBoost*, 2016; leaf-wise: Ke et al., *LightGBM*, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parley.components.features.spec import BinSpec
from parley.components.training.objectives import Ints
from parley.components.training.split import (
    FREE,
    Bounds,
    Params,
    Split,
    best_split,
    build_histograms,
    child_bounds,
    leaf_weight,
)
from parley.components.training.trees import Node, Tree

Mask = NDArray[np.bool_]
Slots = NDArray[np.uint16]
AT_ONCE = 1 << 24  # bins that are summed in one go
CLOSED = 65_535  # the slot of rows whose node does not grow


class BinSource(Protocol):
    """Bins (n, F) that rows are taken from: an array, or what stands for one that lies elsewhere."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, key: Any, /) -> NDArray[np.uint16]: ...


@dataclass
class Growing:
    """The tree so far. `channels` (n, 2K) are zero outside `sample`; `own` (n, F0) are the bins of the first features,
    those that are at hand. `allowed` (F,) masks features; `monotone` (F,) as in `best_split`.

    `level` lists the open nodes; a row's slot is its node's place in it. `position` (n,) is each row's node. `waiting`
    holds the splits of open nodes that were found and not yet made.
    """

    channels: Ints = field(repr=False)
    sample: Ints = field(repr=False)
    own: BinSource = field(repr=False)
    spec: BinSpec
    growth: Params
    allowed: Mask
    monotone: Ints | None = None
    nodes: list[Node] = field(default_factory=list)
    sums: list[Ints] = field(default_factory=list, repr=False)
    level: list[int] = field(default_factory=lambda: [0])
    hists: dict[int, Ints] = field(default_factory=dict, repr=False)
    waiting: dict[int, Split] = field(default_factory=dict)
    pairs: list[tuple[int, int, int]] = field(default_factory=list)  # (parent, smaller child, larger child)

    def __post_init__(self) -> None:
        self.position: Ints = np.zeros(self.channels.shape[0], dtype=np.int64)
        self.bounds: list[Bounds] = []
        self.depths: list[int] = []
        self._add(self.channels[self.sample].sum(axis=0), FREE, 0)

    @property
    def more(self) -> bool:
        """Whether there are nodes whose histograms are still to come."""
        return bool(self.pairs) or self.level == [0]

    def slots(self) -> Slots:
        """(n,) each row's slot, or CLOSED."""
        lookup = np.full(len(self.nodes), CLOSED, dtype=np.uint16)
        lookup[self.level] = np.arange(len(self.level), dtype=np.uint16)
        return lookup[self.position]

    def to_build(self) -> Slots:
        """Slots whose histograms are summed over rows: the root, or the smaller of each two siblings."""
        wanted = [small for _, small, _ in self.pairs] if self.pairs else self.level
        return np.array([self.level.index(node) for node in wanted], dtype=np.uint16)

    def own_histograms(self, build: Slots) -> Ints:
        """(b, F, B, 2K) for the built slots, with the features at hand filled in."""
        out = np.zeros((build.size, self.spec.features, self.spec.width, self.channels.shape[1]), dtype=np.int64)
        mine = self.own.shape[1]
        if mine:
            own = BinSpec(self.spec.n_bins[:mine], self.spec.categorical[:mine])
            lookup = np.full(CLOSED + 1, -1, dtype=np.int64)
            lookup[build] = np.arange(build.size)
            node = lookup[self.slots()[self.sample]]
            rows, node = self.sample[node >= 0], node[node >= 0]
            step = max(1, AT_ONCE // mine)
            for start in range(0, rows.size, step):
                some, of = rows[start : start + step], node[start : start + step]
                out[:, :mine, : own.width] += build_histograms(self.own[some], self.channels[some], of, build.size, own)
        return out

    def find_splits(self, built: Ints, allowed: Mask | None = None) -> list[tuple[int, Split]]:
        """(slot, split) of the nodes to part now, from the built histograms; siblings by subtraction.

        `allowed` (F,) masks features for this step alone.
        """
        fresh: dict[int, Ints] = {}
        if not self.pairs:
            fresh[0] = built[0]
        for at, (parent, small, large) in enumerate(self.pairs):
            fresh[small] = built[at]
            fresh[large] = self.hists[parent] - built[at]
        usable = self.allowed if allowed is None else self.allowed & allowed
        for node in (n for n in self.level if n in fresh):
            split = best_split(
                fresh[node],
                self.sums[node],
                self.growth,
                self.spec,
                usable,
                monotone=self.monotone,
                bounds=self.bounds[node],
            )
            if split is not None:
                self.waiting[node] = split
        self.hists = {n: fresh[n] if n in fresh else self.hists[n] for n in self.waiting}
        return [(self.level.index(node), self.waiting.pop(node)) for node in self._next()]

    def _next(self) -> list[int]:
        """Level-wise all; leaf-wise the best, and after one whose children stay leaves the next best too."""
        if not self.growth.leaves:
            return [n for n in self.level if n in self.waiting]
        out: list[int] = []
        left = self.growth.leaves - (len(self.nodes) + 1) // 2
        for node in sorted(self.waiting, key=lambda n: (-self.waiting[n].gain, n))[: max(0, left)]:
            out.append(node)
            if self._grows(node):
                break
        return out

    def _grows(self, parent: int) -> bool:
        return self.depths[parent] + 1 < self.growth.depth

    def left_table(self, split: Split) -> Mask:
        """(B,) which bins of the split's feature go left, the missing one among them."""
        bins = np.arange(self.spec.width)
        out = bins <= split.bin if split.left is None else np.isin(bins, split.left)
        out[self.spec.missing(split.feature) :] = False
        out[self.spec.missing(split.feature)] = split.missing_left
        return out

    def rows_at(self, slot: int) -> Ints:
        """All rows at an open node, sampled or not."""
        return np.flatnonzero(self.position == self.level[slot])

    def own_side(self, slot: int, split: Split) -> Mask:
        """Which of `rows_at(slot)` go left, for a split of a feature at hand."""
        left: Mask = self.left_table(split)[self.own[self.rows_at(slot), split.feature]]
        return left

    def apply(self, splits: list[tuple[int, Split]], sides: dict[int, Mask]) -> None:
        """Part the nodes; `sides[slot]` says which of `rows_at(slot)` go left. Their children are open next."""
        moves = [(self.rows_at(slot), self.level[slot], split, sides[slot]) for slot, split in splits]
        opened = []
        for rows, node, split, left in moves:
            first = len(self.nodes)
            self.nodes[node] = self._open(self.nodes[node], split, first)
            part = np.array(split.sums, dtype=np.int64)
            way = 0 if self.monotone is None else int(self.monotone[split.feature])
            both = child_bounds(split, self.sums[node], self.growth, self.bounds[node], way)
            for sums, bounds in zip((part, self.sums[node] - part), both, strict=True):
                self._add(sums, bounds, self.depths[node] + 1)
            self.position[rows] = np.where(left, first, first + 1)
            if self._grows(node):
                opened.append((node, first))
        if self.growth.leaves and (len(self.nodes) + 1) // 2 >= self.growth.leaves:
            opened = []
        counts = np.bincount(self.position[self.sample], minlength=len(self.nodes))
        self.pairs = []
        for parent, left_child in opened:
            small, large = left_child, left_child + 1
            if counts[small] > counts[large]:
                small, large = large, small
            self.pairs.append((parent, small, large))
        children = [child for _, first in opened for child in (first, first + 1)]
        self.level = [*self.waiting, *children] if children else []

    def alone(self) -> None:
        """Grow to the end with the features at hand, which must be all that are allowed."""
        while self.more:
            splits = self.find_splits(self.own_histograms(self.to_build()))
            self.apply(splits, {slot: self.own_side(slot, split) for slot, split in splits})

    def tree(self) -> Tree:
        return Tree(tuple(self.nodes))

    def scores(self) -> NDArray[np.float64]:
        """(n, 1 or K) the tree's raw scores of every row, from the leaf it came to."""
        return np.asarray(self.tree().weights()[self.position])

    def _add(self, sums: Ints, bounds: Bounds, depth: int) -> None:
        weights = [
            leaf_weight(int(g), int(h), self.growth, bounds) for g, h in zip(sums[0::2], sums[1::2], strict=True)
        ]
        cover = int(sums[1::2].sum()) / 2.0**self.growth.scale_bits
        alone = len(weights) == 1
        leaf = Node(weight=weights[0] if alone else 0.0, cover=cover, vector=() if alone else tuple(weights))
        self.nodes.append(leaf)
        self.sums.append(sums)
        self.bounds.append(bounds)
        self.depths.append(depth)

    @staticmethod
    def _open(node: Node, split: Split, first: int) -> Node:
        return replace(
            node,
            feature=split.feature,
            bin=split.bin,
            left_bins=split.left,
            missing_left=split.missing_left,
            left=first,
            right=first + 1,
            weight=0.0,
            vector=(),
            gain=split.gain,
        )
