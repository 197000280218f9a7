"""What the two sides of one run offer: the owner encrypts batches of rows, the other side answers with sums by bin.
Bytes in, bytes out.

Guarantee: as the scheme's own: what leaves the owner is fresh ciphertexts, what leaves the other side is a
re-randomised reply; nothing is used twice. Not guaranteed: that a peer encrypted what it says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sized
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe.base import Ints
from parley.crypto.errors import CryptoError

Bytes = NDArray[np.uint8]
AnyBins = NDArray[np.uint8] | NDArray[np.uint16]


class RunKey(ABC):
    """The owner's handle. It is not serialised or shown, and closes."""

    scheme: str

    @abstractmethod
    def encode(self) -> bytes:
        """The public key, for the other side."""

    @abstractmethod
    def encrypt(self, values: Ints) -> Bytes:
        """One batch of int64 (rows, channels); CryptoError "overflow", "bad_shape", "closed"."""

    @abstractmethod
    def decrypt(self, raw: Bytes) -> Ints:
        """The exact sums of a reply, int64 (bins of all features, channels); CryptoError "bad_ciphertext"."""

    @abstractmethod
    def close(self) -> None:
        """The key is gone afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "secret keys are not serialised")


class RunPeer(ABC):
    """The side that holds the bins."""

    scheme: str

    @abstractmethod
    def receive(self, raw: Bytes) -> Sized:
        """A batch as it came; its length is its rows. CryptoError "bad_ciphertext", "replayed"."""

    @abstractmethod
    def histogram(self, batch: Any, bins: AnyBins, counts: NDArray[np.uint32], rows: Ints | None = None) -> Sized:
        """counts[f] sums for every feature f, feature after feature.

        bins: uint8 or uint16 (n, features), bins[:, f] < counts[f] <= 256; a missing value has a bin of its own.
        rows: the batch's row i is bins[rows[i]]; i itself where None, and then n = len(batch).
        CryptoError "bad_shape", "bad_bins".
        """

    @abstractmethod
    def release(self, sums: Any) -> Bytes:
        """The reply's bytes, re-randomised."""


def check_batch(batch: Sized, bins: AnyBins, counts: NDArray[np.uint32], rows: Ints | None) -> None:
    """CryptoError "bad_shape" or "bad_bins" unless these belong together. The bins' values are not looked at."""
    if bins.ndim != 2 or bins.dtype not in (np.uint8, np.uint16) or counts.shape != (bins.shape[1],):
        raise CryptoError("bad_shape", "bins are uint8 or uint16 (rows, features), counts one for each feature")
    if counts.dtype != np.uint32 or (len(counts) and not 1 <= int(counts.min()) <= int(counts.max()) <= 256):
        raise CryptoError("bad_bins", "a feature has 1 to 256 bins, counts are uint32")
    check_rows(len(batch), len(bins), rows)


def check_rows(batch: int, held: int, rows: Ints | None) -> None:
    """The same for the rows alone: as many as the batch has, each one of those held."""
    if rows is not None and (rows.ndim != 1 or rows.dtype != np.int64):
        raise CryptoError("bad_shape", "rows are int64 (rows,)")
    if batch != (held if rows is None else len(rows)):
        raise CryptoError("bad_shape", "one held row for each row of the batch")
    if rows is not None and rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < held:
        raise CryptoError("bad_bins", "a row out of range")
