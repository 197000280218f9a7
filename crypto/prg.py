"""Randomness: `Rng` from the operating system, `Keystream` repeatable from a key.

Guarantee: `Rng` values are the operating system's, drawn at the moment of the call (so a fork shares none of
them); `Keystream` values depend on (key, context, cipher) alone, are equal on every platform, and look random to
whoever lacks the key; a forked child that asks its copy of a parent's keystream is refused, never served the
parent's values. Integers, field elements and permutations are exactly uniform given uniform bits (rejection, bias 0);
`scalar_wide` alone is not, and says by how much.
Not guaranteed: constant time of rejection sampling in what is rejected, secrecy of a `Keystream` whose key is public,
as it is for public coins, and that a copy of the process' memory made by other means than a fork differs from it.

Assumption: AES-256 is a pseudo-random permutation (a stream of at most 2^38 bytes is told from random with advantage
at most 2^-61 beyond that), or ChaCha20 a pseudo-random function; HKDF-SHA256 separates the contexts.
Source: NIST SP 800-38A (CTR), RFC 8439 section 2.4 (ChaCha20), RFC 5869 (HKDF).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Final, Literal, NoReturn

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError

StreamCipher = Literal["AES-256-CTR", "ChaCha20"]
MERSENNE_61: Final = (1 << 61) - 1
_INFO: Final = {"AES-256-CTR": b"parley.keystream/1\x00", "ChaCha20": b"parley.keystream.chacha20/1\x00"}
_MAX_BYTES: Final = 1 << 32
_MAX_STREAM: Final = 1 << 38  # 2^34 blocks of AES, and all that a 32-bit ChaCha20 counter has
_WIDE: Final = 128  # bits beyond the modulus' own


class Source(ABC):
    """What can be derived from a stream of uniform bytes. Words are little endian."""

    @abstractmethod
    def bytes(self, n: int) -> bytes:
        """The next n bytes (0 <= n <= 2^32)."""

    def words32(self, n: int) -> NDArray[np.uint32]:
        """n uniform elements of Z/2^32."""
        return np.frombuffer(self.bytes(4 * n), dtype="<u4").astype(np.uint32, copy=False)

    def words64(self, n: int) -> NDArray[np.uint64]:
        """n uniform elements of Z/2^64."""
        return np.frombuffer(self.bytes(8 * n), dtype="<u8").astype(np.uint64, copy=False)

    def bits(self, n: int) -> NDArray[np.uint8]:
        """n uniform bits, each 0 or 1 in a byte of its own."""
        packed = np.frombuffer(self.bytes((n + 7) // 8), dtype=np.uint8)
        return np.unpackbits(packed, count=n, bitorder="little")

    def below(self, n: int, modulus: int) -> NDArray[np.uint64]:
        """n integers in [0, modulus), 1 <= modulus <= 2^64, exactly uniform (rejection): ring or field elements."""
        if not 1 <= modulus <= 1 << 64:
            raise CryptoError("bad_range", "the modulus is from 1 to 2^64")
        shift = np.uint64(64 - max(1, (modulus - 1).bit_length()))
        out = np.empty(n, dtype=np.uint64)
        filled = 0
        while filled < n:
            words = self.words64(n - filled) >> shift
            kept = words[words <= np.uint64(modulus - 1)]
            out[filled : filled + len(kept)] = kept
            filled += len(kept)
        return out

    def field61(self, n: int) -> NDArray[np.uint64]:
        """n uniform elements of the prime field of 2^61 - 1; one word in 2^61 is drawn again."""
        return self.below(n, MERSENNE_61)

    def uniform(self, n: int) -> NDArray[np.float64]:
        """n floats in [0, 1), each k * 2^-53 with k uniform."""
        return (self.words64(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(self, n: int, below: int) -> NDArray[np.int64]:
        """n integers in [0, below), 1 <= below <= 2^63, exactly uniform (rejection)."""
        if not 1 <= below <= 1 << 63:
            raise CryptoError("bad_range", "below is from 1 to 2^63")
        return self.below(n, below).astype(np.int64)

    def permutation(self, n: int) -> NDArray[np.int64]:
        """A uniform permutation of 0..n-1: the order of n 64-bit keys, drawn again while two are equal.

        Given that all keys differ every order is equally likely; a draw is repeated with probability about
        n^2 / 2^65.
        """
        while True:
            keys = np.frombuffer(self.bytes(8 * n), dtype="<u8")
            order = np.argsort(keys)  # need not be stable: what has equal keys is drawn again
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

    def scalar_wide(self, q: int) -> int:
        """An integer in [0, q) within statistical distance 2^-128 of uniform, in a number of steps that is fixed by q.

        For where the time that rejection takes must not vary: 128 bits more than q has, modulo q.
        """
        if q < 1:
            raise CryptoError("bad_range", "q is at least 1")
        return int.from_bytes(self.bytes((q.bit_length() + _WIDE + 7) // 8), "little") % q


class Rng(Source):
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


class Keystream(Source):
    """A repeatable stream from a 32-byte key and a context that separates its uses; at most 2^38 bytes.

    Consumption matters: bytes(3) then bytes(5) give the same bytes as bytes(8). CryptoError ``forked`` in a child
    forked after it was made, ``exhausted`` at its end.
    """

    __slots__ = ("_born", "_left", "_stream")

    def __init__(self, key: bytes, context: bytes, cipher: StreamCipher = "AES-256-CTR") -> None:
        if len(key) != 32:
            raise CryptoError("bad_key", "a keystream's key has 32 bytes")
        if cipher not in _INFO:
            raise CryptoError("bad_cipher", "the cipher is AES-256-CTR or ChaCha20")
        # The derived key is used for this one stream, so a counter from zero never repeats under it.
        self._stream = _stream(cipher, derive(key, _INFO[cipher] + context, 32), bytes(16))
        self._left = _MAX_STREAM
        self._born = _process()

    @classmethod
    def fresh(cls, context: bytes) -> Keystream:
        """A stream nobody can repeat, from a key of the operating system: for masks in bulk."""
        return cls(os.urandom(32), context)

    def bytes(self, n: int) -> bytes:
        """The next n bytes of the stream."""
        if not 0 <= n <= _MAX_BYTES:
            raise CryptoError("bad_range", "0 to 2^32 bytes at a time")
        if self._born != _process():
            raise CryptoError("forked", "this keystream belongs to the parent process", hint="derive one in the child")
        if n > self._left:
            raise CryptoError("exhausted", "a keystream has at most 2^38 bytes")
        self._left -= n
        return self._stream.update(bytes(n))

    def __repr__(self) -> str:
        return "Keystream(secret)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "a keystream is not serialised")


def derive(secret: bytes, info: bytes, size: int, salt: bytes = b"") -> bytes:
    """HKDF-SHA256: `size` bytes (1 to 8160) for the use that `info` names; CryptoError ``bad_range``.

    Guarantee: keys for different info or salt look independent when the secret has enough entropy. Not guaranteed:
    strength beyond the secret's (it is no password hash).
    """
    if not 1 <= size <= 255 * 32:
        raise CryptoError("bad_range", "HKDF-SHA256 gives 1 to 8160 bytes")
    return HKDF(hashes.SHA256(), size, salt=salt or None, info=info).derive(secret)


def _stream(cipher: StreamCipher, key: bytes, block: bytes) -> CipherContext:
    """Zeros encrypted from a 16-byte first counter block on."""
    if cipher == "ChaCha20":
        return Cipher(algorithms.ChaCha20(key, block), None).encryptor()
    return Cipher(algorithms.AES(key), modes.CTR(block)).encryptor()


_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


def _process() -> tuple[int, int]:
    """Tells a process from its forked ancestors: the count of forks on the way to it, and its id for those forks
    that Python did not see."""
    return _forks, os.getpid()


os.register_at_fork(after_in_child=_forked)
