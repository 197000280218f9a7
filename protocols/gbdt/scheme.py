"""The additive scheme a training runs on: the one door through which keys come into being."""

from __future__ import annotations

from parley.crypto import ahe


def generate(scheme: str, bits: int) -> ahe.SecretKey:
    """A fresh key of the label party's; CryptoError for a scheme that is not for production."""
    return ahe.generate(scheme, bits)


def packs(scheme: str) -> bool:
    """Whether a scheme packs rows into a ciphertext, and so sends each node's rows apart; known before any key is."""
    return False


def decode_public(raw: bytes, scheme: str, bits: int) -> ahe.PublicKey:
    """The label party's public key, checked; ValueError when it is not of the agreed scheme and size."""
    key = ahe.decode_public(raw)
    # A ciphertext lives modulo n squared, so it is twice as long as the modulus.
    if key.scheme != scheme or key.size != bits // 4:
        raise ValueError("the public key is not of the agreed scheme and size")
    return key
