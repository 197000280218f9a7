"""Clipping and noise at the cut: each row is shortened to a length and gets discrete Gaussian noise on a grid.

Guarantee: what leaves is a whole number of 2^-16 clips in each place, of which the noise has exactly the stated
distribution (`crypto.noise`); clipped rows lie at most two clips apart, so a row is 2 / noise^2-concentrated private
against any other values of it. Not guaranteed: anything of rows that are sent again; that adds up (`params.epsilon`).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from parley.crypto.noise import discrete_gaussian
from parley.crypto.prg import Source

Floats = NDArray[np.float32]
GRID = 1 << 16


def noised(values: Floats, clip: float, noise: float, source: Source) -> Floats:
    """(n, w) of rows (n, w): each at most `clip` long, then with noise of `noise` clips in each number."""
    wide = values.astype(np.float64)
    longest = np.maximum(1.0, np.sqrt((wide**2).sum(axis=1, keepdims=True)) / clip)
    # Towards zero, so that rounding makes no row longer; one grid step less leaves room for the division's last bit.
    steps = np.trunc(wide / longest / clip * (GRID - 1)).astype(np.int64)
    variance = (Fraction(noise).limit_denominator(1 << 20) * GRID) ** 2
    drawn = discrete_gaussian(steps.size, variance, source).reshape(steps.shape)
    return np.asarray((steps + drawn) * (clip / GRID), dtype=np.float32)
