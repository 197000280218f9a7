"""Where shares live: the rings Z/2^32, Z/2^64, Z/2^128, the prime field of 2^61 - 1, and the bytes of GF(2^8).

Guarantee: every operation is exact, element-wise over arrays of one shape, in steps that do not depend on the
elements. Not guaranteed: that of `invert`, which is for public values. Elements are uint32, uint64, uint64
(..., 2) with the low word first, uint64 below 2^61 - 1, and uint8.
Source: for GF(2^8) the polynomial x^8 + x^4 + x^3 + x + 1 of FIPS 197.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError
from parley.crypto.prg import MERSENNE_61, Source

Elements = NDArray[Any]
_LOW: Final = np.uint64(0xFFFFFFFF)
_32: Final = np.uint64(32)
_P: Final = np.uint64(MERSENNE_61)


class Domain(ABC):
    """One ring, with its elements' dtype and how many words (0: a plain scalar) an element has in a last axis."""

    name: str
    dtype: np.dtype[Any]
    words: int = 0

    def check(self, a: Elements, what: str = "elements") -> Elements:
        """The array itself when it holds elements of this domain, else CryptoError ``bad_shape`` or ``bad_range``."""
        if a.dtype != self.dtype or (self.words and (a.ndim == 0 or a.shape[-1] != self.words)):
            raise CryptoError("bad_shape", f"{what} of {self.name} have another dtype or shape")
        return a

    def zeros(self, shape: tuple[int, ...]) -> Elements:
        """Zeros in an array of this full shape."""
        return np.zeros(shape, self.dtype)

    @abstractmethod
    def random(self, source: Source, shape: tuple[int, ...]) -> Elements:
        """Uniform elements in an array of this full shape (the axis of words included)."""

    @abstractmethod
    def add(self, a: Elements, b: Elements) -> Elements: ...

    @abstractmethod
    def subtract(self, a: Elements, b: Elements) -> Elements: ...

    @abstractmethod
    def multiply(self, a: Elements, b: Elements) -> Elements:
        """Products, element by element; a share times a public factor, or public values."""

    def __repr__(self) -> str:
        return self.name


class Words(Domain):
    """Z/2^32 or Z/2^64: one machine word an element, wrapping."""

    def __init__(self, bits: int) -> None:
        self.name = f"Z/2^{bits}"
        self.dtype = np.dtype(np.uint32 if bits == 32 else np.uint64)

    def random(self, source: Source, shape: tuple[int, ...]) -> Elements:
        n = int(np.prod(shape, dtype=np.int64))
        words: Elements = source.words32(n) if self.dtype == np.uint32 else source.words64(n)
        return words.reshape(shape)

    def add(self, a: Elements, b: Elements) -> Elements:
        return np.add(a, b, dtype=self.dtype)

    def subtract(self, a: Elements, b: Elements) -> Elements:
        return np.subtract(a, b, dtype=self.dtype)

    def multiply(self, a: Elements, b: Elements) -> Elements:
        return np.multiply(a, b, dtype=self.dtype)


class Ring128(Domain):
    """Z/2^128: uint64 (..., 2), low word first."""

    name = "Z/2^128"
    dtype = np.dtype(np.uint64)
    words = 2

    def random(self, source: Source, shape: tuple[int, ...]) -> Elements:
        return source.words64(int(np.prod(shape, dtype=np.int64))).reshape(shape)

    def add(self, a: Elements, b: Elements) -> Elements:
        low = a[..., 0] + b[..., 0]
        return np.stack([low, a[..., 1] + b[..., 1] + (low < a[..., 0])], axis=-1)

    def subtract(self, a: Elements, b: Elements) -> Elements:
        low = a[..., 0] - b[..., 0]
        return np.stack([low, a[..., 1] - b[..., 1] - (a[..., 0] < b[..., 0])], axis=-1)

    def multiply(self, a: Elements, b: Elements) -> Elements:
        high, low = _wide(a[..., 0], b[..., 0])
        return np.stack([low, high + a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]], axis=-1)

    def encode(self, values: list[int]) -> Elements:
        """(n, 2) from integers modulo 2^128."""
        raw = b"".join((v % (1 << 128)).to_bytes(16, "little") for v in values)
        return np.frombuffer(raw, "<u8").astype(np.uint64).reshape(-1, 2)

    def decode(self, a: Elements) -> list[int]:
        """Integers in [0, 2^128), in C order."""
        return [int(low) | int(high) << 64 for low, high in self.check(a).reshape(-1, 2)]


