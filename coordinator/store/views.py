"""What people may see of a job, as JSON-able documents."""

from __future__ import annotations

import base64
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parley.coordinator.lifecycle.job import TERMINAL, JobState
from parley.coordinator.store.database import Database
from parley.coordinator.store.models import (
    AttemptRow,
    EgressRow,
    EventRow,
    JobRow,
    OfferRow,
    ResultRow,
    SignatureRow,
    StepRow,
)
from parley.coordinator.store.tx import unknown_job

Document = dict[str, Any]


def owner(db: Database, job: str) -> str:
    """The submitter; ParleyError "unknown_job"."""
    return db.read(lambda s: _row(s, job).submitter)


def _row(session: Session, job: str) -> JobRow:
    row = session.get(JobRow, job[:40])
    if row is None:
        raise unknown_job()
    return row


def _summary(row: JobRow) -> Document:
    return {
        "id": row.id,
        "name": row.name,
        "purpose": row.purpose,
        "state": row.state,
        "dry_run": row.dry_run,
        "reason": row.reason,
        "submitter": row.submitter,
        "submitted": row.submitted,
        "started": row.started,
        "ended": row.ended,
    }


def listing(db: Database, submitter: str | None, state: str | None, limit: int) -> list[Document]:
    """Newest first; all submitters when None."""

    def work(session: Session) -> list[Document]:
        query = select(JobRow).order_by(JobRow.submitted.desc()).limit(limit)
        if submitter is not None:
            query = query.where(JobRow.submitter == submitter)
        if state is not None:
            query = query.where(JobRow.state == state)
        return [_summary(r) for r in session.scalars(query)]

    return db.read(work)


def detail(db: Database, job: str) -> Document:
    def work(session: Session) -> Document:
        row = _row(session, job)
        offers = {o.party: o for o in session.scalars(select(OfferRow).where(OfferRow.job == job))}
        steps = session.scalars(select(StepRow).where(StepRow.job == job).order_by(StepRow.position))
        return {
            **_summary(row),
            "steps": [_step(session, s) for s in steps],
            "parties": [
                {"name": p, "offer": o.offer if (o := offers.get(p)) else None, "problem": o.problem if o else None}
                for p in row.parties
            ],
            "contract": row.contract_hash,
        }

    return db.read(work)


def _step(session: Session, row: StepRow) -> Document:
    last = session.get(AttemptRow, row.fence) if row.fence is not None else None
    return {
        "name": row.name,
        "uses": row.uses,
        "state": row.state,
        "attempt": row.attempt,
        "outcome": row.outcome,
        "parties": list(row.parties),
        "seconds": row.ended - row.started if row.ended and row.started else None,
        "problem": last.problem if last else None,
        "progress": {},
    }


def events(db: Database, job: str, after: int, limit: int = 500) -> Document:
    """Events with number above `after`, in order."""

    def work(session: Session) -> Document:
        row = _row(session, job)
        query = select(EventRow).where(EventRow.job == job, EventRow.n > after).order_by(EventRow.n).limit(limit)
        lines = [
            {"n": e.n, "at": e.at, "kind": e.kind, "step": e.step, "party": e.party, "data": e.data}
            for e in session.scalars(query)
        ]
        return {"events": lines, "last": lines[-1]["n"] if lines else after, "state": row.state}

    return db.read(work)


def results(db: Database, job: str) -> list[Document]:
    """Sealed blobs of each step's last attempt."""

    def work(session: Session) -> list[Document]:
        _row(session, job)
        last = dict(
            session.execute(
                select(ResultRow.step, func.max(ResultRow.attempt)).where(ResultRow.job == job).group_by(ResultRow.step)
            ).all()
        )
        rows = session.scalars(select(ResultRow).where(ResultRow.job == job).order_by(ResultRow.id))
        return [
            {
                "step": r.step,
                "attempt": r.attempt,
                "party": r.party,
                "reader": r.reader,
                "sealed": base64.b64encode(r.sealed).decode(),
            }
            for r in rows
            if r.attempt == last[r.step]
        ]

    return db.read(work)


def egress(db: Database, job: str) -> list[Document]:
    """The parties' own accounts, over all attempts."""

    def work(session: Session) -> list[Document]:
        _row(session, job)
        names = ("party", "step", "attempt", "to", "tag", "disclosure", "messages", "bytes")
        rows = session.scalars(select(EgressRow).where(EgressRow.job == job).order_by(EgressRow.id))
        return [{n: getattr(r, n) for n in names} for r in rows]

    return db.read(work)


def contract(db: Database, job: str) -> Document:
    def work(session: Session) -> Document:
        row = _row(session, job)
        signed = session.scalars(select(SignatureRow).where(SignatureRow.job == job))
        return {
            "contract": row.contract.decode() if row.contract else None,
            "hash": row.contract_hash,
            "signatures": {s.party: s.signature.hex() for s in signed},
        }

    return db.read(work)


def ended(state: str) -> bool:
    return JobState(state) in TERMINAL
