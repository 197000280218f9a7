"""What each party is sent in one step of a linear model, made from what it learns and nothing else.

Encryption is dealt here: a ciphertext is a ticket for its vectors. That real ones and real answers say no more is
shown on their own, in `tests/crypto/test_inner.py`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parley.components.training.linear_sides import Owner
from parley.crypto.ahe import inner


class DealtKey:
    """Hands out tickets; `book` holds what they stand for."""

    book: ClassVar[dict[bytes, np.ndarray]] = {}

    def __init__(self, rng):
        self.public = bytes(inner.SEED + inner.POLYNOMIAL)

    def encrypt(self, vectors, shape, rng):
        ticket = rng.bytes(inner.SEED)
        self.book[ticket] = vectors
        return np.frombuffer(ticket, np.uint8), np.zeros((len(vectors) * shape.blocks, inner.POLYNOMIAL), np.uint8)

    def decrypt(self, reply, shape):
        return masked_sums(reply, shape.columns)

    def close(self):
        self.book.clear()


class DealtSums:
    def __init__(self, public, shape, rng):
        self._shape = shape
        self._total = np.zeros(shape.columns, dtype=np.uint64)

    def add(self, seed, ciphertexts, factors):
        vectors = DealtKey.book[seed.tobytes()]
        self._total += (factors.view(np.uint64) * vectors[:, :, None]).sum(axis=(0, 1), dtype=np.uint64)

    def release(self, masks):
        reply = np.zeros((self._shape.groups, self._shape.reply_size), np.uint8)
        reply[0, : 8 * masks.size] = (self._total + masks).view(np.uint8)
        return reply


def masked_sums(reply, columns):
    return np.ascontiguousarray(reply[0, : 8 * columns]).view(np.uint64)


def as_bytes(words):
    return np.ascontiguousarray(words, dtype=np.uint64).view(np.uint8).reshape(1, -1)


def view(shares, answers, product):
    """Shares by sender, the masked sums it opened for others, and what its own mask left of its own product."""
    parts = {"shares": shares, "answers": answers, "product": product}
    return {name: as_bytes(words) for name, words in parts.items() if len(words)}


def simulated(rng, fixed, part, labels, own, gradient, shares, used, answers):
    """From its columns, its own part of the scores, its labels if any, and its gradient (whole numbers, the output).

    `shares` is how many words it is sent, `used` which of them are added to its part for its own product.
    """
    words = rng.words64(shares)
    u = own + words[used].sum(axis=0, dtype=np.uint64) if used is not None else own
    owner = Owner(fixed, part, u, labels)
    product = gradient.view(np.uint64) - owner.alone()[: part.shape[1]]
    return view(words, rng.words64(answers), product)
