"""A DAG's tasks one after the other as steps of a job; what cannot be said the same way is listed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from parley.fate.dag import Dag, Party, Task, bad

READERS = ("reader", "dataframe_transformer")


@dataclass
class Imported:
    """The job as a document, and remarks: `changed` works differently here, `missing` has no equivalent."""

    job: dict[str, Any]
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass
class Work:
    """What a component's translation sees: the DAG, the task, the names of columns, and the job so far."""

    dag: Dag
    task: Task
    label: str
    id: str
    out: Imported
    left: dict[str, str]  # task -> the step that left its frame

    @property
    def guest(self) -> str:
        return self.dag.in_role("guest", self.task)[0].name

    @property
    def hosts(self) -> list[str]:
        return [p.name for p in self.dag.in_role("host", self.task)]

    @property
    def sites(self) -> list[Party]:
        return [*self.dag.in_role("guest", self.task), *self.dag.in_role("host", self.task)]

    @property
    def label_and_features(self) -> dict[str, Any]:
        return {"label": self.guest, "features": self.hosts}

    @property
    def members(self) -> dict[str, Any]:
        return {"member": [p.name for p in self.sites]}

    def needs(self, *inputs: str) -> list[str]:
        """Steps that the named inputs come from, or all data inputs."""
        wanted = inputs or tuple(self.task.data)
        producers = [p for key in wanted for p in (*self.task.data.get(key, ()), *self.task.model.get(key, ()))]
        return list(dict.fromkeys(self.left[p] for p in producers if p in self.left))

    def add(self, uses: str, roles: dict[str, Any], with_: dict[str, Any], needs: list[str], name: str = "") -> str:
        """One step more; its name is the task's unless said otherwise."""
        step = name or step_name(self.task.name)
        made: dict[str, Any] = {"uses": uses, "roles": roles}
        if needs:
            made["needs"] = needs
        if with_:
            made["with"] = with_
        self.out.job["steps"][step] = made
        self.left[self.task.name] = step
        return step

    def train(self, uses: str, with_: dict[str, Any]) -> None:
        """A training step, on what the task's data are here and begun from a model where it is warm."""
        warm = self.needs("warm_start_model")
        if warm:
            with_["warm_start"] = True
        data = self.needs(*(k for k in self.task.data if k in ("train_data", "input_data")))
        self.add(uses, self.label_and_features, with_, [*data, *warm])
        if self.task.data.get("validate_data") and self.needs("validate_data") != data:
            self.changed("validate_data is the validation part of the frame that the training needs (prep/split)")
        if "cv_param" in self.task.parameters or self.task.data.get("cv_data"):
            self.no_equivalent("cross-validation in one task; a step for each division does the same")
            cv = self.needs("cv_data")
            if cv:
                self.out.job["steps"][self.left[self.task.name]]["needs"] = cv

    def only_scores(self) -> bool:
        return bool(self.task.model.get("input_model")) and not self.task.data.get("train_data")

    def scored(self, uses: str, with_: dict[str, Any]) -> None:
        """A task that trains and is given test data too becomes two steps; its scores are those of the test data."""
        test = self.needs("test_data")
        if test:
            trained = self.left[self.task.name]
            self.add(uses, self.label_and_features, {**with_, "label": self.label}, [*test, trained], f"{trained}_test")

    def score(self, uses: str, with_: dict[str, Any]) -> None:
        """A scoring step, by the model of an earlier task."""
        needs = [*self.needs("test_data"), *self.needs("input_model")]
        self.add(uses, self.label_and_features, {**with_, "label": self.label}, needs)

    def through(self) -> None:
        """Nothing is done: what came in goes on."""
        producers = [p for sources in self.task.data.values() for p in sources if p in self.left]
        if producers:
            self.left[self.task.name] = self.left[producers[0]]

    def changed(self, what: str) -> None:
        self.out.changed.append(f"{self.task.name}: {what}")

    def no_equivalent(self, what: str) -> None:
        self.out.missing.append(f"{self.task.name}: {what}")

    def drop(self, **parameters: str) -> None:
        """Remark on parameters that are set and do not carry over, with what happens instead."""
        for name, instead in parameters.items():
            if self.task.parameters.get(name) not in (None, False, "", [], {}):
                self.changed(f"{name} is not taken over: {instead}")


Translation = Callable[[Work], None]


def convert(dag: Dag, *, id: str = "id", label: str = "y", purpose: str = "imported from a FATE job") -> Imported:
    """The whole DAG; ParleyError "bad_dag" when it has no guest or host, or tasks in a circle.

    `id` and `label` name the columns that FATE knew from the upload, which a DAG does not say.
    """
    from parley.fate.components import TRANSLATIONS

    sites = [p for p in dag.parties if p.role in ("guest", "host", "local")]
    if not sites:
        raise bad("it has neither guest nor host")
    out = Imported({"name": "imported", "purpose": purpose, "parties": {}, "steps": {}}, list(dag.notes))
    for party in sites:
        out.job["parties"][party.name] = {"data": _dataset(dag, party)}
    if any(p.role == "arbiter" for p in dag.parties):
        out.changed.append("parties: no arbiter is needed, so it has no part in the job")
    left: dict[str, str] = {}
    for task in _in_order(dag):
        work = Work(dag, task, label, id, out, left)
        translation = TRANSLATIONS.get(task.component)
        if task.component in READERS:
            continue
        if translation is None:
            work.no_equivalent(f"the component {task.component} has no equivalent")
            work.through()
        else:
            translation(work)
    if not out.job["steps"]:
        out.missing.append("job: none of its tasks has an equivalent")
    return out


def _dataset(dag: Dag, party: Party) -> str:
    for task in dag.tasks.values():
        if task.component == "reader":
            name = task.of(party).get("name")
            if name:
                return step_name(str(name))
    return party.name


def _in_order(dag: Dag) -> list[Task]:
    done: list[str] = []
    while len(done) < len(dag.tasks):
        ready = [
            n for n, t in dag.tasks.items()
            if n not in done and all(
                p in done or p not in dag.tasks
                for inputs in (t.data, t.model) for producers in inputs.values() for p in producers
            )
        ]  # fmt: skip
        if not ready:
            raise bad("its tasks need each other in a circle")
        done += ready
    return [dag.tasks[n] for n in done]


def step_name(task: str) -> str:
    """A task's name as a step may be called."""
    return re.sub(r"[^a-z0-9_-]", "-", task.lower()).strip("-_") or "step"
