"""The interface of every additive scheme.

Guarantee: what reaches a peer is either fresh ciphertexts or a `Response`, and a response is always re-randomised;
a sum that could wrap is refused before anything is encrypted. Not guaranteed: that a malicious peer encrypted what it
says, or that a public key it chose is well formed beyond the stated checks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError

HEADROOM = 40  # bits of the plaintext space that stay unused
Ints = NDArray[np.int64]
Raw = NDArray[np.uint8]
Bins = NDArray[np.uint16]
Counts = NDArray[np.uint32]


@dataclass(frozen=True)
class Layout:
    """How rows of signed integers sit in a plaintext: `channels` values a row, |value| <= bound, sums of max_rows.

    A sum of at most max_rows rows has |sum| <= bound * max_rows < 2^62, so it fits its slot and an int64.
    """

    channels: int
    bound: int
    max_rows: int

    def __post_init__(self) -> None:
        if self.channels < 1 or self.bound < 1 or self.max_rows < 1:
            raise CryptoError("bad_range", "channels, bound and max_rows are at least 1")
        if self.bound * self.max_rows >= 1 << 62:
            raise CryptoError("overflow", "sums of this many rows of this size do not fit 62 bits")

    @property
    def slot(self) -> int:
        """Bits of one channel, its sign included."""
        return (self.bound * self.max_rows).bit_length() + 1

    @property
    def width(self) -> int:
        """Bits of one row."""
        return self.slot * self.channels

    def per_plaintext(self, plain_bits: int) -> int:
        """How many sums fit one plaintext with the headroom; CryptoError "overflow" when not even one does."""
        fit = (plain_bits - HEADROOM) // self.width
        if fit < 1:
            raise CryptoError("overflow", "one row with its headroom does not fit the plaintext space")
        return fit

    def check(self, values: Ints) -> None:
        """CryptoError "overflow" when a value exceeds the bound, "bad_shape" for another shape or dtype."""
        if values.ndim != 2 or values.shape[1] != self.channels or values.dtype != np.int64:
            raise CryptoError("bad_shape", "values are int64 (rows, channels)")
        if values.size and int(max(values.max(), -int(values.min()))) > self.bound:
            raise CryptoError("overflow", "a value exceeds the layout's bound")


@dataclass(frozen=True)
class Ciphertexts:
    """n validated ciphertexts in the scheme's own form, no larger than their wire form."""

    count: int
    inner: Any = field(repr=False)

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Sums:
    """n sums under encryption, not re-randomised; they cannot be sent."""

    count: int
    inner: Any = field(repr=False)

    def __len__(self) -> int:
        return self.count

    def __reduce__(self) -> NoReturn:
        raise CryptoError("not_released", "sums leave a party only through release")


@dataclass(frozen=True)
class Response:
    """`count` re-randomised sums in `raw` (k, size) uint8."""

    raw: NDArray[np.uint8] = field(repr=False)
    count: int


class PublicKey(ABC):
    """What anybody may compute with."""

    scheme: str
    any_rows: bool  # whether sums over any subset of the rows can be had; where not, each subset is encrypted apart

    @abstractmethod
    def shape(self, rows: int) -> tuple[int, int]:
        """(ciphertexts, bytes of each) that so many rows take."""

    @abstractmethod
    def encode(self) -> bytes:
        """The key for a peer; `decode_public` reads it."""

    @abstractmethod
    def ciphertexts(self, raw: Raw, rows: int) -> Ciphertexts:
        """Received ciphertexts of `shape(rows)`, validated; CryptoError "bad_ciphertext"."""

    @abstractmethod
    def histogram(self, ct: Ciphertexts, bins: Bins, counts: Counts, rows: Ints | None) -> Sums:
        """counts[f] sums of each feature, feature after feature, over the chosen rows (all when None).

        bins: uint16 (n, features), bins[:, f] < counts[f]; counts: uint32 (features,).

        CryptoError "bad_rows" for a choice where `any_rows` is false.
        """

    def running(self, rows: int, counts: Counts, at_once: int) -> RunningSums | None:
        """Sums of `rows` rows while their ciphertexts come, `at_once` bytes at a time; None where a scheme cannot."""
        return None

    @abstractmethod
    def release(self, sums: Sums, layout: Layout) -> Response:
        """Packed, re-randomised, and fit to be sent."""


