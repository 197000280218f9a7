"""What a step may find again in a later attempt or job with the same others: tables and keys that are dear to make.

Guarantee: a cache is found only under the same protocol and version, parameters, parties (by fingerprint, role by role)
and states of the datasets it was made for, all taken from the signed contract, so that both sides look in the same
place; it lies encrypted in the vault; keeping one drops those of the datasets' other states. Not guaranteed: that both
sides still have theirs, which the protocol has to find out; that a cache goes away when nothing replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass

from parley.party.vault import Vault
from parley.protocols.kit.protocol import Cast, Protocol
from parley.wire.canonical import canonical, digest
from parley.wire.codec import Value, decode, encode
from parley.wire.contract import Contract
from parley.wire.jobspec import StepSpec


@dataclass(frozen=True)
class Place:
    """Where a step's cache lies: `cache/<who and about what>/<state of the datasets>/<parameters>`."""

    group: str
    state: str
    parameters: str

    @property
    def item(self) -> str:
        return f"cache/{self.group}/{self.state}/{self.parameters}"


def place_of(contract: Contract, step: StepSpec, protocol: Protocol) -> Place | None:
    """None for a step that leaves no cache."""
    if not protocol.cached_for:
        return None
    cast = Cast(step.roles)
    who = {role: [contract.offers[p].fingerprint for p in members] for role, members in cast.items()}
    brought = [contract.offers[p].dataset for role in protocol.cached_for for p in cast.get(role, ())]
    if any(d is None for d in brought):
        return None
    names = [d.name for d in brought if d is not None]
    states = [[str(d.snapshot), d.commitment] for d in brought if d is not None]
    return Place(_short([protocol.name, who, names]), _short(states), _short([protocol.version, dict(step.with_)]))


def load(vault: Vault, place: Place | None) -> dict[str, Value]:
    """What was left there, or nothing."""
    return decode(vault.get(place.item)) if place is not None and vault.has(place.item) else {}


def save(vault: Vault, place: Place | None, values: dict[str, Value]) -> None:
    """Keep values that are not empty, and drop what belongs to other states of the datasets."""
    if place is None or not values:
        return
    vault.put(place.item, encode(values))
    same = f"cache/{place.group}/{place.state}/"
    for item in vault.names(f"cache/{place.group}/"):
        if not item.startswith(same):
            vault.delete(item)


def _short(value: object) -> str:
    return digest("cache/1", canonical(value)).hex()[:32]
