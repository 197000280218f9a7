"""How keys come into being: `generate` for an owner, `decode_public` for a peer's key."""

from __future__ import annotations

from parley.crypto.ahe.base import PublicKey, SecretKey
from parley.crypto.errors import CryptoError


def generate(scheme: str, bits: int) -> SecretKey:
    """A fresh key of a production scheme; CryptoError "unknown_scheme" for anything else, the test fake included."""
    if scheme == "paillier":
        from parley.crypto.ahe.paillier import PaillierSecretKey

        return PaillierSecretKey.generate(bits)
    raise CryptoError("unknown_scheme", "production schemes: paillier")


def decode_public(raw: bytes) -> PublicKey:
    """A peer's key after the scheme's checks; CryptoError "bad_key" or "unknown_scheme"."""
    if raw[:9] == b"paillier\x00":
        from parley.crypto.ahe.paillier import PaillierPublicKey

        return PaillierPublicKey.decode(raw)
    raise CryptoError("unknown_scheme", "production schemes: paillier")
