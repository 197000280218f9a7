"""Exact discrete Laplace and discrete Gaussian noise, in native batches.

Guarantee: given uniform bits, a value y comes with probability proportional to exp(-|y| / scale), or to
exp(-y^2 / (2 variance)), exactly: every decision compares integers with bits, and no floating point is involved, so
that the low-order bits of a noisy answer say nothing about the true one. (Values so far out that they would not fit
are drawn again; all of them together have a probability below 2^-300.)
Not guaranteed: constant time. How long a batch takes depends on the noise that was drawn, so whoever can time single
draws learns of it; draw in batches and away from the wire. What epsilon or delta a scale gives is not this room's part.
Source: Canonne, Kamath, Steinke, The Discrete Gaussian for Differential Privacy, 2020, algorithms 1 to 3.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.errors import CryptoError
from parley.crypto.prg import Keystream, Rng

_LAPLACE, _GAUSSIAN = 1 << 52, 1 << 58


def discrete_laplace(source: Rng | Keystream, n: int, scale: Fraction | int) -> NDArray[np.int64]:
    """n values (n,) with P(y) proportional to exp(-|y| / scale).

    scale > 0, its numerator and denominator below 2^52; CryptoError "bad_scale".
    """
    exact = _exact(scale, _LAPLACE)
    return _native.discrete_laplace(source.bytes, _count(n), exact.numerator, exact.denominator)


def discrete_gaussian(source: Rng | Keystream, n: int, variance: Fraction | int) -> NDArray[np.int64]:
    """n values (n,) with P(y) proportional to exp(-y^2 / (2 variance)).

    variance > 0, with denominator * (floor(sqrt(variance)) + 1)^2 below 2^58: a sigma up to 2^28 for whole numbers;
    CryptoError "bad_scale".
    """
    exact = _exact(variance, _GAUSSIAN)
    if exact.denominator * (isqrt(exact.numerator // exact.denominator) + 1) ** 2 >= _GAUSSIAN:
        raise CryptoError("bad_scale", "a variance too large for its denominator", hint="use a coarser fraction")
    return _native.discrete_gaussian(source.bytes, _count(n), exact.numerator, exact.denominator)


def _exact(scale: Fraction | int, limit: int) -> Fraction:
    # A float is refused rather than converted: 0.1 is not the fraction that somebody means by it.
    if isinstance(scale, bool) or not isinstance(scale, Fraction | int):
        raise CryptoError("bad_scale", "a scale is a whole number or a Fraction", hint="say Fraction(1, 10), not 0.1")
    exact = Fraction(scale)
    if exact <= 0 or exact.numerator >= limit or exact.denominator >= limit:
        raise CryptoError("bad_scale", f"a scale is above 0, of integers below {limit}", hint="use limit_denominator")
    return exact


def _count(n: int) -> int:
    if n < 0:
        raise CryptoError("bad_range", "a number of values is not negative")
    return n
