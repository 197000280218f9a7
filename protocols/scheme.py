"""The additive scheme a step runs on: the one door through which its keys come into being."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from parley.crypto import ahe
from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticePublicKey, LatticeSecretKey, Plan, make_plan
from parley.crypto.ahe.lattice import wire as lattice
from parley.crypto.errors import CryptoError
from parley.protocols.kit import Session

CONTEXT_BYTES = 32
# What the lattice takes: bins and missing values, slots of a reply polynomial, fraction bits when none are asked for.
LATTICE_BINS, LATTICE_SCALE, LATTICE_SLOTS = 255, 16, 32


class Choice(Protocol):
    """What a job's parameters say of the scheme, and how `rows` values that are added up sit in a plaintext."""

    @property
    def scheme(self) -> str: ...
    @property
    def key_bits(self) -> int: ...
    @property
    def statistical_bits(self) -> int: ...
    @property
    def packed(self) -> bool: ...
    def layout(self, rows: int) -> Layout: ...


@dataclass(frozen=True)
class Terms:
    """What label and features parties know alike before there is a key: parameters, aligned rows, released sums.

    `outputs` is the most sums, channels counted, that one features party answers with in the whole training;
    `context` is public and binds a key to this step. `slots` are the numbers of sums in a reply polynomial that would
    do, the most wanted first; `sharing` the most features with bins in one, where it is known.
    """

    params: Choice
    rows: int
    outputs: int
    context: bytes = b""
    slots: tuple[int, ...] = (LATTICE_SLOTS,)
    sharing: int | None = None

    def plan(self) -> Plan:
        """The lattice's parameters; CryptoError "floor" or "overflow" where none fits."""
        for x in self.slots[:-1]:
            with suppress(CryptoError):
                return self._plan(x)
        return self._plan(self.slots[-1])

    def _plan(self, x: int) -> Plan:
        return make_plan(
            self.params.layout(self.rows),
            max(1, self.outputs),
            x=x,
            floor=self.params.statistical_bits,
            sharing=self.sharing,
            packed=self.params.packed,
        )


def terms_of(s: Session, rows: int, outputs: int, sharing: int) -> Terms:
    """This step's, bound to it."""
    return Terms(s.params, rows, outputs, s.at(key=0).coins.bytes(CONTEXT_BYTES), sharing=sharing)


def generate(terms: Terms) -> ahe.SecretKey:
    """A fresh key of the label party's; CryptoError for a scheme that is not for production."""
    if terms.params.scheme == "lattice":
        return LatticeSecretKey(terms.plan(), terms.context)
    return ahe.generate(terms.params.scheme, terms.params.key_bits)


def packs(scheme: str) -> bool:
    """Whether a scheme packs rows into a ciphertext, and so sends each node's rows apart; known before any key is."""
    return scheme == "lattice"


def decode_public(raw: bytes, terms: Terms) -> ahe.PublicKey:
    """The label party's public key, checked; ValueError when it is not of the agreed scheme and size."""
    if terms.params.scheme == "lattice":
        return LatticePublicKey(raw, terms.plan(), terms.context)
    key = ahe.decode_public(raw)
    # A ciphertext lives modulo n squared, so it is twice as long as the modulus.
    if key.scheme != terms.params.scheme or key.shape(1) != (1, terms.params.key_bits // 4):
        raise ValueError("the public key is not of the agreed scheme and size")
    return key


@dataclass(frozen=True)
class Bytes:
    """What keys and ciphertexts weigh at most."""

    key: int
    gradients: int  # of the given rows in the given number of batches
    answers: int  # of the given sums in the given number of answers


def weigh(terms: Terms, rows: int, batches: int, sums: int, answers: int) -> Bytes:
    """Bytes of rows encrypted in batches, and of sums released in answers; CryptoError "overflow" or "floor"."""
    if terms.params.scheme == "lattice":
        plan = terms.plan()
        blocks = lattice.blocks_for(plan, rows) + batches
        block, head = lattice.block_size(plan), lattice.batch_bytes(plan, 0)
        replies = (lattice.replies_for(plan, sums) + answers) * lattice.reply_size(plan)
        return Bytes(
            lattice.ELEMENTS * block + lattice.turns_size(plan) + 256,
            blocks * block + batches * head,
            replies + answers * lattice.reply_bytes(plan, 0),
        )
    size = terms.params.key_bits // 4
    packed = terms.params.layout(terms.rows).per_plaintext(terms.params.key_bits - 1)
    return Bytes(terms.params.key_bits + 256, rows * size, (-(-sums // packed) + answers) * size)
