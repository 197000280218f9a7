"""Paillier's additive scheme with 2048 or 3072-bit moduli, in native batches.

Guarantee: ciphertexts are indistinguishable under the decisional composite residuosity assumption and the assumption
that a short power of a random n-th residue looks like a random one (Damgard, Jurik, Nielsen 2010, section 4.2:
exponents of half the modulus' bits); every party draws that residue itself, so a key owner cannot choose one that
hides nothing. Every ciphertext is fresh, every response re-randomised; there is no switch.
Not guaranteed: constant time on the machine that encrypts or decrypts; that a peer's modulus has exactly two prime
factors (size, oddness, small factors, primality and being a perfect power are checked).
Source: Paillier 1999; Damgard, Jurik, Nielsen 2010. Plaintexts are signed: m stands for m mod n, |m| < n/2.
"""

from __future__ import annotations

import os
import threading
from functools import cached_property
from typing import Final

import gmpy2
import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.ahe.base import (
    Bins,
    Ciphertexts,
    Counts,
    Ints,
    Layout,
    Raw,
    Response,
    RowPublicKey,
    SecretKey,
    Sums,
    check_bins,
)
from parley.crypto.errors import CryptoError
from parley.crypto.threads import limit

SIZES: Final = (2048, 3072)
MAGIC: Final = b"paillier\x00"
Limbs = NDArray[np.uint64]


def to_limbs(x: int, limbs: int) -> Limbs:
    return np.frombuffer(int(x).to_bytes(8 * limbs, "little"), dtype=np.uint64)


def to_int(limbs: Limbs) -> int:
    return int.from_bytes(limbs.tobytes(), "little")


