"""A model's score as a sum of terms that features parties switch on or off, for scoring without showing paths: pure.

A split of a features party is a bit, "this row goes left". Below each such split s stands one term: the product of the
bits on the way to s, and of "left at s". The left child is reached where the term is 1, the right child where the
product above holds and the term is 0, so every leaf is a whole-number combination of terms, and

    raw score of output k = what the label party's own sides give + sum over the terms of k: coefficient * term

where the coefficients of a row follow from its own sides and the leaves alone. Terms of one output with the same
conditions, in one tree or several, are one term. There are at most as many as the features parties have splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parley.components.training.trees import Model, Node, Tree

Ints = NDArray[np.int64]
Bins = NDArray[np.uint16]
Floats = NDArray[np.float64]
Split = tuple[int, int]  # tree, node; trees are counted over all rounds
Test = tuple[int, int, tuple[int, ...] | None, bool, bool]  # feature, bin, left bins, missing goes left, wanted side
Combination = dict[int, int]  # term -> factor; NONE stands for the constant 1
NONE = -1


@dataclass(frozen=True)
class Condition:
    """One factor of a term: the party whose split it is, the split, and the side it wants."""

    party: str
    split: Split
    left: bool


@dataclass(frozen=True)
class _Leaves:
    """One tree for one output: how each leaf (l,) combines terms (c,), as (l, c) whole numbers, and its weight (l,)."""

    tree: Tree
    output: int
    leaves: Ints = field(repr=False)
    terms: Ints = field(repr=False)
    factors: Ints = field(repr=False)
    weights: Ints = field(repr=False)


@dataclass(frozen=True)
class Terms:
    """`conditions` and `output` of each term; raw score = base_score + 2^-shift * (constant + sum of kept terms).

    Weights are rounded to multiples of 2^-shift, so a row's score is off by at most 2^-(shift + 1) a tree; every
    coefficient is at most `bound` in size.
    """

    conditions: tuple[tuple[Condition, ...], ...]
    output: NDArray[np.uint16]
    shift: int
    outputs: int
    own: int
    missing: tuple[int, ...] = field(repr=False)
    trees: tuple[_Leaves, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.conditions)

    def coefficients(self, bins: Bins) -> tuple[Ints, Ints]:
        """(m, terms) and constants (m, K) of rows whose own bins (m, F0) these are."""
        coefficients = np.zeros((bins.shape[0], len(self)), dtype=np.int64)
        constants = np.zeros((bins.shape[0], self.outputs), dtype=np.int64)
        for part in self.trees:
            reached = self._reached(part.tree, bins)[:, part.leaves] * part.weights
            values = reached @ part.factors
            here = part.terms != NONE
            coefficients[:, part.terms[here]] += values[:, here]
            constants[:, part.output] += values[:, ~here].sum(axis=1)
        return coefficients, constants

    def _reached(self, tree: Tree, bins: Bins) -> NDArray[np.bool_]:
        """(m, nodes) which nodes a row may come to, as far as its own sides say."""
        out = np.zeros((bins.shape[0], len(tree.nodes)), dtype=bool)
        out[:, 0] = True
        for index, node in enumerate(tree.nodes):
            if node.is_leaf:
                continue
            if node.feature < self.own:
                left = node.goes_left(bins[:, node.feature], self.missing[node.feature])
                out[:, node.left], out[:, node.right] = out[:, index] & left, out[:, index] & ~left
            else:
                out[:, node.left] = out[:, node.right] = out[:, index]
        return out


def terms_of(model: Model, own: int, owners: Mapping[Split, str], scale_bits: int) -> Terms:
    """The terms of a model whose features 0 .. own-1 are the label party's; `owners` names every other split's party.

    Coefficients are below 2^scale_bits in size. KeyError for a split that nobody owns.
    """
    building = _Building(own, owners, {}, [], [])
    columns = [
        (t, k, tree, tree.weights()[:, k - at.start])
        for t, (at, tree) in enumerate(model.trees())
        for k in range(at.start, at.stop)
    ]
    found = [(k, tree, building.leaves(t, k, tree), weights) for t, k, tree, weights in columns]
    shift = _shift([(leaves, weights) for _, _, leaves, weights in found], len(building.conditions), scale_bits)
    parts = []
    for k, tree, leaves, weights in found:
        used = sorted({term for _, c in leaves for term in c})
        factors = np.array([[c.get(term, 0) for term in used] for _, c in leaves], dtype=np.int64)
        numbers = np.array([leaf for leaf, _ in leaves], dtype=np.int64)
        whole = np.rint(np.ldexp(weights[numbers], shift)).astype(np.int64)
        parts.append(_Leaves(tree, k, numbers, np.array(used, dtype=np.int64), factors, whole))
    outputs = np.array(building.outputs, dtype=np.uint16)
    missing = tuple(model.spec.missing(f) for f in range(own))
    width = len(model.base_score)
    return Terms(tuple(building.conditions), outputs, shift, width, own, missing, tuple(parts))


def _shift(found: list[tuple[list[tuple[int, Combination]], Floats]], terms: int, scale_bits: int) -> int:
    """The most fraction bits with which no coefficient, of any row, can exceed 2^scale_bits."""
    most = np.zeros(terms + 1)
    for leaves, weights in found:
        for leaf, combination in leaves:
            for term, factor in combination.items():
                most[term] += abs(factor * weights[leaf])
    largest = float(most.max())
    # One bit is kept for what rounding the weights may add.
    return scale_bits - 1 - (int(np.frexp(largest)[1]) if largest else 0)


@dataclass
class _Building:
    own: int
    owners: Mapping[Split, str]
    known: dict[tuple[int, frozenset[Test]], int]
    conditions: list[tuple[Condition, ...]]
    outputs: list[int]

    def leaves(self, t: int, k: int, tree: Tree) -> list[tuple[int, Combination]]:
        """Each leaf with the combination of terms that says whether features parties' sides lead there."""
        todo: list[tuple[int, Combination, dict[Test, Condition]]] = [(0, {NONE: 1}, {})]
        out = []
        while todo:
            index, combination, path = todo.pop()
            node = tree.nodes[index]
            if node.is_leaf:
                out.append((index, combination))
            elif node.feature < self.own:
                todo += [(node.left, combination, path), (node.right, combination, path)]
            else:
                ways = [{**path, _test(node, left): self._condition(t, index, left)} for left in (True, False)]
                left = {self._term(k, ways[0]): 1}
                todo += [(node.left, left, ways[0]), (node.right, _minus(combination, left), ways[1])]
        return out

    def _condition(self, t: int, index: int, left: bool) -> Condition:
        return Condition(self.owners[t, index], (t, index), left)

    def _term(self, k: int, path: dict[Test, Condition]) -> int:
        key = (k, frozenset(path))
        if key not in self.known:
            self.known[key] = len(self.conditions)
            self.conditions.append(tuple(path.values()))
            self.outputs.append(k)
        return self.known[key]


def _test(node: Node, left: bool) -> Test:
    return node.feature, node.bin, node.left_bins, node.missing_left, left


def _minus(a: Combination, b: Combination) -> Combination:
    return {term: f for term in a.keys() | b.keys() if (f := a.get(term, 0) - b.get(term, 0))}
