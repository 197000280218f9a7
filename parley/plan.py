"""What a job would do, before it does it: who learns what, how many bytes at most, and what each party says to it.

Byte counts are the protocols' own upper bounds. The time is a rule of thumb and no more: a core moves about one
megabyte of protocol messages a second, because nearly all of them are points or ciphertexts, each of which costs some
tens of microseconds (a 32-byte point) to a millisecond (a 512-byte ciphertext).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    from parley.protocols.kit import Flow
    from parley.wire.jobspec import JobSpec

RED = frozenset({"individual_updates", "rows", "matched_values"})
BYTES_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class StepPlan:
    """One step: its protocol, what every party in it learns, and its flows (None where sizes are not known)."""

    name: str
    uses: str
    security: str
    learns: dict[str, list[str]]
    flows: list[dict[str, Any]] | None
    figures: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(int(f["bytes"]) for f in self.flows or [])


@dataclass(frozen=True)
class Verdict:
    """What a party says: `allowed` is None while it has not answered."""

    party: str
    allowed: bool | None
    why: str
    rows: int | None = None


@dataclass(frozen=True)
class Plan:
    """A job's plan; `ok` when every party said yes."""

    name: str
    purpose: str
    steps: list[StepPlan]
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(v.allowed for v in self.verdicts)

    @property
    def red(self) -> list[str]:
        """Disclosures that show single rows or updates, with who learns them."""
        return [f"{who}: {d} ({s.name})" for s in self.steps for who, ds in s.learns.items() for d in ds if is_red(d)]

    def to_dict(self) -> dict[str, Any]:
        return {
            "job": self.name,
            "purpose": self.purpose,
            "ok": self.ok,
            "red": self.red,
            "bytes": sum(s.bytes for s in self.steps),
            "seconds_about": round(sum(s.bytes for s in self.steps) / BYTES_PER_SECOND, 1),
            "steps": [
                {
                    "step": s.name,
                    "uses": s.uses,
                    "security": s.security,
                    "learns": s.learns,
                    "flows": s.flows,
                    "figures": s.figures,
                }
                for s in self.steps
            ],
            "verdicts": [{"party": v.party, "allowed": v.allowed, "why": v.why, "rows": v.rows} for v in self.verdicts],
        }


def is_red(disclosure: str) -> bool:
    """Whether a disclosure shows one party's update, activation, gradient or row in clear."""
    return disclosure in RED or disclosure.rsplit(".", 1)[-1] in RED


def plan(spec: JobSpec, view: Mapping[str, Any] | None = None, *, rows: Mapping[str, int] | None = None) -> Plan:
    """From a job and the answers to its dry run (`view`, a job status), or from row counts given by hand."""
    sizes = dict(rows or {})
    columns: dict[str, int] = {}
    verdicts = [] if view is None else [_verdict(p) for p in view.get("parties", [])]
    for party in () if view is None else view.get("parties", []):
        dataset = (party.get("offer") or {}).get("dataset")
        if dataset:
            sizes[party["name"]], columns[party["name"]] = int(dataset["rows"]), int(dataset["columns"])
    reason = (view or {}).get("reason")
    if reason and all(v.allowed is not False for v in verdicts):
        problem = ParleyError.from_dict(reason)
        verdicts.append(Verdict(problem.party or "coordinator", False, str(problem)))
    steps = [_step(name, spec, sizes, columns) for name in spec.order()]
    return Plan(spec.name, spec.purpose, steps, verdicts)


def _verdict(party: Mapping[str, Any]) -> Verdict:
    if party.get("problem"):
        return Verdict(str(party["name"]), False, str(ParleyError.from_dict(party["problem"])))
    if party.get("offer"):
        dataset = party["offer"].get("dataset") or {}
        found = int(dataset["rows"]) if dataset else None
        return Verdict(str(party["name"]), True, "its policy allows the job", found)
    return Verdict(str(party["name"]), None, "it has not answered")


def _step(name: str, spec: JobSpec, rows: dict[str, int], columns: dict[str, int]) -> StepPlan:
    from parley.protocols import registry
    from parley.protocols.kit.protocol import Cast, Sizes
    from parley.protocols.planned import sizes_at

    step = spec.steps[name]
    protocol, cast = registry.load(step.uses), Cast(step.roles)
    params = protocol.validate(step.with_, cast)
    learns = {}
    for role, disclosures in protocol.declaration().learned(step.with_).items():
        members = cast.get(role, ())
        for who in members or ((role,) if role in ("coordinator", "submitter") else ()):
            learns[who if not members else f"{who} ({role})"] = list(disclosures)
    flows, figures = None, []
    if all(p in rows for p in step.parties()):
        sizes = sizes_at(spec, name, Sizes(rows, columns))
        flows = [_flow(f) for f in protocol.cost(params, cast, sizes)]
        figures = protocol.figures(params, cast, sizes)
    return StepPlan(name, step.uses, protocol.security, learns, flows, figures)


def _flow(flow: Flow) -> dict[str, Any]:
    return {"tag": flow.tag, "from": flow.sender, "to": flow.receiver, "messages": flow.messages, "bytes": flow.bytes}


def show(found: Plan) -> None:
    """Print a plan for a person; single rows or updates in clear stand out red."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text.assemble((found.name, "bold"), f": {found.purpose}"))
    learns = Table("step", "protocol", "who", "learns", title="Who would learn what", title_justify="left")
    flows = Table("step", "message", "from", "to", "messages", "bytes", title="Sent at most", title_justify="left")
    for step in found.steps:
        for who, disclosures in step.learns.items():
            words = [Text(d, style="bold red" if is_red(d) else "") for d in disclosures] or [Text("nothing")]
            learns.add_row(step.name, f"{step.uses} ({step.security})", who, Text(", ").join(words))
        if step.flows is None:
            flows.add_row(step.name, "sizes are not known", "", "", "", "")
        for f in step.flows or []:
            flows.add_row(step.name, f["tag"], f["from"], f["to"], f"{f['messages']:,}", f"{f['bytes']:,}")
    console.print(learns)
    console.print(flows)
    for step in found.steps:
        for line in step.figures:
            console.print(Text(f"{step.name}: {line}"))
    total = sum(s.bytes for s in found.steps)
    console.print(
        f"At most {total:,} bytes; about {total / BYTES_PER_SECOND:,.0f} s at a rough 1 MB/s. Nothing was run."
    )
    for v in found.verdicts:
        mark = {True: "[green]yes[/]", False: "[bold red]no[/]", None: "[yellow]no answer[/]"}[v.allowed]
        console.print(f"  {v.party}: {mark}", Text(v.why), "" if v.rows is None else f"(about {v.rows:,} rows)")
