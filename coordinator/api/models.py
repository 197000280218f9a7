"""What the API takes and gives, for validation and for the OpenAPI page."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from parley.wire.identity import NAME


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InviteIn(Strict):
    name: str = Field(pattern=NAME)
    kind: Literal["party", "person"] = "party"


class InviteOut(BaseModel):
    invite: str


class EnrolIn(Strict):
    token: str = Field(max_length=200)
    card: str = Field(max_length=4096)
    csr: str | None = Field(default=None, max_length=16384)


class EnrolOut(BaseModel):
    certificate: str | None
    ca: str
    grpc: str
    coordinator: str
    bearer: str


class JobIn(Strict):
    spec: dict[str, Any]
    card: str = Field(max_length=4096)
    signature: str = Field(pattern=r"^[0-9a-f]{0,256}$")


class JobOut(BaseModel):
    job: str


class CancelIn(Strict):
    reason: str = Field(default="", max_length=500)


class RosterOut(BaseModel):
    cards: list[str]
    vouches: list[str]


class PartyOut(BaseModel):
    name: str
    fingerprint: str
    online: bool
    last_seen: float | None
    version: str
    capacity: int


class HealthOut(BaseModel):
    status: Literal["ok"]
    coordinator: str
    version: str
