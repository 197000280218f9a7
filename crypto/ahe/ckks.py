"""Approximate encryption of real vectors (CKKS, by TenSEAL): sums and one product with plain numbers.

Guarantee: ciphertexts are indistinguishable under ring-LWE at 128 bits or more (N = 16384, log2 q = 240, where the
homomorphic encryption standard allows 438). What `CkksOwner.release` returns is flooded: Gaussian noise of deviation
sqrt(12 r) 2^(s/2) t on every value, for r releases in all, s = 40 and t a bound on the l2 norm of the approximation
error, so that results do not carry the error that a key can be computed from (Li, Micciancio 2021). There is no way
to a bare decryption; releases are counted and end.
Not guaranteed: anything against a peer that computes beyond the declared `Circuit` (the bound t is then wrong, and
such results break the scheme: Guo, Nabokov, Suvanto, Johansson 2024); that the key's owner does not learn the plain
factors (their trace in the error is not flooded by the peer); exact results: `Circuit.deviation` says how inexact.

The bound counts every source of error at eight deviations, and the sums of absolute factors at their declared
worst case. Source: Cheon, Kim, Kim, Song 2017; Li, Micciancio 2021; Li, Micciancio, Schultz, Sorrell 2022, as the
flooding formula is used by OpenFHE; Albrecht et al. 2018 for the table of moduli.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
import tenseal as ts
import tenseal.sealapi
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError
from parley.crypto.noise import discrete_gaussian

Reals = NDArray[np.float64]
T = TypeVar("T")

DEGREE: Final = 16384
MODULI: Final = (60, 60, 60, 60)  # two that carry the result, one for the product, one for rotations
SCALE: Final = 60
STATISTICAL: Final = 40
# Bits of q at most for 128 bits of security, ternary secrets, classical attacks (standard of 2018, table 1).
LARGEST_MODULUS: Final = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}

_TAIL: Final = 8.0
_ERROR: Final = 3.2
_DOUBLES: Final = 2.0**-46
_GRID: Final = 20  # bits below the flooding's deviation


def check_parameters(degree: int, moduli: tuple[int, ...]) -> None:
    """CryptoError ``bad_parameters`` unless the modulus, special prime included, is within the standard's table."""
    if degree not in LARGEST_MODULUS or not moduli or sum(moduli) > LARGEST_MODULUS[degree]:
        raise CryptoError("bad_parameters", "the modulus is too large for 128 bits at this degree")