class _Nonces:
    """Fixed-base powers of an n-th residue drawn by whoever holds this object."""

    def __init__(self, field: _native.Field, n: int, modulus: int) -> None:
        self._bytes = n.bit_length() // 16  # half the bits of n
        y = int.from_bytes(os.urandom(n.bit_length() // 8), "big") % n
        base = int(gmpy2.powmod(gmpy2.mpz(-y * y % n), n, modulus))
        entered = field.enter(to_limbs(base, field.limbs)[None, :], 1)
        self._power = _native.Power(field, entered[0], self._bytes, limit())

    def draw(self, count: int) -> NDArray[np.uint8]:
        return np.frombuffer(os.urandom(count * self._bytes), dtype=np.uint8).reshape(count, self._bytes)

    def powers(self, exponents: NDArray[np.uint8]) -> Limbs:
        """Montgomery form, one row per exponent."""
        return self._power.pow(exponents, limit())


class PaillierPublicKey(RowPublicKey):
    scheme = "paillier"

    def __init__(self, n: int) -> None:
        self.n = n
        self.bits = n.bit_length()
        self.size = self.bits // 4
        self._n_limbs = to_limbs(n, self.bits // 64)
        self.field = _native.Field(to_limbs(n * n, self.bits // 32))
        self._lock = threading.Lock()

    @cached_property
    def _nonces(self) -> _Nonces:
        return _Nonces(self.field, self.n, self.n * self.n)

    def nonces(self) -> _Nonces:
        with self._lock:
            return self._nonces

    def encode(self) -> bytes:
        return MAGIC + self.n.to_bytes(self.bits // 8, "big")

    @classmethod
    def decode(cls, raw: bytes) -> PaillierPublicKey:
        n = int.from_bytes(raw[len(MAGIC) :], "big")
        if raw[: len(MAGIC)] != MAGIC or n.bit_length() not in SIZES or len(raw) != len(MAGIC) + n.bit_length() // 8:
            raise CryptoError("bad_key", "a Paillier modulus has 2048 or 3072 bits")
        small = int(gmpy2.primorial(10_000))
        if gmpy2.gcd(n, small) != 1 or probably_prime(n) or gmpy2.is_power(n):
            raise CryptoError("bad_key", "a Paillier modulus is the product of two large primes")
        return cls(n)

    def ciphertexts(self, raw: Raw, rows: int) -> Ciphertexts:
        limbs = self._limbs(raw)
        if len(limbs) != rows:
            raise CryptoError("bad_ciphertext", "another number of ciphertexts than of rows")
        if len(limbs):
            every = to_int(self.field.leave(self.field.product(limbs), 1)[0])
            if gmpy2.gcd(every, self.n) != 1:
                raise CryptoError("bad_ciphertext", "a ciphertext shares a factor with the modulus")
        return Ciphertexts(len(raw), self.field.enter(limbs, limit()))

    def _limbs(self, raw: NDArray[np.uint8]) -> Limbs:
        if raw.ndim != 2 or raw.shape[1] != self.size or raw.dtype != np.uint8:
            raise CryptoError("bad_ciphertext", "ciphertexts of another size")
        limbs = np.ascontiguousarray(raw).view(np.uint64)
        bad = ~_below(limbs, to_limbs(self.n * self.n, self.field.limbs))
        if bad.any():
            raise CryptoError("bad_ciphertext", "a ciphertext is not below n^2", index=int(bad.argmax()))
        return limbs

    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        nonces = self.nonces()
        return self.sealed(values, layout, nonces.powers(nonces.draw(len(values))))

    def sealed(self, values: Ints, layout: Layout, powers: Limbs) -> Raw:
        """(1 + m n) times one Montgomery-form power per row."""
        layout.check(values)
        layout.per_plaintext(self.bits - 1)
        plain = _native.plaintexts(np.ascontiguousarray(values), self._n_limbs, layout.slot, limit())
        normal = self.field.mul(plain, powers, limit())
        return normal.view(np.uint8).reshape(len(values), self.size)

    def histogram(self, ct: Ciphertexts, bins: Bins, counts: Counts, rows: Ints | None) -> Sums:
        check_bins(bins, len(ct), counts)
        chosen = np.arange(len(ct), dtype=np.int64) if rows is None else np.ascontiguousarray(rows, dtype=np.int64)
        first = np.cumsum(counts, dtype=np.int64) - counts
        out = np.empty((int(counts.sum()), self.field.limbs), np.uint64)
        for n_bins in np.unique(counts).tolist():
            alike = np.flatnonzero(counts == n_bins)
            some = bins if alike.size == counts.size else bins[:, alike]
            made = self.field.histogram(ct.inner, np.ascontiguousarray(some), chosen, n_bins, limit())
            out[(first[alike][:, None] + np.arange(n_bins)).ravel()] = made
        return Sums(len(out), out)

    def add(self, a: Sums, b: Sums) -> Sums:
        return Sums(len(a), self.field.mul(a.inner, b.inner, limit()))

    def subtract(self, a: Sums, b: Sums) -> Sums:
        return Sums(len(a), self.field.mul(a.inner, self._inverses(b.inner), limit()))

    def _inverses(self, rows: Limbs) -> Limbs:
        """Montgomery-form inverses, each by one gcd; sums are few."""
        square = self.n * self.n
        normal = self.field.leave(rows, limit())
        inverted = [to_limbs(int(gmpy2.invert(to_int(r), square)), self.field.limbs) for r in normal]
        return self.field.enter(np.stack(inverted), limit()) if inverted else rows

    def multiply_plain(self, ct: Ciphertexts, factors: Ints) -> Sums:
        if factors.shape != (len(ct),):
            raise CryptoError("bad_shape", "one factor for each ciphertext")
        square = self.n * self.n
        normal = self.field.leave(ct.inner, limit())
        powers = [
            to_limbs(int(gmpy2.powmod(to_int(r), int(k), square)), self.field.limbs)
            for r, k in zip(normal, factors, strict=True)
        ]
        return Sums(len(ct), self.field.enter(np.stack(powers), limit()) if powers else ct.inner)

    def refresh(self, ct: Ciphertexts, keep: NDArray[np.bool_]) -> Raw:
        if keep.shape != (len(ct),):
            raise CryptoError("bad_shape", "one choice for each ciphertext")
        nonces = self.nonces()
        fresh = nonces.powers(nonces.draw(len(ct)))
        fresh[keep] = self.field.mul(np.ascontiguousarray(ct.inner[keep]), np.ascontiguousarray(fresh[keep]), limit())
        return self.field.leave(fresh, limit()).view(np.uint8).reshape(len(ct), self.size)

    def release(self, sums: Sums, layout: Layout) -> Response:
        group = layout.per_plaintext(self.bits - 1)
        joined = self.field.join(sums.inner, group, layout.width, limit())
        nonces = self.nonces()
        fresh = self.field.mul(joined, nonces.powers(nonces.draw(len(joined))), limit())
        raw = self.field.leave(fresh, limit()).view(np.uint8).reshape(len(joined), self.size)
        return Response(raw, len(sums))


class PaillierSecretKey(SecretKey):
    """p and q of equal size with their two top bits set."""

    scheme = "paillier"

    def __init__(self, p: int, q: int) -> None:
        self._public = PaillierPublicKey(p * q)
        self._sides = (_Side(p, q), _Side(q, p))
        half = self._public.bits // 64
        self._p2, q2 = to_limbs(p * p, half), q * q
        inverse = int(gmpy2.invert(p * p, q2))
        self._p2_inverse = self._sides[1].field.enter(to_limbs(inverse, half)[None, :], 1)[0]
        self._p_inverse = int(gmpy2.invert(p, q))

    @classmethod
    def generate(cls, bits: int) -> PaillierSecretKey:
        """A fresh key of 2048 or 3072 bits; CryptoError "bad_key" for another size."""
        if bits not in SIZES:
            raise CryptoError("bad_key", "a Paillier modulus has 2048 or 3072 bits")
        while True:
            p, q = _prime(bits // 2), _prime(bits // 2)
            n = p * q
            if abs(p - q).bit_length() > bits // 2 - 100 and gmpy2.gcd(n, (p - 1) * (q - 1)) == 1:
                return cls(p, q)

    @property
    def public(self) -> PaillierPublicKey:
        return self._public

    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        left, right = self._sides
        xp, xq = left.residues(len(values)), right.residues(len(values))
        powers = _native.combine(xp, xq, right.field, self._p2, self._p2_inverse, limit())
        return self._public.sealed(values, layout, self._public.field.enter(powers, limit()))

    def decrypt(self, response: Response, layout: Layout) -> Ints:
        group = layout.per_plaintext(self._public.bits - 1)
        limbs = self._public._limbs(response.raw)
        (p, mp), (q, mq) = (side.remainders(limbs) for side in self._sides)
        out = np.empty((response.count, layout.channels), np.int64)
        for k, (a, b) in enumerate(zip(mp, mq, strict=True)):
            m = a + p * ((b - a) * self._p_inverse % q)
            rows = out[k * group : (k + 1) * group]
            _unpack(m if m <= self._public.n // 2 else m - self._public.n, layout.slot, rows)
        return out

    def reply_shape(self, count: int, layout: Layout) -> tuple[int, int]:
        return -(-count // layout.per_plaintext(self._public.bits - 1)), self._public.size

    def describe(self) -> str:
        return f"Paillier, {self._public.bits} bits"

    def response(self, raw: NDArray[np.uint8], count: int, layout: Layout) -> Response:
        if len(raw) != self.reply_shape(count, layout)[0]:
            raise CryptoError("bad_ciphertext", "a response of another length")
        self._public.ciphertexts(raw, len(raw))
        return Response(raw, count)


class _Side:
    """Everything modulo one prime's square."""

    def __init__(self, p: int, other: int) -> None:
        self.p, self._square = p, p * p
        bits = p.bit_length() * 2
        self.field = _native.Field(to_limbs(self._square, bits // 64))
        self._exponent = to_limbs(p - 1, bits // 128)
        n = p * other
        # L(g^(p-1) mod p^2) with g = n + 1 is (p - 1) n / p, that is -other, modulo p
        self._scale = int(gmpy2.invert(-other % p, p))
        self._n = n
        self._lock = threading.Lock()

    @cached_property
    def _power(self) -> _native.Power:
        y = int.from_bytes(os.urandom(self._n.bit_length() // 8), "big") % self._n
        base = int(gmpy2.powmod(gmpy2.mpz(y), self._n, self._square))
        entered = self.field.enter(to_limbs(base, self.field.limbs)[None, :], 1)
        return _native.Power(self.field, entered[0], self._n.bit_length() // 16, limit())

    def residues(self, count: int) -> Limbs:
        """Random n-th residues modulo p^2, normal form.

        Both primes draw base and exponents independently: by the Chinese remainder theorem the pair is an n-th
        residue modulo n^2 whose two halves are each random, at least as much as one shared exponent gives.
        """
        size = self._n.bit_length() // 16
        exponents = np.frombuffer(os.urandom(count * size), dtype=np.uint8).reshape(count, size)
        with self._lock:
            power = self._power
        return self.field.leave(power.pow(exponents, limit()), limit())

    def remainders(self, limbs: Limbs) -> tuple[int, list[int]]:
        """(p, messages modulo p) of ciphertexts in limbs of n^2."""
        reduced = [to_limbs(to_int(row) % self._square, self.field.limbs) for row in limbs]
        if not reduced:
            return self.p, []
        entered = self.field.enter(np.stack(reduced), limit())
        powers = self.field.leave(self.field.pow(entered, self._exponent, limit()), limit())
        return self.p, [(to_int(x) - 1) // self.p * self._scale % self.p for x in powers]


def probably_prime(x: int) -> bool:
    """Whether x >= 0 passes Baillie-PSW (no composite is known to) and 40 Miller-Rabin rounds in all."""
    return x > 1 and bool(gmpy2.is_prime(x, 40))


def _prime(bits: int) -> int:
    while True:
        x = int.from_bytes(os.urandom(bits // 8), "big") | (3 << (bits - 2)) | 1
        candidate = int(gmpy2.next_prime(x))
        if candidate.bit_length() == bits and probably_prime(candidate):
            return candidate


def _below(rows: Limbs, bound: Limbs) -> NDArray[np.bool_]:
    """Row-wise rows < bound, from the top limb down."""
    decided = np.zeros(len(rows), np.bool_)
    below = np.zeros(len(rows), np.bool_)
    for k in range(rows.shape[1] - 1, -1, -1):
        below |= ~decided & (rows[:, k] < bound[k])
        decided |= rows[:, k] != bound[k]
        if decided.all():
            break
    return below


def _unpack(m: int, slot: int, rows: Ints) -> None:
    """Signed slots of one plaintext, lowest first, into int64 (k, channels)."""
    half, mask = 1 << (slot - 1), (1 << slot) - 1
    flat = rows.reshape(-1)
    for i in range(len(flat)):
        low = m & mask
        value = low - (1 << slot) if low >= half else low
        flat[i] = value
        m = (m - value) >> slot
