"""Ed25519 identities: signatures with a context, fingerprints and the short codes that two people compare.

Guarantee: a signature made under one context verifies under no other context and over no other message
(EUF-CMA of Ed25519, RFC 8032). Not guaranteed: freshness; a signature can be replayed, so what is signed must
name the job, attempt and sequence number it is for.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from parley.crypto.errors import CryptoError

_SIGN_TAG: Final = b"parley.sign/1"
_FINGERPRINT_TAG: Final = b"parley.fingerprint/1"
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RFC4648: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD: Final = str.maketrans(_RFC4648, _CROCKFORD)
_FROM_CROCKFORD: Final = str.maketrans(_CROCKFORD, _RFC4648)
_CODE_BYTES: Final = 10


def _framed(tag: bytes, context: str, body: bytes) -> bytes:
    """tag, context and body, each with its length in front, so that no two triples share an encoding."""
    parts = (tag, context.encode(), body)
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


class VerifyKey:
    """The public half: 32 bytes, compared by value."""

    __slots__ = ("_key", "_raw")

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self._raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def from_bytes(cls, raw: bytes) -> VerifyKey:
        """32 raw bytes; CryptoError ``bad_key`` for any other length or encoding."""
        try:
            return cls(Ed25519PublicKey.from_public_bytes(bytes(raw)))
        except ValueError:
            raise CryptoError("bad_key", "not an Ed25519 public key") from None

    def to_bytes(self) -> bytes:
        """The 32 raw bytes."""
        return self._raw

    def verify(self, signature: bytes, message: bytes, context: str) -> None:
        """Return if the signature is this key's over (context, message); else CryptoError ``bad_signature``."""
        try:
            self._key.verify(bytes(signature), _framed(_SIGN_TAG, context, message))
        except InvalidSignature:
            raise CryptoError("bad_signature", "the signature does not verify") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and self._raw == other._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        return f"VerifyKey({self._raw[:4].hex()}...)"


class SigningKey:
    """The secret half. It has no readable repr and cannot be pickled; `to_bytes` is for the vault alone."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = VerifyKey(key.public_key())

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, seed: bytes) -> SigningKey:
        """The key of a 32-byte seed; CryptoError ``bad_key`` for any other length."""
        if len(seed) != 32:
            raise CryptoError("bad_key", "an Ed25519 seed has 32 bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(bytes(seed)))

    def to_bytes(self) -> bytes:
        """The 32-byte seed: secret."""
        return self._key.private_bytes_raw()

    def sign(self, message: bytes, context: str) -> bytes:
        """A 64-byte signature over (context, message)."""
        return self._key.sign(_framed(_SIGN_TAG, context, message))

    def __repr__(self) -> str:
        return "SigningKey(secret)"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "a secret key is not serialised this way")


def fingerprint(public_bytes: bytes, context: str) -> bytes:
    """32 bytes that name a public key in a context: SHA-256 over the framed context and key."""
    return hashlib.sha256(_framed(_FINGERPRINT_TAG, context, public_bytes)).digest()


def short_code(fp: bytes) -> str:
    """Sixteen Crockford base32 characters in four groups: the first 80 bits of a fingerprint.

    Two people read it to each other once. Not fewer bits: whoever sits between them can make keys offline until
    one shows the same code, and 40 to 60 bits are within reach of one machine; 80 bits cost 2^80 key generations,
    since each code must hit one given value (a second preimage, no birthday).
    """
    if len(fp) != 32:
        raise CryptoError("bad_fingerprint", "a fingerprint has 32 bytes")
    text = base64.b32encode(fp[:_CODE_BYTES]).decode("ascii").translate(_TO_CROCKFORD)
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def parse_short_code(code: str) -> bytes:
    """The 10 bytes a short code stands for; case, dashes, blanks and the look-alikes O/0, I/L/1 do not matter."""
    text = "".join(c for c in code.upper() if c not in "- \t\n").replace("O", "0").replace("I", "1").replace("L", "1")
    if len(text) != 16 or any(c not in _CROCKFORD for c in text):
        raise CryptoError(
            "bad_short_code",
            "a short code has 16 letters or digits",
            hint="compare it with the peer's screen; the letter U is never used",
        )
    return base64.b32decode(text.translate(_FROM_CROCKFORD))
