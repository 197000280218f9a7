"""HPKE base mode over the hybrid of ML-KEM-768 and X25519, opened step by step.

Sources: RFC 9180 section 5.1, and X-Wing's combiner. Uses the bare ML-KEM, X25519, HMAC and AES-GCM, and nothing of
the library's own HPKE.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SUITE = b"HPKE" + bytes.fromhex("647a") + bytes.fromhex("0001") + bytes.fromhex("0002")
LABEL = bytes.fromhex("5c2e2f2f5e5c")


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE + label + ikm, "sha256")


def _expand(prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:size]


def combined(lattice: MLKEM768PrivateKey, curve: X25519PrivateKey, enc: bytes) -> bytes:
    """The KEM's shared secret."""
    first = lattice.decapsulate(enc[:1088])
    second = curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    return hashlib.sha3_256(first + second + enc[1088:] + curve.public_key().public_bytes_raw() + LABEL).digest()


def opened(lattice: MLKEM768PrivateKey, curve: X25519PrivateKey, message: bytes, info: bytes) -> bytes:
    """The plaintext of a single-shot message."""
    enc, sealed = message[:1120], message[1120:]
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(combined(lattice, curve, enc), b"secret", b"")
    key, nonce = _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed, b"")
