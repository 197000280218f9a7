"""The other side: sums under a peer's key, by bin and by feature, and their release.

Guarantee: nothing leaves but `reply`'s bytes, and every reply polynomial got a fresh encryption of zero (one u for at
most eight polynomials, each with a key element of its own) and noise of its own on each of its sums before anything
else; the plan's count of outputs is kept. A batch number is taken once. There is no switch.
Not guaranteed: hiding how many bins and rows there are; a defence against an owner that encrypts marks.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.ahe.base import Ints
from parley.crypto.ahe.lattice import wire
from parley.crypto.ahe.lattice.plan import Plan
from parley.crypto.ahe.lattice.run import AnyBins, RunPeer, check_batch, check_rows
from parley.crypto.errors import CryptoError
from parley.crypto.threads import limit


@dataclass(frozen=True)
class Batch:
    """A received batch: `rows` rows in the owner's order, still packed."""

    rows: int
    head: wire.Head = field(repr=False)
    blocks: NDArray[np.uint8] = field(repr=False)

    def __len__(self) -> int:
        return self.rows


class LatticeSums:
    """Sums of one batch under encryption, one for each bin of each feature; they cannot be sent."""

    def __init__(self, native: _native.LatticeSums, count: int, number: int) -> None:
        self.inner = native
        self.count = count
        self.number = number

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"LatticeSums({self.count})"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("not_released", "sums leave a party only through release")


class LatticePeer(RunPeer):
    """What the holder of bins does with a peer's public key, through one run."""

    scheme = "lattice"

    def __init__(self, raw: bytes, plan: Plan, context: bytes) -> None:
        """CryptoError "bad_key" unless the key is well formed and for this plan and context."""
        self.plan = plan
        self._digest = plan.digest(context)
        seed, body, turns = wire.read_key(raw, plan, self._digest)
        self._key = hashlib.sha256(raw).digest()
        opened = wire.expand_key(self._digest, seed)
        self._native = _native.LatticePublic(plan.profile.n, plan.layout.channels, opened, body)
        self._turns: _native.LatticeTurns | None = None
        if plan.packed:
            grown = wire.expand_turns(self._digest, seed)
            self._turns = _native.LatticeTurns(plan.profile.n, plan.layout.channels, plan.x, grown, turns)
        self._lock = threading.Lock()
        self._seen: set[int] = set()
        self._left = plan.outputs

    def receive(self, raw: NDArray[np.uint8]) -> Batch:
        """A batch as it came; CryptoError "bad_ciphertext", or "replayed" where its number was taken before.

        Residues are checked when they are used.
        """
        head, blocks = wire.read_batch(raw, self.plan, self._digest, self._key)
        self._take(head)
        return Batch(head.rows, head, blocks)

    def _take(self, head: wire.Head) -> None:
        with self._lock:
            if head.number in self._seen:
                raise CryptoError("replayed", "a batch number was used before")
            self._seen.add(head.number)

    def running(self, rows: int, counts: NDArray[np.uint32], at_once: int) -> Running:
        """Sums of a batch of `rows` rows that is summed while it comes, about `at_once` bytes at a time."""
        return Running(self, rows, counts, at_once)

    def histogram(
        self, batch: Batch, bins: AnyBins, counts: NDArray[np.uint32], rows: Ints | None = None
    ) -> LatticeSums:
        """As RunPeer's. CryptoError also "bad_ciphertext" (a residue), "overflow" (features beyond the plan's sharing),
        "inexact" (a rounding too close to call; never seen)."""
        check_batch(batch, bins, counts, rows)
        self.check_counts(counts)
        total = int(counts.sum())
        sums = self.no_sums(total)
        opened = batch.head.open(self._digest, self._key)
        order = None if rows is None else np.ascontiguousarray(rows)
        sums.histogram(
            batch.blocks,
            len(batch),
            opened,
            bins if bins.flags.c_contiguous else bins.copy(),
            order,
            np.ascontiguousarray(counts),
            limit(),
        )
        return LatticeSums(sums, total, batch.head.number)

    # ------------------------------------------------------------ of a batch that is still coming

    def check_counts(self, counts: NDArray[np.uint32]) -> None:
        """CryptoError "bad_bins", "overflow" unless answers of these bins fit the plan."""
        if (
            counts.ndim != 1
            or counts.dtype != np.uint32
            or (len(counts) and not 1 <= counts.min() <= counts.max() <= 256)
        ):
            raise CryptoError("bad_bins", "a feature has 1 to 256 bins, counts are uint32")
        if _together(counts, self.plan.x) > self.plan.sharing:
            raise CryptoError("overflow", "more features share a polynomial than the plan says", hint="raise sharing")

    def no_sums(self, total: int) -> _native.LatticeSums:
        """So many sums of nothing yet."""
        return _native.LatticeSums(self.plan.profile.n, self.plan.layout.channels, self.plan.x, total)

    def begin(self, raw: NDArray[np.uint8], rows: int) -> wire.Head:
        """The head of a batch of `rows` rows, whose number is taken from now on; as `receive`."""
        head = wire.read_head(np.ascontiguousarray(raw), self.plan, self._digest, self._key)
        if head.rows != rows:
            raise CryptoError("bad_ciphertext", "a batch of another number of rows")
        self._take(head)
        return head

    def add(
        self,
        sums: _native.LatticeSums,
        head: wire.Head,
        blocks: NDArray[np.uint8],
        bins: AnyBins,
        counts: NDArray[np.uint32],
        first: int,
    ) -> None:
        """Add whole blocks of a batch, its block `first` being the first of them, to its sums."""
        opened = head.open(self._digest, self._key)
        sums.histogram(np.ascontiguousarray(blocks), len(bins), opened, bins, None, counts, limit(), first)

    def products(self, batch: Batch, factors: NDArray[np.int8], rows: Ints | None = None) -> LatticeSums:
        """factors^T times the batch: one sum for each column of int8 (n, columns), -127 to 127.

        rows: as for `histogram`. Errors grow as the sums do: the squares of a column's factors add up to at most
        max_rows, those of the x columns of a polynomial to at most max_rows * sharing; CryptoError "overflow"
        otherwise. Also "bad_shape", "bad_bins" (a row out of range), "bad_ciphertext", "inexact".
        Decrypted with weighted=True.
        """
        if factors.ndim != 2 or factors.dtype != np.int8 or not factors.shape[1]:
            raise CryptoError("bad_shape", "factors are int8 (rows, columns), at least one column")
        check_rows(len(batch), len(factors), rows)
        used = factors if rows is None else factors[rows]
        squares = np.einsum("ij,ij->j", used, used, dtype=np.int64)
        polynomials = np.add.reduceat(squares, np.arange(0, len(squares), self.plan.x))
        most = self.plan.layout.max_rows, self.plan.terms
        if squares.max() > most[0] or polynomials.max() > most[1] or (used == -128).any():
            raise CryptoError("overflow", "factors beyond 127, or whose squares add up to too much")
        sums = _native.LatticeSums(self.plan.profile.n, self.plan.layout.channels, self.plan.x, factors.shape[1])
        opened = batch.head.open(self._digest, self._key)
        sums.products(batch.blocks, len(batch), opened, np.ascontiguousarray(used), None, limit())
        return LatticeSums(sums, factors.shape[1], batch.head.number)

    def release(self, sums: LatticeSums) -> NDArray[np.uint8]:
        """The reply's bytes; CryptoError "overdrawn" where the run's outputs would exceed the plan's."""
        # Slots without a sum carry their polynomial's errors too, and so count as outputs.
        spent = wire.polynomials(self.plan, len(sums)) * self.plan.x * self.plan.layout.channels
        with self._lock:
            if spent > self._left:
                raise CryptoError("overdrawn", "more outputs than the plan's statistical distance allows")
            self._left -= spent
        if self._turns is None:
            body = sums.inner.release(self._native, self.plan.flood, limit())
        else:
            body = sums.inner.release_packed(self._native, self._turns, self.plan.flood, limit())
        return wire.write_reply(self._digest, self._key, sums.number, len(sums), body)


