"""Base oblivious transfers on ristretto255: one side gets pairs of keys, the other one key of each pair.

Guarantee (semi-honest, gap computational Diffie-Hellman on ristretto255, SHA-256 as a random oracle): the sender
learns nothing of the choices (a reply is a uniform element whichever is chosen), and the key that was not chosen looks
random to the chooser. Keys are bound to the context, the offer, the reply and the position. Points that are not
canonical, the identity, and replies equal to the offer are refused.
Not guaranteed: anything against a party that deviates beyond that (the composable, malicious notions need more), and
wiped copies of scalars, which pass through Python's integers.

    step  from -> to          carries                              bytes
    1     sender -> chooser   offer A = aG                         32
    2     chooser -> sender   reply B_i = b_i G + c_i A            32 each

Source: Chou, Orlandi 2015, with a fresh offer for every run and the hash over the whole transcript.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native, curve
from parley.crypto.errors import CryptoError
from parley.crypto.handle import Handle, wipe
from parley.crypto.prg import Rng

KEY: Final = 16
_TAG: Final = np.frombuffer(b"parley.ot.base/1", np.uint8)
_GENERATOR: Final = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"
Keys = NDArray[np.uint8]


def _generator() -> curve.Points:
    return np.frombuffer(bytes.fromhex(_GENERATOR), np.uint8).reshape(1, 32)


def _derive(context: bytes, offer: bytes, replies: curve.Points, shared: curve.Points) -> Keys:
    """(n, 16): the hash of context, position, offer, reply and shared point."""
    n = len(replies)
    rows = np.empty((n, 136), np.uint8)
    rows[:, :32] = np.frombuffer(context, np.uint8)
    rows[:, 32:40] = np.arange(n, dtype="<u8").view(np.uint8).reshape(n, 8)
    rows[:, 40:72] = np.frombuffer(offer, np.uint8)
    rows[:, 72:104], rows[:, 104:] = replies, shared
    keys = _native.sha256_salted(_TAG, rows.reshape(-1), 136 * np.arange(n + 1, dtype=np.int64))[:, :KEY].copy()
    wipe(rows)
    return keys


def _context(context: bytes) -> bytes:
    if len(context) != 32:
        raise CryptoError("bad_context", "a context is the 32-byte hash of what both sides have agreed on")
    return bytes(context)


class BaseSender(Handle):
    """The side that gets both keys of each of `count` pairs. One offer, one reply."""

    def __init__(self, count: int, context: bytes, rng: Rng | None = None) -> None:
        super().__init__()
        if count < 1:
            raise CryptoError("bad_range", "at least one transfer")
        self._count, self._context = count, _context(context)
        self._scalar = curve.random_scalar(rng)
        self.offer: Final = curve.multiply(_generator(), self._scalar).tobytes()

    def keys(self, replies: curve.Points) -> Keys:
        """(count, 2, 16) for the replies (count, 32); CryptoError "bad_shape", "bad_point". Once."""
        self._open()
        if replies.shape != (self._count, 32):
            raise CryptoError("bad_shape", "one reply for each transfer")
        offer = np.frombuffer(self.offer, np.uint8).reshape(1, 32)
        zero = curve.multiply(replies, self._scalar)
        one = curve.multiply(curve.subtract(replies, offer), self._scalar)
        pairs = [_derive(self._context, self.offer, replies, shared) for shared in (zero, one)]
        wipe(zero, one)
        self._scalar = b""
        self._closed = True
        both = np.ascontiguousarray(np.stack(pairs, axis=1))
        wipe(*pairs)
        return both


class BaseChooser(Handle):
    """The side that gets one key of each pair, as its choices (n,) of 0 and 1 say."""

    def __init__(self, choices: NDArray[np.uint8], context: bytes, rng: Rng | None = None) -> None:
        super().__init__()
        if choices.ndim != 1 or choices.size == 0 or choices.dtype != np.uint8 or bool(np.any(choices > 1)):
            raise CryptoError("bad_range", "choices are 0 and 1, at least one")
        self._choices = self._keep(choices.copy())
        self._context, self._rng = _context(context), rng or Rng()

    def reply(self, offer: bytes) -> tuple[curve.Points, Keys]:
        """The replies (n, 32) to send and the keys (n, 16) to keep; CryptoError "bad_point". Once."""
        self._open()
        if len(offer) != 32:
            raise CryptoError("bad_shape", "an offer is one point of 32 bytes")
        n = len(self._choices)
        base = np.concatenate([_generator(), np.frombuffer(offer, np.uint8).reshape(1, 32)])
        both = np.stack([curve.multiply(base, curve.random_scalar(self._rng)) for _ in range(n)])
        plain, shared = np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
        shifted = curve.add(plain, base[1:])
        mask = (0 - self._choices)[:, None]
        replies = plain ^ (mask & (plain ^ shifted))
        keys = _derive(self._context, bytes(offer), replies, shared)
        wipe(both, plain, shared, shifted, mask)
        self.close()
        return replies, keys
