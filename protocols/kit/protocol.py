"""A protocol as a value: its roles, its steps in order, what each role learns, its cost, and its role functions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from parley.protocols.kit.message import Message, schema
from parley.protocols.kit.source import hash_files
from parley.wire.declaration import Condition, Declaration, Security, StepDeclaration
from parley.wire.errors import ParleyError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from parley.protocols.kit.session import Session
    from parley.protocols.kit.stored import Stored

SEMI_HONEST: Security = "semi-honest"
MALICIOUS: Security = "malicious"
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True)
class Step:
    """One declared message: who sends what to whom, inside which loops, and what it discloses.

    `loop` names the surrounding loops, outermost first; `stream` sends chunks; `many` allows repeats at one path.
    """

    sender: str
    receiver: str
    message: type[Message]
    disclosure: str
    loop: tuple[str, ...] = ()
    stream: bool = False
    many: bool = False


class Cast(dict[str, tuple[str, ...]]):
    """Who plays which role in one step: role -> parties, in the job's order."""

    def __init__(self, roles: Mapping[str, Any]) -> None:
        super().__init__({r: (p,) if isinstance(p, str) else tuple(p) for r, p in roles.items()})

    def role_of(self, party: str) -> str:
        """The role of a party; KeyError when it has none."""
        for role, members in self.items():
            if party in members:
                return role
        raise KeyError(party)

    def parties(self) -> tuple[str, ...]:
        return tuple(sorted({p for members in self.values() for p in members}))


@dataclass(frozen=True)
class Sizes:
    """What the plan knows: rows (an upper bound) and columns of each party that brings data."""

    rows: dict[str, int]
    columns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """An upper bound for one message kind between two parties over a whole step: message bodies and their bytes."""

    tag: str
    sender: str
    receiver: str
    messages: int
    bytes: int


@dataclass
class StepInputs:
    """What a role gets at its party: the dataset (with `_row`) and what earlier steps kept, by step name.

    `cache` is what an earlier run of the same step with the same others left for the next (`Protocol.cached_for`).
    `stored` stands in the table's place where the party does not let a step hold it whole.
    """

    table: pa.Table | None = None
    needs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    stored: Stored | None = None


@dataclass
class StepOutputs:
    """What a role leaves: `keep` stays at the party, `result` is sealed to the submitter, `outcome` is public.

    `cache` stays at the party, too, and takes the place of an earlier one; empty, it changes nothing.
    """

    keep: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    outcome: Literal["ok", "empty", "below_floor"] = "ok"
    cache: dict[str, Any] = field(default_factory=dict)


class NoParams(BaseModel):
    """For a protocol without parameters."""


Job = Callable[["Session", StepInputs], Awaitable[StepOutputs]]
Check = Callable[[Any, Cast], None]
Reshape = Callable[[Any, Cast, Sizes], Sizes]
DataCheck = Callable[[Any, Cast, str, dict[str, str]], None]


