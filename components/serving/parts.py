"""One party's part of a trained model, as it stands in what a training step kept: trees, splits, or a linear part.

A vertical model is never in one place. Of boosting, the label party holds the trees' shape, its own splits and the leaf
weights; a features party holds its own splits. For a row, each party answers with the side the row takes at each of its
own splits (`sides`, True is left), and the label party's part turns all sides into the score. Of a linear model each
party holds its own coefficients, and the scores are the sum of all parts.

Nothing of a training row is in a part: no row id, label or score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.features.binning import Binning, ColumnBins
from parley.components.training.trees import Model

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Link = Literal["identity", "logit", "softmax", "log", "ovr"]
LINKS: dict[str, Link] = {
    "squared": "identity",
    "lambdarank": "identity",
    "linear": "identity",
    "logistic": "logit",
    "softmax": "softmax",
    "ovr": "ovr",
    "poisson": "log",
    "gamma": "log",
    "tweedie": "log",
}


@dataclass(frozen=True)
class OwnSplit:
    """A split of this party's own column: where in the model it stands, and which bins go left, missing last (B,)."""

    tree: int
    node: int
    column: ColumnBins
    left: tuple[bool, ...]

    @property
    def name(self) -> str:
        """`t<tree>n<node>`: what the label party calls the answer to this split."""
        return f"t{self.tree}n{self.node}"


@dataclass(frozen=True)
class Branch:
    """A node of the label party's trees: a leaf with weights (K,), or a split by name, its `own` or somebody else's."""

    weights: tuple[float, ...] = ()
    split: str = ""
    own: bool = False
    left: int = -1
    right: int = -1


@dataclass(frozen=True)
class LabelTrees:
    """The label party's part: trees of `Branch`, its own splits, base scores (K,), and the link of the raw score."""

    trees: tuple[tuple[Branch, ...], ...]
    own: tuple[OwnSplit, ...]
    base: tuple[float, ...]
    link: Link

    @property
    def asked(self) -> tuple[str, ...]:
        """The splits of other parties, whose answers must come from there, in order."""
        return tuple(b.split for t in self.trees for b in t if b.split and not b.own)


@dataclass(frozen=True)
class SideTrees:
    """A features party's part."""

    own: tuple[OwnSplit, ...]


@dataclass(frozen=True)
class Linear:
    """A part is own columns x coefficients (F, K) + offset (K,), in the columns' own units.

    The label party's has the link: its raw score is its part + `others` x the sum of the other parts. Link ovr is a
    logistic score for each class, as shares of their sum. Training scores in fixed point: 16 bits after the point of a
    scaled column, so that a score here is that one up to such roundings.
    """

    columns: tuple[str, ...]
    coefficients: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    link: Link | None = None
    others: float = 1.0


Part = LabelTrees | SideTrees | Linear
TREE_KEYS = ("order", "task", "tree", "node", "feature", "left")
LINEAR_KEYS = ("linear", "columns", "weights", "mean", "spread", "intercept", "shift", "factor", "classes")


def part_of(kept: Mapping[str, Any]) -> Part:
    """The part in what a training step kept; DataError `no_model` where there is none, `bad_model` for a damaged one.

    kept: "model" and "binning" of the label party of boosting; "binning", "tree", "node", "feature", "left" of a
    features party; "linear", "columns", "weights", "mean", "spread", "intercept" of a linear model's parties, and
    "shift", "factor" of its label party.
    """
    try:
        if {"linear", "columns", "weights"} <= set(kept):
            return _linear(kept)
        if "model" in kept and "binning" in kept:
            return _label(kept)
        if "left" in kept and "binning" in kept:
            return _sides(kept)
    except (KeyError, TypeError, ValueError, IndexError):
        raise DataError("bad_model", "what was kept of the model is damaged or of another version") from None
    raise DataError("no_model", "this step kept no part of a model", "name a training step")


