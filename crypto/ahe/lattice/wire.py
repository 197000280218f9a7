"""The bytes of keys, batches and replies: fixed heads, then packed residues. Readers check every length first."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe.lattice.plan import Plan
from parley.crypto.errors import CryptoError

Bytes = NDArray[np.uint8]
KEY: Final = b"lattice\x00"
BATCH: Final = b"latbat\x00\x01"
REPLY: Final = b"latrep\x00\x01"
_KEY: Final = struct.Struct("<8s32s32s")  # magic, digest, seed
_BATCH: Final = struct.Struct("<8s32s32s32sQQ")  # magic, digest, key, seed, number, rows
_REPLY: Final = struct.Struct("<8s32s32sQQ")  # magic, digest, key, number, sums
HEAD: Final = _BATCH.size
ELEMENTS: Final = 8  # key elements, as the native side has them


def packed(words: int) -> int:
    """Bytes of residues of 50 bits, a multiple of four of them."""
    return words // 4 * 25


def block_size(plan: Plan) -> int:
    """Bytes of one encrypted block of N / x rows."""
    return plan.layout.channels * len(plan.profile.primes) * packed(plan.profile.n)


def blocks_for(plan: Plan, rows: int) -> int:
    return -(-rows // (plan.profile.n // plan.x))


def reply_size(plan: Plan) -> int:
    """Bytes of one reply polynomial with its x sums a channel, or of one packed reply."""
    if plan.packed:
        return packed(plan.profile.n) * (1 + plan.layout.channels)
    return packed(plan.profile.n) + packed(plan.layout.channels * plan.x)


def polynomials(plan: Plan, sums: int) -> int:
    """Polynomials that hold so many sums, before packing."""
    return -(-sums // plan.x)


def replies_for(plan: Plan, sums: int) -> int:
    """Polynomials that are sent for so many sums; packed, as many as rows of a block go into one."""
    count = polynomials(plan, sums)
    if not plan.packed:
        return count
    together = min(plan.profile.n // plan.x, 1 << max(count - 1, 0).bit_length())
    return -(-count // together)


def turns_size(plan: Plan) -> int:
    """Bytes of the keys that packing takes: two digits a prime for each halving of a block."""
    turns = (plan.profile.n // plan.x).bit_length() - 1
    return turns * 2 * len(plan.profile.primes) * block_size(plan) if plan.packed else 0


def batch_bytes(plan: Plan, rows: int) -> int:
    """Bytes of a batch of so many rows."""
    return _BATCH.size + blocks_for(plan, rows) * block_size(plan)


def reply_bytes(plan: Plan, sums: int) -> int:
    """Bytes of a reply with so many sums (bins of all features)."""
    return _REPLY.size + replies_for(plan, sums) * reply_size(plan)


def expand_key(digest: bytes, seed: bytes) -> bytes:
    """The public half of the key elements grows from this."""
    return hashlib.sha256(b"parley.lattice/key\x00" + digest + seed).digest()


def expand_turns(digest: bytes, seed: bytes) -> bytes:
    """The public half of the packing keys grows from this."""
    return hashlib.sha256(b"parley.lattice/turn\x00" + digest + seed).digest()


@dataclass(frozen=True)
class Head:
    """What a batch says of itself; `open` is what its public polynomials grow from."""

    number: int
    rows: int
    seed: bytes

    def open(self, digest: bytes, key: bytes) -> bytes:
        tail = self.seed + self.number.to_bytes(8, "little")
        return hashlib.sha256(b"parley.lattice/a\x00" + digest + key + tail).digest()


def write_key(digest: bytes, seed: bytes, body: Bytes) -> bytes:
    return _KEY.pack(KEY, digest, seed) + body.tobytes()


def read_key(raw: bytes, plan: Plan, digest: bytes) -> tuple[bytes, Bytes, Bytes]:
    """(seed, key elements, packing keys), residues packed; CryptoError "bad_key"."""
    size = ELEMENTS * block_size(plan)
    if len(raw) != _KEY.size + size + turns_size(plan):
        raise CryptoError("bad_key", "a lattice key of another length")
    magic, named, seed = _KEY.unpack_from(raw)
    if magic != KEY or named != digest:
        raise CryptoError("bad_key", "a key for another plan or context")
    body = np.frombuffer(raw, np.uint8, -1, _KEY.size)
    return seed, body[:size], body[size:]


def write_batch(digest: bytes, key: bytes, head: Head, blocks: Bytes) -> Bytes:
    """A batch, or its beginning when these are only its first blocks."""
    packed_head = _BATCH.pack(BATCH, digest, key, head.seed, head.number, head.rows)
    return np.concatenate([np.frombuffer(packed_head, np.uint8), blocks.reshape(-1)])


def read_batch(raw: Bytes, plan: Plan, digest: bytes, key: bytes) -> tuple[Head, Bytes]:
    """(head, blocks (k, size)); CryptoError "bad_ciphertext"."""
    head = read_head(raw, plan, digest, key)
    if len(raw) != batch_bytes(plan, head.rows):
        raise CryptoError("bad_ciphertext", "a batch of another length")
    return head, raw[HEAD:].reshape(-1, block_size(plan))


def read_head(raw: Bytes, plan: Plan, digest: bytes, key: bytes) -> Head:
    """What stands before a batch's blocks, of which some may follow; CryptoError "bad_ciphertext"."""
    _check(raw, HEAD)
    magic, named, under, seed, number, rows = _BATCH.unpack(raw[:HEAD].tobytes())
    if magic != BATCH or named != digest or under != key:
        raise CryptoError("bad_ciphertext", "a batch of another plan, context or key")
    if rows > plan.layout.max_rows:
        raise CryptoError("bad_ciphertext", "a batch of too many rows")
    return Head(number, rows, seed)


def write_reply(digest: bytes, key: bytes, number: int, sums: int, body: Bytes) -> Bytes:
    head = _REPLY.pack(REPLY, digest, key, number, sums)
    return np.concatenate([np.frombuffer(head, np.uint8), body.reshape(-1)])


def read_reply(raw: Bytes, plan: Plan, digest: bytes, key: bytes) -> tuple[int, int, Bytes]:
    """(batch number, sums, polynomials (k, size)); CryptoError "bad_ciphertext"."""
    _check(raw, _REPLY.size)
    magic, named, under, number, sums = _REPLY.unpack(raw[: _REPLY.size].tobytes())
    if magic != REPLY or named != digest or under != key:
        raise CryptoError("bad_ciphertext", "a reply of another plan, context or key")
    if polynomials(plan, sums) * plan.x > plan.outputs or len(raw) != reply_bytes(plan, sums):
        raise CryptoError("bad_ciphertext", "a reply of another length")
    return number, sums, raw[_REPLY.size :].reshape(-1, reply_size(plan))


def _check(raw: Bytes, head: int) -> None:
    if raw.ndim != 1 or raw.dtype != np.uint8 or not raw.flags.c_contiguous or len(raw) < head:
        raise CryptoError("bad_ciphertext", "a message is uint8 (bytes), and longer than its head")
