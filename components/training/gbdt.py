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
from parley.components.training.growing import Growing
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


def validation_loss(
    objective: Objective, y: Floats, raw: Floats, weights: Floats | None = None, groups: Ints | None = None
) -> float:
    """The loss that early stopping watches: see `Objective.mean_loss`."""
    return objective.mean_loss(y, raw, weights, groups)


def grow_tree(
    bins: Bins,
    channels: Ints,
    params: Params,
    spec: BinSpec,
    allowed: Mask | None = None,
    *,
    monotone: Ints | None = None,
) -> Tree:
    """One tree from fixed-point channels (n, 2K) of the rows in `bins` (n, F); see `growing`."""
    usable = np.ones(spec.features, dtype=bool) if allowed is None else allowed
    growing = Growing(channels, np.arange(bins.shape[0]), bins, spec, params, usable, monotone)
    growing.alone()
    return growing.tree()


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
    together: bool = False,
    monotone: Ints | None = None,
    groups: Ints | None = None,
) -> Model:
    """A model of `params.rounds` rounds on `bins` (n, F) and labels (n,), fewer when early stopping ends it.

    `row_mask(r)` (n,) and `feature_mask(r)` (F,) say what round r may use (all by default); sampling is the
    caller's, who has the randomness. With `params.early_stopping` > 0, `validation` is needed, and the model
    keeps the rounds up to the best one. `progress(r, loss)` hears the validation loss, or else
    the training loss. `together` grows one tree a round for all K outputs; `monotone` (F,) as in `best_split`;
    `groups` (n,) are those of a ranking, whose training rows are watched.
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
        rows, allowed = _masks(r, row_mask, feature_mask)
        channels, sample = _channels(labels, raw, weights, params, objective, rows, groups)
        width = channels.shape[1] if together else 2
        grown = range(0, channels.shape[1], width)
        trees = tuple(
            grow_tree(bins[sample], channels[:, k : k + width], params, spec, allowed, monotone=monotone) for k in grown
        )
        rounds.append(trees)
        step = Model(objective, spec, model.base_score, (trees,))
        for scores, seen_bins in {id(raw): (raw, bins), id(seen): (seen, watched[0])}.values():
            _add(scores, step, seen_bins)
        loss = validation_loss(objective, watched[1], seen, weights if validation is None else None, groups)
        if progress is not None:
            progress(r, loss)
        if stopping.update(r, loss):
            break
    return replace(model, rounds=tuple(rounds[: stopping.best_round + 1] if params.early_stopping else rounds))


def _add(raw: Floats, step: Model, bins: Bins) -> None:
    """Add the trees of one round to the raw scores (n, K) of the rows in `bins`."""
    for columns, tree in step.trees():
        raw[:, columns] += tree.predict(bins, step.spec)


def _masks(
    r: int, rows: Callable[[int], Mask] | None, features: Callable[[int], Mask] | None
) -> tuple[Mask | None, Mask | None]:
    return (rows(r) if rows else None, features(r) if features else None)


def _channels(
    labels: Floats,
    raw: Floats,
    weights: Floats,
    params: Params,
    objective: Objective,
    rows: Mask | None,
    groups: Ints | None,
) -> tuple[Ints, Mask | slice]:
    """The derivatives (m, 2K) of one round's rows, and which rows these are."""
    g, h = objective.gradients(labels, raw, weights, groups)
    if rows is None:
        return quantise(g, h, params.scale_bits), slice(None)
    if rows.shape != labels.shape or not rows.any():
        raise DataError("bad_parameter", "a row sample needs one flag for each row, and at least one row")
    return quantise(g[rows], h[rows], params.scale_bits), rows


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
