"""Noise for differential privacy: exact discrete Laplace and discrete Gaussian samples.

Guarantee: each sample has exactly the stated distribution, given uniform bits; no floating-point number takes part
in a decision, so none of the attacks on rounded noise applies. The bits are a ChaCha20 stream under a key that is
drawn from the operating system at each call (or from the source that is handed in), so the distance from exact is
that of ChaCha20 from random. The values do not depend on the number of threads or on the CPU.
Not guaranteed: constant time. The time of one draw depends on it; a batch shows the sum of many, and where a peer
can time single draws, noise is drawn ahead of time. Nor does the sampler choose a scale: sensitivity and budget are
the caller's, as is that real-valued data are first rounded to the integers the noise is added to.

A sample beyond 2^62, and a Laplace draw 250 scales out, end in CryptoError ``overflow`` (probability below 2^-350).
Source: Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy", algorithms 1 to 3.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.errors import CryptoError
from parley.crypto.prg import Rng, Source
from parley.crypto.threads import limit

MAX_DRAWS: Final = 1 << 32
MAX_SCALE: Final = 1 << 52
_PRECISION: Final = 1 << 120


def discrete_laplace(n: int, scale: Fraction | int, source: Source | None = None) -> NDArray[np.int64]:
    """n integers with P(x) proportional to exp(-|x| / scale), for 0 < scale < 2^52.

    epsilon-DP for integers of sensitivity d when scale = d / epsilon. CryptoError ``bad_scale`` (a float is refused:
    which fraction it stands for is the caller's decision), ``bad_range`` for n.
    """
    words = _quotient(scale, MAX_SCALE, "a scale", "2^52")
    return _drawn(n, words, source, gauss=False)


def discrete_gaussian(n: int, variance: Fraction | int, source: Source | None = None) -> NDArray[np.int64]:
    """n integers with P(x) proportional to exp(-x^2 / (2 variance)), for 0 < variance < 2^104.

    d^2 / (2 variance)-concentrated DP for integers of sensitivity d. The variance of the samples is at most the
    parameter. CryptoError ``bad_scale``, ``bad_range``.
    """
    words = _quotient(variance, MAX_SCALE**2, "a variance", "2^104")
    return _drawn(n, words, source, gauss=True)


def _drawn(n: int, words: NDArray[np.uint64], source: Source | None, *, gauss: bool) -> NDArray[np.int64]:
    if not 0 <= n <= MAX_DRAWS:
        raise CryptoError("bad_range", "0 to 2^32 draws at a time")
    key = np.frombuffer((source or Rng()).bytes(32), np.uint8)
    native = _native.noise_gauss if gauss else _native.noise_laplace
    try:
        return native(n, words, key, limit())
    except OverflowError:
        raise CryptoError("overflow", "a draw of negligible probability does not fit") from None
    except ValueError:
        raise CryptoError("bad_scale", "the scale is refused") from None


def _quotient(value: Fraction | int, limit: int, what: str, bound: str) -> NDArray[np.uint64]:
    """Numerator and denominator as two words each."""
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise CryptoError("bad_scale", f"{what} is an integer or a Fraction")
    if not 0 < value < limit:
        raise CryptoError("bad_scale", f"{what} is above 0 and below {bound}")
    exact = Fraction(value)
    if max(exact.numerator, exact.denominator) >= _PRECISION:
        raise CryptoError("bad_scale", f"{what} has terms below 2^120", hint="see Fraction.limit_denominator")
    raw = exact.numerator.to_bytes(16, "little") + exact.denominator.to_bytes(16, "little")
    return np.frombuffer(raw, "<u8").astype(np.uint64)
