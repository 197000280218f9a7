"""Named transactions of the clock: leasing ready steps, and everything that is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parley.coordinator.lifecycle import job as jobs
from parley.coordinator.lifecycle import step as steps
from parley.coordinator.lifecycle.queue import Ready, choose
from parley.coordinator.store.database import Database
from parley.coordinator.store.models import JobRow, LeaseRow, StepRow
from parley.coordinator.store.moves import alone, move_job, move_step
from parley.coordinator.store.tx import Tx
from parley.wire.errors import ParleyError


def lease_ready(db: Database, capacity: Mapping[str, int]) -> int:
    """Start every ready step whose parties all have a free slot; `capacity` maps each online party to its slots."""

    def work(tx: Tx) -> int:
        columns = select(StepRow, JobRow.submitter).join(JobRow, JobRow.id == StepRow.job)
        rows = tx.session.execute(columns.where(StepRow.state == "ready", JobRow.state == "running")).all()
        if not rows:
            return 0
        held: Counter[str] = Counter(
            dict(
                tx.session.execute(
                    select(LeaseRow.party, func.count()).where(LeaseRow.state == "held").group_by(LeaseRow.party)
                ).all()
            )
        )
        free = {p: n - held[p] for p, n in capacity.items()}
        ready = [Ready(r.job, r.name, who, tuple(r.parties), r.ready_at or 0.0) for r, who in rows]
        by_key = {(r.job, r.name): r for r, _ in rows}
        chosen = choose(ready, free, _running(tx), tx.now)
        for entry in chosen:
            move_step(tx, tx.job(entry.job), by_key[(entry.job, entry.step)], steps.Leased())
        return len(chosen)

    return db.transact(work)


def _running(tx: Tx) -> dict[str, int]:
    counted = (
        select(JobRow.submitter, func.count())
        .join(StepRow, StepRow.job == JobRow.id)
        .where(StepRow.state.in_(("running", "settling")))
        .group_by(JobRow.submitter)
    )
    return {who: int(n) for who, n in tx.session.execute(counted).all()}


def due(db: Database) -> int:
    """Settle steps, end jobs past their deadline, and finish closings nobody answers any more.

    How many could not be moved: each moves or stays by itself. Most of those moved on in the same moment.
    """

    def work(tx: Tx) -> int:
        moves: list[Callable[[], None]] = []
        settling = select(StepRow).where(StepRow.state == "settling", StepRow.settle_by <= tx.now)
        for step in tx.session.scalars(settling):
            moves.append(partial(_settle, tx, step))
        active = ("submitted", "preparing", "contracting", "agreeing", "running")
        for job in tx.session.scalars(select(JobRow).where(JobRow.state.in_(active), JobRow.deadline <= tx.now)):
            problem = ParleyError(
                "deadline", "The job did not end by its deadline.", "Give it a later `deadline`, or less to do."
            )
            moves.append(partial(move_job, tx, job, jobs.Failed(problem)))
        closing = select(JobRow).where(JobRow.state == "closing", JobRow.close_by <= tx.now)
        for job in tx.session.scalars(closing):
            moves.append(partial(move_job, tx, job, jobs.CloseExpired()))
        return sum(not alone(tx, move) for move in moves)

    return db.transact(work) if _anything_due(db) else 0


def _settle(tx: Tx, step: StepRow) -> None:
    move_step(tx, tx.job(step.job), step, steps.Settled())


def _anything_due(db: Database) -> bool:
    """Looked at without a lock, since most ticks find nothing."""
    now = db.clock()

    def work(session: Session) -> bool:
        step = select(StepRow.name).where(StepRow.state == "settling", StepRow.settle_by <= now).limit(1)
        job = (
            select(JobRow.id)
            .where(JobRow.ended.is_(None), (JobRow.deadline <= now) | (JobRow.close_by <= now))
            .limit(1)
        )
        return session.scalar(step) is not None or session.scalar(job) is not None

    return db.read(work)


def holders(db: Database) -> list[str]:
    """Parties that hold a lease: after a restart they have one lease's time to come back."""

    def work(session: Session) -> list[str]:
        return list(session.scalars(select(LeaseRow.party).where(LeaseRow.state == "held").distinct()))

    return db.read(work)


def may_pipe(db: Database, job: str, step: str, attempt: int, party: str, peer: str) -> bool:
    """Whether both run this attempt now; `peer` may have reported its end already."""

    def work(session: Session) -> bool:
        where = (LeaseRow.job == job, LeaseRow.step == step, LeaseRow.attempt == attempt)
        states = dict(session.execute(select(LeaseRow.party, LeaseRow.state).where(*where)).all())
        return states.get(party) == "held" and states.get(peer) in ("held", "done")

    return db.read(work)
