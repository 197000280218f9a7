"""Histograms of derivatives and the best split in them: the mathematics of one tree node.

A histogram is int64 (F, B, C): for each feature and bin the sum of the fixed-point channels g_0, h_0, g_1,
... (`objectives.quantise`) over the rows of one node. B is the widest feature's bins; bins from n_bins[f] on
are zero. Integer sums are exact, so a histogram that was decrypted or added up elsewhere gives the same
split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.features.spec import BinSpec
from parley.components.training.objectives import Floats, Ints

Bins = npt.NDArray[np.uint16]
_EXACT = 2**53
_LOW_BITS = 26
MIN_GAIN = 1e-6


@dataclass(frozen=True)
class Params:
    """How trees grow. Gains are XGBoost's: G_L^2/(H_L+lambda) + G_R^2/(H_R+lambda) - G^2/(H+lambda).

    A split needs gain > max(gamma, 1e-6) (checked before it is made; XGBoost prunes afterwards) and hessian
    sums of at least min_child_weight on both sides. `scale_bits` are the fixed point's fraction bits.
    """

    rounds: int = 30
    depth: int = 3
    learning_rate: float = 0.3
    reg_lambda: float = 1.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    scale_bits: int = 32
    early_stopping: int = 0

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
        )
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:  # a NaN fails too
                raise DataError("bad_parameter", f"{name} must be {low:g} to {high:g}")


@dataclass(frozen=True)
class Split:
    """Where a node's rows part: those whose bin is in the left set go left.

    Numeric: bins 0 .. `bin` are left. Categorical: the bins in `left`. `missing_left` says where the missing
    bin goes; `g`, `h` are the left side's fixed-point sums.
    """

    feature: int
    bin: int
    left: tuple[int, ...] | None
    missing_left: bool
    gain: float
    g: int
    h: int


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


def leaf_weight(g: int, h: int, params: Params) -> float:
    """-learning_rate G / (H + lambda) for fixed-point sums; 0 for a node without weight."""
    scale = 2.0**params.scale_bits
    below = h / scale + params.reg_lambda
    return -params.learning_rate * (g / scale) / below if below > 0 else 0.0


def best_split(
    hist: Ints,
    totals: Ints,
    params: Params,
    spec: BinSpec,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> Split | None:
    """The best split of one node from its histogram (F, B, 2) and its sums `totals` (2,), or None.

    `allowed` (F,) masks features. Equal gains go to the lowest feature, then the lowest position
    (threshold, or length of the category prefix), then to missing on the right.

    Numeric features are cut after each value bin, missing tried on both sides. Categories are put in order of
    G/(H+lambda), ties by bin, and cut as if they were numbers (Fisher 1958: optimal for a convex loss); a
    category without rows in the node goes with missing.
    """
    ranks = _ranks(hist, params, spec)
    ordered = np.take_along_axis(hist, ranks[:, :, None], axis=1) if ranks is not None else hist
    gain, left = _gains(ordered, totals, params, spec)
    if allowed is not None:
        gain[~allowed] = -np.inf
    best = int(gain.argmax())
    f, position, direction = (int(i) for i in np.unravel_index(best, gain.shape))
    value = float(gain[f, position, direction])
    if not value > max(params.gamma, MIN_GAIN):
        return None
    missing_left = direction == 1
    members = None
    if spec.categorical[f]:
        assert ranks is not None
        members = _members(hist[f], ranks[f], position, missing_left, spec.missing(f))
    g, h = (int(x) for x in left[f, position, direction])
    return Split(f, position, members, missing_left, value, g, h)


def _ranks(hist: Ints, params: Params, spec: BinSpec) -> Ints | None:
    """(F, B) for each position the bin that stands there: identity for numeric features; None if all are."""
    if not any(spec.categorical):
        return None
    ranks = np.tile(np.arange(spec.width, dtype=np.int64), (spec.features, 1))
    lam = params.reg_lambda * 2.0**params.scale_bits
    for f in np.flatnonzero(spec.categorical):
        values = spec.missing(int(f))
        g, h = hist[f, :values, 0], hist[f, :values, 1]
        present = (g != 0) | (h != 0)
        below = np.maximum(h + lam, 1.0)  # one unit of the fixed point, where lambda is 0
        # Categories without rows stand behind all others, where no cut tells them apart.
        ratio = np.full(values, np.inf)
        ratio[present] = g[present] / below[present]
        ranks[f, :values] = np.argsort(ratio, kind="stable")
    return ranks


def _gains(hist: Ints, totals: Ints, params: Params, spec: BinSpec) -> tuple[Floats, Ints]:
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
    score = _score(left, params, scale) + _score(right, params, scale) - _score(totals, params, scale)
    least = params.min_child_weight
    valid = (left[..., 1] > 0) & (right[..., 1] > 0)
    valid &= (left[..., 1] / scale >= least) & (right[..., 1] / scale >= least)
    valid &= (np.arange(spec.width)[None, :] < missing_at[:, None])[:, :, None]
    return np.where(valid, score, -np.inf), left


def _score(sums: Ints, params: Params, scale: float) -> Floats:
    """G^2/(H+lambda) of fixed-point sums (..., 2); 0 where the denominator is not positive."""
    g, h = sums[..., 0] / scale, sums[..., 1] / scale + params.reg_lambda
    return np.asarray(np.where(h > 0, g * g / np.where(h > 0, h, 1.0), 0.0), dtype=np.float64)


def _members(hist: Ints, ranks: Ints, position: int, missing_left: bool, values: int) -> tuple[int, ...]:
    """The value bins that go left: the prefix of present ones, and the absent ones if missing goes left."""
    present = (hist != 0).any(axis=1).tolist()
    inside = {int(b) for b in ranks[: position + 1] if present[b]}
    if missing_left:
        inside |= {b for b in range(values) if not present[b]}
    return tuple(sorted(inside))
