"""Named transactions that bring a job in, start it, and end it from outside."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from parley.coordinator.contracts.assemble import read_spec
from parley.coordinator.contracts.declarations import compare
from parley.coordinator.lifecycle import job as jobs
from parley.coordinator.lifecycle.machine import IllegalEvent
from parley.coordinator.store.database import Database
from parley.coordinator.store.models import CardRow, JobRow, StepRow
from parley.coordinator.store.moves import move_job
from parley.coordinator.store.tx import Tx
from parley.wire.errors import ParleyError, did_you_mean
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec

MAX_OPEN = 10_000


@dataclass(frozen=True)
class Submission:
    """A verified job: `submitter` signed `spec`. `request_hash` covers the whole request, for idempotency."""

    spec: JobSpec
    submitter: Card
    signature: bytes
    dry_run: bool
    idempotency_key: str | None
    request_hash: str


def submit(db: Database, new: Submission, online: Collection[str]) -> tuple[str, bool]:
    """(job id, created now?); ParleyError for unknown people or parties, or a key reused for another request.

    Parties in `online` are also compared by declaration, so that a mismatch is refused before a job exists.
    """

    def work(tx: Tx) -> tuple[str, bool]:
        if (known := _same_request(tx, new)) is not None:
            return known, False
        _check_people(tx, new, online)
        return _insert(tx, new), True

    return db.transact(work)


def _same_request(tx: Tx, new: Submission) -> str | None:
    if new.idempotency_key is None:
        return None
    where = (JobRow.submitter == new.submitter.name, JobRow.idempotency_key == new.idempotency_key)
    row = tx.session.scalar(select(JobRow).where(*where))
    if row is None:
        return None
    if row.request_hash != new.request_hash:
        raise ParleyError(
            "idempotency_conflict",
            "This Idempotency-Key was used for another request.",
            "Use a new key for a new job.",
        )
    return row.id


def _check_people(tx: Tx, new: Submission, online: Collection[str]) -> None:
    person = tx.card(new.submitter.name)
    if person is None or person.kind != "person" or person.fingerprint != new.submitter.fingerprint:
        raise ParleyError(
            "unknown_submitter",
            "The job's submitter is not enrolled here with this identity.",
            "Enrol with `parley user init INVITE` first.",
        )
    cards = {c.name: c for c in tx.session.scalars(select(CardRow).where(CardRow.kind == "party"))}
    for name in new.spec.parties:
        if name not in cards:
            raise _unknown_party(name, sorted(cards))
    compare(new.spec, {p: cards[p].declarations for p in new.spec.parties if p in online})
    open_jobs = tx.session.scalars(select(JobRow.id).where(JobRow.ended.is_(None)).limit(MAX_OPEN)).all()
    if len(open_jobs) >= MAX_OPEN:
        raise ParleyError("queue_full", "The coordinator's queue is full.", "Try again later.", retryable=True)


def _unknown_party(name: str, known: list[str]) -> ParleyError:
    hint = did_you_mean(name, known, f"Enrolled parties: {', '.join(known) or 'none'}.")
    return ParleyError("unknown_party", f"{name} is not a party of this coordinator.", hint, party=name)


def _insert(tx: Tx, new: Submission) -> str:
    job = f"j{secrets.token_hex(8)}"
    tx.session.add(_job_row(job, new, tx.now))
    tx.session.flush()
    tx.session.add_all(_step_rows(job, new.spec))
    tx.event(job, "job", state=jobs.JobState.SUBMITTED.value)
    return job


def _job_row(job: str, new: Submission, now: float) -> JobRow:
    """The job as it begins; `now` in wall-clock seconds."""
    spec = new.spec
    return JobRow(
        id=job,
        name=spec.name,
        purpose=spec.purpose,
        submitter=new.submitter.name,
        card=new.submitter.to_text(),
        signature=new.signature,
        spec=spec.canonical(),
        parties=sorted(spec.parties),
        attempts=spec.attempts,
        dry_run=new.dry_run,
        state=jobs.JobState.SUBMITTED.value,
        waiting=[],
        deadline=now + spec.deadline,
        submitted=now,
        idempotency_key=new.idempotency_key,
        request_hash=new.request_hash,
    )


def _step_rows(job: str, spec: JobSpec) -> list[StepRow]:
    """Every step of the job, in an order in which each comes after what it needs."""
    return [
        StepRow(
            job=job,
            name=name,
            position=position,
            uses=spec.steps[name].uses,
            parties=list(spec.steps[name].parties()),
            needs=list(spec.steps[name].needs),
            state="waiting",
            attempt=0,
            waiting=[],
            problems=[],
            outcome="ok",
            boundaries={},
        )
        for position, name in enumerate(spec.order())
    ]


def submitted(db: Database) -> list[tuple[str, tuple[str, ...], float]]:
    """(job, parties, submitted at) of jobs that have not begun, oldest first."""

    def work(session: Session) -> list[tuple[str, tuple[str, ...], float]]:
        columns = select(JobRow.id, JobRow.parties, JobRow.submitted)
        rows = session.execute(columns.where(JobRow.state == "submitted").order_by(JobRow.submitted))
        return [(r.id, tuple(r.parties), r.submitted) for r in rows]

    return db.read(work)


def begin(db: Database, job: str) -> None:
    """All parties are online: compare what they declare, then ask them to prepare."""

    def work(tx: Tx) -> None:
        row = tx.job(job)
        if row.state != jobs.JobState.SUBMITTED:
            return
        cards = {p: tx.card(p) for p in row.parties}
        try:
            compare(read_spec(row.spec), {p: c.declarations for p, c in cards.items() if c is not None})
        except ParleyError as problem:
            move_job(tx, row, jobs.Failed(problem))
        else:
            move_job(tx, row, jobs.Begin())

    db.transact(work)


def cancel(db: Database, job: str, reason: str) -> str:
    """The state after asking; ParleyError "already_ended" for a job that has ended or is ending."""

    def work(tx: Tx) -> str:
        row = tx.job(job)
        try:
            move_job(tx, row, jobs.Cancelled(reason))
        except IllegalEvent:
            raise ParleyError("already_ended", f"The job is {row.state} already.") from None
        return row.state

    return db.transact(work)


def fail(db: Database, job: str, problem: ParleyError) -> bool:
    """End a job with a problem; False when it has ended or is ending already."""

    def work(tx: Tx) -> bool:
        try:
            move_job(tx, tx.job(job), jobs.Failed(problem))
        except IllegalEvent:
            return False
        return True

    return db.transact(work)
