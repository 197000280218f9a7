"""A features party's bins and gradients that lie in a scratch file: what of them is read, and summed bit by bit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe import RowPublicKey, Sums
from parley.crypto.scratch import Scratch
from parley.protocols.gbdt.tiles import TILE, Tiles

Ints = NDArray[np.int64]
Raw = NDArray[np.uint8]


@dataclass(frozen=True)
class Far:
    """Bins of the sampled rows and of some features; `far[places]` is (m, f) of these places in the sample."""

    tiles: Tiles
    sample: Ints = field(repr=False)
    features: Ints

    def __getitem__(self, places: Ints) -> NDArray[np.uint16]:
        return self.tiles.block(self.sample[places], self.features)


class FarGradients:
    """One tree's ciphertexts of all sampled rows, of a scheme that has one for each row.

    Those of an earlier tree give up their space.
    """

    def __init__(self, key: RowPublicKey, scratch: Scratch, first: int) -> None:
        """`first` is the number of the first block that may go."""
        self._key, self._scratch = key, scratch
        scratch.forget(first)
        self._blocks: list[tuple[int, int, int]] = []  # number, first row, rows
        self._waiting: list[Raw] = []
        self.rows = self._stored = 0

    def append(self, raw: Raw) -> None:
        """The next rows' ciphertexts (m, size) as they came; they are validated when they are used."""
        self._waiting.append(raw)
        self.rows += len(raw)
        if self.rows - self._stored >= TILE:
            self._put()

    def _put(self) -> None:
        """A block is as long as a tile of bins, so that neither is read for the other's sake again and again."""
        number = self._scratch.put(np.concatenate(self._waiting).reshape(-1))
        self._blocks.append((number, self._stored, self.rows - self._stored))
        self._waiting, self._stored = [], self.rows

    def histogram(self, bins: Far, counts: NDArray[np.uint32], rows: Ints) -> Sums:
        """As the key's, over rising places `rows` of the sample, at least one; CryptoError."""
        if self._waiting:
            self._put()
        total: Sums | None = None
        for number, first, many in self._blocks:
            here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + many)]
            if not here.size:
                continue
            raw = self._scratch.get(number).reshape(many, -1)[here - first]
            ct = self._key.ciphertexts(raw, here.size)
            some = self._key.histogram(ct, bins[here], counts, None)
            total = some if total is None else self._key.add(total, some)
        assert total is not None
        return total
