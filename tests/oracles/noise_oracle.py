"""Discrete Laplace and Gaussian noise by the definitions: exact probabilities, and slow samplers in fractions.

Shares nothing with the product: Python's fractions, and bits from `random`.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np


def laplace_pmf(scale: Fraction, top: int) -> np.ndarray:
    """P(x) for x from -top to top."""
    q = math.exp(-1 / scale)
    x = np.arange(-top, top + 1)
    return (1 - q) / (1 + q) * np.exp(-np.abs(x) / float(scale))


def gauss_pmf(variance: Fraction, top: int) -> np.ndarray:
    """P(x) for x from -top to top, normalised over a range where nothing is left out that a float could show."""
    wide = max(top, math.ceil(40 * math.sqrt(variance)) + 2)
    x = np.arange(-wide, wide + 1, dtype=np.float64)
    weight = np.exp(-(x**2) / (2 * float(variance)))
    return (weight / weight.sum())[wide - top : wide + top + 1]


class Slow:
    """Algorithms 1 to 3 of Canonne, Kamath and Steinke, as they stand in the paper."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bernoulli(self, p: Fraction) -> bool:
        return self.random.randrange(p.denominator) < p.numerator

    def bernoulli_exp(self, gamma: Fraction) -> bool:
        if gamma <= 1:
            k = 1
            while self.bernoulli(gamma / k):
                k += 1
            return k % 2 == 1
        for _ in range(math.floor(gamma)):
            if not self.bernoulli_exp(Fraction(1)):
                return False
        return self.bernoulli_exp(gamma - math.floor(gamma))

    def laplace(self, scale: Fraction) -> int:
        t, s = scale.numerator, scale.denominator
        while True:
            u = self.random.randrange(t)
            if not self.bernoulli_exp(Fraction(u, t)):
                continue
            v = 0
            while self.bernoulli_exp(Fraction(1)):
                v += 1
            y = (u + t * v) // s
            negative = self.bernoulli(Fraction(1, 2))
            if not (negative and y == 0):
                return -y if negative else y

    def gauss(self, variance: Fraction) -> int:
        t = math.isqrt(math.floor(variance)) + 1
        while True:
            y = self.laplace(Fraction(t))
            if self.bernoulli_exp((abs(y) - variance / t) ** 2 / (2 * variance)):
                return y
