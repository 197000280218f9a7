"""Additive shares: n arrays that look random and sum to the secret, in any domain.

Guarantee: all shares but any one are uniform and independent of the secret, whatever it is (perfect secrecy, given a
uniform source; with a keystream, its pseudo-randomness). Local operations on shares give shares of the result.
Not guaranteed: integrity. There is no redundancy, so a changed share changes the result unnoticed, and a missing one
loses it.

A share vector is one array per member, in the members' order. Source: Ito, Saito, Nishizeki 1987 (n out of n).
"""

from __future__ import annotations

from collections.abc import Sequence

from parley.crypto.errors import CryptoError
from parley.crypto.prg import Rng, Source
from parley.crypto.sharing.domains import Domain, Elements


def share(domain: Domain, secret: Elements, members: int, source: Source | None = None) -> list[Elements]:
    """`members` (2 or more) arrays of the secret's shape; CryptoError ``bad_range``, ``bad_shape``."""
    if members < 2:
        raise CryptoError("bad_range", "a secret is shared among two or more")
    domain.check(secret, "secrets")
    rng = source or Rng()
    shares = [domain.random(rng, secret.shape) for _ in range(members - 1)]
    rest = secret
    for one in shares:
        rest = domain.subtract(rest, one)
    return [*shares, rest]


def reconstruct(domain: Domain, shares: Sequence[Elements]) -> Elements:
    """The secret of every member's share; CryptoError ``bad_shape`` when their shapes differ."""
    if len(shares) < 2:
        raise CryptoError("bad_range", "a secret is shared among two or more")
    if len({s.shape for s in shares}) != 1:
        raise CryptoError("bad_shape", "shares of different shapes")
    total = domain.check(shares[0], "shares")
    for one in shares[1:]:
        total = domain.add(total, domain.check(one, "shares"))
    return total


def add(domain: Domain, a: Elements, b: Elements) -> Elements:
    """One member's share of the sum of two secrets."""
    return domain.add(domain.check(a, "shares"), domain.check(b, "shares"))


def subtract(domain: Domain, a: Elements, b: Elements) -> Elements:
    """One member's share of the difference of two secrets."""
    return domain.subtract(domain.check(a, "shares"), domain.check(b, "shares"))


def scale(domain: Domain, a: Elements, factor: Elements) -> Elements:
    """One member's share of a secret times a public factor."""
    return domain.multiply(domain.check(a, "shares"), domain.check(factor, "factors"))


def add_public(domain: Domain, a: Elements, constant: Elements, member: int) -> Elements:
    """One member's share of a secret plus a public constant, which member 0 alone adds."""
    domain.check(constant, "constants")
    return domain.add(domain.check(a, "shares"), constant) if member == 0 else a
