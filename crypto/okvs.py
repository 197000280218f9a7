"""Oblivious key-value store: a table whose rows for n keys add up to n values, and which shows nothing of the keys.

A row has three slots in disjoint thirds of the table and `dense` columns with the powers of one element of GF(2^64);
values are elements of GF(2^64).

Guarantee: `decode(encode(keys, values), keys) == values`; with random `free` slots the table of random values is
uniform, whatever the keys are (semi-honest use, keys from a hash as random oracle). Encoding fails for a set of
distinct keys with probability at most about 2^-40, and that figure is what the shape is chosen for: whether it fails
depends on the keys, so encoding again under another salt would tell something about them, and nothing here does so.
More keys than the shape was made for are refused, and so are equal keys.
Not guaranteed: the 2^-40 is a calculation (below), not a proof; a dishonest encoder can fit more keys than it
declares, up to the number of slots; the time of encoding depends on the keys.

The figure: a random 3-partite hypergraph of n edges peels but for small cores once the load n / slots stays g / sqrt(n)
below 0.818. Sampled at n = 1500, 4096 and 16384 the chance of a large core is that of a normal variable beyond
2.2 g - 0.4 at each (finite-size scaling); g = 4.1 here, where 3.4 would do for 2^-40. What remains are dependent rows,
nearly always two keys with the same three slots: their number is about Poisson with mean n^2 / 2 / (slots / 3)^3, each
takes one dense column, and there are so many columns that more occur with 2^-48.

Source: Garimella et al. 2021 (3-hash garbled cuckoo tables); Raghuraman, Rindal 2022 (dense columns, table sizes).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.curve import Ids
from parley.crypto.errors import CryptoError

Keys = NDArray[np.uint64]
Words = NDArray[np.uint64]
MAX_KEYS: Final = 1 << 24
SALT: Final = 16
_LEAST: Final = 256  # smaller sets get the table of this many
_OK, _DUPLICATE = 0, 1


@dataclass(frozen=True)
class Shape:
    """Three thirds of `segment` slots and `dense` columns, for at most `keys` keys."""

    keys: int
    segment: int
    dense: int

    @property
    def slots(self) -> int:
        return 3 * self.segment + self.dense


def shape(n: int) -> Shape:
    """The shape for n keys, 0 <= n <= 2^24; a function of n alone, so that it tells no more than n."""
    if not 0 <= n <= MAX_KEYS:
        raise CryptoError("set_too_large", "at most 2^24 keys in one store")
    sized = max(n, _LEAST)
    load = min(0.8, 0.8184 - 4.1 / math.sqrt(sized))
    segment = math.ceil(sized / load / 3)
    return Shape(n, segment, _columns(sized**2 / 2 / segment**3))


def _columns(mean: float) -> int:
    """The least number of dense columns, at least 2, that a Poisson of this mean exceeds with at most 2^-48."""
    g = 2
    while (g + 1) * math.log2(mean) - math.log2(math.factorial(g + 1)) > -48:
        g += 1
    return g


def keys_of(ids: Ids, salt: bytes) -> Keys:
    """(n, 4) SHA-256(salt || id) as four little-endian words: slots, slots, dense row, and the id's own value.

    The salt (16 bytes) is public and hides nothing; it has to be chosen after the ids are fixed.
    """
    if len(salt) != SALT:
        raise CryptoError("bad_salt", "a salt has 16 bytes")
    return _native.sha256_salted(np.frombuffer(salt, np.uint8), ids.data, ids.offsets).view(np.uint64)


def encode(form: Shape, keys: Keys, values: Words, free: Words | None = None) -> Words:
    """The table (slots,) for distinct keys (n, 4) and values (n,), n <= form.keys.

    free: (slots,) what slots hold that no key decides; None draws them from the operating system. A table that is
    masked afterwards may pass zeros. CryptoError "overload", "duplicate_key", "bad_shape".
    """
    _check_keys(keys)
    if values.shape != (len(keys),) or values.dtype != np.uint64:
        raise CryptoError("bad_shape", "one 64-bit value for each key")
    if len(keys) > form.keys:
        raise CryptoError("overload", "more keys than the store was made for")
    if free is None:
        free = np.frombuffer(os.urandom(8 * form.slots), np.uint64)
    if free.shape != (form.slots,) or free.dtype != np.uint64:
        raise CryptoError("bad_shape", "one word for each slot")
    table = free.copy()
    result = _native.store_encode(keys, np.ascontiguousarray(values), table, form.segment, form.dense)
    if result == _DUPLICATE:
        raise CryptoError("duplicate_key", "two keys are equal", hint="Remove duplicates first.")
    if result != _OK:
        raise CryptoError(
            "overload", "the keys do not fit", hint="Do not encode the same keys again under another salt."
        )
    return table


def decode(form: Shape, keys: Keys, table: Words) -> Words:
    """(n,) what the table (slots,) holds for keys (n, 4)."""
    _check_keys(keys)
    if table.shape != (form.slots,) or table.dtype != np.uint64:
        raise CryptoError("bad_shape", "the table has another number of slots")
    return _native.store_decode(keys, np.ascontiguousarray(table), form.segment, form.dense)


def _check_keys(keys: Keys) -> None:
    if keys.ndim != 2 or keys.shape[1] != 4 or keys.dtype != np.uint64 or not keys.flags.c_contiguous:
        raise CryptoError("bad_shape", "keys are uint64 (n, 4), in one piece")
