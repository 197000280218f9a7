"""Cryptographic primitives: no networking, no protocol words, nothing of ours imported."""
