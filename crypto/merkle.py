"""Merkle trees and append-only logs whose history can be proved.

Guarantee: under SHA-256's collision resistance a root and its size fix every leaf and their order; an inclusion
proof that verifies means that the leaf is at that index of that tree, a consistency proof that verifies means that
the older tree is a prefix of the newer one. Leaves and inner nodes are hashed apart, so neither passes for the other.
Not guaranteed: hiding. A leaf that can be guessed is confirmed by its hash, so what is secret goes in as a keyed
commitment; nor that two readers were shown one root, which they compare or have signed.

Sizes are 1 to 2^63 - 1, hashes 32 bytes. Source: RFC 6962 section 2.1, RFC 9162 sections 2.1.1 to 2.1.4.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto.errors import CryptoError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_MAX_SIZE: Final = (1 << 63) - 1

Leaves = Sequence[bytes] | NDArray[np.uint8]


def leaf_hash(data: bytes | memoryview) -> bytes:
    """32 bytes: SHA-256 of 0x00 and the leaf's content."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """32 bytes: SHA-256 of 0x01 and both children's hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Leaves) -> bytes:
    """The root over leaf contents: byte strings, or the rows of a uint8 array (n, k). `EMPTY_ROOT` for none."""
    log = Log()
    log.extend(leaves)
    return log.root()


class Log:
    """An append-only tree of n leaves in memory, 64 bytes a leaf; roots and proofs at every size it ever had.

    It keeps the hash of every complete subtree, level by level, so an append costs two hashes on average, and a root
    or a proof about log2(n).
    """

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @classmethod
    def from_hashes(cls, hashes: Iterable[bytes]) -> Log:
        """The log whose leaves have these 32-byte hashes, oldest first; CryptoError ``bad_hash``."""
        log = cls()
        for item in hashes:
            log.append_hash(item)
        return log

    @property
    def size(self) -> int:
        """Leaves so far."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, data: bytes) -> int:
        """Add one leaf's content; its index."""
        return self.append_hash(leaf_hash(data))

    def append_hash(self, item: bytes) -> int:
        """Add one leaf by its hash; its index. CryptoError ``bad_hash`` for another length than 32."""
        if len(item) != HASH_SIZE:
            raise CryptoError("bad_hash", "a hash has 32 bytes")
        index = self.size
        level, current = 0, bytes(item)
        self._levels[0] += current
        while (index >> level) & 1:  # this node is a right child: its parent is complete
            current = node_hash(self._at(level, (index >> level) - 1), current)
            level += 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += current
        return index

    def extend(self, leaves: Leaves) -> None:
        """Add many contents: byte strings, or the rows of a uint8 array (n, k); CryptoError ``bad_shape``."""
        if isinstance(leaves, np.ndarray):
            if leaves.ndim != 2 or leaves.dtype != np.uint8:
                raise CryptoError("bad_shape", "leaves are byte strings or uint8 (n, k)")
            width, flat = leaves.shape[1], np.ascontiguousarray(leaves).tobytes()
            leaves = [flat[i * width : (i + 1) * width] for i in range(len(leaves))]
        for data in leaves:
            self.append(data)

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves (all of them by default); CryptoError ``bad_range``."""
        size = self._known(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """The path from leaf `index` to the root at `size`, lowest sibling first; CryptoError ``bad_range``."""
        size = self._known(size)
        if not 0 <= index < size:
            raise CryptoError("bad_range", "the leaf is not in the tree of this size")
        low, high, path = 0, size, []
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        return path[::-1]

    def consistency_proof(self, first: int, second: int | None = None) -> list[bytes]:
        """That the tree of `first` leaves is a prefix of the one of `second`; CryptoError ``bad_range``."""
        second = self._known(second)
        if not 0 < first <= second:
            raise CryptoError("bad_range", "the older size is from 1 to the newer one")
        low, high, path, whole = 0, second, list[bytes](), True
        while high != first:
            middle = low + _split(high - low)
            if first <= middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low, whole = middle, False
        if not whole:  # else the verifier has this very hash: the older root
            path.append(self._range(low, high))
        return path[::-1]

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise CryptoError("bad_range", "the log never had this size")
        return size

    def _at(self, level: int, position: int) -> bytes:
        return bytes(self._levels[level][position * HASH_SIZE : (position + 1) * HASH_SIZE])

    def _range(self, low: int, high: int) -> bytes:
        """The root over leaves low to high - 1, where low is a multiple of the range's largest power of two."""
        width = high - low
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._at(level, low >> level)
        middle = low + _split(width)
        return node_hash(self._range(low, middle), self._range(middle, high))

    def __repr__(self) -> str:
        return f"Log(size={self.size})"


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf of hash `leaf` is number `index` of the tree (size, root); else CryptoError ``bad_proof``."""
    if not 0 <= index < size <= _MAX_SIZE:
        raise _refused()
    _hashes(leaf, root, *proof)
    last, current = size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _refused()
        if index & 1 or index == last:
            current = node_hash(sibling, current)
            while not index & 1 and index:  # a right edge: levels where this node has no sibling
                index, last = index >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        index, last = index >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(current, root):
        raise _refused()


def verify_consistency(first: int, second: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if tree (first, old_root) is a prefix of (second, new_root); else CryptoError ``bad_proof``.

    The older tree has at least one leaf: about an empty one nothing can be shown.
    """
    if not 0 < first <= second <= _MAX_SIZE:
        raise _refused()
    _hashes(old_root, new_root, *proof)
    if first == second:
        if proof or not hmac.compare_digest(old_root, new_root):
            raise _refused()
        return
    path = list(proof) if first & (first - 1) else [old_root, *proof]
    if not path or not proof:
        raise _refused()
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _refused()
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or not (hmac.compare_digest(old, old_root) and hmac.compare_digest(new, new_root)):
        raise _refused()


def _split(width: int) -> int:
    """The largest power of two below width (width > 1)."""
    return 1 << ((width - 1).bit_length() - 1)


def _hashes(*items: bytes) -> None:
    if any(len(item) != HASH_SIZE for item in items):
        raise _refused()


def _refused() -> CryptoError:
    return CryptoError("bad_proof", "the proof does not verify")
