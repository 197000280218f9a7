"""The additive scheme a training runs on: the one door through which keys come into being."""

from __future__ import annotations

from dataclasses import dataclass

from parley.crypto import ahe
from parley.protocols.gbdt.params import Params


@dataclass(frozen=True)
class Terms:
    """What label and features parties know alike before there is a key: parameters, aligned rows, released sums.

    `outputs` is the most sums, channels counted, that one features party answers with in the whole training.
    """

    params: Params
    rows: int
    outputs: int


def generate(terms: Terms) -> ahe.SecretKey:
    """A fresh key of the label party's; CryptoError for a scheme that is not for production."""
    return ahe.generate(terms.params.scheme, terms.params.key_bits)


def packs(scheme: str) -> bool:
    """Whether a scheme packs rows into a ciphertext, and so sends each node's rows apart; known before any key is."""
    return False


def decode_public(raw: bytes, terms: Terms) -> ahe.PublicKey:
    """The label party's public key, checked; ValueError when it is not of the agreed scheme and size."""
    key = ahe.decode_public(raw)
    # A ciphertext lives modulo n squared, so it is twice as long as the modulus.
    if key.scheme != terms.params.scheme or key.size != terms.params.key_bits // 4:
        raise ValueError("the public key is not of the agreed scheme and size")
    return key
