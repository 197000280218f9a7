"""What a training asks of its additive scheme: how many sums a key releases, and how they share polynomials."""

from __future__ import annotations

import numpy as np

from parley.protocols.gbdt.params import Params
from parley.protocols.scheme import LATTICE_SLOTS, packs


def planned(params: Params, shapes: list[tuple[int, ...]]) -> int:
    """Sums the key is planned for: a power of two, which says little of the party with the most; 0 without a plan."""
    if not packs(params.scheme):
        return 0
    return 1 << (max(params.released_sums(n) for n in shapes) - 1).bit_length()


def shared(params: Params, shapes: list[tuple[int, ...]]) -> int:
    """The most features with bins in one reply polynomial, at the next power of two; LATTICE_SLOTS without a plan.

    Answers fill their polynomials feature after feature; where features are drawn, any may follow any.
    """
    if not packs(params.scheme):
        return LATTICE_SLOTS
    drawn = params.column_sample < 1 or params.column_sample_level < 1
    most = max(_any_order(n) if drawn else _in_order(n) for n in shapes)
    return min(LATTICE_SLOTS, 1 << (most - 1).bit_length())


def _any_order(n_bins: tuple[int, ...]) -> int:
    return 2 + (LATTICE_SLOTS - 2) // min(n_bins)


def _in_order(n_bins: tuple[int, ...]) -> int:
    sizes = np.asarray(n_bins, dtype=np.int64)
    ends = np.cumsum(sizes)
    first, last = (ends - sizes) // LATTICE_SLOTS, (ends - 1) // LATTICE_SLOTS
    marks = np.zeros(int(last[-1]) + 2, dtype=np.int64)
    np.add.at(marks, first, 1)
    np.add.at(marks, last + 1, -1)
    return int(np.cumsum(marks).max())
