"""Approximate sums and products of real vectors under encryption (CKKS, through TenSEAL and SEAL).

Guarantee: ciphertexts hide their values under ring learning with errors at 128 bits (parameters within the table of
the Homomorphic Encryption Standard, 2018, which SEAL enforces as well). Nothing decrypted is returned before noise has
been added that covers the error CKKS leaves in it, and nothing a peer computed leaves it before fresh encryptions of
such noise were added; there is no switch. With `security` s and `queries` q the noise is the Gaussian of Li,
Micciancio, Schultz and Sorrell (2022), of deviation sqrt(12 q n) 2^(s/2) times the error's bound over n slots: s bits
in their measure of an adversary who sees decryptions; a plain statistical distance of 2^-(s/2 + 2).
Not guaranteed: exact results (`Circuit.deviation` says what to expect); a bound for values, factors or circuits other
than the ones declared; wiped keys and constant time, which are SEAL's; protection from a peer that encrypts something
else than it declared.
Source: Cheon, Kim, Kim, Song 2017 (scheme, lemma 1 for the error of a fresh ciphertext); Li, Micciancio 2021 (the
attack on bare decryptions).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError
from parley.crypto.noise import discrete_gaussian

if TYPE_CHECKING:
    import tenseal as ts

Floats = NDArray[np.float64]
SIGMA: Final = 3.2  # of SEAL's errors
STANDARD: Final = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}  # bits of q at 128 bits, ternary
SECURITY: Final = 40


@dataclass(frozen=True)
class Profile:
    """A ring of `degree`, primes of these bits (the last one for keys), values scaled by 2^scale_bits."""

    name: str
    degree: int
    modulus_bits: tuple[int, ...]
    scale_bits: int
    products: int

    @property
    def slots(self) -> int:
        return self.degree // 2

    @property
    def fresh_error(self) -> float:
        """Bound of a fresh ciphertext's error in one slot, of high probability (lemma 1, with h = degree)."""
        n = self.degree
        return (8 * sqrt(2) * SIGMA * n + 6 * SIGMA * sqrt(n) + 16 * SIGMA * n) / 2.0**self.scale_bits

    @property
    def drift(self) -> float:
        """How far a rescaling prime is from the scale, relatively: SEAL takes the largest primes of their size."""
        import gmpy2

        found, q = 0, (1 << self.scale_bits) + 1
        while found < len(self.modulus_bits):
            q -= 2 * self.degree
            found += gmpy2.is_prime(q)
        return 1 - q / 2.0**self.scale_bits


SUMS: Final = Profile("sums", 8192, (60, 60, 60), 59, 0)
PRODUCTS: Final = Profile("products", 16384, (60, 59, 59, 60), 59, 1)
PROFILES: Final = {p.name: p for p in (SUMS, PRODUCTS)}


@dataclass(frozen=True)
class Circuit:
    """What both sides declared: `terms` vectors of |value| <= magnitude summed, each times |factor| <= `factor` if any.

    `queries` is how many results the owner will decrypt under one key.
    """

    profile: Profile
    magnitude: float
    terms: int = 1
    factor: float = 0.0
    queries: int = 1
    security: int = SECURITY

    def __post_init__(self) -> None:
        if (
            self.magnitude <= 0
            or self.terms < 1
            or self.queries < 1
            or self.factor < 0
            or self.security < SECURITY // 2
        ):
            raise CryptoError("bad_range", "a circuit has a magnitude, terms and queries, and 20 bits of security")
        if self.factor and not self.profile.products:
            raise CryptoError("bad_range", "a product in a profile without one", hint="use the profile products")
        bits = 2 * self.profile.scale_bits if self.factor else self.profile.scale_bits
        whole = self.magnitude * self.terms * max(1.0, self.factor)
        if log2(whole) + bits + 2 > sum(self.profile.modulus_bits[:-1]):
            raise CryptoError("overflow", "values of this size do not fit the modulus")

    @property
    def error(self) -> float:
        """Bound of the result's error in one slot, without the noise that is added."""
        p = self.profile
        one = p.fresh_error
        if self.factor:
            rounding = sqrt(p.degree / 3) * (3 + 8 * sqrt(p.degree)) / 2.0**p.scale_bits  # lemma 2, rescaling
            encoding = self.magnitude * p.degree / 2.0**p.scale_bits
            one = one * self.factor + encoding + rounding + self.magnitude * self.factor * p.drift
        return one * self.terms

    @property
    def grid(self) -> float:
        """Results lie on multiples of this power of two, no finer than their error."""
        return 2.0 ** ceil(log2(self.error))

    @property
    def variance(self) -> int:
        """Of the noise on that grid."""
        return 12 * self.queries * self.profile.slots << self.security

    @property
    def deviation(self) -> float:
        """Standard deviation of a result around the true value, both sides' noise counted."""
        return self.grid * sqrt(2.0 * self.variance)


def _noise(circuit: Circuit, width: int) -> Floats:
    return discrete_gaussian(width, circuit.variance).astype(np.float64) * circuit.grid


class CkksVector:
    """One packed vector under encryption; it leaves a party only through `release`."""

    __slots__ = ("inner", "width")

    def __init__(self, inner: Any, width: int) -> None:
        self.inner, self.width = inner, width

    def __repr__(self) -> str:
        return f"CkksVector({self.width})"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("not_released", "vectors leave a party only through release")


