"""The job a data scientist submits: parties, their datasets, and steps that say `uses / with / needs / roles`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from parley.wire.canonical import canonical, digest
from parley.wire.identity import NAME

STEP_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_DURATION = re.compile(r"^(\d+)(s|m|h|d)$")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: Any) -> Any:
    """`90`, `"90s"`, `"30m"`, `"2h"`, `"1d"` as whole seconds."""
    if isinstance(value, str) and (m := _DURATION.match(value)):
        return int(m[1]) * _UNIT[m[2]]
    return value


def _many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Name = Annotated[str, Field(pattern=NAME)]
StepName = Annotated[str, Field(pattern=STEP_NAME)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_many)]


class PartyUse(BaseModel):
    """What a party brings: the dataset it knows under this name (None for a party without data)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    data: Name | None = None


class StepSpec(BaseModel):
    """One step: the protocol it `uses`, who plays which role, its parameters, the steps it `needs`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    uses: str = Field(pattern=r"^[a-z][a-z0-9_-]*(/[a-z][a-z0-9_-]*)?$")
    roles: dict[Name, Names]
    needs: Annotated[tuple[StepName, ...], BeforeValidator(_many)] = ()
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

    def parties(self) -> tuple[str, ...]:
        """Everyone with a role in this step, sorted, once each."""
        return tuple(sorted({p for members in self.roles.values() for p in members}))


class JobSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1] = 1
    name: Name
    purpose: str = Field(min_length=3, max_length=500)
    parties: dict[Name, PartyUse] = Field(min_length=1)
    steps: dict[StepName, StepSpec] = Field(min_length=1)
    deadline: Annotated[int, BeforeValidator(seconds), Field(ge=10, le=14 * 86400)] = 3600
    attempts: int = Field(default=3, ge=1, le=10)

    @model_validator(mode="after")
    def _consistent(self) -> JobSpec:
        for name, step in self.steps.items():
            for need in step.needs:
                if need not in self.steps:
                    raise ValueError(f"step {name} needs {need}, which is not a step of this job")
            for party in step.parties():
                if party not in self.parties:
                    raise ValueError(f"step {name} gives a role to {party}, which is not a party of this job")
            if not step.parties():
                raise ValueError(f"step {name} has nobody in any role")
            members = [p for m in step.roles.values() for p in m]
            if len(members) != len(set(members)):
                raise ValueError(f"step {name} gives one party two roles")
        self.order()
        return self

    def order(self) -> tuple[str, ...]:
        """Step names so that every step comes after what it needs; ValueError for a cycle."""
        done: list[str] = []
        left = list(self.steps)
        while left:
            ready = [n for n in left if all(d in done for d in self.steps[n].needs)]
            if not ready:
                raise ValueError("the steps need each other in a circle: " + ", ".join(left))
            done += ready
            left = [n for n in left if n not in ready]
        return tuple(done)

    def canonical(self) -> bytes:
        return canonical(self.model_dump(mode="json", by_alias=True))

    def hash(self) -> bytes:
        return digest("job/1", self.canonical())
