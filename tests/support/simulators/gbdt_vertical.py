"""What each role of vertical boosting sees, made from its own input, its output, and what it may learn.

All but the ciphertexts follows from what is learnt, to the byte. Of ciphertexts the simulator of a features party makes
encryptions of nothing under a key of its own; that of the label party packs the sums it may learn, in plain integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import gmpy2
import numpy as np
from simulators.envelopes import MadeUp

from parley.components.training.growing import CLOSED
from parley.components.training.trees import Model, Tree
from parley.protocols.gbdt import messages as v
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.data import groups

Place = tuple[int, int]  # tree, level


@dataclass(frozen=True)
class Learnt:
    """`node_membership`, `trees`, `row_count` and the layout of what is agreed: for each tree its open nodes by level,
    and for each (tree, level) the node (n,) of every row; `sampled` are each tree's rows, `large_gradient_rows`."""

    rows: int
    depth: int
    kept: list[int]
    opened: list[list[list[int]]]
    node: dict[Place, np.ndarray] = field(repr=False)
    sampled: list[np.ndarray] | None = None

    def sample(self, tree: int) -> np.ndarray:
        return np.arange(self.rows) if self.sampled is None else self.sampled[tree]

    def slots(self, tree: int, level: int) -> np.ndarray:
        out = np.full(self.rows, CLOSED, dtype=np.uint16)
        for slot, node in enumerate(self.opened[tree][level]):
            out[self.node[tree, level] == node] = slot
        return out

    def summed(self, tree: int, level: int) -> np.ndarray:
        """The root, or of each two siblings the one with fewer rows."""
        if level == 0:
            return np.array([0], dtype=np.uint16)
        at = self.node[tree, level][self.sample(tree)]
        sizes = [int(np.sum(at == node)) for node in self.opened[tree][level]]
        pairs = range(0, len(sizes), 2)
        return np.array([at + (sizes[at] > sizes[at + 1]) for at in pairs], dtype=np.uint16)


def learnt(model: Model, bins: np.ndarray, depth: int) -> Learnt:
    """From the model and the joined bins (n, F), by sending every row down every tree."""
    opened, node = [], {}
    for t, (tree,) in enumerate(model.rounds):
        at = np.zeros(len(bins), dtype=np.int64)
        levels = [[0]]
        for level in range(depth):
            node[t, level] = at.copy()
            parted = [k for k in levels[level] if not tree.nodes[k].is_leaf]
            for k in parted:
                at[node[t, level] == k] = _children(tree, k, bins[node[t, level] == k], model)
            levels.append([c for k in parted for c in (tree.nodes[k].left, tree.nodes[k].right)])
        node[t, depth] = at
        opened.append(levels)
    return Learnt(len(bins), depth, list(range(1, len(model.rounds) + 1)), opened, node)


def _children(tree: Tree, k: int, bins: np.ndarray, model: Model) -> np.ndarray:
    node = tree.nodes[k]
    left = node.goes_left(bins[:, node.feature], model.spec.missing(node.feature))
    return np.where(left, node.left, node.right)


def features_is_sent(known: Learnt, splits: Splits, n_bins: Sequence[int], public: bytes, zeros) -> MadeUp:
    """`zeros(n)` are n encryptions of nothing under the simulator's own key, whose public half is `public`."""
    out = MadeUp()
    out.one(v.Key(public, known.rows, 0, 32))
    width = max(n_bins)
    for t, kept in enumerate(known.kept):
        size = known.sample(t).size
        if known.sampled is not None:
            flags = np.isin(np.arange(known.rows), known.sample(t))
            out.one(v.Sampled(np.packbits(flags)), tree=t)
        chunks = [v.Gradients(zeros(min(v.CHUNK, size - a))) for a in range(0, size, v.CHUNK)]
        out.stream(v.Gradients, chunks, tree=t)
        for level in range(known.depth):
            opened = known.opened[t][level]
            if not opened:
                out.one(v.Level(known.slots(t, level), np.empty(0, dtype=np.uint16)), tree=t, level=level)
                break
            out.one(v.Level(known.slots(t, level), known.summed(t, level)), tree=t, level=level)
            mine = [i for i in range(len(splits.tree)) if splits.tree[i] == t and splits.node[i] in opened]
            out.one(
                v.Chosen(
                    np.array([opened.index(splits.node[i]) for i in mine], dtype=np.uint16),
                    np.array([splits.node[i] for i in mine], dtype=np.uint32),
                    np.array([splits.feature[i] for i in mine], dtype=np.uint32),
                    np.array([splits.left[i] for i in mine], dtype=np.uint8).reshape(len(mine), width),
                ),
                tree=t,
                level=level,
            )
        out.one(v.TreeDone(t + 1 < len(known.kept), kept), tree=t)
    return out


def label_is_sent(known: Learnt, model: Model, shape, names: list[str], start: int, answer) -> MadeUp:
    """`answer(tree, level, slot, bins, features)` is one histogram's message made from the sums that are learnt;
    `shape` is (bins of each feature, which are categories), `start` the party's first joined feature."""
    n_bins, categorical = shape
    out = MadeUp()
    out.one(
        v.Shape(
            np.array(n_bins, dtype=np.uint32),
            np.array(categorical, dtype=np.uint8),
            np.zeros(len(n_bins), dtype=np.int8),
        )
    )
    if names:
        out.one(v.Names(names))
    for t, (tree,) in enumerate(model.rounds):
        for level in range(known.depth):
            opened = known.opened[t][level]
            if not opened:
                break
            due = groups(tuple(n_bins), np.ones(len(n_bins), dtype=bool))
            chunks = [answer(t, level, slot, b, f) for slot in known.summed(t, level) for b, f in due]
            out.stream(v.Histograms, chunks, tree=t, level=level)
            sides = [np.empty(0, dtype=bool)]
            for k in opened:
                node = tree.nodes[k]
                if not node.is_leaf and start <= node.feature < start + len(n_bins):
                    sides.append(known.node[t, level + 1][known.node[t, level] == k] == node.left)
            out.one(v.Directions(np.packbits(np.concatenate(sides))), tree=t, level=level)
    return out


class Nonces:
    """Random n-th residues modulo n^2, each the product of a random choice out of a pool: an independent way."""

    def __init__(self, n: int, rng: np.random.Generator, pool: int = 160, taken: int = 24) -> None:
        self.n, self.square, self.rng, self.taken = n, gmpy2.mpz(n) * n, rng, taken
        roots = [int.from_bytes(rng.bytes(n.bit_length() // 8), "big") % n for _ in range(pool)]
        self.pool = [gmpy2.powmod(gmpy2.mpz(r), n, self.square) for r in roots]

    def one(self):
        out = gmpy2.mpz(1)
        for k in self.rng.choice(len(self.pool), self.taken, replace=False):
            out = out * self.pool[k] % self.square
        return out

    def ciphertext(self, m: int) -> bytes:
        """Of a plaintext 0 <= m < n, as it travels: little endian."""
        value = (1 + gmpy2.mpz(m) * self.n) * self.one() % self.square
        return int(value).to_bytes(self.n.bit_length() // 4, "little")


def packed(values: np.ndarray, slot: int, n: int) -> int:
    """The plaintext of (k, channels) signed sums, lowest first."""
    total = 0
    for at, x in zip(count(), values.reshape(-1).tolist(), strict=False):
        total += x << (at * slot)
    return total % n