class Protocol:
    """A multi-party program with its declaration; role functions are attached by `role` and `job`.

    `learns` maps each role, and `coordinator`, to what it learns; every step's disclosure is listed there for its
    receiver. `when` names what is learnt under some parameters only: "role.disclosure" -> (parameter, value, ...),
    or (parameter,) for when it is set at all: neither null nor false; "a.b" is field b of an entry of the list a.
    `cost(params, cast, sizes)` returns upper bounds per message kind and pair of parties; a kind without a flow cannot
    be sent under these parameters. `figures(params, cast, sizes)` are lines for a plan's reader that follow from them,
    such as security figures.
    `page` is the docstring of the module that makes the value. With `cached_for` roles may leave a cache for later
    attempts and jobs: it is found again as long as the parties, the parameters and the datasets of the roles named
    there are the same.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        security: Security,
        summary: str,
        roles: dict[str, Literal["one", "many"]],
        steps: list[Step],
        learns: dict[str, list[str]],
        params: type[BaseModel] = NoParams,
        cost: Callable[[Any, Cast, Sizes], list[Flow]] | None = None,
        figures: Callable[[Any, Cast, Sizes], list[str]] | None = None,
        optional_roles: tuple[str, ...] = (),
        when: Mapping[str, tuple[str, ...]] | None = None,
        cached_for: tuple[str, ...] = (),
    ) -> None:
        self.name, self.version, self.security, self.summary = name, version, security, summary
        self.roles, self.steps, self.learns, self.params = roles, tuple(steps), learns, params
        self.cost = cost or (lambda params, cast, sizes: [])
        self.figures = figures or (lambda params, cast, sizes: [])
        self.optional_roles, self.cached_for = optional_roles, cached_for
        self.conditions = {k: Condition(parameter=p, values=tuple(v)) for k, (p, *v) in (when or {}).items()}
        self.role_functions: dict[str, Callable[..., Awaitable[Any]]] = {}
        self.jobs: dict[str, Job] = {}
        self.checks: list[Check] = []
        self.data_checks: list[DataCheck] = []
        self.leaves: tuple[str, ...] = ()  # what later steps may look for, in a reader's words: "scores"
        self.wants: tuple[str, ...] = ()  # what a step that this one needs must leave
        self.moves_rows = False  # whether the step chooses which rows later steps work on, or their parts
        self.reshapes: Reshape | None = None  # the sizes after a step that changes columns, as upper bounds
        maker = inspect.stack()[1]
        self._sources: list[str] = [maker.filename]
        self.page = inspect.cleandoc(maker.frame.f_globals.get("__doc__") or summary)
        for step in steps:
            if step.disclosure not in learns.get(step.receiver, []):
                raise TypeError(f"{name}: {step.message.TAG} discloses {step.disclosure}, not in learns")
        for key, condition in self.conditions.items():
            role, _, disclosure = key.partition(".")
            if disclosure not in learns.get(role, []) or condition.parameter.partition(".")[0] not in _parameters(
                params
            ):
                raise TypeError(f"{name}: a condition for {key}, which is not in learns, or on no parameter")

    def role(self, name: str) -> Callable[[F], F]:
        """Attach the pure role function."""

        def attach(f: F) -> F:
            self.role_functions[self._known(name)] = f
            self._sources.append(inspect.getfile(f))
            return f

        return attach

    def job(self, name: str) -> Callable[[Job], Job]:
        """Attach the function that binds a role to a dataset and earlier outputs."""

        def attach(f: Job) -> Job:
            self.jobs[self._known(name)] = f
            self._sources.append(inspect.getfile(f))
            return f

        return attach

    def validate(self, raw: Mapping[str, Any], cast: Cast) -> BaseModel:
        """The typed parameters, with roles checked; ParleyError "bad_parameters" or "bad_roles"."""
        _check_roles(self, cast)
        try:
            params = self.params.model_validate(dict(raw))
        except ValidationError as e:
            raise self._bad_parameter(e) from None
        for check in self.checks:
            check(params, cast)
        return params

    def _bad_parameter(self, error: ValidationError) -> ParleyError:
        """The first problem, and a did-you-mean for a parameter that there is not."""
        first = error.errors(include_url=False, include_input=False)[0]
        where, page = ".".join(map(str, first["loc"])) or "with", f"See `parley protocols show {self.name}`."
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            hint = did_you_mean(where, _parameters(self.params), page)
            return ParleyError("bad_parameters", f"{self.name} has no parameter {where}.", hint)
        problem = str(first["msg"]).removeprefix("Value error, ")
        return ParleyError("bad_parameters", f"{self.name}: {where}: {problem}.", page)

    def declaration(self) -> Declaration:
        return Declaration(
            name=self.name,
            version=self.version,
            security=self.security,
            summary=self.summary,
            roles=self.roles,
            steps=tuple(
                StepDeclaration(
                    sender=s.sender,
                    receiver=s.receiver,
                    tag=s.message.TAG,
                    fields=schema(s.message),
                    loop=s.loop,
                    stream=s.stream,
                    disclosure=s.disclosure,
                )
                for s in self.steps
            ),
            learns={r: tuple(d) for r, d in self.learns.items()},
            conditions=self.conditions,
            parameters=self.params.model_json_schema(),
            cost=inspect.getdoc(self.cost) or "",
        )

    def code_hash(self) -> str:
        """SHA-256, hex, over every file of ours that this protocol's behaviour comes from; it stands in the contract.

        TypeError for a protocol that no file defines.
        """
        sources = {FilePath(source) for source in self._sources}
        if not all(source.is_file() for source in sources):
            raise TypeError(f"{self.name}: a protocol is defined in files")
        return hash_files(tuple(sorted({source.resolve().parent for source in sources})))

    def _known(self, role: str) -> str:
        if role not in self.roles:
            raise TypeError(f"{self.name} has no role {role}")
        return role


def _parameters(params: type[BaseModel]) -> set[str]:
    """Names as a job writes them."""
    return {field.alias or name for name, field in params.model_fields.items()}


def _check_roles(protocol: Protocol, cast: Cast) -> None:
    for role in cast:
        if role not in protocol.roles:
            known = ", ".join(protocol.roles)
            raise ParleyError("bad_roles", f"{protocol.name} has no role {role}.", f"Its roles are {known}.")
    for role, arity in protocol.roles.items():
        members = cast.get(role, ())
        if not members and role not in protocol.optional_roles:
            raise ParleyError("bad_roles", f"{protocol.name} needs somebody in the role {role}.")
        if arity == "one" and len(members) > 1:
            raise ParleyError("bad_roles", f"{protocol.name} takes one party in the role {role}.")