class Running:
    """Sums of a batch as it comes in: nothing of it is kept but what waits for the rest of a block."""

    def __init__(self, peer: LatticePeer, rows: int, counts: NDArray[np.uint32], at_once: int) -> None:
        peer.check_counts(counts)
        self._peer, self._rows, self._counts = peer, rows, np.ascontiguousarray(counts)
        self._due = wire.batch_bytes(peer.plan, rows)
        self._most = max(at_once, wire.block_size(peer.plan))
        self._waiting: list[NDArray[np.uint8]] = []
        self._size, self._next = 0, 0
        self._head: wire.Head | None = None
        self._sums = peer.no_sums(int(counts.sum()))

    def take(self, part: NDArray[np.uint8], bins: Callable[[int, int], AnyBins]) -> None:
        """The next bytes, uint8 (n,); `bins(a, b)` are those of the batch's rows from a to below b, (b - a, features).

        CryptoError as `receive` and `histogram` of the whole batch.
        """
        if part.size > self._due:
            raise CryptoError("bad_ciphertext", "a batch of another length")
        self._waiting.append(part)
        self._size += part.size
        self._due -= part.size
        if self._size < self._most and self._due:
            return
        raw = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        if self._head is None and raw.size >= wire.HEAD:
            self._head = self._peer.begin(raw, self._rows)
            raw = raw[wire.HEAD :]
        size = wire.block_size(self._peer.plan)
        whole = raw.size // size * size if self._head is not None else 0
        if whole:
            self._add(raw[:whole].reshape(-1, size), bins)
        rest = raw[whole:].copy()
        self._waiting, self._size = [rest], rest.size

    def _add(self, blocks: NDArray[np.uint8], bins: Callable[[int, int], AnyBins]) -> None:
        plan = self._peer.plan
        length = plan.profile.n // plan.x
        start = self._next * length
        end = min(start + len(blocks) * length, self._rows)
        held = bins(start, end)
        if held.shape != (end - start, self._counts.size) or held.dtype not in (np.uint8, np.uint16):
            raise CryptoError("bad_shape", "bins are uint8 or uint16 (rows, features)")
        assert self._head is not None
        packed = held if held.flags.c_contiguous else held.copy()
        self._peer.add(self._sums, self._head, blocks, packed, self._counts, self._next)
        self._next += len(blocks)

    def sums(self) -> LatticeSums:
        """All of them, once the batch has come; CryptoError "bad_ciphertext" before."""
        if self._due or self._head is None:
            raise CryptoError("bad_ciphertext", "a batch of another length")
        return LatticeSums(self._sums, int(self._counts.sum()), self._head.number)


def _together(counts: NDArray[np.uint32], x: int) -> int:
    """The most features that have bins in one polynomial, slots handed out feature after feature."""
    ends = np.cumsum(counts, dtype=np.int64)
    if not len(ends):
        return 0
    first, last = (ends - counts) // x, (ends - 1) // x
    change = np.zeros(int(last[-1]) + 2, np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, last + 1, -1)
    return int(np.cumsum(change).max())
