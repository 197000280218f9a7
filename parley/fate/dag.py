"""A FATE 2.x DAG as plain values: its parties, and its tasks in order with what each takes from which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parley.wire.errors import ParleyError

ROLES = ("guest", "host", "arbiter", "local")


@dataclass(frozen=True)
class Party:
    """One site in one role, and the name it has in the job."""

    role: str
    number: str

    @property
    def name(self) -> str:
        return re.sub(r"[^a-z0-9-]+", "-", f"{self.role}-{self.number}".lower()).strip("-")


@dataclass(frozen=True)
class Task:
    """One task: its component, parameters for all and by party, and producers by input (`train_data` -> task names)."""

    name: str
    component: str
    stage: str
    parameters: dict[str, Any]
    by_party: dict[str, dict[str, Any]]
    data: dict[str, tuple[str, ...]]
    model: dict[str, tuple[str, ...]]
    parties: tuple[Party, ...]

    def of(self, party: Party) -> dict[str, Any]:
        """The parameters as one party has them."""
        return {**self.parameters, **self.by_party.get(party.name, {})}


@dataclass(frozen=True)
class Dag:
    parties: tuple[Party, ...]
    tasks: dict[str, Task]
    stage: str = "train"
    notes: list[str] = field(default_factory=list)

    def in_role(self, role: str, task: Task | None = None) -> list[Party]:
        among = task.parties if task is not None and task.parties else self.parties
        return [p for p in among if p.role == role]


def read(path: Path) -> Dag:
    """A DAG from a file; ParleyError "bad_dag"."""
    from parley import jobfile

    try:
        return of(jobfile.parse(jobfile.read(path)))
    except ParleyError as e:
        raise ParleyError("bad_dag", e.cause, e.hint) from None


def of(document: Any) -> Dag:
    """A DAG from its parsed YAML; ParleyError "bad_dag" for anything that is not one of schema 2.x."""
    if not isinstance(document, Mapping) or not isinstance(document.get("dag"), Mapping):
        raise bad("it has no dag")
    version = str(document.get("schema_version", ""))
    if document.get("kind", "fate") not in ("fate", "bfia") or not version.startswith("2"):
        raise bad("it is not of schema version 2")
    dag = document["dag"]
    parties = _parties(dag.get("parties"))
    if not parties:
        raise bad("it names no parties")
    own = _by_task(dag.get("party_tasks"))
    tasks, stage = {}, str(dag.get("stage", "train"))
    for name, task in _mapping(dag.get("tasks"), "tasks").items():
        tasks[str(name)] = _task(str(name), _mapping(task, f"task {name}"), own.get(str(name), {}), stage)
    notes = []
    conf = dag.get("conf")
    if isinstance(conf, Mapping):
        for key in ("inheritance", "model_warehouse"):
            if key in conf:
                notes.append(f"conf.{key}: outputs of an earlier job are not taken over; run its steps in this job.")
    return Dag(parties, tasks, stage, notes)


def _parties(value: Any) -> tuple[Party, ...]:
    out = []
    for entry in value or []:
        if not isinstance(entry, Mapping) or entry.get("role") not in ROLES:
            raise bad("a party has no role, or one that there is not")
        numbers = entry.get("party_id")
        for number in numbers if isinstance(numbers, list) else [numbers]:
            out.append(Party(str(entry["role"]), str(number)))
    return tuple(out)


def _by_task(value: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """task -> party name -> parameters."""
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for block in _mapping(value or {}, "party_tasks").values():
        for party in _parties(_mapping(block, "party_tasks").get("parties")):
            for task, entry in _mapping(block.get("tasks") or {}, "party_tasks").items():
                given = _mapping(entry or {}, "a task").get("parameters") or {}
                out.setdefault(str(task), {})[party.name] = dict(_mapping(given, "parameters"))
    return out


def _task(name: str, entry: Mapping[str, Any], own: dict[str, dict[str, Any]], stage: str) -> Task:
    component = entry.get("component_ref")
    if not isinstance(component, str):
        raise bad(f"task {name} names no component")
    inputs = _mapping(entry.get("inputs") or {}, f"inputs of task {name}")
    return Task(
        name,
        component,
        str(entry.get("stage", stage)),
        dict(_mapping(entry.get("parameters") or {}, f"parameters of task {name}")),
        own,
        _producers(inputs.get("data")),
        _producers(inputs.get("model")),
        _parties(entry.get("parties")),
    )


def _producers(value: Any) -> dict[str, tuple[str, ...]]:
    out = {}
    for key, source in _mapping(value or {}, "inputs").items():
        found = []
        for kind in ("task_output_artifact", "model_warehouse", "data_warehouse"):
            artifact = source.get(kind) if isinstance(source, Mapping) else None
            for one in artifact if isinstance(artifact, list) else [artifact]:
                if isinstance(one, Mapping) and "producer_task" in one and str(one["producer_task"]) not in found:
                    found.append(str(one["producer_task"]))
        out[str(key)] = tuple(found)
    return out


def _mapping(value: Any, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise bad(f"{what} is no mapping")
    return value


def bad(why: str) -> ParleyError:
    return ParleyError("bad_dag", f"The DAG is not understood: {why}.", "Export it from FATE 2.x as YAML.")
