"""Secrets at rest: keys, shares, checkpoints and outputs, each item under its own key."""

from parley.party.vault.vault import Vault

__all__ = ["Vault"]