class Field(Domain):
    """A domain where every element but zero has an inverse."""

    order: int

    @abstractmethod
    def invert(self, a: int) -> int:
        """The inverse of one public element; CryptoError ``bad_range`` for zero."""

    def of(self, value: int) -> Elements:
        """One public element as an array of no dimension."""
        return np.array(value, self.dtype)


class Field61(Field):
    """The integers modulo 2^61 - 1."""

    name = "GF(2^61 - 1)"
    dtype = np.dtype(np.uint64)
    order = MERSENNE_61

    def check(self, a: Elements, what: str = "elements") -> Elements:
        super().check(a, what)
        if a.size and int(a.max()) >= MERSENNE_61:
            raise CryptoError("bad_range", f"{what} are not below 2^61 - 1")
        return a

    def random(self, source: Source, shape: tuple[int, ...]) -> Elements:
        return source.field61(int(np.prod(shape, dtype=np.int64))).reshape(shape)

    def add(self, a: Elements, b: Elements) -> Elements:
        return _below_p(a + b)

    def subtract(self, a: Elements, b: Elements) -> Elements:
        return _below_p(a + (_P - b))

    def multiply(self, a: Elements, b: Elements) -> Elements:
        high, low = _wide(np.asarray(a), np.asarray(b))
        # 2^64 is 8 modulo the prime; both parts stay below 2^61, so their sum does not wrap
        folded = (low & _P) + ((low >> np.uint64(61)) | (high << np.uint64(3)))
        return _below_p(folded)

    def invert(self, a: int) -> int:
        if not 0 < a < MERSENNE_61:
            raise CryptoError("bad_range", "zero has no inverse")
        return pow(a, -1, MERSENNE_61)


class Bytes(Field):
    """GF(2^8), byte by byte: how a secret of any length, a 32-byte key say, is shared by Shamir's scheme.

    Products go bit by bit over the second factor, without a table whose entries a cache would tell.
    """

    name = "GF(2^8)"
    dtype = np.dtype(np.uint8)
    order = 256

    def random(self, source: Source, shape: tuple[int, ...]) -> Elements:
        return np.frombuffer(source.bytes(int(np.prod(shape, dtype=np.int64))), np.uint8).reshape(shape)

    def add(self, a: Elements, b: Elements) -> Elements:
        return np.bitwise_xor(a, b)

    def subtract(self, a: Elements, b: Elements) -> Elements:
        return np.bitwise_xor(a, b)

    def multiply(self, a: Elements, b: Elements) -> Elements:
        a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
        out, power = np.zeros(a.shape, np.uint8), a.copy()
        for bit in range(8):
            out ^= power * ((b >> np.uint8(bit)) & np.uint8(1))
            power = (power << np.uint8(1)) ^ ((power >> np.uint8(7)) * np.uint8(0x1B))
        return out

    def invert(self, a: int) -> int:
        if not 0 < a < 256:
            raise CryptoError("bad_range", "zero has no inverse")
        power, result = self.of(a), self.of(1)
        for _ in range(7):  # a^254, the product of the squarings of a
            power = self.multiply(power, power)
            result = self.multiply(result, power)
        return int(result)


def _wide(a: Elements, b: Elements) -> tuple[Elements, Elements]:
    """128-bit products of words: (high, low)."""
    a0, a1, b0, b1 = a & _LOW, a >> _32, b & _LOW, b >> _32
    middle = a1 * b0 + ((a0 * b0) >> _32)
    carry = (middle & _LOW) + a0 * b1
    return a1 * b1 + (middle >> _32) + (carry >> _32), a * b


def _below_p(a: Elements) -> Elements:
    """a modulo 2^61 - 1 for a <= 2^62: one fold, then the prime itself becomes zero, without a branch."""
    folded = (a & _P) + (a >> np.uint64(61))
    reduced: Elements = folded - _P * (folded >= _P).astype(np.uint64)
    return reduced


RING_32: Final = Words(32)
RING_64: Final = Words(64)
RING_128: Final = Ring128()
FIELD_61: Final = Field61()
BYTES: Final = Bytes()
