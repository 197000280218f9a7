"""Many oblivious transfers from 128 base transfers: correlated, random and chosen ones (IKNP).

Guarantee (semi-honest; AES as a pseudorandom generator, SHA-256 correlation robust): the sender, who holds delta,
learns nothing of the receiver's choices; of each pair of pads the receiver learns the chosen one and nothing of the
other. Every extension uses a new stretch of the keystreams and new positions in the hash, so one pair of handles may
extend often. Not guaranteed: anything against a receiver that deviates (no consistency check is made: such a receiver
can learn bits of delta), and the correlated rows themselves hide nothing until they are hashed.

The roles turn around: who chose in the base transfers, with the bits of delta, sends here.

    step  from -> to           carries                        bytes
    1     receiver -> sender   corrections, 128 rows          16 per transfer, in steps of 64 transfers

Source: Ishai, Kilian, Nissim, Petrank 2003.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.errors import CryptoError
from parley.crypto.handle import Handle, wipe
from parley.crypto.ot.base import KEY, Keys

WIDTH: Final = 128
DOMAIN: Final = 2  # of the keystreams; others use them elsewhere
Rows = NDArray[np.uint8]
Words = NDArray[np.uint64]


def words_for(count: int) -> int:
    """64-bit words in each of the 128 rows of corrections for `count` transfers."""
    return -(-count // 64)


def bits_of(delta: Words) -> NDArray[np.uint8]:
    """(128,) the bits of delta (2,), lowest first, as choices for the base transfers."""
    return np.unpackbits(np.ascontiguousarray(delta, "<u8").view(np.uint8), bitorder="little")


class _Extension(Handle):
    def __init__(self, context: bytes) -> None:
        super().__init__()
        self._salt = np.frombuffer(hashlib.sha256(b"parley.ot.pads/1" + context).digest()[:16], np.uint8)
        self._block = self._position = 0

    def _advance(self, count: int) -> tuple[int, int]:
        """The first unused block of the keystreams and the first unused position; both are used up."""
        first = self._block, self._position
        self._block += -(-words_for(count) // 2)
        self._position += count
        return first

    def _stream(self, keys: Keys, first: int, words: int) -> Words:
        """(128, words) of keystream."""
        raw = _native.aes_stream(keys, DOMAIN, first, -(-words // 2))
        return np.ascontiguousarray(raw.view(np.uint64)[:, :words])

    def pads(self, rows: Rows, position: int) -> Rows:
        """(n, 16): the hash of each row (n, 16) at its position."""
        n = len(rows)
        data = np.empty((n, 24), np.uint8)
        data[:, :16] = rows
        data[:, 16:] = np.arange(position, position + n, dtype="<u8").view(np.uint8).reshape(n, 8)
        offsets = 24 * np.arange(n + 1, dtype=np.int64)
        pads = _native.sha256_salted(self._salt, data.reshape(-1), offsets)[:, :KEY].copy()
        wipe(data)
        return pads


class ExtensionSender(_Extension):
    """Holds delta (2,) uint64, that is 128 bits, and the keys (128, 16) chosen with them."""

    def __init__(self, delta: Words, keys: Keys, context: bytes) -> None:
        super().__init__(context)
        if delta.shape != (2,) or delta.dtype != np.uint64 or keys.shape != (WIDTH, KEY):
            raise CryptoError("bad_shape", "delta is two words, with 128 keys")
        self._delta, self._keys = self._keep(delta.copy()), self._keep(keys.copy())
        self._mask = self._keep(0 - bits_of(delta).astype(np.uint64)[:, None])

    def correlated(self, corrections: Words, count: int) -> Rows:
        """(count, 16) rows q: the receiver's row is q, or q ^ delta where it chose 1. CryptoError "bad_shape"."""
        self._open()
        return self._rows(corrections, count, self._advance(count)[0])

    def _rows(self, corrections: Words, count: int, first: int) -> Rows:
        words = words_for(count)
        if corrections.shape != (WIDTH, words) or corrections.dtype != np.uint64:
            raise CryptoError("bad_shape", "corrections are 128 rows of 64-bit words, one bit for each transfer")
        columns = self._stream(self._keys, first, words)
        columns ^= self._mask & corrections
        rows = _native.bit_transpose(columns)[:count]
        wipe(columns)
        return rows

    def random(self, corrections: Words, count: int) -> Rows:
        """(count, 2, 16): both pads of each random transfer."""
        self._open()
        first, position = self._advance(count)
        rows = self._rows(corrections, count, first)
        zero = self.pads(rows, position)
        rows ^= self._delta.view(np.uint8)
        one = self.pads(rows, position)
        both = np.ascontiguousarray(np.stack([zero, one], axis=1))
        wipe(rows, zero, one)
        return both


