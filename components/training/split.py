"""Histograms of derivatives and the best split in them: the mathematics of one tree node.

A histogram is int64 (F, B, 2K): for each feature and bin the sum of the fixed-point channels g_0, h_0, g_1,
... (`objectives.quantise`) over the rows of one node. B is the widest feature's bins; bins from n_bins[f] on
are zero. Integer sums are exact, so a histogram that was decrypted or added up elsewhere gives the same
split. K > 1 outputs share one split, whose gain is the sum of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.features.spec import BinSpec
from parley.components.training.objectives import Floats, Ints

Bins = npt.NDArray[np.uint16]
Bounds = tuple[float, float]
FREE: Bounds = (-np.inf, np.inf)
_EXACT = 2**53
_LOW_BITS = 26
MIN_GAIN = 1e-6


@dataclass(frozen=True)
class Params:
    """How trees grow. Gains are XGBoost's: G_L^2/(H_L+lambda) + G_R^2/(H_R+lambda) - G^2/(H+lambda).

    A split needs gain > max(gamma, 1e-6) (checked before it is made; XGBoost prunes afterwards) and hessian
    sums of at least min_child_weight on both sides, summed over the outputs. `scale_bits` are the fixed point's
    fraction bits. `leaves` > 0 grows the best leaf next until there are so many; 0 grows level by level.
    """

    rounds: int = 30
    depth: int = 3
    learning_rate: float = 0.3
    reg_lambda: float = 1.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    scale_bits: int = 32
    early_stopping: int = 0
    leaves: int = 0

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, float, float], ...] = (
            ("rounds", 1, 100_000),
            ("depth", 1, 16),
            ("learning_rate", 1e-6, 1.0),
            ("reg_lambda", 0.0, 1e9),
            ("gamma", 0.0, 1e9),
            ("min_child_weight", 0.0, 1e9),
            ("scale_bits", 8, 52),
            ("early_stopping", 0, 100_000),
            ("leaves", 0, 32_767),
        )
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:  # a NaN fails too
                raise DataError("bad_parameter", f"{name} must be {low:g} to {high:g}")


@dataclass(frozen=True)
class Split:
    """Where a node's rows part: those whose bin is in the left set go left.

    Numeric: bins 0 .. `bin` are left. Categorical: the bins in `left`. `missing_left` says where the missing
    bin goes; `sums` are the left side's fixed-point sums (2K,).
    """

    feature: int
    bin: int
    left: tuple[int, ...] | None
    missing_left: bool
    gain: float
    sums: tuple[int, ...]


def build_histograms(bins: Bins, channels: Ints, node: Ints, nodes: int, spec: BinSpec) -> Ints:
    """(nodes, F, B, C) exact sums of `channels` (n, C) over rows of `bins` (n, F) by `node` (n,).

    Nodes are 0 .. nodes - 1; rows with a negative node count nowhere.
    """
    kept = np.flatnonzero(node >= 0)
    rows = bins if kept.size == node.size else bins[kept]
    values = channels if kept.size == node.size else channels[kept]
    offset = node[kept] * spec.width
    out = np.empty((nodes, spec.features, spec.width, channels.shape[1]), dtype=np.int64)
    columns = [np.ascontiguousarray(values[:, c]) for c in range(channels.shape[1])]
    for f in range(spec.features):
        index = offset + rows[:, f]
        for c, column in enumerate(columns):
            sums = _exact_bincount(index, column, nodes * spec.width)
            out[:, f, :, c] = sums.reshape(nodes, spec.width)
    return out


def _exact_bincount(index: Ints, values: Ints, size: int) -> Ints:
    """Integer sums of `values` by `index`; numpy's bincount adds float64, so big values go in two halves."""
    bound = int(np.abs(values).max(initial=0)) * values.size
    if bound < _EXACT:
        return np.bincount(index, weights=values, minlength=size).astype(np.int64)
    high, low = values >> _LOW_BITS, values & ((1 << _LOW_BITS) - 1)
    parts = [np.bincount(index, weights=p, minlength=size).astype(np.int64) for p in (high, low)]
    return (parts[0] << _LOW_BITS) + parts[1]


def leaf_weight(g: int, h: int, params: Params, bounds: Bounds = FREE) -> float:
    """-learning_rate G / (H + lambda) for fixed-point sums, -G / (H + lambda) kept in bounds; 0 without weight."""
    scale = 2.0**params.scale_bits
    below = h / scale + params.reg_lambda
    if bounds == FREE:
        return -params.learning_rate * (g / scale) / below if below > 0 else 0.0
    return params.learning_rate * min(max(-(g / scale) / below if below > 0 else 0.0, bounds[0]), bounds[1])


def child_bounds(split: Split, totals: Ints, params: Params, bounds: Bounds, direction: int) -> tuple[Bounds, Bounds]:
    """What the weights of a split's left and right descendants keep within, so that what is right of a feature with a
    direction (1 rising, -1 falling, 0 neither) stays above or below what is left of it: they part at the middle."""
    if not direction:
        return bounds, bounds
    scale = 2.0**params.scale_bits
    left = np.array(split.sums, dtype=np.int64)
    low, high = (float(_weight(part, params, scale, bounds)) for part in (left, totals - left))
    middle = (low + high) / 2
    below, above = (bounds[0], middle), (middle, bounds[1])
    return (below, above) if direction > 0 else (above, below)


