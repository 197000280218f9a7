"""Secrets cut into shares: additive, Shamir's, replicated; whole arrays at a time."""

from parley.crypto.sharing.domains import BYTES, FIELD_61, RING_32, RING_64, RING_128, Domain, Elements

__all__ = ["BYTES", "FIELD_61", "RING_32", "RING_64", "RING_128", "Domain", "Elements"]