class RunningSums(ABC):
    """What `PublicKey.histogram` gives of a batch, from the batch's bytes piece by piece."""

    @abstractmethod
    def take(self, part: Raw, bins: Callable[[int, int], Bins]) -> None:
        """The next bytes, in any shape; `bins(a, b)` are those of the rows from a to below b. CryptoError."""

    @abstractmethod
    def sums(self) -> Sums:
        """Once all bytes have come; CryptoError "bad_ciphertext" before."""


class RowPublicKey(PublicKey):
    """Of a scheme with one ciphertext a row: any subset can be summed, and single ones computed on."""

    size: int  # bytes of one ciphertext
    any_rows = True

    def shape(self, rows: int) -> tuple[int, int]:
        return rows, self.size

    @abstractmethod
    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        """Fresh ciphertexts of int64 (n, channels), `shape(n)` bytes as they are sent; `ciphertexts` reads them."""

    @abstractmethod
    def add(self, a: Sums, b: Sums) -> Sums:
        """Element-wise sums of two batches of one length."""

    @abstractmethod
    def subtract(self, a: Sums, b: Sums) -> Sums:
        """Element-wise differences; the layout's bound must hold for the result."""

    @abstractmethod
    def multiply_plain(self, ct: Ciphertexts, factors: Ints) -> Sums:
        """Each ciphertext times its own signed factor (n,); the layout's bound must hold for the result."""

    @abstractmethod
    def refresh(self, ct: Ciphertexts, keep: NDArray[np.bool_]) -> Raw:
        """`shape(n)` bytes: each ciphertext re-randomised, or a fresh one of nothing where `keep` (n,) is False.

        Whoever lacks the secret key cannot tell which was kept.
        """


class SecretKey(ABC):
    """The owner's side; not serialised, not shown."""

    scheme: str

    @property
    @abstractmethod
    def public(self) -> PublicKey: ...

    @abstractmethod
    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        """Fresh ciphertexts, `shape(n)` bytes as they are sent, by the owner's faster way."""

    def encrypted(self, values: Ints, layout: Layout, at_once: int) -> Iterator[Raw]:
        """The bytes of `encrypt` in order, about `at_once` at a time where a scheme can, whole where that is 0."""
        yield self.encrypt(values, layout)

    @abstractmethod
    def decrypt(self, response: Response, layout: Layout) -> Ints:
        """int64 (count, channels)."""

    @abstractmethod
    def reply_shape(self, count: int, layout: Layout) -> tuple[int, int]:
        """(k, size) of a response with so many sums."""

    @abstractmethod
    def describe(self) -> str:
        """The scheme and its parameters in a few words, for a report."""

    def close(self) -> None:  # noqa: B027 - most schemes hold nothing that could be wiped
        """Forget the secrets where that is possible; nothing can be encrypted or decrypted afterwards."""

    @abstractmethod
    def response(self, raw: NDArray[np.uint8], count: int, layout: Layout) -> Response:
        """A received response, validated; CryptoError "bad_ciphertext"."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "secret keys are not serialised")


def check_bins(bins: Bins, n: int, counts: Counts) -> None:
    """CryptoError "bad_shape" unless bins is uint16 (n, features) and counts has 1 to 65,536 for each feature."""
    if bins.ndim != 2 or bins.shape[0] != n or bins.dtype != np.uint16:
        raise CryptoError("bad_shape", "bins are uint16 (rows, features)")
    if counts.shape != (bins.shape[1],) or counts.dtype != np.uint32:
        raise CryptoError("bad_shape", "counts are uint32, one for each feature")
    if counts.size and not 1 <= int(counts.min()) <= int(counts.max()) <= 1 << 16:
        raise CryptoError("bad_shape", "a feature has 1 to 65,536 bins")
