"""Second-order gradient boosted trees over bins, trained by one party; the federated protocol uses the parts.

Trees grow level by level. The rows' derivatives are rounded to a fixed point first and every sum is exact, so
that a training spread over several parties makes the same trees. For K classes each round grows K trees.
Source: Chen & Guestrin, *XGBoost: A Scalable Tree Boosting System*, KDD 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.features.spec import BinSpec
from parley.components.training.metrics import log_loss, rmse
from parley.components.training.objectives import Floats, Ints, Loss, Objective, checked_weights, quantise
from parley.components.training.split import (
    Bins,
    Params,
    Split,
    best_split,
    build_histograms,
    leaf_weight,
)
from parley.components.training.trees import Model, Node, Tree

__all__ = [
    "EarlyStopping",
    "Loss",
    "Model",
    "Node",
    "Objective",
    "Params",
    "Split",
    "Tree",
    "best_split",
    "build_histograms",
    "grow_tree",
    "leaf_weight",
    "quantise",
    "train",
    "validation_loss",
]

Mask = npt.NDArray[np.bool_]


@dataclass
class EarlyStopping:
    """Stop when `patience` rounds in a row did not lower the loss by more than `min_delta`; 0 never stops."""

    patience: int
    min_delta: float = 0.0
    best: float = float("inf")
    best_round: int = -1

    def update(self, round_index: int, loss: float) -> bool:
        """Note the loss of a round (0, 1, ...); True when training should stop now."""
        if not np.isfinite(loss):
            raise DataError("diverged", f"the validation loss of round {round_index} is not finite")
        if loss < self.best - self.min_delta:
            self.best, self.best_round = loss, round_index
        return self.patience > 0 and round_index - self.best_round >= self.patience


def validation_loss(objective: Objective, y: Floats, raw: Floats) -> float:
    """The loss that early stopping watches: log loss, or root mean squared error for regression."""
    prediction = objective.predict(raw)
    if objective.loss == "squared":
        return rmse(y, prediction[:, 0])
    return log_loss(y, prediction if objective.loss == "softmax" else prediction[:, 0])


def grow_tree(bins: Bins, channels: Ints, params: Params, spec: BinSpec, allowed: Mask | None = None) -> Tree:
    """One tree from fixed-point channels (n, 2) of the rows in `bins` (n, F), level by level.

    Of two siblings only the smaller one's histogram is summed; the other is the difference from the parent.
    """
    position = np.zeros(bins.shape[0], dtype=np.int64)
    sums: list[Ints] = [channels.sum(axis=0)]
    nodes = [_leaf(sums[0], params)]
    level, hists = [0], {0: build_histograms(bins, channels, position, 1, spec)[0]}
    for depth in range(params.depth):
        parents: list[int] = []
        for index in level:
            split = best_split(hists[index], sums[index], params, spec, allowed)
            if split is None:
                continue
            parents.append(index)
            left = np.array([split.g, split.h], dtype=np.int64)
            _open(nodes, index, split)
            for part in (left, sums[index] - left):
                sums.append(part)
                nodes.append(_leaf(part, params))
            _move(position, bins, index, nodes[index], spec)
        level = [child for index in parents for child in (nodes[index].left, nodes[index].right)]
        if depth + 1 < params.depth and parents:
            hists = _child_histograms(bins, channels, position, nodes, parents, hists, spec)
    return Tree(tuple(nodes))


def _leaf(sums: Ints, params: Params) -> Node:
    g, h = int(sums[0]), int(sums[1])
    return Node(weight=leaf_weight(g, h, params), cover=h / 2.0**params.scale_bits)


def _open(nodes: list[Node], index: int, split: Split) -> None:
    """Turn the leaf `index` into a split whose children are the next two nodes."""
    nodes[index] = replace(
        nodes[index],
        feature=split.feature,
        bin=split.bin,
        left_bins=split.left,
        missing_left=split.missing_left,
        left=len(nodes),
        right=len(nodes) + 1,
        weight=0.0,
        gain=split.gain,
    )


def _move(position: Ints, bins: Bins, index: int, node: Node, spec: BinSpec) -> None:
    """Send the rows at node `index` to its children."""
    here = np.flatnonzero(position == index)
    goes = node.goes_left(bins[here, node.feature], spec.missing(node.feature))
    position[here] = np.where(goes, node.left, node.right)


def _child_histograms(
    bins: Bins,
    channels: Ints,
    position: Ints,
    nodes: list[Node],
    parents: list[int],
    hists: dict[int, Ints],
    spec: BinSpec,
) -> dict[int, Ints]:
    """The children's histograms: the smaller child's summed over its rows, the other by subtraction."""
    counts = np.bincount(position, minlength=len(nodes))
    slot = np.full(len(nodes), -1, dtype=np.int64)
    pairs = []
    for at, parent in enumerate(parents):
        left, right = nodes[parent].left, nodes[parent].right
        small, large = (left, right) if counts[left] <= counts[right] else (right, left)
        slot[small] = at
        pairs.append((parent, small, large))
    built = build_histograms(bins, channels, slot[position], len(parents), spec)
    out: dict[int, Ints] = {}
    for at, (parent, small, large) in enumerate(pairs):
        out[small] = built[at]
        out[large] = hists[parent] - built[at]
    return out


def train(
    bins: Bins,
    y: npt.ArrayLike,
    params: Params,
    *,
    spec: BinSpec,
    objective: Objective,
    weights: Floats | None = None,
    row_mask: Callable[[int], Mask] | None = None,
    feature_mask: Callable[[int], Mask] | None = None,
    validation: tuple[Bins, npt.ArrayLike] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Model:
    """A model of `params.rounds` rounds on `bins` (n, F) and labels (n,), fewer when early stopping ends it.

    `row_mask(r)` (n,) and `feature_mask(r)` (F,) say what round r may use (all by default); sampling is the
    caller's, who has the randomness. With `params.early_stopping` > 0, `validation` is needed, and the model
    keeps the rounds up to the best one. `progress(r, loss)` hears the validation loss, or else
    the training loss.
    Raises DataError, `diverged` and `fixed_point_overflow` among others.
    """
    labels = objective.labels(y)
    _check(bins, labels, spec)
    weights = checked_weights(labels, weights)
    model = Model(objective, spec, tuple(objective.base_score(labels, weights).tolist()), ())
    watched = _watched(bins, labels, validation, params, spec)
    raw = model.raw(bins)
    seen = raw if validation is None else model.raw(watched[0])
    stopping, rounds = EarlyStopping(params.early_stopping), []
    for r in range(params.rounds):
        trees = _round(bins, labels, raw, weights, params, objective, spec, _masks(r, row_mask, feature_mask))
        rounds.append(trees)
        for scores, rows in {id(raw): (raw, bins), id(seen): (seen, watched[0])}.values():
            _add(scores, trees, rows, spec)
        loss = validation_loss(objective, watched[1], seen)
        if progress is not None:
            progress(r, loss)
        if stopping.update(r, loss):
            break
    return replace(model, rounds=tuple(rounds[: stopping.best_round + 1] if params.early_stopping else rounds))


def _add(raw: Floats, trees: tuple[Tree, ...], bins: Bins, spec: BinSpec) -> None:
    """Add a round's trees to the raw scores (n, K) of the rows in `bins`."""
    for k, tree in enumerate(trees):
        raw[:, k] += tree.predict(bins, spec)


