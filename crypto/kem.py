"""A hybrid post-quantum secret for two parties: ML-KEM-768 together with X25519.

Guarantee: `decapsulate` gives the 32 bytes that `encapsulate` gave, and they look random to anyone without the
secret key as long as one of ML-KEM-768 and X25519 holds; a changed message, another context or another key gives
CryptoError ``bad_ciphertext``, never another secret. Handed to `seal.KKHandshake` as `psk`, the secret keeps what
was sealed from whoever records it now and has a quantum computer later. Not guaranteed: who encapsulated (the
handshake authenticates that, by classical keys); forward secrecy of this part against a later theft of the secret
key, for which a key per attempt is made; a contribution of the receiver's to the secret's randomness.

The public key has 1216 bytes and is signed by its owner before it is believed; the message has 1168.
Source: HPKE base mode (RFC 9180) with the KEM MLKEM768-X25519 (X-Wing's combiner), HKDF-SHA256, AES-256-GCM.
"""

from __future__ import annotations

import os
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from parley.crypto.errors import CryptoError
from parley.crypto.prg import derive

PUBLIC_SIZE: Final = 1184 + 32
MESSAGE_SIZE: Final = 1088 + 32 + 32 + 16
_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_INFO: Final = b"parley.kem/1\x00"


class HybridKey:
    """A key pair; `public` is its 1216 public bytes. Lives as long as one attempt: no bytes, no pickling."""

    __slots__ = ("_key", "public")

    def __init__(self) -> None:
        lattice, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        self._key = hpke.MLKEM768X25519PrivateKey(lattice, curve)
        self.public: bytes = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def decapsulate(self, message: bytes, context: bytes) -> bytes:
        """The 32 secret bytes of a message for this key under `context`; CryptoError ``bad_ciphertext``."""
        if len(message) != MESSAGE_SIZE:
            raise CryptoError("bad_ciphertext", "an encapsulation of another size")
        try:
            seed = _SUITE.decrypt(message, self._key, _INFO + context)
        except (InvalidTag, ValueError):
            raise CryptoError("bad_ciphertext", "the encapsulation does not open") from None
        return _secret(seed, self.public, message, context)

    def __repr__(self) -> str:
        return "HybridKey(secret)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "a secret key is not serialised this way")


def encapsulate(public: bytes, context: bytes) -> tuple[bytes, bytes]:
    """(32 secret bytes, the 1168-byte message that carries them to the key's owner).

    `context` is equal at both ends: the contract's hash, say, with both parties' static keys. CryptoError ``bad_key``.
    """
    if len(public) != PUBLIC_SIZE:
        raise CryptoError("bad_key", "a hybrid public key has 1216 bytes")
    seed = os.urandom(32)
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public[:1184])
        key = hpke.MLKEM768X25519PublicKey(lattice, X25519PublicKey.from_public_bytes(public[1184:]))
        message = _SUITE.encrypt(seed, key, _INFO + context)
    except ValueError:
        raise CryptoError("bad_key", "not a usable hybrid public key") from None
    return _secret(seed, public, message, context), message


def _secret(seed: bytes, public: bytes, message: bytes, context: bytes) -> bytes:
    """Bound to the key, the message and the context; the first two have fixed lengths, so their join is unambiguous."""
    return derive(seed, _INFO + context, 32, salt=public + message)
