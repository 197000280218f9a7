"""Vector oblivious linear evaluation: C = B + A * delta, element by element, between two parties.

The sender gets B (n, 2) and holds delta (2,), two elements of GF(2^64); the receiver gets C (n, 2) and A (n,).
The product of an element with delta is taken component by component.

Guarantee (semi-honest; the assumptions of crypto.ot, AES as a generator of trees, and the dual-LPN assumption of the
profile for more than 2560 correlations): A looks uniform to the sender, and B and delta look uniform to the receiver
given C and A. Delta, seeds and noise are fresh for every object; nothing can be resumed.
Not guaranteed: anything against a party that deviates (no consistency check of trees or transfers); a number of bits
for the profile (see crypto.vole.profile); constant time in the receiver's own noise positions.

    step  from -> to           message       carries                                   bytes
    1     receiver -> sender   offer         one point                                 32
    2     sender -> receiver   replies       128 points                                4096
    3     receiver -> sender   Corrections   t elements and t * levels choices         1024 t + 16 t levels, about
    4     sender -> receiver   Sums          two sums for each level, one total a tree 32 t levels + 16 t

The noise of tree i is e_i at one secret leaf. Oblivious transfer gives the receiver all leaves but that one; the
missing leaf comes masked by a small correlation for e_i that is made bit by bit (Gilboa). Both sides then compress the
leaves with the public code.

Source: Boyle et al. 2019; Schoppmann et al. 2019; Raghuraman, Rindal 2022; Gilboa 1999; Goldreich, Goldwasser,
Micali 1986 for the trees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native, curve
from parley.crypto.errors import CryptoError
from parley.crypto.handle import Handle, wipe
from parley.crypto.ot.base import BaseChooser, BaseSender, Keys
from parley.crypto.ot.extension import WIDTH, ExtensionReceiver, ExtensionSender, bits_of, words_for
from parley.crypto.prg import Rng
from parley.crypto.vole.profile import Plan

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
_ELEMENTS: Final = 1  # domain of the keystreams


@dataclass(frozen=True)
class Corrections:
    """`elements` (128, trees) uint64; `choices` (128, words) uint64, no words without trees to open."""

    elements: Words = field(repr=False)
    choices: Words = field(repr=False)


@dataclass(frozen=True)
class Sums:
    """`sides` (trees, levels, 2, 16) uint8 and `totals` (trees, 16) uint8; no trees where there are no levels."""

    sides: Bytes = field(repr=False)
    totals: Bytes = field(repr=False)


def _public(label: bytes, context: bytes) -> Bytes:
    """(32,) public bytes for a purpose, from what both sides agreed on."""
    return np.frombuffer(hashlib.sha256(b"parley.vole/1 " + label + b" " + context).digest(), np.uint8)


def _elements(keys: Keys, trees: int) -> Words:
    """(128, trees) of keystream as elements."""
    raw = _native.aes_stream(keys, _ELEMENTS, 0, -(-trees // 2))
    return np.ascontiguousarray(raw.view(np.uint64)[:, :trees])


class VoleSender(Handle):
    """Draws delta and gets B. `reply`, then `sums`, then `finish`, each once and in this order.

    The receiver needs the sums alone, so that both sides can compress at the same time.
    """

    def __init__(self, plan: Plan, context: bytes, rng: Rng | None = None) -> None:
        super().__init__()
        self._plan, self._context, self._rng = plan, bytes(context), rng or Rng()
        self._delta = self._keep(np.frombuffer(self._rng.bytes(16), np.uint64).copy())
        self._keys: Keys | None = None
        self._leaves: Bytes | None = None
        self._b: Words | None = None

    @property
    def delta(self) -> Words:
        """(2,) the secret factor; the array is overwritten when the handle is closed."""
        self._open()
        return self._delta

    @property
    def b(self) -> Words:
        """(count, 2), once `finish` has been called; CryptoError "out_of_order" before."""
        self._open()
        if self._b is None:
            raise CryptoError("out_of_order", "the correlation is not there yet")
        return self._b

    def reply(self, offer: bytes) -> curve.Points:
        """The replies (128, 32) to the receiver's offer."""
        self._open()
        if self._keys is not None:
            raise CryptoError("out_of_order", "an offer is answered once")
        bits = bits_of(self._delta)
        with BaseChooser(bits, self._context, self._rng) as chooser:
            replies, keys = chooser.reply(offer)
        wipe(bits)
        self._keys = self._keep(keys)
        return replies

    def sums(self, corrections: Corrections) -> Sums:
        """What opens the receiver's trees; CryptoError "bad_shape", "out_of_order"."""
        self._open()
        if self._keys is None or self._b is not None or self._leaves is not None:
            raise CryptoError("out_of_order", "corrections follow the reply, once")
        plan, given = self._plan, corrections.elements
        if given.shape != (WIDTH, plan.trees) or given.dtype != np.uint64:
            raise CryptoError("bad_shape", "corrections are 128 rows with an element for each tree")
        chosen = 0 - bits_of(self._delta).astype(np.uint64)[:, None]
        streams = _elements(self._keys, plan.trees)
        streams ^= chosen & given
        base = _native.gf64_weigh(streams)
        wipe(streams, chosen)
        if plan.levels == 0:
            self._b = self._keep(base)
            return Sums(np.empty((0, 0, 2, 16), np.uint8), np.empty((0, 16), np.uint8))
        return self._trees(base, corrections.choices)

    def _trees(self, base: Words, choices: Words) -> Sums:
        plan, keys = self._plan, self._keys
        assert keys is not None
        with ExtensionSender(self._delta, keys, self._context) as extension:
            pads = extension.random(choices, plan.transfers)
        roots = np.frombuffer(self._rng.bytes(16 * plan.trees), np.uint8).reshape(-1, 16).copy()
        leaves, sides, totals = _native.trees_grow(_public(b"trees", self._context), roots, plan.levels)
        sides ^= pads.reshape(sides.shape)
        totals ^= base.view(np.uint8)
        self._leaves = self._keep(leaves)
        wipe(roots, pads, base)
        return Sums(sides, totals)

    def finish(self) -> None:
        """Compress the leaves; B is there afterwards. CryptoError "out_of_order"."""
        self._open()
        plan, leaves = self._plan, self._leaves
        if plan.levels == 0 and self._b is not None:
            return  # without trees the small correlation is all there is
        if leaves is None:
            raise CryptoError("out_of_order", "leaves are compressed once, after the sums")
        seed = _public(b"code", self._context)[:16]
        self._b = self._keep(_native.code_encode(leaves, plan.count, plan.profile.weight, seed))
        self._forget(leaves)
        self._leaves = None