def kept_model(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What of `kept` is the model, as JSON values: nothing that says anything of a row.

    DataError `no_model`, `bad_model` as `part_of`.
    """
    part = part_of(kept)
    out: dict[str, Any] = {"prepared": json.loads(kept["prepared"])} if "prepared" in kept else {}
    if isinstance(part, Linear):
        return out | {k: _plain(kept[k]) for k in LINEAR_KEYS if k in kept}
    out |= {k: json.loads(kept[k]) for k in ("model", "binning") if k in kept}
    return out | {k: _plain(kept[k]) for k in TREE_KEYS if k in kept}


def part_again(model: Mapping[str, Any]) -> Part:
    """The part of what `kept_model` made; DataError `bad_model`, `no_model`."""
    texts = {"model", "binning"}
    return part_of({k: json.dumps(v) if k in texts else v for k, v in model.items()})


def _plain(value: Any) -> Any:
    """As JSON values."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _label(kept: Mapping[str, Any]) -> LabelTrees:
    record = json.loads(kept["model"])
    model = Model.from_dict(record)
    binning = Binning.from_dict(json.loads(kept["binning"]))
    outputs = model.objective.classes
    own: list[OwnSplit] = []
    trees = []
    flat = [(k, nodes) for together in record["rounds"] for k, nodes in enumerate(together)]
    for t, (k, nodes) in enumerate(flat):
        branches = []
        for n, node in enumerate(nodes):
            branch, split = _branch(node, t, n, k, outputs, binning)
            branches.append(branch)
            own += [split] if split is not None else []
        trees.append(tuple(branches))
    return LabelTrees(tuple(trees), tuple(own), model.base_score, LINKS[model.objective.loss])


def _branch(
    node: Mapping[str, Any], t: int, n: int, k: int, outputs: int, binning: Binning
) -> tuple[Branch, OwnSplit | None]:
    """A node of tree t, which scores output k, or all outputs where its leaves have a vector."""
    if node["feature"] < 0:
        vector = node.get("vector") or [node["weight"] if j == k else 0.0 for j in range(outputs)]
        return Branch(weights=tuple(float(w) for w in vector)), None
    name, left_child, right_child = f"t{t}n{n}", int(node["left"]), int(node["right"])
    if node["feature"] >= len(binning.columns):
        return Branch(split=name, left=left_child, right=right_child), None
    column = binning.columns[node["feature"]]
    bins = range(column.value_bins)
    chosen = node["left_bins"]
    left = [(b <= node["bin"] if chosen is None else b in chosen) for b in bins]
    return Branch(split=name, own=True, left=left_child, right=right_child), OwnSplit(
        t, n, column, (*left, bool(node["missing_left"]))
    )


def _sides(kept: Mapping[str, Any]) -> SideTrees:
    binning = Binning.from_dict(json.loads(kept["binning"]))
    tree, node, feature = (np.asarray(kept[k], dtype=np.int64).tolist() for k in ("tree", "node", "feature"))
    left = np.asarray(kept["left"]).astype(bool)
    own = []
    for t, n, f, row in zip(tree, node, feature, left.tolist(), strict=True):
        column = binning.columns[f]
        own.append(OwnSplit(t, n, column, tuple(row[: column.value_bins + 1])))
    return SideTrees(tuple(own))


def _linear(kept: Mapping[str, Any]) -> Linear:
    columns = tuple(str(c) for c in kept["columns"])
    weights, mean, spread = (np.asarray(kept[k], dtype=np.float64) for k in ("weights", "mean", "spread"))
    label = "factor" in kept
    constant = bool(kept["intercept"]) and label
    if weights.ndim != 2 or weights.shape[1] != len(columns) + constant or not (spread > 0).all():
        raise ValueError("weights of other columns")
    per_unit = weights[:, : len(columns)] / spread
    offset = weights[:, -1] if constant else np.zeros(len(weights))
    offset = offset - (per_unit * mean).sum(axis=1)
    link, others = None, 1.0
    if label:
        link, shift, factor = LINKS[kept["linear"]["model"]], float(kept["shift"]), float(kept["factor"])
        if link == "identity":
            per_unit, offset, others = per_unit * factor, shift + factor * offset, factor
        elif link == "log":
            offset = offset + np.log(factor)
    if not (np.isfinite(per_unit).all() and np.isfinite(offset).all()):
        raise ValueError("a coefficient is not finite")
    return Linear(columns, tuple(map(tuple, per_unit.T.tolist())), tuple(offset.tolist()), link, others)
