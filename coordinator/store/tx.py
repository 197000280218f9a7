"""One transaction: rows, outgoing instructions and event lines change together or not at all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from parley.coordinator.store.models import CardRow, EventRow, JobRow, OutboxRow, StepRow
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb


@dataclass
class Touched:
    """What a committed transaction changed, for whoever waits: parties with mail, jobs, ended attempts, the roster."""

    parties: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)
    attempts: set[tuple[str, str, int]] = field(default_factory=set)
    roster: bool = False
    revoked: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.parties or self.jobs or self.attempts or self.roster or self.revoked)


@dataclass(frozen=True)
class Waits:
    """How long a phase may take, seconds."""

    settle: float = 2.0
    close: float = 5.0


class Tx:
    """`now` is one wall-clock reading for the whole transaction."""

    def __init__(self, session: Session, now: float, waits: Waits) -> None:
        self.session = session
        self.now = now
        self.waits = waits
        self.touched = Touched()

    def job(self, job: str) -> JobRow:
        """The job's row, locked until the commit; ParleyError "unknown_job"."""
        row = self.session.get(JobRow, job, with_for_update=True)
        if row is None:
            raise unknown_job()
        return row

    def step(self, job: str, step: str) -> StepRow | None:
        return self.session.get(StepRow, (job, step))

    def steps(self, job: str) -> list[StepRow]:
        return list(self.session.scalars(select(StepRow).where(StepRow.job == job).order_by(StepRow.position)))

    def card(self, name: str) -> CardRow | None:
        return self.session.get(CardRow, name)

    def send(self, party: str, job: str, instruction: pb.Instruction, id: str = "") -> None:
        """Queue an instruction; it goes out after the commit and again until the party acknowledges it."""
        instruction.id = id or secrets.token_hex(12)
        if id and self.session.scalar(select(OutboxRow.n).where(OutboxRow.party == party, OutboxRow.id == id)):
            return  # it is on its way already
        body = instruction.SerializeToString()
        self.session.add(OutboxRow(party=party, id=instruction.id, job=job, body=body))
        self.session.flush()
        self.touched.parties.add(party)

    def event(self, job: str, kind: str, *, step: str = "", party: str = "", **data: Any) -> None:
        """Append a line to the job's history. `data` is small and holds no data value."""
        self.session.add(EventRow(job=job, at=self.now, kind=kind, step=step, party=party, data=data))
        self.session.flush()
        self.touched.jobs.add(job)


def unknown_job() -> ParleyError:
    return ParleyError("unknown_job", "There is no such job here.", "`parley job list` shows the jobs you may see.")
