"""Additive homomorphic encryption behind one interface: batches in, batches out, re-randomised before they leave."""

from parley.crypto.ahe.base import Ciphertexts, Layout, PublicKey, Response, RowPublicKey, SecretKey, Sums
from parley.crypto.ahe.door import decode_public, generate

__all__ = [
    "Ciphertexts",
    "Layout",
    "PublicKey",
    "Response",
    "RowPublicKey",
    "SecretKey",
    "Sums",
    "decode_public",
    "generate",
]