def best_split(
    hist: Ints,
    totals: Ints,
    params: Params,
    spec: BinSpec,
    allowed: npt.NDArray[np.bool_] | None = None,
    *,
    monotone: Ints | None = None,
    bounds: Bounds = FREE,
) -> Split | None:
    """The best split of one node from its histogram (F, B, 2K) and its sums `totals` (2K,), or None.

    `allowed` (F,) masks features. Equal gains go to the lowest feature, then the lowest position
    (threshold, or length of the category prefix), then to missing on the right.

    Numeric features are cut after each value bin, missing tried on both sides. Categories are put in order of
    G/(H+lambda), ties by bin, and cut as if they were numbers (Fisher 1958: optimal for a convex loss); a
    category without rows in the node goes with missing. With several outputs each one's order is tried, in turn.

    `monotone` (F,) holds 1, -1 or 0 where K = 1: leaf weights, kept within `bounds`, may not fall or rise from left to
    right, and gains are those of the weights that are allowed (as XGBoost does).
    """
    best: Split | None = None
    kinds = np.asarray(spec.categorical)
    for k in range(totals.size // 2 if kinds.any() else 1):
        ranks = _ranks(hist, k, params, spec)
        ordered = np.take_along_axis(hist, ranks[:, :, None], axis=1) if ranks is not None else hist
        gain, left = _gains(ordered, totals, params, spec, monotone, bounds)
        if allowed is not None:
            gain[~allowed] = -np.inf
        if k:
            gain[~kinds] = -np.inf
        f, position, direction = (int(i) for i in np.unravel_index(int(gain.argmax()), gain.shape))
        value = float(gain[f, position, direction])
        if not value > (max(params.gamma, MIN_GAIN) if best is None else best.gain):
            continue
        members = None
        if ranks is not None and kinds[f]:
            members = _members(hist[f], ranks[f], position, direction == 1, spec.missing(f))
        best = Split(f, position, members, direction == 1, value, tuple(left[f, position, direction].tolist()))
    return best


def _ranks(hist: Ints, k: int, params: Params, spec: BinSpec) -> Ints | None:
    """(F, B) for each position the bin that stands there: by output k, or as they are for numbers; None if all are."""
    if not any(spec.categorical):
        return None
    ranks = np.tile(np.arange(spec.width, dtype=np.int64), (spec.features, 1))
    lam = params.reg_lambda * 2.0**params.scale_bits
    for f in np.flatnonzero(spec.categorical):
        values = spec.missing(int(f))
        g, h = hist[f, :values, 2 * k], hist[f, :values, 2 * k + 1]
        present = (hist[f, :values] != 0).any(axis=1)
        below = np.maximum(h + lam, 1.0)  # one unit of the fixed point, where lambda is 0
        # Categories without rows stand behind all others, where no cut tells them apart.
        ratio = np.full(values, np.inf)
        ratio[present] = g[present] / below[present]
        ranks[f, :values] = np.argsort(ratio, kind="stable")
    return ranks


def _gains(
    hist: Ints, totals: Ints, params: Params, spec: BinSpec, monotone: Ints | None, bounds: Bounds
) -> tuple[Floats, Ints]:
    """Gains (F, B, 2) of the cut after each position with missing right (0) or left (1), and left sums.

    Invalid cuts have gain -inf.
    """
    features = np.arange(spec.features)
    missing_at = np.asarray(spec.n_bins) - 1
    missing = hist[features, missing_at]
    below = np.cumsum(hist, axis=1)
    left = np.stack([below, below + missing[:, None, :]], axis=2)
    right = totals - left
    scale = 2.0**params.scale_bits
    sides, whole = (left, right), totals
    if monotone is None:
        gain = sum(_score(part, params, scale) for part in sides) - _score(whole, params, scale)
    else:
        weights = [_weight(part, params, scale, bounds) for part in (*sides, whole)]
        gains = [_at(part, w, params, scale) for part, w in zip((*sides, whole), weights, strict=True)]
        gain = gains[0] + gains[1] - gains[2]
        gain[monotone[:, None, None] * (weights[1] - weights[0]) < 0] = -np.inf
    least = params.min_child_weight
    low, high = (part[..., 1::2].sum(axis=-1) for part in sides)
    valid = (low > 0) & (high > 0) & (low / scale >= least) & (high / scale >= least)
    valid &= (np.arange(spec.width)[None, :] < missing_at[:, None])[:, :, None]
    return np.where(valid, gain, -np.inf), left


def _score(sums: Ints, params: Params, scale: float) -> Floats:
    """G^2/(H+lambda) of fixed-point sums (..., 2K), added over outputs; 0 where a denominator is not positive."""
    g, h = sums[..., 0::2] / scale, sums[..., 1::2] / scale + params.reg_lambda
    return np.asarray(np.where(h > 0, g * g / np.where(h > 0, h, 1.0), 0.0).sum(axis=-1), dtype=np.float64)


def _weight(sums: Ints, params: Params, scale: float, bounds: Bounds) -> Floats:
    """-G/(H+lambda) of fixed-point sums (..., 2), kept in bounds."""
    g, h = sums[..., 0] / scale, sums[..., 1] / scale + params.reg_lambda
    return np.clip(np.where(h > 0, -g / np.where(h > 0, h, 1.0), 0.0), *bounds)


def _at(sums: Ints, weight: Floats, params: Params, scale: float) -> Floats:
    """What a weight, the best or not, is worth: G^2/(H+lambda) at the best one."""
    g, h = sums[..., 0] / scale, sums[..., 1] / scale + params.reg_lambda
    return np.asarray(-(2 * g * weight + h * weight * weight), dtype=np.float64)


def _members(hist: Ints, ranks: Ints, position: int, missing_left: bool, values: int) -> tuple[int, ...]:
    """The value bins that go left: the prefix of present ones, and the absent ones if missing goes left."""
    present = (hist != 0).any(axis=1).tolist()
    inside = {int(b) for b in ranks[: position + 1] if present[b]}
    if missing_left:
        inside |= {b for b in range(values) if not present[b]}
    return tuple(sorted(inside))
