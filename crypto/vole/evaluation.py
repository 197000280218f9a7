"""Oblivious evaluation of a set: the receiver gets the tags of its own keys, the sender can tag any key.

The function is F(y) = decode(B + P' * delta, y) + h(y) * delta, where the receiver sent P' = P + A and P is a store
with P(x) = h(x) for its keys x; there decode(C, x) is the same. A tag is the start of SHA-256(F(y), y, context).

Guarantee (semi-honest; SHA-256 as random oracle; the correlation's assumptions): P' looks uniform to the sender
whatever the set is; tags of keys outside the receiver's set look random to the receiver, but for a chance of 2^-64 for
each key (a 64-bit value of the store). Sets of more than 2^24 keys are refused for that reason.
Not guaranteed: that a deviating receiver holds no more keys than it declares; anything once one correlation is used
for a second store: every run needs a fresh one. Comparing tags is in the clear at the receiver.

Source: Rindal, Schoppmann 2021; Raghuraman, Rindal 2022.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native, okvs
from parley.crypto.errors import CryptoError
from parley.crypto.okvs import Keys, Shape
from parley.crypto.prg import Rng

Words = NDArray[np.uint64]
Tags = NDArray[np.uint8]
MIN_TAG: Final = 8
MAX_TAG: Final = 12
_NO_ORDER: Final = np.zeros(0, np.uint32)


def tag_bytes(n: int, m: int) -> int:
    """Bytes of a tag so that any of n * m unequal pairs collides with at most about 2^-48, n, m <= 2^24: 8 to 12."""
    if max(n, m) > okvs.MAX_KEYS or min(n, m) < 0:
        raise CryptoError("set_too_large", "at most 2^24 keys on a side")
    bits = 48 + max(0, n - 1).bit_length() + max(0, m - 1).bit_length()
    return max(MIN_TAG, -(-bits // 8))


def store(form: Shape, keys: Keys) -> Words:
    """P (slots,) for the receiver's distinct keys (n, 4), a secret until it is masked: its free slots are zero.

    CryptoError "overload", "duplicate_key": the run is over, with that set, for good.
    """
    return okvs.encode(form, keys, np.ascontiguousarray(keys[:, 3]), np.zeros(form.slots, np.uint64))


def masked(form: Shape, table: Words, a: Words) -> Words:
    """P' (slots,): the receiver's store P under its A (slots,), which masks every slot; takes the place of P."""
    if a.shape != (form.slots,) or table.shape != (form.slots,):
        raise CryptoError("bad_shape", "one element of A for each slot")
    table ^= a
    return table


def own_tags(form: Shape, keys: Keys, c: Words, context: bytes, size: int) -> Tags:
    """(n, size) the receiver's tags of its keys, from its C (slots, 2)."""
    return _tags(form, keys, c, np.zeros(2, np.uint64), _NO_ORDER, context, size)


def evaluator(form: Shape, b: Words, masked: Words, delta: Words) -> Words:
    """The sender's table (slots, 2) for the receiver's P' (slots,)."""
    if masked.shape != (form.slots,) or masked.dtype != np.uint64 or b.shape != (form.slots, 2):
        raise CryptoError("bad_shape", "the store has another number of slots")
    return _native.store_multiply_add(b, np.ascontiguousarray(masked), delta)


def tags(
    form: Shape, keys: Keys, table: Words, delta: Words, order: NDArray[np.uint32], context: bytes, size: int
) -> Tags:
    """(m, size) the sender's tags of its keys (m, 4), row i that of key order[i]."""
    if order.shape != (len(keys),):
        raise CryptoError("bad_shape", "an order of all keys")
    return _tags(form, keys, table, delta, order, context, size)


def secret_order(n: int, rng: Rng | None = None) -> NDArray[np.uint32]:
    """(n,) a uniform permutation from fresh secret randomness."""
    return _native.shuffled(np.frombuffer((rng or Rng()).bytes(16), np.uint8), n)


def matches(own: Tags, theirs: Tags) -> NDArray[np.int64]:
    """(n,) the place of each of the receiver's tags (n, size) among the sender's (m, size), or -1."""
    if own.ndim != 2 or theirs.ndim != 2 or own.shape[1] != theirs.shape[1] or not MIN_TAG <= own.shape[1] <= MAX_TAG:
        raise CryptoError("bad_shape", "tags of one length, 8 to 12 bytes")
    return _native.tags_match(np.ascontiguousarray(own), np.ascontiguousarray(theirs))


def _tags(
    form: Shape, keys: Keys, table: Words, delta: Words, order: NDArray[np.uint32], context: bytes, size: int
) -> Tags:
    if keys.ndim != 2 or keys.shape[1] != 4 or table.shape != (form.slots, 2) or not MIN_TAG <= size <= MAX_TAG:
        raise CryptoError("bad_shape", "keys (n, 4), a table (slots, 2), tags of 8 to 12 bytes")
    tweak = np.frombuffer(hashlib.sha256(b"parley.vole.tag/1 " + context).digest()[:16], np.uint8)
    return _native.store_tags(keys, table, form.segment, form.dense, delta, order, tweak, size)
