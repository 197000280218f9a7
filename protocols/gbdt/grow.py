"""One tree while it grows at the label party, level by level: pure, it sees histograms and sides, never a session.

Nodes are numbered as `components.training.gbdt.grow_tree` numbers them, so that the federated tree is that tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from parley.components.features.spec import BinSpec
from parley.components.training.split import Params as Growth
from parley.components.training.split import Split, best_split, build_histograms, leaf_weight
from parley.components.training.trees import Node, Tree

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
CLOSED = 65_535  # the slot of rows whose node does not grow


@dataclass
class Growing:
    """The tree so far. `channels` (n, 2) are zero outside `sample`; `own` (n, F0) are the label party's bins.

    `level` lists the open nodes; a row's slot is its node's place in it. `position` (n,) is each row's node.
    """

    channels: Ints = field(repr=False)
    sample: Ints = field(repr=False)
    own: NDArray[np.uint16] = field(repr=False)
    spec: BinSpec
    growth: Growth
    allowed: Mask
    nodes: list[Node] = field(default_factory=list)
    sums: list[Ints] = field(default_factory=list, repr=False)
    level: list[int] = field(default_factory=lambda: [0])
    hists: dict[int, Ints] = field(default_factory=dict, repr=False)
    pairs: list[tuple[int, int, int]] = field(default_factory=list)  # (parent, smaller child, larger child)

    def __post_init__(self) -> None:
        self.position: Ints = np.zeros(self.channels.shape[0], dtype=np.int64)
        self.sums.append(self.channels[self.sample].sum(axis=0))
        self.nodes.append(self._leaf(self.sums[0]))

    def slots(self) -> NDArray[np.uint16]:
        """(n,) each row's slot, or CLOSED."""
        lookup = np.full(len(self.nodes), CLOSED, dtype=np.uint16)
        lookup[self.level] = np.arange(len(self.level), dtype=np.uint16)
        return lookup[self.position]

    def to_build(self) -> NDArray[np.uint16]:
        """Slots whose histograms are summed over rows: the root, or the smaller of each two siblings."""
        wanted = [small for _, small, _ in self.pairs] if self.pairs else self.level
        return np.array([self.level.index(node) for node in wanted], dtype=np.uint16)

    def own_histograms(self, build: NDArray[np.uint16]) -> Ints:
        """(b, F, B, 2) for the built slots, with the label party's own features filled in."""
        out = np.zeros((build.size, self.spec.features, self.spec.width, 2), dtype=np.int64)
        mine = self.own.shape[1]
        if mine:
            own = BinSpec(self.spec.n_bins[:mine], self.spec.categorical[:mine])
            lookup = np.full(CLOSED + 1, -1, dtype=np.int64)
            lookup[build] = np.arange(build.size)
            node = lookup[self.slots()[self.sample]]
            made = build_histograms(self.own[self.sample], self.channels[self.sample], node, build.size, own)
            out[:, :mine, : own.width] = made
        return out

    def find_splits(self, built: Ints) -> list[tuple[int, Split]]:
        """(slot, split) of every open node that parts, from the built histograms; siblings by subtraction."""
        hists: dict[int, Ints] = {}
        if not self.pairs:
            hists[0] = built[0]
        for at, (parent, small, large) in enumerate(self.pairs):
            hists[small] = built[at]
            hists[large] = self.hists[parent] - built[at]
        self.hists = hists
        found = []
        for slot, node in enumerate(self.level):
            split = best_split(hists[node], self.sums[node], self.growth, self.spec, self.allowed)
            if split is not None:
                found.append((slot, split))
        return found

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

    def apply(self, splits: list[tuple[int, Split]], sides: dict[int, Mask]) -> None:
        """Part the nodes; `sides[slot]` says which of `rows_at(slot)` go left. The children are the next level."""
        moves = [(self.rows_at(slot), self.level[slot], split, sides[slot]) for slot, split in splits]
        self.pairs, opened = [], []
        for rows, node, split, left in moves:
            first = len(self.nodes)
            self.nodes[node] = self._open(self.nodes[node], split, first)
            part = np.array([split.g, split.h], dtype=np.int64)
            for sums in (part, self.sums[node] - part):
                self.sums.append(sums)
                self.nodes.append(self._leaf(sums))
            self.position[rows] = np.where(left, first, first + 1)
            opened.append((node, first))
        counts = np.bincount(self.position[self.sample], minlength=len(self.nodes))
        for parent, left_child in opened:
            small, large = left_child, left_child + 1
            if counts[small] > counts[large]:
                small, large = large, small
            self.pairs.append((parent, small, large))
        self.level = [child for _, first in opened for child in (first, first + 1)]

    def tree(self) -> Tree:
        return Tree(tuple(self.nodes))

    def scores(self) -> NDArray[np.float64]:
        """(n,) the tree's raw score of every row, from the leaf it came to."""
        return np.array([n.weight for n in self.nodes])[self.position]

    def _leaf(self, sums: Ints) -> Node:
        g, h = int(sums[0]), int(sums[1])
        return Node(weight=leaf_weight(g, h, self.growth), cover=h / 2.0**self.growth.scale_bits)

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
            gain=split.gain,
        )