def _masks(
    r: int, rows: Callable[[int], Mask] | None, features: Callable[[int], Mask] | None
) -> tuple[Mask | None, Mask | None]:
    return (rows(r) if rows else None, features(r) if features else None)


def _round(
    bins: Bins,
    labels: Floats,
    raw: Floats,
    weights: Floats,
    params: Params,
    objective: Objective,
    spec: BinSpec,
    masks: tuple[Mask | None, Mask | None],
) -> tuple[Tree, ...]:
    """The K trees of one round, all from the same derivatives."""
    rows, allowed = masks
    g, h = objective.gradients(labels, raw, weights)
    if rows is not None:
        if rows.shape != labels.shape or not rows.any():
            raise DataError("bad_parameter", "a row sample needs one flag for each row, and at least one row")
        bins, g, h = bins[rows], g[rows], h[rows]
    channels = quantise(g, h, params.scale_bits)
    return tuple(
        grow_tree(bins, channels[:, 2 * k : 2 * k + 2], params, spec, allowed) for k in range(objective.classes)
    )


def _check(bins: Bins, labels: Floats, spec: BinSpec) -> None:
    if bins.ndim != 2 or bins.shape != (labels.size, spec.features):
        raise DataError("bad_bins", f"the bins must have {labels.size} rows and {spec.features} features")
    if np.any(bins.max(axis=0) >= np.asarray(spec.n_bins)):
        raise DataError("bad_bins", "a bin lies outside its feature's bins")


def _watched(
    bins: Bins, labels: Floats, validation: tuple[Bins, npt.ArrayLike] | None, params: Params, spec: BinSpec
) -> tuple[Bins, Floats]:
    """The rows whose loss is watched: the validation rows, checked, or else the training rows."""
    if validation is None:
        if params.early_stopping:
            raise DataError("bad_parameter", "early stopping needs validation rows", "give them, or set it to 0")
        return bins, labels
    values = np.asarray(validation[1], dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise DataError("bad_labels", "validation labels are missing or not finite")
    _check(validation[0], values, spec)
    return validation[0], values
