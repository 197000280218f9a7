"""Shamir's shares: any `threshold` of n reconstruct, fewer learn nothing.

Guarantee: any threshold - 1 shares are uniform and independent of the secret (perfect, given a uniform source);
where more than `threshold` shares are given, they are checked to lie on one polynomial, so a wrong one is noticed as
long as the right ones among them number at least `threshold`. Not guaranteed: detection with exactly `threshold`
shares; which share is wrong; that a dealer gave everybody shares of one secret (no commitment is made).

Elements are of GF(2^61 - 1) (`FIELD_61`, up to 2^61 - 2 members) or bytes of GF(2^8) (`BYTES`, up to 255 members,
for keys and other secrets of any length: each byte has its own polynomial). Ids are distinct and never zero, where
the secret lies. Source: Shamir 1979; the check is that of McEliece and Sarwate 1981 for erasures only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from parley.crypto.errors import CryptoError
from parley.crypto.prg import Rng, Source
from parley.crypto.sharing.domains import Elements, Field


@dataclass(frozen=True)
class Share:
    """The polynomials' values at `id`, in the secret's shape."""

    id: int
    values: Elements = field(repr=False)


def share(
    domain: Field, secret: Elements, threshold: int, ids: Sequence[int], source: Source | None = None
) -> list[Share]:
    """One share for each id; CryptoError ``bad_ids`` (zero, twice, too large), ``bad_range`` (threshold)."""
    _ids(domain, ids)
    if not 2 <= threshold <= len(ids):
        raise CryptoError("bad_range", "the threshold is from 2 to the number of ids")
    domain.check(secret, "secrets")
    rng = source or Rng()
    higher = [domain.random(rng, secret.shape) for _ in range(threshold - 1)]
    return [Share(x, _evaluate(domain, [secret, *higher], x)) for x in ids]


def reconstruct(domain: Field, shares: Sequence[Share], threshold: int) -> Elements:
    """The secret, from `threshold` or more shares.

    CryptoError ``too_few``, ``bad_ids``, ``bad_shape``, and ``inconsistent_shares`` when the surplus contradicts.
    """
    if threshold < 2:
        raise CryptoError("bad_range", "the threshold is at least 2")
    if len(shares) < threshold:
        raise CryptoError("too_few", "fewer shares than the threshold")
    _ids(domain, [s.id for s in shares])
    if len({s.values.shape for s in shares}) != 1:
        raise CryptoError("bad_shape", "shares of different shapes")
    for one in shares:
        domain.check(one.values, "shares")
    base, surplus = shares[:threshold], shares[threshold:]
    for extra in surplus:
        if not np.array_equal(_interpolate(domain, base, extra.id), extra.values):
            raise CryptoError("inconsistent_shares", "the shares do not lie on one polynomial")
    return _interpolate(domain, base, 0)


def add(domain: Field, a: Share, b: Share) -> Share:
    """One member's share of the sum of two secrets; CryptoError ``bad_ids`` for two members' shares."""
    return Share(_same(a, b), domain.add(domain.check(a.values), domain.check(b.values)))


def subtract(domain: Field, a: Share, b: Share) -> Share:
    """One member's share of the difference of two secrets."""
    return Share(_same(a, b), domain.subtract(domain.check(a.values), domain.check(b.values)))


def scale(domain: Field, a: Share, factor: Elements) -> Share:
    """One member's share of a secret times a public factor."""
    return Share(a.id, domain.multiply(domain.check(a.values), domain.check(factor, "factors")))


def add_public(domain: Field, a: Share, constant: Elements) -> Share:
    """One member's share of a secret plus a public constant: every member adds it."""
    return Share(a.id, domain.add(domain.check(a.values), domain.check(constant, "constants")))


def _same(a: Share, b: Share) -> int:
    if a.id != b.id:
        raise CryptoError("bad_ids", "shares of two members")
    return a.id


def _ids(domain: Field, ids: Sequence[int]) -> None:
    if any(not 0 < x < domain.order for x in ids):
        raise CryptoError("bad_ids", "ids are from 1 to below the field's order")
    if len(set(ids)) != len(ids):
        raise CryptoError("bad_ids", "an id is there twice")


def _evaluate(domain: Field, coefficients: Sequence[Elements], x: int) -> Elements:
    """Horner's rule, lowest coefficient first."""
    at = domain.of(x)
    value = coefficients[-1]
    for lower in reversed(coefficients[:-1]):
        value = domain.add(domain.multiply(value, at), lower)
    return value


def _interpolate(domain: Field, shares: Sequence[Share], x: int) -> Elements:
    """The polynomials' values at x, by Lagrange's formula; its weights come from ids alone and are public."""
    total = domain.zeros(shares[0].values.shape)
    for one in shares:
        weight = domain.of(1)
        for other in shares:
            if other is not one:
                up = domain.subtract(domain.of(x), domain.of(other.id))
                down = domain.subtract(domain.of(one.id), domain.of(other.id))
                weight = domain.multiply(weight, domain.multiply(up, domain.of(domain.invert(int(down)))))
        total = domain.add(total, domain.multiply(one.values, weight))
    return total
