"""The owner's handle: it draws its key and every nonce itself, counts them, and dies with the attempt.

Guarantee: no two batches share a polynomial a under one key: its seed is drawn from the operating system for each
batch and bound to a number that this handle never gives twice; a copy made by fork is refused. The memory of secrets,
errors and what is made of them is wiped when it is given back; encryption and decryption take the same steps for all
values. Not guaranteed: what stays in registers, on the stack, or where the system copied memory to (swap, core dumps).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.ahe.base import Ints
from parley.crypto.ahe.lattice import wire
from parley.crypto.ahe.lattice.plan import Plan
from parley.crypto.ahe.lattice.run import RunKey
from parley.crypto.errors import CryptoError
from parley.crypto.threads import limit

FAR = 29491  # 0.45 of a step, in 2^-16: farther from a whole number, a reply is not one


class LatticeKey(RunKey):
    """One run's key: as many secrets as channels, one public key, a count of batches. Close it, or use `with`."""

    scheme = "lattice"

    def __init__(self, plan: Plan, context: bytes) -> None:
        """context: what the run is bound to (contract, attempt, and a nonce of the other side)."""
        self.plan = plan
        self._digest = plan.digest(context)
        seed = os.urandom(32)
        self._native = _native.LatticeOwner(plan.profile.n, plan.layout.channels, wire.expand_key(self._digest, seed))
        body = self._native.public_key()
        if plan.packed:
            body = np.concatenate([body, self._native.turn_keys(plan.x, wire.expand_turns(self._digest, seed))])
        self._encoded = wire.write_key(self._digest, seed, body)
        self._key = hashlib.sha256(self._encoded).digest()
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._rows: list[int] = []  # of each batch so far

    def encode(self) -> bytes:
        """The public key, for the other side."""
        return self._encoded

    def encrypt(self, values: Ints) -> NDArray[np.uint8]:
        """One batch of int64 (rows, channels), |value| <= bound; CryptoError "overflow", "bad_shape", "closed"."""
        [whole] = self.encrypted(values, 0)
        return whole

    def encrypted(self, values: Ints, at_once: int) -> Iterator[NDArray[np.uint8]]:
        """The same batch from its beginning to its end, about `at_once` bytes at a time, or whole where that is 0."""
        self.plan.layout.check(values)
        if len(values) > self.plan.layout.max_rows:
            raise CryptoError("overflow", "a batch has more rows than the layout allows")
        with self._lock:
            self._usable()
            # Counted before anything can fail: a number is never given twice.
            self._rows.append(len(values))
            head = wire.Head(len(self._rows) - 1, len(values), os.urandom(32))
        length = self.plan.profile.n // self.plan.x
        blocks = max(1, at_once // wire.block_size(self.plan)) if at_once else wire.blocks_for(self.plan, len(values))
        step = max(1, blocks) * length
        for start in range(0, max(1, len(values)), step):
            made = self._blocks(head, values[start : start + step], start // length)
            yield made.reshape(-1) if start else wire.write_batch(self._digest, self._key, head, made)

    def _blocks(self, head: wire.Head, values: Ints, first: int) -> NDArray[np.uint8]:
        """(k, size) of a batch from its block `first` on; each has its own part of what the batch's seed grows into."""
        with self._lock:
            self._usable()
            return self._native.encrypt(
                np.ascontiguousarray(values),
                self.plan.x,
                np.array(self.plan.scale(), np.uint64),
                head.open(self._digest, self._key),
                limit(),
                first,
            )

    def decrypt(self, raw: NDArray[np.uint8], *, weighted: bool = False) -> Ints:
        """The exact sums of a reply, int64 (bins of all features, channels); CryptoError "bad_ciphertext".

        weighted: of products with factors, whose sums may be as large as the layout allows.
        """
        number, sums, polynomials = wire.read_reply(raw, self.plan, self._digest, self._key)
        factor, low = self.plan.factor, (1 << 64) - 1
        with self._lock:
            self._usable()
            if number >= len(self._rows):
                raise CryptoError("bad_ciphertext", "a reply to a batch that was not sent")
            if not sums:
                return np.zeros((0, self.plan.layout.channels), np.int64)
            packed = wire.polynomials(self.plan, sums) if self.plan.packed else 0
            every, far = self._native.decrypt(polynomials, self.plan.x, factor >> 64, factor & low, packed, limit())
        found = every[:sums]
        most = self.plan.layout.bound * (self.plan.layout.max_rows if weighted else self._rows[number])
        if far > FAR or (found.size and int(max(found.max(), -int(found.min()))) > most):
            raise CryptoError("bad_ciphertext", "a reply that does not decrypt")
        return found

    def close(self) -> None:
        """Wipe the secrets. Nothing can be encrypted or decrypted afterwards."""
        with self._lock:
            self._native.close()

    def _usable(self) -> None:
        if self._process != os.getpid():
            raise CryptoError("forked", "a key is not used by a copy of its process")
        if self._native.closed:
            raise CryptoError("closed", "this key was closed")
