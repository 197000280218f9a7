"""Arrays that lie in a file for a while, encrypted under a key that only this process has.

Guarantee: what lies in the file is AES-256-GCM under a key drawn here and kept nowhere else, so once the process has
ended nobody reads it; a block that was changed or put in another's place is refused; no nonce is used twice, also where
space is used again. Not guaranteed: hiding how many blocks there are, how large, and which are read when; that the
file goes away, which is up to whoever opened it (a file without a name goes with its last descriptor).
Source: NIST SP 800-38D, a counter as the nonce (section 8.2.1).
"""

from __future__ import annotations

import os
import threading
from typing import NoReturn

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError

Bytes = NDArray[np.uint8]
TAG = 16


class Scratch:
    """Numbered blocks of bytes in the file `fd`, which stays the caller's; for any number of threads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._aead = AESGCM(AESGCM.generate_key(256))
        self._lock = threading.Lock()
        self._places: dict[int, tuple[int, int]] = {}  # number -> offset, bytes with the tag
        self._next, self._end = 0, 0

    def put(self, data: Bytes) -> int:
        """Write a block of uint8 (n,) and say its number; OSError where the disk is full."""
        if data.dtype != np.uint8 or data.ndim != 1:
            raise CryptoError("bad_shape", "a block is uint8 (bytes,)")
        with self._lock:
            number, at = self._next, self._end
            self._next += 1
            self._end += data.size + TAG
        sealed = memoryview(self._aead.encrypt(_nonce(number), np.ascontiguousarray(data).data, None))
        done = 0
        while done < len(sealed):
            done += os.pwrite(self._fd, sealed[done:], at + done)
        self._places[number] = at, len(sealed)
        return number

    def get(self, number: int) -> Bytes:
        """The block, read only; CryptoError "bad_block" where there is none, or not as it was written."""
        if number not in self._places:
            raise CryptoError("bad_block", "no block of this number lies in the scratch file")
        at, size = self._places[number]
        raw = bytearray(size)
        view, done = memoryview(raw), 0
        while done < size and (got := os.preadv(self._fd, [view[done:]], at + done)) > 0:
            done += got
        try:
            return np.frombuffer(self._aead.decrypt(_nonce(number), raw, None), np.uint8)
        except InvalidTag:
            raise CryptoError("bad_block", "the scratch file is not as it was written") from None

    def forget(self, first: int) -> None:
        """Let go of every block from a number on, so that the next ones lie in their space."""
        with self._lock:
            gone = [n for n in self._places if n >= first]
            if gone:
                self._end = min(self._places[n][0] for n in gone)
                os.ftruncate(self._fd, self._end)
            for n in gone:
                del self._places[n]

    @property
    def next(self) -> int:
        """The number of the next block."""
        return self._next

    def __repr__(self) -> str:
        return f"Scratch({len(self._places)} blocks)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "a scratch file's key is not serialised")


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