@dataclass(frozen=True)
class Circuit:
    """What is computed, at most: fixed before a key is made, equal at both ends.

    size: values of one vector (1 to 8192); outputs: values of one released result, at most (1 to 8192);
    value_bound: |value| of an input; factor_sum: the sum of absolute plain factors that go into one output, an
    addition counted as two factors of one; releases: results that are ever released under the key.
    """

    size: int
    outputs: int
    value_bound: float
    factor_sum: float
    releases: int

    def __post_init__(self) -> None:
        if not (1 <= self.size <= DEGREE // 2 and 1 <= self.outputs <= DEGREE // 2 and self.releases >= 1):
            raise CryptoError("bad_range", "sizes are from 1 to 8192, releases from 1")
        if not (0 < self.value_bound < 2.0**20 and 0 < self.factor_sum < 2.0**20):
            raise CryptoError("bad_range", "bounds are above 0 and below 2^20")

    @property
    def error(self) -> float:
        """A bound on the approximation error of one value of a result."""
        slot = _TAIL * math.sqrt(DEGREE) * 2.0**-SCALE  # from a coefficient's deviation to a value's bound
        fresh = slot * _ERROR * math.sqrt(4 * DEGREE / 3 + 1)
        rounding = slot * math.sqrt((1 + 2 * DEGREE / 3) / 12)
        switching = slot * 2 * _ERROR * math.sqrt(3 * DEGREE / 12) + rounding
        encoding = slot / math.sqrt(12) * self.size * self.value_bound
        doubles = _DOUBLES * self.value_bound * max(1.0, self.factor_sum)
        weight = max(1.0, self.factor_sum)
        return weight * (fresh + switching) + 2 * self.size * switching + encoding + rounding + doubles

    @property
    def deviation(self) -> float:
        """The deviation of the noise that is added to each released value."""
        norm = math.sqrt(self.outputs) * self.error
        return math.sqrt(12 * self.releases) * math.ldexp(1.0, STATISTICAL // 2) * norm


class CkksOwner:
    """The key's owner: it encrypts, and releases flooded results. Not serialised, not shown; dies with the attempt."""

    __slots__ = ("_context", "_correction", "_left", "circuit")

    def __init__(self, circuit: Circuit) -> None:
        check_parameters(DEGREE, MODULI)
        self.circuit = circuit
        self._left = circuit.releases
        self._context = ts.context(ts.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(MODULI))
        self._context.global_scale = 2.0**SCALE
        self._context.generate_galois_keys()
        # TenSEAL calls the scale after a product what it was before; it is that times scale / prime.
        self._correction = _primes(self._context)[2] / 2.0**SCALE

    def public(self) -> bytes:
        """The context for peers, rotation keys included and the secret key not: about 80 MB."""
        raw: bytes = self._context.serialize(
            save_public_key=True, save_secret_key=False, save_galois_keys=True, save_relin_keys=False
        )
        return raw

    def encrypt(self, values: Reals) -> bytes:
        """A fresh ciphertext of (size,) float64; CryptoError ``bad_shape``, ``overflow``."""
        if values.shape != (self.circuit.size,) or values.dtype != np.float64:
            raise CryptoError("bad_shape", "values are float64 (size,)")
        if not bool(np.all(np.abs(values) <= self.circuit.value_bound)):
            raise CryptoError("overflow", "a value exceeds the circuit's bound")
        raw: bytes = ts.ckks_vector(self._context, values.tolist()).serialize()
        return raw

    def release(self, raw: bytes, *, product: bool) -> Reals:
        """A result, flooded: what may leave. `product` says whether plain factors were multiplied in.

        CryptoError ``bad_ciphertext``, ``overflow`` for values beyond the circuit's, ``exhausted`` after its releases.
        """
        if self._left < 1:
            raise CryptoError("exhausted", "no release is left under this key")
        vector = _read(lambda: ts.ckks_vector_from(self._context, raw), "bad_ciphertext")
        if not 1 <= vector.size() <= self.circuit.outputs:
            raise CryptoError("bad_ciphertext", "a result of another size")
        self._left -= 1
        exact = np.array(_read(vector.decrypt, "bad_ciphertext"), np.float64)
        return self._flooded(exact * self._correction if product else exact)

    def _flooded(self, values: Reals) -> Reals:
        most = 2 * self.circuit.value_bound * max(1.0, self.circuit.factor_sum)
        if not bool(np.all(np.abs(values) <= most)):
            raise CryptoError("overflow", "a result exceeds the circuit's bound")
        # On a grid of powers of two, far below the noise, so that the noise is an exact sample.
        step = math.ldexp(1.0, math.frexp(self.circuit.deviation)[1] - _GRID)
        variance = (Fraction(self.circuit.deviation) / Fraction(step)) ** 2
        noise = discrete_gaussian(len(values), Fraction(math.ceil(variance)))
        return (np.rint(values / step) + noise.astype(np.float64)) * step

    def __repr__(self) -> str:
        return "CkksOwner(secret)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "secret keys are not serialised")


class CkksPeer:
    """Whoever computes on the owner's ciphertexts, within the circuit."""

    __slots__ = ("_context", "circuit")

    def __init__(self, public: bytes, circuit: Circuit) -> None:
        """CryptoError ``bad_key`` for a context of other parameters than ours, or one with a secret key in it."""
        self.circuit = circuit
        self._context = _read(lambda: ts.context_from(public), "bad_key")
        parms = _data(self._context).key_context_data().parms()
        bits = tuple(m.bit_count() for m in parms.coeff_modulus())
        if self._context.has_secret_key() or not self._context.has_galois_keys():
            raise CryptoError("bad_key", "a peer's context has rotation keys and no secret key")
        if (parms.poly_modulus_degree(), bits, self._context.global_scale) != (DEGREE, MODULI, 2.0**SCALE):
            raise CryptoError("bad_key", "a context of other parameters")

    def add(self, a: bytes, b: bytes) -> bytes:
        """The sum of two ciphertexts of (size,) values."""
        raw: bytes = (self._fresh(a) + self._fresh(b)).serialize()
        return raw

    def multiply_plain(self, a: bytes, factors: Reals) -> bytes:
        """Each value times its own plain factor (size,)."""
        self._fits(factors, (self.circuit.size,), float(np.max(np.abs(factors), initial=0.0)))
        raw: bytes = (self._fresh(a) * factors.tolist()).serialize()
        return raw

    def dot(self, a: bytes, factors: Reals) -> bytes:
        """One value: the product with a plain vector (size,)."""
        self._fits(factors, (self.circuit.size,), float(np.abs(factors).sum()))
        raw: bytes = self._fresh(a).dot(factors.tolist()).serialize()
        return raw

    def matrix(self, a: bytes, factors: Reals) -> bytes:
        """The row vector times a plain matrix (size, k), 1 <= k <= outputs: k values."""
        if factors.ndim != 2 or not 1 <= factors.shape[1] <= self.circuit.outputs:
            raise CryptoError("bad_shape", "a plain matrix is (size, 1 to outputs)")
        self._fits(factors, (self.circuit.size, factors.shape[1]), float(np.abs(factors).sum(axis=0).max()))
        raw: bytes = self._fresh(a).matmul(factors.tolist()).serialize()
        return raw

    def _fresh(self, raw: bytes) -> Any:
        vector = _read(lambda: ts.ckks_vector_from(self._context, raw), "bad_ciphertext")
        if vector.size() != self.circuit.size:
            raise CryptoError("bad_ciphertext", "a ciphertext of another size")
        return vector

    def _fits(self, factors: Reals, shape: tuple[int, ...], widest: float) -> None:
        if factors.shape != shape or factors.dtype != np.float64:
            raise CryptoError("bad_shape", "plain factors of another shape or dtype")
        if not widest <= self.circuit.factor_sum:
            raise CryptoError("overflow", "the factors exceed the circuit's bound")

    def __repr__(self) -> str:
        return "CkksPeer(...)"


def _data(context: Any) -> Any:
    """SEAL's context; importing `tenseal.sealapi` is what makes its parameters readable."""
    return context.seal_context().data


def _primes(context: Any) -> list[int]:
    return [int(m.value()) for m in _data(context).key_context_data().parms().coeff_modulus()]


def _read(work: Callable[[], T], code: str) -> T:
    """What TenSEAL reads from bytes; its errors without their text."""
    try:
        return work()
    except (ValueError, RuntimeError, TypeError):
        raise CryptoError(code, "the bytes are not read by this context") from None
