"""What each feature adds to a row's raw score: Shapley values of trees, computed from the sides that rows take.

The game of a row: a coalition of features is worth the score expected when only they are known; at a split on a feature
outside the coalition both children count, by the shares of training rows (their covers) that went there. That is the
path-dependent form of Lundberg et al., *From local explanations to global understanding with explainable AI for trees*,
2020. Values add up: base + sum over features = raw score, of every row and output.

A leaf's share needs, for each feature on its path, only whether the row took the path's side at all splits on that
feature (o, 0 or 1) and the share of rows that do (z). With d features on the path the value of feature j is

    weight x (o_j - z_j) x sum_k k! (d - 1 - k)! / d! x c_k,    sum_k c_k t^k = product over i != j of (z_i + o_i t)

so that no feature value is needed, and rows that agree on all o share one computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.features.spec import BinSpec
from parley.components.training.objectives import Floats, Ints
from parley.components.training.split import Bins
from parley.components.training.trees import Model, Tree

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Leaf:
    """A leaf and its path: (node, True for left, feature, share of the node's rows that go that way) from the root."""

    node: int
    path: tuple[tuple[int, bool, int, float], ...]


def leaves(tree: Tree) -> list[Leaf]:
    """The leaves of a tree with their paths; a split that no training row reached sends half each way."""
    out, waiting = [], [Leaf(0, ())]
    while waiting:
        at = waiting.pop()
        node = tree.nodes[at.node]
        if node.is_leaf:
            out.append(at)
            continue
        low, high = tree.nodes[node.left].cover, tree.nodes[node.right].cover
        share = low / (low + high) if low + high > 0 else 0.5
        waiting.append(Leaf(node.left, (*at.path, (at.node, True, node.feature, share))))
        waiting.append(Leaf(node.right, (*at.path, (at.node, False, node.feature, 1 - share))))
    return out


def sides_of(tree: Tree, bins: Bins, spec: BinSpec) -> Bools:
    """(n, nodes) which rows of `bins` (n, F) go left at each node; False at leaves."""
    out = np.zeros((bins.shape[0], len(tree.nodes)), dtype=bool)
    for n, node in enumerate(tree.nodes):
        if not node.is_leaf:
            out[:, n] = node.goes_left(bins[:, node.feature], spec.missing(node.feature))
    return out


def of_tree(tree: Tree, sides: Bools, groups: Ints) -> tuple[Floats, Floats]:
    """(base (width,), values (n, G, width)) of one tree, from `sides` (n, nodes).

    `groups` (F,) says under which of G numbers each feature's value is added up.
    """
    weights, rows = tree.weights(), sides.shape[0]
    base = np.zeros(weights.shape[1])
    out = np.zeros(
        (int(groups.max(initial=-1)) + 1, weights.shape[1], rows)
    )  # rows last: each sum is one run of memory
    taken = np.ascontiguousarray(sides.T)
    for leaf in leaves(tree):
        by_feature: dict[int, tuple[float, Bools]] = {}
        for node, left, feature, share in leaf.path:
            before, agreed = by_feature.get(feature, (1.0, np.ones(rows, dtype=bool)))
            by_feature[feature] = (before * share, agreed & (taken[node] if left else ~taken[node]))
        z = np.array([v[0] for v in by_feature.values()])
        base += weights[leaf.node] * z.prod()
        if not by_feature:
            continue
        code = np.zeros(rows, dtype=np.int64)
        for j, (_, agreed) in enumerate(by_feature.values()):
            code |= agreed.astype(np.int64) << j
        codes, at = _distinct(code, z.size)
        patterns = (codes[:, None] >> np.arange(z.size)) & 1
        values = _shapley(patterns.astype(np.float64), z)
        for j, feature in enumerate(by_feature):
            out[groups[feature]] += weights[leaf.node][:, None] * values[at, j]
    return base, np.ascontiguousarray(out.transpose(2, 0, 1))


def _distinct(code: Ints, bits: int) -> tuple[Ints, Ints]:
    """(m,) pattern codes and (n,) which of them each row has; all codes there are, where those are few."""
    if (1 << bits) <= max(code.size, 2):
        return np.arange(1 << bits), code
    codes, at = np.unique(code, return_inverse=True)
    return codes, at.reshape(-1)


def _shapley(o: Floats, z: Floats) -> Floats:
    """(m, d) values for a leaf of weight 1, of patterns o (m, d) of 0 and 1 and shares z (d,)."""
    m, d = o.shape
    out = np.empty((m, d))
    sizes = np.array([factorial(k) * factorial(d - 1 - k) / factorial(d) for k in range(d)])
    for j in range(d):
        c = np.zeros((m, d))
        c[:, 0] = 1.0
        for i in range(d):
            if i != j:
                shifted = np.concatenate([np.zeros((m, 1)), c[:, :-1]], axis=1)
                c = c * z[i] + shifted * o[:, i : i + 1]
        out[:, j] = (o[:, j] - z[j]) * (c @ sizes)
    return out


def attributions(model: Model, sides: Sequence[Bools], groups: Ints | None = None) -> tuple[Floats, Floats]:
    """(base (K,), values (n, G, K)) of a model's raw score, `sides` (n, nodes) for each of `model.trees()`.

    `groups` (F,) adds features up; without it each feature is its own group. DataError `bad_sides`.
    """
    chosen = np.arange(model.spec.features) if groups is None else groups
    trees = model.trees()
    if len(sides) != len(trees) or chosen.shape != (model.spec.features,):
        raise DataError("bad_sides", "there must be sides for every tree and a group for every feature")
    base = np.array(model.base_score)
    rows = sides[0].shape[0] if sides else 0
    out = np.zeros((rows, int(chosen.max(initial=-1)) + 1, base.size))
    for (outputs, tree), taken in zip(trees, sides, strict=True):
        if taken.shape != (rows, len(tree.nodes)):
            raise DataError("bad_sides", "the sides do not fit the trees")
        start, values = of_tree(tree, taken, chosen)
        base[outputs] += start
        out[:, :, outputs] += values
    return base, out