class CkksPublicKey:
    """What a peer computes with; no method decrypts."""

    def __init__(self, context: ts.Context, profile: Profile) -> None:
        self._context, self.profile = context, profile

    def encode(self) -> bytes:
        """The key for a peer; `decode` reads it."""
        made: bytes = self._context.serialize(
            save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
        )
        return self.profile.name.encode() + b"\x00" + made

    @classmethod
    def decode(cls, raw: bytes) -> CkksPublicKey:
        """A peer's key; CryptoError "bad_key" for another profile's, one with a secret, or what is none."""
        name, _, rest = raw.partition(b"\x00")
        profile = PROFILES.get(name.decode("ascii", "replace"))
        if profile is None:
            raise CryptoError("bad_key", "a key of no known profile")
        import tenseal as ts

        try:
            context = ts.context_from(rest)
            public = not context.is_private() and context.has_public_key()
            public = public and context.global_scale == 2.0**profile.scale_bits
            public = public and _fingerprint(context) == _fingerprint(_context(profile))
        except (ValueError, RuntimeError, TypeError):
            public = False
        if not public:
            raise CryptoError("bad_key", "not a public key of its profile")
        return cls(context, profile)

    def encrypt(self, values: Floats) -> bytes:
        """A fresh ciphertext of float64 (width,), 1 <= width <= slots; CryptoError "bad_shape"."""
        return bytes(self._fresh(values).serialize())

    def _fresh(self, values: Floats) -> Any:
        import tenseal as ts

        if values.ndim != 1 or not 1 <= values.size <= self.profile.slots or not np.isfinite(values).all():
            raise CryptoError("bad_shape", "finite values (width,) of at most as many as there are slots")
        return ts.ckks_vector(self._context, values.tolist())

    def vector(self, raw: bytes, width: int) -> CkksVector:
        """A received ciphertext of so many values, validated; CryptoError "bad_ciphertext"."""
        import tenseal as ts

        inner: Any = None
        try:
            inner = ts.ckks_vector_from(self._context, raw)
            good = bool(raw) and inner.size() == width and len(inner.ciphertext()) == 1
            good = good and inner.ciphertext()[0].size() == 2
        except (ValueError, RuntimeError, TypeError):
            good = False
        if not good:
            raise CryptoError("bad_ciphertext", "not a ciphertext of this key and width")
        return CkksVector(inner, width)

    def add(self, a: CkksVector, b: CkksVector) -> CkksVector:
        """Element-wise sum of two vectors of one width."""
        if a.width != b.width:
            raise CryptoError("bad_shape", "vectors of different widths")
        return CkksVector(a.inner + b.inner, a.width)

    def multiply_plain(self, a: CkksVector, factors: Floats) -> CkksVector:
        """Element-wise product with the peer's own numbers (width,); once, in a profile with products."""
        if factors.shape != (a.width,) or not np.isfinite(factors).all():
            raise CryptoError("bad_shape", "one finite factor for each value")
        if (
            not self.profile.products
            or a.inner.ciphertext()[0].coeff_modulus_size() < len(self.profile.modulus_bits) - 1
        ):
            raise CryptoError("bad_range", "no product is left")
        return CkksVector(a.inner * factors.tolist(), a.width)

    def release(self, a: CkksVector, circuit: Circuit) -> bytes:
        """The result for the key's owner: a fresh encryption of covering noise is added to it."""
        if circuit.profile != self.profile:
            raise CryptoError("bad_range", "a circuit of another profile")
        return bytes((a.inner + self._fresh(_noise(circuit, a.width))).serialize())


class CkksSecretKey:
    """The owner's side; not serialised, not shown, and without a decryption that adds no noise."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self._left = circuit, circuit.queries
        self._context = _context(circuit.profile)
        self._secret = self._context.secret_key()
        self.public = CkksPublicKey(self._context.copy(), circuit.profile)
        self.public._context.make_context_public()

    @classmethod
    def generate(cls, circuit: Circuit) -> CkksSecretKey:
        """A fresh key for one declared circuit; CryptoError "bad_key" for parameters outside the standard's table."""
        profile = circuit.profile
        if sum(profile.modulus_bits) > STANDARD.get(profile.degree, 0):
            raise CryptoError("bad_key", "parameters below 128 bits of security")
        return cls(circuit)

    def decrypt(self, raw: bytes, width: int) -> Floats:
        """A result of the declared circuit (width,) with its covering noise.

        CryptoError "bad_ciphertext"; "exhausted" once the circuit's queries were decrypted.
        """
        inner = self.public.vector(raw, width).inner
        if self._left < 1:
            raise CryptoError("exhausted", "more results than were declared under this key")
        self._left -= 1
        grid = self.circuit.grid
        found = np.rint(np.array(inner.decrypt(self._secret)) / grid) * grid
        noisy: Floats = found + _noise(self.circuit, width)
        return noisy

    def __repr__(self) -> str:
        return "CkksSecretKey(...)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "secret keys are not serialised")


def _context(profile: Profile) -> ts.Context:
    import tenseal as ts

    context = ts.context(
        ts.SCHEME_TYPE.CKKS, poly_modulus_degree=profile.degree, coeff_mod_bit_sizes=list(profile.modulus_bits)
    )
    context.global_scale = 2.0**profile.scale_bits
    return context


def _fingerprint(context: ts.Context) -> tuple[int, ...]:
    """SEAL's own hash of degree and primes."""
    import tenseal as ts

    probe = ts.ckks_vector(context, [0.0]).ciphertext()[0]
    return tuple(probe.parms_id())
