"""Randomness: `Rng` from the operating system, `Keystream` repeatable from a key.

Guarantee: `Rng` values are the operating system's, drawn at the moment of the call (so a fork shares none of
them); `Keystream` values depend on (key, context) alone, are equal on every platform, and look random to whoever
lacks the key (AES-256-CTR, HKDF-SHA256). Integers and permutations are exactly uniform given uniform bits.
Not guaranteed: constant time of rejection sampling in a permutation's length, and secrecy of a `Keystream` whose
key is public, as it is for public coins.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Final, NoReturn

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError

_INFO: Final = b"parley.keystream/1\x00"
_MAX_BYTES: Final = 1 << 32


class _Source(ABC):
    """What can be derived from a stream of uniform bytes."""

    @abstractmethod
    def bytes(self, n: int) -> bytes:
        """The next n bytes (0 <= n <= 2^32)."""

    def uniform(self, n: int) -> NDArray[np.float64]:
        """n floats in [0, 1), each k * 2^-53 with k uniform."""
        words = np.frombuffer(self.bytes(8 * n), dtype="<u8")
        return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(self, n: int, below: int) -> NDArray[np.int64]:
        """n integers in [0, below), 1 <= below <= 2^63, exactly uniform (rejection)."""
        if not 1 <= below <= 1 << 63:
            raise CryptoError("bad_range", "below is from 1 to 2^63")
        shift = np.uint64(64 - max(1, (below - 1).bit_length()))
        out = np.empty(n, dtype=np.int64)
        filled = 0
        while filled < n:
            words = np.frombuffer(self.bytes(8 * (n - filled)), dtype="<u8") >> shift
            kept = words[words < np.uint64(below)]
            out[filled : filled + len(kept)] = kept.astype(np.int64)
            filled += len(kept)
        return out

    def permutation(self, n: int) -> NDArray[np.int64]:
        """A uniform permutation of 0..n-1: the order of n 64-bit keys, drawn again while two are equal.

        Given that all keys differ every order is equally likely; a draw is repeated with probability about
        n^2 / 2^65.
        """
        while True:
            keys = np.frombuffer(self.bytes(8 * n), dtype="<u8")
            order = np.argsort(keys, kind="stable")
            ranked = keys[order]
            if not bool(np.any(ranked[1:] == ranked[:-1])):
                return order.astype(np.int64, copy=False)

    def scalar_below(self, q: int) -> int:
        """A uniform integer in [0, q), q >= 1, of any size (rejection)."""
        if q < 1:
            raise CryptoError("bad_range", "q is at least 1")
        bits = (q - 1).bit_length()
        size = (bits + 7) // 8
        while True:
            value = int.from_bytes(self.bytes(size), "little") & ((1 << bits) - 1)
            if value < q:
                return value


class Rng(_Source):
    """Secret randomness from the operating system: keys, masks, noise, privacy shuffles. Never replayed."""

    __slots__ = ()

    def bytes(self, n: int) -> bytes:
        """n fresh bytes from the operating system."""
        if not 0 <= n <= _MAX_BYTES:
            raise CryptoError("bad_range", "0 to 2^32 bytes at a time")
        return os.urandom(n)

    def __repr__(self) -> str:
        return "Rng()"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "a source of secret randomness is not serialised")


class Keystream(_Source):
    """A repeatable stream of AES-256-CTR from a 32-byte key and a context that separates its uses.

    Consumption matters: bytes(3) then bytes(5) give the same bytes as bytes(8).
    """

    __slots__ = ("_stream",)

    def __init__(self, key: bytes, context: bytes) -> None:
        if len(key) != 32:
            raise CryptoError("bad_key", "a keystream's key has 32 bytes")
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=_INFO + context).derive(bytes(key))
        # The derived key is used for this one stream, so a counter from zero never repeats under it.
        self._stream = Cipher(algorithms.AES(derived), modes.CTR(bytes(16))).encryptor()

    def bytes(self, n: int) -> bytes:
        """The next n bytes of the stream."""
        if not 0 <= n <= _MAX_BYTES:
            raise CryptoError("bad_range", "0 to 2^32 bytes at a time")
        return self._stream.update(bytes(n))

    def __repr__(self) -> str:
        return "Keystream(secret)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "a keystream is not serialised")
