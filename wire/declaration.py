"""What a protocol declares about itself, as data: the coordinator plans with it, every party re-derives it.

A declaration is a record of roles, steps, disclosures, security model and parameters; its hash stands in the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from parley.wire.canonical import canonical, digest

Security = Literal["semi-honest", "malicious"]


class StepDeclaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    sender: str
    receiver: str
    tag: str
    fields: dict[str, str]
    loop: tuple[str, ...] = ()
    stream: bool = False
    disclosure: str


class Condition(BaseModel):
    """Where a disclosure happens: the step's `parameter` has one of `values`, or is set at all when none is listed.

    Set means: neither null nor false. An empty mapping counts, because its defaults make something of it. A parameter
    `a.b` is the field b of any entry of the list a; what cannot be read that way counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    parameter: str
    values: tuple[str | int | bool, ...] = ()

    def holds(self, value: Any) -> bool:
        return value in self.values if self.values else value is not None and value is not False

    def met(self, given: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        """Under parameters as a job gives them, and the defaults in the schema's properties."""
        name, _, inner = self.parameter.partition(".")
        value = given[name] if name in given else known.get(name, {}).get("default")
        if not inner:
            return self.holds(value)
        if not isinstance(value, list):
            return True
        return any(not isinstance(v, Mapping) or inner not in v or self.holds(v[inner]) for v in value)


class Declaration(BaseModel):
    """One protocol at one version. `learns` maps a role (and `coordinator`) to the disclosures it receives.

    `conditions` maps "role.disclosure" to when it does; one that is not listed is always received.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    version: int
    security: Security
    summary: str
    roles: dict[str, Literal["one", "many"]]
    steps: tuple[StepDeclaration, ...]
    learns: dict[str, tuple[str, ...]]
    conditions: dict[str, Condition] = {}
    parameters: dict[str, Any]
    cost: str

    def hash(self) -> bytes:
        """SHA-256 over the canonical record, 32 bytes."""
        return digest("declaration/1", canonical(self.model_dump(mode="json")))

    def learned(self, given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """`learns` under a step's parameters: `given` as the job writes them, and the defaults for the others."""
        known = self.parameters.get("properties", {})

        def happens(role: str, disclosure: str) -> bool:
            condition = self.conditions.get(f"{role}.{disclosure}")
            return condition is None or condition.met(given, known)

        return {r: tuple(d for d in told if happens(r, d)) for r, told in self.learns.items()}
