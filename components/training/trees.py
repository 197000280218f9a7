"""Trees over bins, and a model of several: prediction, importance, a closed dictionary form."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from parley.components.errors import DataError
from parley.components.features.spec import MAX_VALUE_BINS, BinSpec
from parley.components.training.objectives import Floats, Ints, Objective
from parley.components.training.split import Bins

Measure = Literal["gain", "cover", "splits"]
_VERSION = 2


@dataclass(frozen=True)
class Node:
    """A leaf (`feature` = -1, with a raw-score `weight`) or a split (see `split.Split`) with two children.

    A leaf for several outputs at once has a `vector` of weights instead.

    `cover` is the hessian sum of the training rows that reached the node. Children stand behind their parent.
    """

    feature: int = -1
    bin: int = 0
    left_bins: tuple[int, ...] | None = None
    missing_left: bool = False
    left: int = -1
    right: int = -1
    weight: float = 0.0
    gain: float = 0.0
    cover: float = 0.0
    vector: tuple[float, ...] = ()

    @property
    def is_leaf(self) -> bool:
        """Whether rows end here."""
        return self.feature < 0

    def goes_left(self, codes: Bins, missing: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(n,) whether rows with these bins of `feature` go left; `missing` is the feature's missing bin."""
        side = codes <= self.bin if self.left_bins is None else np.isin(codes, self.left_bins)
        return np.where(codes == missing, self.missing_left, side)


@dataclass(frozen=True)
class Tree:
    """Nodes, the root first and every child behind its parent."""

    nodes: tuple[Node, ...]

    def leaves(self, bins: Bins, spec: BinSpec) -> Ints:
        """(n,) the node index of the leaf that each row of `bins` (n, F) reaches."""
        at = np.zeros(bins.shape[0], dtype=np.int64)
        for index, node in enumerate(self.nodes):
            if node.is_leaf:
                continue
            here = np.flatnonzero(at == index)
            goes = node.goes_left(bins[here, node.feature], spec.missing(node.feature))
            at[here] = np.where(goes, node.left, node.right)
        return at

    @property
    def width(self) -> int:
        """Raw scores a row: 1, or as many as its leaves have."""
        return max(1, *(len(n.vector) for n in self.nodes))

    def weights(self) -> Floats:
        """(nodes, width) raw scores of rows that end there; 0 at splits."""
        if self.width == 1:
            return np.array([[n.weight] for n in self.nodes])
        return np.array([n.vector or (0.0,) * self.width for n in self.nodes])

    def predict(self, bins: Bins, spec: BinSpec) -> Floats:
        """(n, width) raw scores of the rows of `bins` (n, F)."""
        return np.asarray(self.weights()[self.leaves(bins, spec)], dtype=np.float64)


