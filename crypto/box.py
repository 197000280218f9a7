"""Results sealed to one reader, who may be offline: HPKE base mode.

Guarantee: only the holder of the reader's X25519 key learns the plaintext, and a changed box or another `info`
does not open (IND-CCA2 of DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 and AES-256-GCM). Not guaranteed: who
sealed it (anyone can; sign the box), forward secrecy against a later theft of the reader's key, hidden length.

Source: RFC 9180, single-shot base mode.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from parley.crypto.errors import CryptoError
from parley.crypto.seal import StaticKey

_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def seal_to(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal to a reader's 32-byte key: 48 bytes longer than the plaintext. CryptoError ``bad_key``."""
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info)
    except ValueError:
        raise CryptoError("bad_key", "not a usable X25519 public key") from None


def open_box(key: StaticKey, sealed: bytes, info: bytes) -> bytes:
    """The plaintext of a box sealed to `key` under the same `info`, else CryptoError ``bad_ciphertext``."""
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(key.to_bytes()), info)
    except (InvalidTag, ValueError):
        raise CryptoError("bad_ciphertext", "the box does not open") from None
