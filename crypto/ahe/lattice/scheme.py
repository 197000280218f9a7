"""The lattice behind the interface of the additive schemes: batches of rows that are summed as they were packed.

Guarantee and non-guarantee: the package's. A public key does one run's work and counts it, so each peer opens its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from parley.crypto.ahe.base import (
    Bins,
    Ciphertexts,
    Counts,
    Ints,
    Layout,
    PublicKey,
    Raw,
    Response,
    RunningSums,
    SecretKey,
    Sums,
)
from parley.crypto.ahe.lattice import wire
from parley.crypto.ahe.lattice.owner import LatticeKey
from parley.crypto.ahe.lattice.peer import Batch, LatticePeer, LatticeSums, Running
from parley.crypto.ahe.lattice.plan import Plan
from parley.crypto.errors import CryptoError


def _check(layout: Layout, plan: Plan) -> None:
    same = (layout.channels, layout.bound) == (plan.layout.channels, plan.layout.bound)
    if not same or layout.max_rows > plan.layout.max_rows:
        raise CryptoError("overflow", "a layout that the key was not planned for")


class LatticePublicKey(PublicKey):
    scheme = "lattice"
    any_rows = False

    def __init__(self, raw: bytes, plan: Plan, context: bytes) -> None:
        """A peer's key after its checks; CryptoError "bad_key"."""
        self._peer, self._raw, self._plan = LatticePeer(raw, plan, context), raw, plan

    def shape(self, rows: int) -> tuple[int, int]:
        return 1, wire.batch_bytes(self._plan, rows)

    def encode(self) -> bytes:
        return self._raw

    def ciphertexts(self, raw: Raw, rows: int) -> Ciphertexts:
        if raw.shape != self.shape(rows):
            raise CryptoError("bad_ciphertext", "a batch of another length")
        batch = self._peer.receive(np.ascontiguousarray(raw[0]))
        if len(batch) != rows:
            raise CryptoError("bad_ciphertext", "a batch of another number of rows")
        return Ciphertexts(rows, batch)

    def histogram(self, ct: Ciphertexts, bins: Bins, counts: Counts, rows: Ints | None) -> Sums:
        if rows is not None:
            raise CryptoError("bad_rows", "a batch is summed as it was packed")
        batch: Batch = ct.inner
        sums = self._peer.histogram(batch, bins, counts)
        return Sums(len(sums), sums)

    def running(self, rows: int, counts: Counts, at_once: int) -> Coming:
        return Coming(self._peer.running(rows, counts, at_once))

    def release(self, sums: Sums, layout: Layout) -> Response:
        _check(layout, self._plan)
        inner: LatticeSums = sums.inner
        return Response(self._peer.release(inner)[None, :], len(sums))


class Coming(RunningSums):
    def __init__(self, inner: Running) -> None:
        self._inner = inner

    def take(self, part: Raw, bins: Callable[[int, int], Bins]) -> None:
        self._inner.take(part.reshape(-1), bins)

    def sums(self) -> Sums:
        found = self._inner.sums()
        return Sums(len(found), found)


class LatticeSecretKey(SecretKey):
    scheme = "lattice"

    def __init__(self, plan: Plan, context: bytes) -> None:
        """A fresh key for one run; `context` as in LatticeKey."""
        self._key, self._plan = LatticeKey(plan, context), plan
        self._public = LatticePublicKey(self._key.encode(), plan, context)

    @property
    def public(self) -> LatticePublicKey:
        return self._public

    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        _check(layout, self._plan)
        return self._key.encrypt(values)[None, :]

    def encrypted(self, values: Ints, layout: Layout, at_once: int) -> Iterator[Raw]:
        _check(layout, self._plan)
        for part in self._key.encrypted(values, at_once):
            yield part[None, :]

    def reply_shape(self, count: int, layout: Layout) -> tuple[int, int]:
        return 1, wire.reply_bytes(self._plan, count)

    def describe(self) -> str:
        return self._plan.describe()

    def response(self, raw: Raw, count: int, layout: Layout) -> Response:
        _check(layout, self._plan)
        if raw.shape != self.reply_shape(count, layout):
            raise CryptoError("bad_ciphertext", "a reply of another length")
        return Response(raw, count)

    def decrypt(self, response: Response, layout: Layout) -> Ints:
        found = self._key.decrypt(np.ascontiguousarray(response.raw[0]))
        if len(found) != response.count:
            raise CryptoError("bad_ciphertext", "a reply with another number of sums")
        return found

    def close(self) -> None:
        """Wipe the secrets; nothing can be encrypted or decrypted afterwards."""
        self._key.close()
