"""Inner products of encrypted vectors with plaintext columns over the ring of integers modulo 2^64.

One party encrypts vectors v_r of n ring elements; another, who knows small integers f_r[i, c], answers with
sum_r sum_i f_r[i, c] v_r[i] + mask[c] for each of its columns c, modulo 2^64, in one reply for many columns.

Guarantee: whoever holds the public key and ciphertexts alone learns nothing of the vectors, and whoever reads replies
without the secret key nothing of the sums (ring-LWE, ternary secrets, centred binomial errors, N = 8192, q = 2^160,
where the 128-bit table of eprint 2024/463 allows 2^214). The key's owner learns the masked sums and, up to
`distance_bits` over all sums it is ever answered with, nothing else of the factors: every reply carries a fresh
encryption of zero under the owner's key and fresh noise on the coefficients that are sent. With masks uniform over the
whole ring, masked sums say nothing at all. Results are exact or refused.
Not guaranteed: anything against an owner who encrypts something else than it should, or makes its key another way
(semi-honest); constant time in factors, which their holder uses on its own machine.

q is a power of two, and 2^64 plaintexts stand 2^96 apart, so that sums wrap in the plaintext ring without an error.
A block of L = N / x rows is the polynomial sum v_i X^i; x columns share one factor polynomial
sum_j sum_i f_ij X^(Lj + L - 1 - i), and coefficient Lj + L - 1 of the product is column j's sum. Polynomials modulo
X^N + 1 are multiplied by Fourier transforms in double precision over 16-bit limbs; how far each result is from an
integer is looked at.

Source: Lyubashevsky, Peikert, Regev 2010 (ring-LWE; any modulus); Huang et al., *Cheetah*, 2022 (inner products as
coefficients); Bourse, Del Pino, Minelli, Wee 2016 (re-randomising against the owner of the key).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe.lattice.plan import ERROR_VARIANCE, INFORMATION, check_security
from parley.crypto.errors import CryptoError
from parley.crypto.prg import Keystream, Rng, Source

N: Final = 8192
LIMBS: Final = 10  # of 16 bits: q = 2^160
ELEMENT: Final = 2 * LIMBS  # bytes of a ring element
POLYNOMIAL: Final = N * ELEMENT  # bytes
SEED: Final = 32
FACTOR_BITS: Final = 22  # |factor| <= 2^22
FLOOD: Final = 94  # noise lies within 2^94, less than half of the 2^96 between plaintexts
_AT_ONCE: Final = 64  # products of uniform centred limbs that are summed before they are rounded
_EXACT: Final = 1 << 16  # terms of 2^22 times 2^15 whose sum stays below 2^53
_SMALL: Final = 32  # rows of a matrix product: so small that no library starts threads for it
_WORK: Final = 256  # spectra in memory at a time, of 64 KiB

Raw = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Spectra = NDArray[np.complex128]

check_security(N, (1 << (16 * LIMBS)) - 1)
_TWIST: Final = np.exp(1j * np.pi * np.arange(N // 2) / N)
_BACK: Final = _TWIST.conj()


@dataclass(frozen=True)
class Shape:
    """`rows` of `vectors` against `columns`, `x` of which share a polynomial; known to both sides."""

    rows: int
    vectors: int
    columns: int
    x: int

    @property
    def length(self) -> int:
        """Rows in a block."""
        return N // self.x

    @property
    def blocks(self) -> int:
        """Ciphertexts of one vector."""
        return -(-self.rows // self.length)

    @property
    def groups(self) -> int:
        """Polynomials of a reply."""
        return -(-self.columns // self.x)

    @property
    def vector_bytes(self) -> int:
        return self.blocks * POLYNOMIAL

    @property
    def reply_size(self) -> int:
        """Bytes of one polynomial of a reply with its x sums."""
        return POLYNOMIAL + self.x * ELEMENT

    def distance_bits(self, outputs: int) -> float:
        """-log2 of the statistical distance of `outputs` sums of this shape from masked sums and noise alone.

        The error of a sum is at most the factors' length times an error's deviation; see `lattice.plan` for the rule.
        """
        terms = self.vectors * self.blocks * N * 4.0**FACTOR_BITS + 4 * N / 3 + 1
        sigma = math.sqrt(ERROR_VARIANCE * terms)
        return 1 - math.log2(sigma * math.sqrt(INFORMATION * max(1, outputs))) + FLOOD - 1


def shape(rows: int, vectors: int, columns: int) -> Shape:
    """The x with the fewest bytes in both directions; CryptoError "bad_range" unless all are at least 1."""
    if min(rows, vectors, columns) < 1:
        raise CryptoError("bad_range", "an inner product has rows, vectors and columns")
    fits = [Shape(rows, vectors, columns, 1 << k) for k in range(9)]
    return min(fits, key=lambda s: (s.vectors * s.vector_bytes + s.groups * s.reply_size, s.x))


# ---------------------------------------------------------------- polynomials modulo X^N + 1


def _spectra(polynomials: Any) -> Spectra:
    """(..., N) coefficients to (..., N/2) values."""
    folded = np.empty((*polynomials.shape[:-1], N // 2), dtype=np.complex128)
    folded.real, folded.imag = polynomials[..., : N // 2], polynomials[..., N // 2 :]
    folded *= _TWIST
    return np.fft.fft(folded, out=folded)


def _integers(spectra: Spectra) -> Ints:
    """(..., N/2) values to (..., N) coefficients, in place; CryptoError "imprecise" where they are not integers."""
    folded = np.fft.ifft(spectra, out=spectra)
    folded *= _BACK
    out = np.empty((*folded.shape[:-1], N), dtype=np.int64)
    for values, half in ((folded.real, out[..., : N // 2]), (folded.imag, out[..., N // 2 :])):
        rounded = np.rint(values)
        half[...] = rounded
        rounded -= values
        if max(float(rounded.max(initial=0.0)), -float(rounded.min(initial=0.0))) > 0.25:
            raise CryptoError("imprecise", "a product lost its precision")
    return out


def _carried(limbs: Ints) -> Ints:
    """(..., LIMBS, k) integers of any size to limbs in [0, 2^16), modulo 2^160; in place."""
    for i in range(LIMBS - 1):
        limbs[..., i + 1, :] += limbs[..., i, :] >> 16
    limbs &= 0xFFFF
    return limbs


def _limbs(raw: Raw) -> NDArray[np.uint16]:
    """(..., k * ELEMENT) bytes to (..., LIMBS, k)."""
    words = np.ascontiguousarray(raw).view("<u2").astype(np.uint16, copy=False)
    return np.moveaxis(words.reshape(*raw.shape[:-1], -1, LIMBS), -1, -2)


def _centred(limbs: NDArray[np.uint16]) -> Floats:
    """(..., LIMBS, k) limbs to the same elements with limbs in [-2^15, 2^15)."""
    out = limbs.astype(np.int32)
    for i in range(LIMBS - 1):
        over = out[..., i, :] >> 15
        out[..., i, :] -= over << 16
        out[..., i + 1, :] += over
    out[..., LIMBS - 1, :] -= (out[..., LIMBS - 1, :] >> 15) << 16
    return out.astype(np.float64)


def _raw(limbs: Ints) -> Raw:
    """(..., LIMBS, k) in [0, 2^16) to (..., k * ELEMENT) bytes."""
    words = np.ascontiguousarray(np.moveaxis(limbs, -1, -2).astype("<u2"))
    return words.reshape(*limbs.shape[:-2], -1).view(np.uint8)


def _uniform(seed: bytes, count: int) -> NDArray[np.uint16]:
    """(count, LIMBS, N) the public polynomials of a seed."""
    stream = Keystream(seed, b"parley.inner/1 a")
    return _limbs(np.frombuffer(stream.bytes(count * POLYNOMIAL), np.uint8).reshape(count, POLYNOMIAL))


def _derived(rng: Source, use: bytes) -> Keystream:
    return Keystream(rng.bytes(SEED), b"parley.inner/1 " + use)


def _errors(stream: Keystream, count: int, k: int = N) -> Ints:
    """(count, k) centred binomial of 2 * 21 bits."""
    words = stream.words64(count * k)
    low = np.uint64((1 << 21) - 1)
    drawn = np.bitwise_count(words & low).astype(np.int64) - np.bitwise_count((words >> np.uint64(21)) & low)
    errors: Ints = drawn.reshape(count, k)
    return errors


def _ternary(stream: Keystream, count: int) -> Ints:
    """(count, N) of -1, 0, 1."""
    return stream.integers(count * N, 3).reshape(count, N) - 1


def _flood(stream: Keystream, k: int) -> Ints:
    """(LIMBS, k) limbs of the sum of four uniform numbers of 2^(FLOOD-1) values, centred."""
    whole, rest = divmod(FLOOD - 1, 16)
    words = stream.bytes(4 * k * 2 * (whole + 1))
    drawn = np.frombuffer(words, "<u2").reshape(4, whole + 1, k).astype(np.int64)
    drawn[:, whole] &= (1 << rest) - 1
    out = np.zeros((LIMBS, k), dtype=np.int64)
    out[: whole + 1] = drawn.sum(axis=0)
    out[FLOOD // 16] -= 1 << FLOOD % 16
    return out


def _times(polynomials: NDArray[np.uint16], small: Spectra) -> Ints:
    """(..., LIMBS, N) limbs times a polynomial with small coefficients, given by its spectrum (N/2,)."""
    return _integers(_spectra(polynomials) * small)


# ---------------------------------------------------------------- the owner of the key


class InnerSecretKey:
    """Encrypts vectors and reads replies. Neither serialised nor shown; `close` forgets the secret."""

    def __init__(self, rng: Source | None = None) -> None:
        self._rng = rng or Rng()
        stream = _derived(self._rng, b"key")
        self._secret: Spectra | None = _spectra(_ternary(stream, 1)[0])
        seed = self._rng.bytes(SEED)
        limbs = _times(_uniform(seed, 1), self._secret)
        limbs[:, 0] += _errors(stream, 1)
        self.public = seed + _raw(_carried(limbs)).tobytes()

    def _open(self) -> Spectra:
        if self._secret is None:
            raise CryptoError("closed", "the key was closed")
        return self._secret

    def encrypt(self, vectors: Words, shape: Shape, rng: Source | None = None) -> tuple[Raw, Raw]:
        """A seed (32,) and ciphertexts (k * blocks, POLYNOMIAL) of k vectors, uint64 (k, rows).

        `rng`, secret and never used again, is for callers that encrypt several at a time.
        """
        secret = self._open()
        if vectors.ndim != 2 or vectors.shape[1] != shape.rows or vectors.dtype != np.uint64:
            raise CryptoError("bad_shape", "vectors are uint64 (k, rows)")
        count = vectors.shape[0] * shape.blocks
        padded = np.zeros((vectors.shape[0], shape.blocks * shape.length), dtype=np.uint64)
        padded[:, : shape.rows] = vectors
        padded = padded.reshape(count, shape.length)
        rng = rng or self._rng
        seed, stream = rng.bytes(SEED), _derived(rng, b"errors")
        limbs, uniform = np.empty((count, LIMBS, N), np.int64), _uniform(seed, count)
        for i in range(count):
            limbs[i] = _times(uniform[i], secret)
        limbs[:, 0] += _errors(stream, count)
        for k in range(4):
            limbs[:, 6 + k, : shape.length] += ((padded >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64)
        return np.frombuffer(seed, np.uint8), _raw(_carried(limbs))

    def decrypt(self, reply: Raw, shape: Shape) -> Words:
        """(columns,) the masked sums of a reply; CryptoError "bad_ciphertext" for one of another size."""
        secret = self._open()
        if reply.shape != (shape.groups, shape.reply_size) or reply.dtype != np.uint8:
            raise CryptoError("bad_ciphertext", "a reply of another size")
        return _plain(self._phases(reply, shape, secret))[: shape.columns]

    def _phases(self, reply: Raw, shape: Shape, secret: Spectra) -> Ints:
        """(LIMBS, groups * x) what decryption sees: masked sums times 2^96, and noise."""
        at = np.arange(1, shape.x + 1) * shape.length - 1
        masked = _limbs(reply[:, POLYNOMIAL:]).astype(np.int64)
        limbs = masked - _times(_limbs(reply[:, :POLYNOMIAL]), secret)[..., at]
        return _carried(np.moveaxis(limbs, 0, 1).reshape(LIMBS, -1))

    def close(self) -> None:
        """Forget the secret."""
        if self._secret is not None:
            self._secret[:] = 0
        self._secret = None

    def __repr__(self) -> str:
        return "InnerSecretKey(...)"

    def __reduce__(self) -> str:
        raise CryptoError("secret_key", "secret keys are not serialised")


def _plain(limbs: Ints) -> Words:
    """(LIMBS, k) to the nearest plaintexts (k,)."""
    limbs = limbs.copy()
    limbs[5] += 1 << 15
    words = _carried(limbs)[6:].astype(np.uint64)
    shifts = (np.arange(4, dtype=np.uint64) * np.uint64(16))[:, None]
    return np.asarray(np.bitwise_or.reduce(words << shifts, axis=0), dtype=np.uint64)


# ---------------------------------------------------------------- who has the columns


class InnerSums:
    """Sums of one shape under a peer's key, filled by `add` and sent by `release`, which ends them."""

    def __init__(self, public: bytes, shape: Shape, rng: Source | None = None) -> None:
        if len(public) != SEED + POLYNOMIAL:
            raise CryptoError("bad_key", "a public key of another size")
        self._public, self._shape, self._rng = public, shape, rng or Rng()
        self._first = np.zeros((shape.groups, LIMBS, N), dtype=np.int64)
        self._sums = np.zeros((shape.groups, shape.x, LIMBS), dtype=np.int64)
        self._left = shape.vectors
        self._spectra: Spectra | None = None
        self._held = 0

    def add(self, seed: Raw, ciphertexts: Raw, factors: Ints) -> None:
        """k more vectors: as `encrypt` made them, and their factors, int64 (k, rows, columns).

        CryptoError "bad_ciphertext" for another size or too many; "overflow" for a factor beyond 2^FACTOR_BITS.
        """
        s = self._shape
        k = factors.shape[0]
        if seed.shape != (SEED,) or ciphertexts.shape != (k * s.blocks, POLYNOMIAL) or k > self._left:
            raise CryptoError("bad_ciphertext", "ciphertexts of another size or number")
        if factors.shape != (k, s.rows, s.columns) or factors.dtype != np.int64:
            raise CryptoError("bad_shape", "factors are int64 (vectors, rows, columns)")
        if factors.size and int(np.abs(factors).max()) > 1 << FACTOR_BITS:
            raise CryptoError("overflow", "a factor exceeds its bound")
        self._left -= k
        uniform, second = _uniform(seed.tobytes(), k * s.blocks), _limbs(ciphertexts)
        padded = np.zeros((k, s.blocks * s.length, s.groups * s.x), dtype=np.float64)
        padded[:, : s.rows, : s.columns] = factors
        blocks = padded.reshape(k * s.blocks, s.length, s.groups, s.x)
        step = max(1, min(_WORK // (s.groups + LIMBS), _AT_ONCE))
        for i in range(0, k * s.blocks, step):
            self._multiply_first(_centred(uniform[i : i + step]), blocks[i : i + step])
        for i in range(0, k * s.blocks, _EXACT // N):
            self._multiply_second(_centred(second[i : i + _EXACT // N]), blocks[i : i + _EXACT // N])
            _carried(self._sums.swapaxes(1, 2))

    def _multiply_first(self, limbs: Floats, factors: Floats) -> None:
        """Add (c, LIMBS, N) times (c, length, groups, x) factors, as whole polynomials, in the spectra."""
        c = factors.shape[0]
        polynomials = factors[:, ::-1].transpose(0, 2, 3, 1).reshape(c, self._shape.groups, N)
        left = np.ascontiguousarray(_spectra(polynomials).transpose(2, 1, 0))
        right = np.ascontiguousarray(_spectra(limbs).transpose(2, 0, 1))
        if self._held + c > _AT_ONCE:
            self._settle()
        product = left @ right
        self._spectra = product if self._spectra is None else np.add(self._spectra, product, out=self._spectra)
        self._held += c

    def _multiply_second(self, limbs: Floats, factors: Floats) -> None:
        """Add to each column's sum its coefficient of (c, LIMBS, N) times (c, length, groups, x) factors.

        Column j of a group meets the ciphertext's part j - k through the factors of its column k.
        """
        x, groups = self._shape.x, self._shape.groups
        parts = limbs.reshape(-1, LIMBS, x, self._shape.length).transpose(0, 3, 2, 1).reshape(-1, _SMALL, x * LIMBS)
        pieces = factors.reshape(-1, _SMALL, groups * x).transpose(0, 2, 1) @ parts
        met = pieces.sum(axis=0).astype(np.int64).reshape(groups, x, x, LIMBS)
        for k in range(x):
            self._sums[:, k:] += met[:, k, : x - k]
            self._sums[:, :k] -= met[:, k, x - k :]

    def _settle(self) -> None:
        """Round what the spectra hold, and add it to the polynomials."""
        if self._spectra is None:
            return
        self._first += _integers(np.ascontiguousarray(self._spectra.transpose(1, 2, 0)))
        _carried(self._first)
        self._spectra, self._held = None, 0

    def release(self, masks: Words) -> Raw:
        """The reply (groups, reply_size), re-randomised, each sum with its mask (columns,); only once.

        CryptoError "out_of_order" while vectors are missing or after a release.
        """
        if self._left or masks.shape != (self._shape.columns,) or masks.dtype != np.uint64:
            raise CryptoError("out_of_order", "a reply needs all vectors and a mask for each column")
        self._settle()
        self._left = -1
        s, stream = self._shape, _derived(self._rng, b"release")
        sums = np.moveaxis(self._sums, 2, 0).reshape(LIMBS, s.groups * s.x) + self._refreshed(stream)
        sums += _flood(stream, s.groups * s.x)
        whole = stream.words64(s.groups * s.x).copy()  # sums without a column are drowned as well
        whole[: s.columns] = masks
        for k in range(4):
            sums[6 + k] += ((whole >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64)
        second = np.moveaxis(_carried(sums).reshape(LIMBS, s.groups, s.x), 0, 1)
        return np.concatenate([_raw(_carried(self._first)), _raw(second)], axis=1)

    def _refreshed(self, stream: Keystream) -> Ints:
        """Add a fresh encryption of zero under the peer's key to each polynomial; its second part (LIMBS, columns)."""
        s, seed = self._shape, self._public[:SEED]
        given = np.frombuffer(self._public, np.uint8)[SEED:].reshape(1, -1)
        key = _spectra(np.stack([_centred(_uniform(seed, 1)[0]), _centred(_limbs(given)[0])]))
        at = np.arange(1, s.x + 1) * s.length - 1
        second = np.empty((s.groups, LIMBS, s.x), dtype=np.int64)
        for g in range(s.groups):
            made = _integers(key * _spectra(_ternary(stream, 1)))
            made[:, 0] += _errors(stream, 2)
            self._first[g] += made[0]
            second[g] = made[1][:, at]
        return np.moveaxis(second, 1, 0).reshape(LIMBS, -1)
