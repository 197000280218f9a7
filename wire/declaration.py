"""What a protocol declares about itself, as data: the coordinator plans with it, every party re-derives it.

A declaration is a record of roles, steps, disclosures, security model and parameters; its hash stands in the contract.
"""

from __future__ import annotations

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


class Declaration(BaseModel):
    """One protocol at one version. `learns` maps a role (and `coordinator`) to the disclosures it receives."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    version: int
    security: Security
    summary: str
    roles: dict[str, Literal["one", "many"]]
    steps: tuple[StepDeclaration, ...]
    learns: dict[str, tuple[str, ...]]
    parameters: dict[str, Any]
    cost: str

    def hash(self) -> bytes:
        """SHA-256 over the canonical record, 32 bytes."""
        return digest("declaration/1", canonical(self.model_dump(mode="json")))
