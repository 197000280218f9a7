"""Which columns a rule keeps, from one figure of each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def strongest(
    values: Floats, left: Mask, threshold: float | None, top_k: int | None, share: float | None, *, low: bool
) -> Mask:
    """(n,) of those `left`: figures at least `threshold`, or the `top_k` highest, or the share of highest, rounded up.

    `low` turns it around: at most, and lowest. Of equal figures the earlier column goes first. One rule is given.
    """
    sign = -1.0 if low else 1.0
    strength = np.where(left, sign * values, -np.inf)
    if threshold is not None:
        return left & (strength >= sign * threshold)
    count = int(left.sum())
    most = min(count, top_k if top_k is not None else math.ceil(count * (share or 0.0)))
    order = np.lexsort((np.arange(values.size), -strength, ~left))
    out = np.zeros(values.size, dtype=bool)
    out[order[:most]] = True
    return out
