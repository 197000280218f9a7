"""Replicated shares of three members over Z/2^64: x = x0 + x1 + x2, member i holds x_i and x_(i+1).

Guarantee: one member's pair is uniform and independent of the secret (perfect, given a uniform source); any two
members reconstruct, and the term that two of them hold is compared, so a share that differs there is noticed; with
all three, every change that one member alone makes is. Sums, public factors and constants are local; a product of
two secrets is local up to one term that each member sends on (`product`, masked by `zero`, then exchanged).
Not guaranteed: anything against two members together; correctness of products when a member deviates.

Source: Ito, Saito, Nishizeki 1987 (the scheme); Araki, Furukawa, Lindell, Nof, Ohara 2016 (products).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError
from parley.crypto.prg import Keystream, Rng, Source
from parley.crypto.sharing.domains import RING_64

Array = NDArray[np.uint64]
MEMBERS = 3


@dataclass(frozen=True)
class Share:
    """Member `member`'s (0, 1, 2) pair: `own` = x_member, `next` = x_(member + 1)."""

    member: int
    own: Array = field(repr=False)
    next: Array = field(repr=False)

    def __post_init__(self) -> None:
        if self.member not in range(MEMBERS):
            raise CryptoError("bad_ids", "members are 0, 1 and 2")
        RING_64.check(self.own, "shares")
        RING_64.check(self.next, "shares")
        if self.own.shape != self.next.shape:
            raise CryptoError("bad_shape", "the two terms have different shapes")


def share(secret: Array, source: Source | None = None) -> list[Share]:
    """Three shares of uint64 of any shape."""
    RING_64.check(secret, "secrets")
    rng = source or Rng()
    first, second = RING_64.random(rng, secret.shape), RING_64.random(rng, secret.shape)
    terms = [first, second, secret - first - second]
    return [Share(i, terms[i], terms[(i + 1) % MEMBERS]) for i in range(MEMBERS)]


def reconstruct(shares: Sequence[Share]) -> Array:
    """The secret from two or three members' shares.

    CryptoError ``too_few``, ``bad_ids`` for one member twice, ``bad_shape``, ``inconsistent_shares``.
    """
    if len(shares) < 2:
        raise CryptoError("too_few", "two members' shares are needed")
    if len({s.member for s in shares}) != len(shares):
        raise CryptoError("bad_ids", "a member is there twice")
    if len({s.own.shape for s in shares}) != 1:
        raise CryptoError("bad_shape", "shares of different shapes")
    terms: dict[int, Array] = {}
    for one in shares:
        for index, term in ((one.member, one.own), ((one.member + 1) % MEMBERS, one.next)):
            if not np.array_equal(terms.setdefault(index, term), term):
                raise CryptoError("inconsistent_shares", "two members hold different values of one term")
    return terms[0] + terms[1] + terms[2]


def add(a: Share, b: Share) -> Share:
    """One member's share of the sum of two secrets."""
    return Share(_same(a, b), a.own + b.own, a.next + b.next)


def subtract(a: Share, b: Share) -> Share:
    """One member's share of the difference of two secrets."""
    return Share(_same(a, b), a.own - b.own, a.next - b.next)


def scale(a: Share, factor: Array) -> Share:
    """One member's share of a secret times a public factor."""
    RING_64.check(factor, "factors")
    return Share(a.member, a.own * factor, a.next * factor)


def add_public(a: Share, constant: Array) -> Share:
    """One member's share of a secret plus a public constant, which goes into term 0."""
    RING_64.check(constant, "constants")
    zero = np.zeros_like(a.own)
    return Share(
        a.member,
        a.own + (constant if a.member == 0 else zero),
        a.next + (constant if a.member == MEMBERS - 1 else zero),
    )


def zero(own: Keystream, following: Keystream, shape: tuple[int, ...]) -> Array:
    """One member's share of zero: its keystream's next words minus those of the next member.

    Member i shares the key of `own` with member i - 1 and that of `following` with member i + 1; the three shares of
    one call each sum to zero, and one is uniform to whoever misses one of its two keys.
    """
    a, b = RING_64.random(own, shape), RING_64.random(following, shape)
    return RING_64.subtract(a, b)


def product(a: Share, b: Share, mask: Array) -> Array:
    """One member's additive share z_i of the product of two secrets, masked by its share of `zero`.

    Sent to member i - 1, it makes the product's replicated share (z_i, z_(i+1)). Never sent without a fresh mask: bare,
    it depends on both terms that the receiver does not hold.
    """
    _same(a, b)
    RING_64.check(mask, "masks")
    term: Array = a.own * b.own + a.own * b.next + a.next * b.own + mask
    return term


def _same(a: Share, b: Share) -> int:
    if a.member != b.member:
        raise CryptoError("bad_ids", "shares of two members")
    return a.member
