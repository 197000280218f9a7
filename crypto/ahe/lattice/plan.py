"""Which parameters a run has: fixed before it begins, the same on both sides, never adapted while it runs.

Guarantee: sums that the layout allows decrypt exactly except with probability below 2^-100 each, and everything the
owner sees of the other side's bins beyond the sums is within `distance_bits` of nothing, for the whole run.
Not guaranteed: that the declared outputs are not exceeded; whoever releases counts them.

Where the figure comes from. A released coefficient carries the error d = sum of fresh errors + e_p u - e' s + e'',
and noise U drawn for it alone: the sum of four uniform numbers of 2^(F-1) values, centred, so within 2^F. Of the fresh
errors there is one for each row and each feature that has a bin in the coefficient's polynomial, at most
max_rows * sharing, so that the variance of d is 10.5 (max_rows * sharing + 4 N / 3 + 1).
For every value of d, U + d and U differ in squared Hellinger distance by at most d^2 I / 8, I the Fisher information of
U, 3.1158 / 2^(2F-2); the outputs' noises are independent, so over k of them these add up, and the statistical distance
is at most sqrt(I sum d^2) / 2. Its mean over the errors, at most sigma sqrt(I k) / 2, bounds the distance jointly with
all errors, known to the owner or not. Which sums are asked for follows from exact sums and not from errors.
A single uniform number has no such I: its distances add up as k and not as sqrt(k).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from parley.crypto import _native
from parley.crypto.ahe.base import Layout
from parley.crypto.errors import CryptoError

ERROR_VARIANCE: Final = 10.5  # centred binomial of 2 * 21 bits
FLOOR: Final = 40
CHANNELS: Final = 64
INFORMATION: Final = 3.1158  # Fisher information of a sum of four uniform variables of width 1
TAIL: Final = 12.0  # standard deviations that are provided for: below 2^-100


# The largest log2 q for 128 bits against classical attacks, ternary secrets: Security Guidelines for Implementing
# Homomorphic Encryption (eprint 2024/463), stricter than the 2018 standard's 109 and 218.
LIMITS: Final = {4096: 106, 8192: 214}


def check_security(n: int, q: int) -> None:
    """CryptoError "weak_parameters" where a ring of dimension n with modulus q is outside the 128-bit table."""
    if q.bit_length() > LIMITS.get(n, 0):
        raise CryptoError("weak_parameters", "the modulus is too large for this ring at 128 bits")


@dataclass(frozen=True)
class Profile:
    """A ring Z_q[X] / (X^n + 1); `blocks` are the numbers x of sums that a reply polynomial may hold."""

    name: str
    n: int
    blocks: tuple[int, ...]

    @cached_property
    def primes(self) -> tuple[int, ...]:
        primes = tuple(_native.lattice_primes(self.n))
        check_security(self.n, math.prod(primes))
        return primes

    @property
    def q(self) -> int:
        return math.prod(self.primes)


PROFILES: Final = {p.name: p for p in (Profile("standard", 4096, (8, 16, 32)), Profile("wide", 8192, (16, 32)))}


@dataclass(frozen=True)
class Plan:
    """A profile with its scale: rows of `layout`, `x` sums a polynomial, at most `outputs` released slots in the run
    (channels counted), and the distance that was asked for."""

    profile: Profile
    layout: Layout
    x: int
    outputs: int
    floor: float
    sharing: int  # features, at most, that have bins in one polynomial
    packed: bool = False  # replies packed before they are sent: far fewer bytes for more work, and larger keys

    @cached_property
    def delta(self) -> int:
        """Sums are held times 2^delta: the most that keeps |sum| 2^delta, and half a step, below q / 2."""
        most = self.layout.bound * self.layout.max_rows
        return (self.profile.q // (2 * most + 1)).bit_length() - 1

    @cached_property
    def flood(self) -> int:
        """F: noise lies in [-2^F, 2^F). At most a quarter of a step, less where rounding needs the room."""
        switched = math.prod(self.profile.primes[1:])
        rounding = TAIL * math.sqrt((self.profile.n * 2 / 3 + 1) / 12) + 1
        room = 0.44 * 2.0**self.delta - rounding * switched - TAIL * self.sigma
        return min(self.delta - 2, math.floor(math.log2(room))) if room >= 1 else 0

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of a released coefficient's error before the noise that drowns it."""
        return math.sqrt(ERROR_VARIANCE * (self.terms + 4 * self.profile.n / 3 + 1))

    @property
    def terms(self) -> int:
        """Fresh errors in one coefficient, at most: a factor k counts k^2 times."""
        return self.layout.max_rows * self.sharing

    @cached_property
    def distance_bits(self) -> float:
        """-log2 of the statistical distance of the whole run."""
        information = INFORMATION / 2.0 ** (2 * self.flood - 2)
        return 1 - math.log2(self.sigma * math.sqrt(information * self.outputs))

    @cached_property
    def factor(self) -> int:
        """2^64 times a sum's share of a step of the first prime: what decryption multiplies by."""
        return (math.prod(self.profile.primes[1:]) << 64) >> self.delta

    def scale(self) -> list[int]:
        """2^delta modulo every prime."""
        return [pow(2, self.delta, p) for p in self.profile.primes]

    def digest(self, context: bytes) -> bytes:
        """32 bytes that name plan and context; every key, message and reply carries them."""
        numbers = (self.profile.n, *self.profile.primes, self.x, self.layout.channels, self.layout.bound)
        numbers += (self.layout.max_rows, self.delta, self.flood, self.outputs, self.sharing, int(self.packed))
        text = "parley.lattice/2 " + " ".join(map(str, numbers))
        return hashlib.sha256(hashlib.sha256(text.encode()).digest() + hashlib.sha256(context).digest()).digest()

    def describe(self) -> str:
        """One line for a plan's reader."""
        q, packed = self.profile.q.bit_length(), ", replies packed" if self.packed else ""
        return (
            f"lattice {self.profile.name}: N = {self.profile.n}, log q = {q}, x = {self.x}{packed}, "
            f"statistical distance per run 2^-{self.distance_bits:.1f} over {self.outputs} outputs"
        )