@dataclass(frozen=True)
class Model:
    """Start scores (K,) and rounds of K trees each, or of one tree with K weights a leaf.

    Raw score k = base_score[k] + sum over rounds r of trees [r][k], or of weight k of tree [r][0].
    """

    objective: Objective
    spec: BinSpec
    base_score: tuple[float, ...]
    rounds: tuple[tuple[Tree, ...], ...]

    def raw(self, bins: Bins) -> Floats:
        """(n, K) raw scores."""
        if bins.ndim != 2 or bins.shape[1] != self.spec.features:
            raise DataError("bad_bins", f"the model needs {self.spec.features} binned features a row")
        if bins.size and np.any(bins.max(axis=0) >= np.asarray(self.spec.n_bins)):
            raise DataError("bad_bins", "a bin lies outside its feature's bins", "use the model's own binning")
        out = np.tile(np.asarray(self.base_score), (bins.shape[0], 1))
        for columns, tree in self.trees():
            out[:, columns] += tree.predict(bins, self.spec)
        return out

    def trees(self) -> list[tuple[slice, Tree]]:
        """All trees in order, each with the columns of the raw scores that it adds to."""
        return [(slice(k, k + t.width), t) for trees in self.rounds for k, t in enumerate(trees)]

    def predict(self, bins: Bins) -> Floats:
        """(n, K) probabilities, or values for regression."""
        return self.objective.predict(self.raw(bins))

    def importance(self, measure: Measure) -> Floats:
        """(F,) for each feature its splits' total gain, total cover, or number."""
        out = np.zeros(self.spec.features)
        for node in (n for trees in self.rounds for tree in trees for n in tree.nodes if not n.is_leaf):
            out[node.feature] += {"gain": node.gain, "cover": node.cover, "splits": 1.0}[measure]
        return out

    def to_dict(self) -> dict[str, object]:
        """A JSON-able form that `from_dict` reads back exactly."""
        return {
            "version": _VERSION,
            "objective": asdict(self.objective),
            "spec": {"n_bins": list(self.spec.n_bins), "categorical": list(self.spec.categorical)},
            "base_score": list(self.base_score),
            "rounds": [[[_node_dict(n) for n in t.nodes] for t in trees] for trees in self.rounds],
        }

    @classmethod
    def from_dict(cls, value: object) -> Model:
        """The model that `to_dict` wrote; DataError `bad_model` for anything else."""
        keys = {"version", "objective", "spec", "base_score", "rounds"}
        if not isinstance(value, dict) or set(value) != keys or value["version"] != _VERSION:
            raise DataError("bad_model", "this is not a model of a known version")
        try:
            objective = Objective(**value["objective"])
            spec = BinSpec(tuple(value["spec"]["n_bins"]), tuple(value["spec"]["categorical"]))
            base = tuple(float(b) for b in value["base_score"])
            rounds = tuple(tuple(_tree(t, spec) for t in trees) for trees in value["rounds"])
        except (TypeError, KeyError, ValueError, AttributeError):
            raise DataError("bad_model", "a part of the model is missing or of the wrong type") from None
        if any(sum(t.width for t in trees) != objective.classes for trees in rounds) or len(base) != objective.classes:
            raise DataError("bad_model", "the model does not have one tree and one score for each class")
        if not all(math.isfinite(b) for b in base):
            raise DataError("bad_model", "a start score of the model is not finite")
        return cls(objective, spec, base, rounds)


def _node_dict(node: Node) -> dict[str, object]:
    value = {f.name: getattr(node, f.name) for f in fields(node)}
    value["left_bins"] = None if node.left_bins is None else list(node.left_bins)
    value["vector"] = list(node.vector)
    return value


def _tree(records: list[dict[str, Any]], spec: BinSpec) -> Tree:
    """A tree in which every child stands behind its parent, has one parent, and every number is in range."""
    names = {f.name for f in fields(Node)}
    nodes = []
    for record in records:
        if set(record) != names or not _plain(record):
            raise DataError("bad_model", "a node of the model has other fields or types than it should")
        bins = record["left_bins"]
        left_bins = None if bins is None else tuple(bins)
        nodes.append(Node(**{**record, "left_bins": left_bins, "vector": tuple(record["vector"])}))
    children = [c for n in nodes if not n.is_leaf for c in (n.left, n.right)]
    if sorted(children) != list(range(1, len(nodes))) or not nodes:
        raise DataError("bad_model", "the nodes of a tree do not form a tree")
    if len({len(n.vector) for n in nodes if n.is_leaf}) != 1 or any(n.vector for n in nodes if not n.is_leaf):
        raise DataError("bad_model", "the leaves of a tree do not all have as many weights")
    for index, node in enumerate(nodes):
        if node.is_leaf:
            continue
        if node.feature >= spec.features or min(node.left, node.right) <= index:
            raise DataError("bad_model", "a node of the model points outside the tree or the features")
    return Tree(tuple(nodes))


def _plain(record: dict[str, Any]) -> bool:
    """Whether a node's fields have the types and ranges of `Node`."""
    whole = all(type(record[k]) is int and -1 <= record[k] <= MAX_VALUE_BINS for k in ("feature", "bin"))
    whole &= all(type(record[k]) is int for k in ("left", "right"))
    finite = all(type(record[k]) is float and math.isfinite(record[k]) for k in ("weight", "gain", "cover"))
    bins = record["left_bins"]
    listed = bins is None or (type(bins) is list and all(type(b) is int and 0 <= b <= MAX_VALUE_BINS for b in bins))
    vector = record["vector"]
    finite &= type(vector) is list and all(type(v) is float and math.isfinite(v) for v in vector)
    finite &= len(vector) != 1
    return bool(whole and finite and listed and type(record["missing_left"]) is bool)
