"""Additive homomorphic encryption behind one interface: batches in, batches out, re-randomised before they leave."""

from parley.crypto.ahe.base import Ciphertexts, Layout, PublicKey, Response, SecretKey, Sums
from parley.crypto.ahe.door import decode_public, generate, join, start
from parley.crypto.ahe.runs import RunKey, RunPeer

__all__ = [
    "Ciphertexts",
    "Layout",
    "PublicKey",
    "Response",
    "RunKey",
    "RunPeer",
    "SecretKey",
    "Sums",
    "decode_public",
    "generate",
    "join",
    "start",
]
