"""Discrete Laplace and Gaussian noise straight from the formulas: exact probabilities, one uniform fraction a value."""

from __future__ import annotations

from fractions import Fraction
from math import exp

import numpy as np


class Oracle:
    """Inverts the cumulative distribution, computed in doubles; slow, and only as exact as they are."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def laplace(self, scale: Fraction) -> int:
        return self._invert([exp(-abs(y) / float(scale)) for y in self._range(float(scale) * 40)])

    def gaussian(self, variance: Fraction) -> int:
        return self._invert([exp(-(y**2) / (2 * float(variance))) for y in self._range(float(variance) ** 0.5 * 12)])

    @staticmethod
    def _range(reach: float) -> range:
        return range(-int(reach) - 1, int(reach) + 2)

    def _invert(self, weights: list[float]) -> int:
        left = self._rng.uniform() * sum(weights)
        for k, w in enumerate(weights):
            left -= w
            if left < 0:
                return k - len(weights) // 2
        return len(weights) // 2
