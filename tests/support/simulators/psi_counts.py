"""What both sides of counts and sums see, made from a side's own ids and coins, its output, and the other's size.

Ciphertexts are left out of views: they run on the plain fake here, and that real ones say nothing is Paillier's part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from seeded import Seeded
from simulators.psi_ecdh import random_points

from parley.crypto import curve
from parley.protocols.kit.message import Message
from parley.protocols.psi import sum as psi_sum
from parley.protocols.psi.ids import matches


def key_of(own: Seeded) -> bytes:
    return (own.scalars[0] + 1).to_bytes(32, "little")


def receiver_view(double: np.ndarray, theirs: np.ndarray, own: Seeded) -> dict[str, np.ndarray]:
    """The points, with the own key taken off and put on, and how the two lists go together."""
    inverse = pow(own.scalars[0] + 1, -1, curve.ORDER).to_bytes(32, "little")
    where = matches(double, curve.multiply(theirs, key_of(own)))
    # Which of its ids stood at each place when they were sent: as if the answer had kept the order.
    sent = own.orders[0]
    return {
        "double": double,
        "theirs": theirs,
        "bare": curve.multiply(double, inverse),
        "where": where,
        "in its own order": where[np.argsort(sent)],
    }


def receiver_is_sent(n: int, m: int, count: int, own: Seeded, rng: Seeded) -> tuple[np.ndarray, np.ndarray]:
    """Of n own ids `count` are common with m: random elements, as many of them related by the own key."""
    own.permutation(n) if not own.orders else None
    double = random_points(n, rng)
    inverse = pow(own.scalars[0] + 1, -1, curve.ORDER).to_bytes(32, "little")
    common = curve.multiply(double[rng.permutation(n)[:count]], inverse)
    rest = random_points(m - count, rng) if m > count else common[:0]
    return double, np.concatenate([common, rest])[rng.permutation(m)]


def of(sent: Sequence[Message], kind: type[Message], field: str) -> np.ndarray:
    return np.concatenate([getattr(m, field) for m in sent if isinstance(m, kind)])


def sender_view(sent: Sequence[Message], kind: type[Message]) -> dict[str, np.ndarray]:
    """The points; of a masked sum both digits, which the plain fake shows as decryption would."""
    out = {"blinded": of(sent, kind, "points")}
    for m in sent:
        if isinstance(m, psi_sum.Masked | psi_sum.Total):
            out["sum"] = m.sum.reshape(2, 8)
        if isinstance(m, psi_sum.Total):
            out["count"] = np.array([m.count])
    return out
