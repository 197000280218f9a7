"""Exact noise against numpy's float samplers, which are not private: what exactness costs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from rows import Row, seconds

from parley.crypto import noise
from parley.crypto.threads import limited


def noise_rows(n: int = 200_000) -> list[Row]:
    """Samples a second on one thread, for a small and a large scale."""
    with limited(1):
        return [row for scale in (Fraction(10), Fraction(10**9, 7)) for row in pair(n, scale)]


def pair(n: int, scale: Fraction) -> list[Row]:
    rng = np.random.default_rng(1)
    about = {"rows": n, "scale": str(scale), "threads": 1, "yardstick": "numpy's float sampler"}
    laplace = n / seconds(lambda: noise.discrete_laplace(n, scale))
    gauss = n / seconds(lambda: noise.discrete_gaussian(n, scale**2))
    their_laplace = n / seconds(lambda: rng.laplace(0, float(scale), n))
    their_gauss = n / seconds(lambda: rng.normal(0, float(scale), n))
    return [
        Row(f"discrete Laplace, scale {float(scale):.3g}", laplace, "samples/s", their_laplace, "higher", about),
        Row(f"discrete Gaussian, sigma {float(scale):.3g}", gauss, "samples/s", their_gauss, "higher", about),
    ]


def rows() -> list[Row]:
    """The rows of this file."""
    return noise_rows()
