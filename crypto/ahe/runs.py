"""What every scheme offers for one run: the owner encrypts batches of rows, one node's in its order if it likes; the
other side answers with sums by bin. Bytes in, bytes out.

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

from parley.crypto.ahe.base import Ciphertexts, Ints, Layout, PublicKey, Response, SecretKey, Sums
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


class PerRowKey(RunKey):
    """A run over a scheme with one ciphertext a row."""

    def __init__(self, key: SecretKey, layout: Layout) -> None:
        self._inner: SecretKey | None = key
        self._layout = layout
        self.scheme = key.scheme

    def _key(self) -> SecretKey:
        if self._inner is None:
            raise CryptoError("closed", "this key was closed")
        return self._inner

    def encode(self) -> bytes:
        return self._key().public.encode()

    def encrypt(self, values: Ints) -> Bytes:
        if len(values) > self._layout.max_rows:
            raise CryptoError("overflow", "a batch has more rows than the layout allows")
        return self._key().encrypt(values, self._layout).raw.reshape(-1)

    def decrypt(self, raw: Bytes) -> Ints:
        key = self._key()
        if raw.ndim != 1 or raw.dtype != np.uint8 or len(raw) < 8 or (len(raw) - 8) % key.public.size:
            raise CryptoError("bad_ciphertext", "a reply of another length")
        count = int.from_bytes(raw[:8].tobytes(), "little")
        if count > 1 << 40:
            raise CryptoError("bad_ciphertext", "a reply of another length")
        body = raw[8:].reshape(-1, key.public.size)
        return key.decrypt(key.response(body, count, self._layout), self._layout)

    def close(self) -> None:
        """The key is forgotten; Python's numbers cannot be wiped."""
        self._inner = None


class PerRowPeer(RunPeer):
    """The other side of PerRowKey."""

    def __init__(self, key: PublicKey, layout: Layout) -> None:
        self._key = key
        self._layout = layout
        self.scheme = key.scheme

    def receive(self, raw: Bytes) -> Ciphertexts:
        if raw.ndim != 1 or raw.dtype != np.uint8 or len(raw) % self._key.size:
            raise CryptoError("bad_ciphertext", "a batch of another length")
        if len(raw) // self._key.size > self._layout.max_rows:
            raise CryptoError("bad_ciphertext", "a batch of too many rows")
        return self._key.ciphertexts(np.ascontiguousarray(raw).reshape(-1, self._key.size))

    def histogram(
        self, batch: Ciphertexts, bins: AnyBins, counts: NDArray[np.uint32], rows: Ints | None = None
    ) -> Sums:
        check_batch(batch, bins, counts, rows)
        picked = bins if rows is None else bins[rows]
        if (picked >= counts).any():
            raise CryptoError("bad_bins", "a bin is not below its feature's number of bins")
        most = int(counts.max(initial=1))
        every = self._key.histogram(batch, np.ascontiguousarray(picked, np.uint16), most, None)
        wanted = np.flatnonzero((np.arange(most) < counts[:, None]).reshape(-1))
        return Sums(len(wanted), every.inner[wanted])

    def release(self, sums: Sums) -> Bytes:
        response: Response = self._key.release(sums, self._layout)
        return np.concatenate([np.frombuffer(len(sums).to_bytes(8, "little"), np.uint8), response.raw.reshape(-1)])