def make_plan(
    layout: Layout,
    outputs: int,
    *,
    x: int = 32,
    floor: float = FLOOR,
    profile: str | None = None,
    sharing: int | None = None,
    packed: bool = False,
) -> Plan:
    """The narrowest profile whose run stays within 2^-floor, or the named one if it does.

    outputs: released slots of the whole run, those without a sum and channels counted, at least 1. floor: a lower one
    must be asked for here.
    sharing: features with bins in one polynomial; None is x, which holds always, 2 does where all have x bins or more.
    packed: whether replies are packed, decided from the link's speed before the run and kept.
    CryptoError "floor" where no profile meets it, "overflow" where the sums do not fit the modulus.
    """
    sharing = x if sharing is None else sharing
    if outputs < 1 or not floor >= 0 or not 1 <= sharing <= x or layout.channels > CHANNELS:
        raise CryptoError("bad_range", f"outputs from 1, floor from 0, sharing from 1 to x, channels to {CHANNELS}")
    if profile is not None and profile not in PROFILES:
        raise CryptoError("unknown_profile", "profiles: " + ", ".join(PROFILES))
    fitting = False
    for candidate in (PROFILES[profile],) if profile else PROFILES.values():
        if x not in candidate.blocks:
            continue
        plan = Plan(candidate, layout, x, outputs, floor, sharing, packed)
        if plan.flood < 32:
            continue
        fitting = True
        if plan.distance_bits >= floor:
            return plan
    if not fitting:
        raise CryptoError("overflow", "no profile holds sums of this size with this x")
    raise CryptoError(
        "floor",
        "no profile keeps the run's statistical distance within the floor",
        hint="fewer outputs, smaller values or fewer rows, or a lower floor, knowingly",
    )
