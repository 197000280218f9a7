"""Central training of linear models: in integers of any size as the fixed-point rules say, and in plain floats."""

from __future__ import annotations

import math

import numpy as np

POINT, WEIGHT = 16, 24


def standardized(x):
    spread = x.std(axis=0)
    return np.clip((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1), -8, 8)


# ---------------------------------------------------------------- floats


def slope(kind, z, y, power=1.5):
    return {
        "logistic": lambda: 1 / (1 + np.exp(-z)) - y,
        "linear": lambda: z - y,
        "poisson": lambda: np.exp(z) - y,
        "gamma": lambda: 1 - y * np.exp(-z),
        "tweedie": lambda: np.exp((2 - power) * z) - y * np.exp((1 - power) * z),
    }[kind]()


def descend(kind, x, y, steps, rate, l2=0.0, power=1.5):
    """Weights after `steps` of plain gradient descent; the last column of x is the constant, without a penalty."""
    w = np.zeros(x.shape[1])
    pulled = np.append(np.ones(x.shape[1] - 1), 0.0)
    for _ in range(steps):
        w = w - rate * (x.T @ slope(kind, x @ w, y, power) / len(y) + l2 * pulled * w)
    return w


# ---------------------------------------------------------------- integers


def whole(values, bits):
    """Nearest integers to values * 2^bits, of any size."""
    return np.rint(np.asarray(values, dtype=np.float64) * 2.0**bits).astype(np.int64).astype(object)


def score(columns, weights, bits):
    total = columns @ whole(weights, WEIGHT)
    spare = POINT + WEIGHT - bits
    return np.array([(int(t) + (1 << spare) // 2) // (1 << spare) for t in total], dtype=object)


def waves(part, order, bits, period):
    """(2 order, n) cosines, then sines, of a part of the scores."""
    ring, turn = 1 << 64, 64 - bits - int(math.log2(period))
    rows = []
    for k in range(1, order + 1):
        turned = [(int(p) * k << turn) % ring for p in part]
        rows.append([t - ring if t >= ring // 2 else t for t in turned])
    angles = np.array(rows, dtype=object).astype(np.float64) * (np.pi / 2.0**63)
    return np.concatenate([np.cos(angles), np.sin(angles)])


def logistic_gradient(columns, own, other, y, labels_here, numbers):
    """One owner's sums in integers of any size; `numbers` holds coefficients, bits and the period."""
    c, order = numbers["coefficients"], (len(numbers["coefficients"]) - 1) // 2
    a, b = c[1 : order + 1, None], c[order + 1 :, None]
    mine, theirs = (waves(p, order, numbers["score_bits"], numbers["period"]) for p in (own, other))
    against = np.concatenate([a * mine[:order] + b * mine[order:], b * mine[:order] - a * mine[order:]])
    x = columns.astype(np.float64) / 2.0**POINT
    fb, vb = numbers["factor_bits"][labels_here], numbers["value_bits"]
    values = whole(theirs, vb)
    out = []
    for j in range(columns.shape[1]):
        total = int((whole(against * 2.0**fb * x[:, j], 0) * values).sum())
        if labels_here:
            total += int(whole((c[0] - y) * 2.0**fb * x[:, j], 0).sum()) << vb
        else:
            total += int(whole(np.full(len(y), c[0]) * 2.0**fb * x[:, j], 0).sum()) << vb
            total += int((whole(-(2.0**fb) * x[:, j], 0) * whole(y, vb)).sum())
        out.append(total)
    return np.array(out, dtype=object).astype(np.float64) * 2.0 ** -(fb + vb)


def logistic_run(first, second, y, steps, rate, l2, numbers):
    """Weights of the label party (last one its constant) and of the other, after full steps of plain descent."""
    parts = [whole(np.hstack([first, np.ones((len(y), 1))]), POINT), whole(second, POINT)]
    w = [np.zeros(p.shape[1]) for p in parts]
    pulled = [np.append(np.ones(first.shape[1]), 0.0), np.ones(second.shape[1])]
    for _ in range(steps):
        z = [score(p, v, numbers["score_bits"]) for p, v in zip(parts, w, strict=True)]
        g = [logistic_gradient(parts[i], z[i], z[1 - i], y, i == 0, numbers) / len(y) for i in (0, 1)]
        w = [v - rate * (d + np.where(q > 0, l2, 0.0) * v) for v, d, q in zip(w, g, pulled, strict=True)]
    return w


def linear_run(parts, y, steps, rate, bits):
    """Weights of each party of a linear model; the first one's last column is the constant."""
    parts = [whole(p, POINT) for p in parts]
    w = [np.zeros(p.shape[1]) for p in parts]
    target = whole(y, bits)
    for _ in range(steps):
        d = sum(score(p, v, bits) for p, v in zip(parts, w, strict=True)) - target
        sums = [np.array([int(t) for t in p.T @ d], dtype=object).astype(np.float64) for p in parts]
        w = [v - rate * (g * 2.0 ** -(POINT + bits) / len(y)) for v, g in zip(w, sums, strict=True)]
    return w
