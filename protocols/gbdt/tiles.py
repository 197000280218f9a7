"""Bins that lie in a scratch file, and are taken from there like those of an array.

A tile is TILE rows of one feature, a byte each where no feature has more than 256 bins, else two. Rows are read for all
features from the tiles they lie in; a feature is read whole. The tiles are encrypted (`crypto.scratch`).
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray

from parley.crypto.scratch import Scratch

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Bins = NDArray[np.uint16]
TILE = 16_384


class Tiles:
    """(n, F) bins, filled feature by feature; `tiles[rows]` is (m, F), `tiles[rows, f]` is (m,), uint16 both."""

    def __init__(self, scratch: Scratch, rows: int, most_bins: int) -> None:
        """For features of at most so many bins."""
        self.scratch = scratch
        self._rows = rows
        self._kind = np.dtype(np.uint8 if most_bins <= 256 else np.uint16)
        self._numbers: list[list[int]] = []

    @property
    def shape(self) -> tuple[int, int]:
        return self._rows, len(self._numbers)

    @property
    def end(self) -> int:
        """The number of the first block behind the tiles."""
        return 1 + max((n for numbers in self._numbers for n in numbers), default=-1)

    def append(self, column: Bins) -> None:
        """One more feature's bins (n,)."""
        if column.shape != (self._rows,) or column.max(initial=0) >= 1 << 8 * self._kind.itemsize:
            raise ValueError("a bin for each row, of the announced width")
        starts = range(0, self._rows, TILE)
        narrow = np.ascontiguousarray(column.astype(self._kind))
        self._numbers.append([self.scratch.put(narrow[a : a + TILE].view(np.uint8)) for a in starts])

    @overload
    def __getitem__(self, key: Ints) -> Bins: ...
    @overload
    def __getitem__(self, key: tuple[Ints | Mask | slice, int | np.integer]) -> Bins: ...
    def __getitem__(self, key: Ints | tuple[Ints | Mask | slice, int | np.integer]) -> Bins:
        if isinstance(key, tuple):
            rows, feature = key
            whole = np.concatenate([self._tile(int(feature), t) for t in range(len(self._numbers[int(feature)]))])
            return whole[rows].astype(np.uint16)
        return self.block(key, np.arange(len(self._numbers)))

    def block(self, rows: Ints, features: Ints) -> Bins:
        """(m, f) of these rows and features."""
        out = np.empty((rows.size, features.size), dtype=np.uint16)
        which = rows // TILE
        for t in np.unique(which):
            here = np.flatnonzero(which == t)
            inside = rows[here] - t * TILE
            for k, feature in enumerate(features):
                out[here, k] = self._tile(int(feature), int(t))[inside]
        return out

    def _tile(self, feature: int, tile: int) -> NDArray[np.uint8] | Bins:
        return self.scratch.get(self._numbers[feature][tile]).view(self._kind)