class VoleReceiver(Handle):
    """Gets C and A. `offer`, then `correct`, then `finish`, each once and in this order."""

    def __init__(self, plan: Plan, context: bytes, rng: Rng | None = None) -> None:
        super().__init__()
        self._plan, self._context, self._rng = plan, bytes(context), rng or Rng()
        self._base = BaseSender(WIDTH, self._context, self._rng)
        self._c: Words | None = None
        self._a: Words | None = None
        if plan.levels == 0:
            self._e = self._keep(np.frombuffer(self._rng.bytes(8 * plan.trees), np.uint64).copy())
        else:
            self._e = self._keep(_nonzero(self._rng, plan.trees))
        paths = np.frombuffer(self._rng.bytes(4 * plan.trees), np.uint32) & np.uint32((1 << plan.levels) - 1)
        self._paths = self._keep(paths)
        self._small: Words | None = None
        self._pads: Bytes | None = None

    @property
    def offer(self) -> bytes:
        """32 bytes for the sender."""
        return self._base.offer

    @property
    def c(self) -> Words:
        """(count, 2), once `finish` has been called; CryptoError "out_of_order" before."""
        self._open()
        if self._c is None:
            raise CryptoError("out_of_order", "the correlation is not there yet")
        return self._c

    @property
    def a(self) -> Words:
        """(count,), once `finish` has been called."""
        self._open()
        if self._a is None:
            raise CryptoError("out_of_order", "the correlation is not there yet")
        return self._a

    def _turns(self) -> NDArray[np.uint8]:
        """(trees, levels) the noise leaf's turn at each level."""
        levels = np.arange(self._plan.levels, dtype=np.uint32)
        return ((self._paths[:, None] >> levels) & np.uint32(1)).astype(np.uint8)

    def correct(self, replies: curve.Points) -> Corrections:
        """The corrections for the sender's replies; CryptoError "bad_shape", "bad_point", "closed" the second time."""
        self._open()
        pairs = self._base.keys(replies)
        keys = np.ascontiguousarray(pairs.transpose(1, 0, 2))
        zero, elements = (_elements(side, self._plan.trees) for side in keys)
        elements ^= zero
        elements ^= self._e
        self._small = self._keep(_native.gf64_weigh(zero))
        choices = np.empty((WIDTH, 0), np.uint64)
        if self._plan.levels:
            away = self._turns().reshape(-1) ^ np.uint8(1)  # the sum of the side that does not hold the noise
            with ExtensionReceiver(pairs, self._context) as extension:
                choices, pads = extension.random(away)
            self._pads = self._keep(pads)
            wipe(away)
        wipe(zero, pairs, keys)
        return Corrections(elements, choices)

    def finish(self, sums: Sums) -> None:
        """Open the trees; C and A are there afterwards. CryptoError "bad_shape", "out_of_order"."""
        self._open()
        if self._small is None or self._c is not None:
            raise CryptoError("out_of_order", "sums follow the corrections, once")
        plan = self._plan
        if plan.levels == 0:
            if sums.sides.size or sums.totals.size:
                raise CryptoError("bad_shape", "there are no trees in this plan")
            self._c, self._a = self._small, self._e
            return
        if sums.sides.shape != (plan.trees, plan.levels, 2, 16) or sums.totals.shape != (plan.trees, 16):
            raise CryptoError("bad_shape", "two sums for each level and a total for each tree")
        assert self._pads is not None
        away = (self._turns() ^ np.uint8(1))[:, :, None, None]
        known = np.take_along_axis(sums.sides, away.astype(np.intp), axis=2)[:, :, 0]
        known = np.ascontiguousarray(known) ^ self._pads.reshape(known.shape)
        totals = sums.totals ^ self._small.view(np.uint8)
        leaves = _native.trees_puncture(_public(b"trees", self._context), known, self._paths, totals, plan.levels)
        sparse = np.zeros(plan.positions, np.uint64)
        sparse[(np.arange(plan.trees, dtype=np.int64) << plan.levels) + self._paths] = self._e
        seed = _public(b"code", self._context)[:16]
        c, a = _native.code_encode_pair(leaves, sparse, plan.count, plan.profile.weight, seed)
        self._c, self._a = self._keep(c), self._keep(a)
        wipe(leaves, sparse, known, totals)

    def close(self) -> None:
        """Overwrite and forget every secret."""
        self._base.close()
        super().close()


def _nonzero(rng: Rng, n: int) -> Words:
    """(n,) uniform elements other than zero."""
    values = np.frombuffer(rng.bytes(8 * n), np.uint64).copy()
    while not values.all():
        empty = np.flatnonzero(values == 0)
        values[empty] = np.frombuffer(rng.bytes(8 * empty.size), np.uint64)
    return values


def wire_words(plan: Plan) -> int:
    """Words in each row of `Corrections.choices`."""
    return words_for(plan.transfers)
