"""A whole job in this process on local files: every role of every step, over the same gates, codec and messages.

For trying a job out and for notebooks. Not guaranteed: any separation. One process holds every party's table, so
nothing here protects anybody from the person who runs it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

    from parley.protocols.kit import StepOutputs
    from parley.wire.jobspec import JobSpec

ROW = "_row"
Notice = Callable[[str, "StepOutcome"], None]
Progress = Callable[[str, str, int, int, str], None]


@dataclass
class StepOutcome:
    """What one step left: results by party, egress lines, seconds; `outcome` is ok, empty, below_floor or skipped."""

    outcome: str
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    egress: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class LocalOutcome:
    """What a local run left, by step."""

    name: str
    steps: dict[str, StepOutcome]

    def result(self, step: str) -> dict[str, Any]:
        """One step's result, or a mapping by party when several parties gave one; ParleyError `no_result`."""
        found = {p: r for p, r in self.steps[step].results.items() if r} if step in self.steps else {}
        if not found:
            raise ParleyError("no_result", f"Step {step} left no result.", step=step)
        return dict(next(iter(found.values()))) if len(found) == 1 else found

    def to_dict(self) -> dict[str, Any]:
        return {
            "job": self.name,
            "state": "succeeded",
            "steps": {
                n: {"outcome": s.outcome, "seconds": round(s.seconds, 3), "results": s.results, "egress": s.egress}
                for n, s in self.steps.items()
            },
        }


def run(
    spec: JobSpec,
    data: Mapping[str, Path],
    *,
    rows: int | None = None,
    notice: Notice | None = None,
    progress: Progress | None = None,
) -> LocalOutcome:
    """Run every step in order; `rows` keeps the first so many rows of each file.

    `notice(step, outcome)` hears each step as it ends. Raises ParleyError `no_data`, and whatever a step raises.
    """
    tables = read(spec, data, rows)
    kept: dict[str, dict[str, StepOutputs]] = {}
    done: dict[str, StepOutcome] = {}
    seed = secrets.token_bytes(32)
    for name in spec.order():
        step = spec.steps[name]
        if any(done[n].outcome != "ok" for n in step.needs):
            done[name] = StepOutcome("skipped")
        else:
            done[name], kept[name] = _step(name, spec, tables, kept, seed, progress)
        if notice is not None:
            notice(name, done[name])
    return LocalOutcome(spec.name, done)


def read(spec: JobSpec, data: Mapping[str, Path], rows: int | None = None) -> dict[str, pa.Table]:
    """Each party's table with row ids, as an import would make it."""
    import numpy as np
    import pyarrow as pa

    from parley.components.errors import DataError
    from parley.components.lakehouse import load_file

    tables: dict[str, pa.Table] = {}
    for party in data:
        if party not in spec.parties:
            known = ", ".join(spec.parties)
            raise ParleyError("unknown_party", f"{party} is not a party of this job.", f"Its parties: {known}.")
    for party, use in spec.parties.items():
        if use.data is None:
            continue
        if party not in data:
            raise ParleyError("no_data", f"There is no file for {party}.", f"Add --data {party}=FILE.csv.", party=party)
        try:
            table = load_file(data[party])
        except DataError as e:
            raise ParleyError(e.code, e.cause, e.hint, party=party) from None
        table = table.slice(0, rows) if rows is not None else table
        tables[party] = table.add_column(0, ROW, pa.array(np.arange(table.num_rows, dtype=np.int64)))
    return tables


def _step(
    name: str,
    spec: JobSpec,
    tables: Mapping[str, pa.Table],
    kept: Mapping[str, Mapping[str, StepOutputs]],
    seed: bytes,
    progress: Progress | None,
) -> tuple[StepOutcome, dict[str, StepOutputs]]:
    from parley.protocols import registry
    from parley.protocols.kit import StepInputs, run_local
    from parley.protocols.kit.local import Setting, sizes_of
    from parley.protocols.planned import sizes_at

    step = spec.steps[name]
    inputs = {
        party: StepInputs(tables.get(party), {n: kept[n][party].keep for n in step.needs if party in kept.get(n, {})})
        for party in step.parties()
    }

    def told(party: str, done: int, total: int, phase: str) -> None:
        if progress is not None:
            progress(name, party, done, total, phase)

    begun = time.monotonic()
    sizes = sizes_at(spec, name, sizes_of(inputs))
    setting = Setting(step=name, seed=seed, progress=told, patience=600.0)
    try:
        ran = run_local(registry.load(step.uses), step.roles, inputs, step.with_, sizes=sizes, setting=setting)
    except ParleyError as e:
        raise e.located(step=name) from None
    outcomes = {o.outcome for o in ran.outputs.values()}
    outcome = next(iter(outcomes - {"ok"}), "ok")
    results = {p: dict(o.result) for p, o in ran.outputs.items() if o.result}
    lines = _lines({p: [(r.to, r.tag, r.disclosure, r.bytes) for r in rows] for p, rows in ran.egress.items()}, name)
    return StepOutcome(outcome, results, lines, time.monotonic() - begun), ran.outputs


def _lines(egress: Mapping[str, list[tuple[str, str, str, int]]], step: str) -> list[dict[str, Any]]:
    """One line per sender, receiver and message kind: how many messages, how many bytes."""
    sums: dict[tuple[str, str, str, str], list[int]] = {}
    for party, rows in egress.items():
        for to, tag, disclosure, size in rows:
            entry = sums.setdefault((party, to, tag, disclosure), [0, 0])
            entry[0] += 1
            entry[1] += size
    return [
        {"party": p, "step": step, "attempt": 1, "to": to, "tag": tag, "disclosure": d, "messages": n, "bytes": b}
        for (p, to, tag, d), (n, b) in sums.items()
    ]