class ExtensionReceiver(_Extension):
    """Holds the pairs of keys (128, 2, 16) that it got as the sender of the base transfers."""

    def __init__(self, pairs: Keys, context: bytes) -> None:
        super().__init__(context)
        if pairs.shape != (WIDTH, 2, KEY):
            raise CryptoError("bad_shape", "128 pairs of keys")
        self._zero = self._keep(np.ascontiguousarray(pairs[:, 0]))
        self._one = self._keep(np.ascontiguousarray(pairs[:, 1]))

    def correlated(self, choices: NDArray[np.uint8]) -> tuple[Words, Rows]:
        """For choices (n,) of 0 and 1: the corrections (128, words) to send and the rows (n, 16) to keep."""
        self._open()
        return self._rows(choices, self._advance(len(choices))[0])

    def _rows(self, choices: NDArray[np.uint8], first: int) -> tuple[Words, Rows]:
        if choices.ndim != 1 or choices.dtype != np.uint8 or bool(np.any(choices > 1)):
            raise CryptoError("bad_range", "choices are 0 and 1")
        n, words = len(choices), words_for(len(choices))
        packed = np.zeros(8 * words, np.uint8)
        bits = np.packbits(choices, bitorder="little")
        packed[: len(bits)] = bits
        columns = self._stream(self._zero, first, words)
        corrections = self._stream(self._one, first, words)
        corrections ^= columns
        corrections ^= packed.view("<u8")
        rows = _native.bit_transpose(columns)[:n]
        wipe(columns, packed, bits)
        return corrections, rows

    def random(self, choices: NDArray[np.uint8]) -> tuple[Words, Rows]:
        """The corrections to send and the chosen pad (n, 16) of each random transfer."""
        self._open()
        first, position = self._advance(len(choices))
        corrections, rows = self._rows(choices, first)
        pads = self.pads(rows, position)
        wipe(rows)
        return corrections, pads


def mask(pads: Rows, messages: Rows) -> Rows:
    """The sender's part of chosen transfers: messages (n, 2, 16) under the pads of random ones. Pads serve once."""
    if pads.shape != messages.shape or pads.ndim != 3 or pads.shape[1:] != (2, KEY):
        raise CryptoError("bad_shape", "pads and messages are (n, 2, 16)")
    return pads ^ messages


def unmask(pads: Rows, choices: NDArray[np.uint8], masked: Rows) -> Rows:
    """The receiver's part: of each pair the chosen message (n, 16)."""
    if masked.ndim != 3 or masked.shape[1:] != (2, KEY) or pads.shape != (len(masked), KEY):
        raise CryptoError("bad_shape", "masked messages are (n, 2, 16) with one pad each")
    if choices.shape != (len(masked),) or bool(np.any(choices > 1)):
        raise CryptoError("bad_range", "choices are 0 and 1, one for each pair")
    chosen = (0 - choices.astype(np.uint8))[:, None]
    return np.asarray(pads ^ masked[:, 0] ^ (chosen & (masked[:, 0] ^ masked[:, 1])), np.uint8)
