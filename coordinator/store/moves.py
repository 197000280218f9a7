"""Carrying a pure transition into the store: load the row, apply the event, save, perform the effects."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, update

from parley.coordinator.contracts.assemble import assemble, prepare, signature_request
from parley.coordinator.lifecycle import job as jobs
from parley.coordinator.lifecycle import step as steps
from parley.coordinator.lifecycle.machine import IllegalEvent
from parley.coordinator.store.models import (
    AttemptRow,
    CardRow,
    JobRow,
    LeaseRow,
    OfferRow,
    OutboxRow,
    SignatureRow,
    StepRow,
)
from parley.coordinator.store.tx import Tx
from parley.wire.contract import PartyOffer
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb


def alone(tx: Tx, move: Callable[[], None]) -> bool:
    """Make one move of several in this transaction; one that is illegal is undone and leaves the others be."""
    try:
        with tx.session.begin_nested():
            move()
    except IllegalEvent:
        return False
    return True


# ---------------------------------------------------------------- jobs


def load_job(row: JobRow) -> jobs.Job:
    return jobs.Job(
        jobs.JobState(row.state),
        frozenset(row.parties),
        row.dry_run,
        frozenset(row.waiting),
        jobs.JobState(row.ending) if row.ending else None,
    )


def move_job(tx: Tx, row: JobRow, event: object) -> None:
    """Apply `event` to the job; IllegalEvent changes nothing."""
    before = load_job(row)
    after, effects = jobs.apply(before, event)
    row.state, row.waiting = after.state.value, sorted(after.waiting)
    row.ending = after.ending.value if after.ending else None
    tx.touched.jobs.add(row.id)
    if after.state is not before.state:
        tx.event(row.id, "job", state=after.state.value)
    for effect in effects:
        _perform_job(tx, row, effect)


def _perform_job(tx: Tx, row: JobRow, effect: object) -> None:
    match effect:
        case jobs.SendPrepare():
            row.started = tx.now
            for party in row.parties:
                tx.send(party, row.id, pb.Instruction(prepare=prepare(row.id, row.spec, row.card, row.signature)))
        case jobs.SendSign():
            _send_sign(tx, row)
        case jobs.SendAgree():
            agree = pb.Agree(job=row.id, contract=row.contract or b"", signatures=_signatures(tx, row))
            for party in row.parties:
                tx.send(party, row.id, pb.Instruction(agree=agree))
        case jobs.OpenSteps():
            for step in tx.steps(row.id):
                if not step.needs:
                    move_step(tx, row, step, steps.Unblocked())
        case jobs.StopSteps():
            for step in tx.steps(row.id):
                if steps.StepState(step.state) not in steps.TERMINAL:
                    move_step(tx, row, step, steps.Abort())
        case jobs.SendClose(state, problem):
            _send_close(tx, row, state, problem)
        case jobs.Finish(state, problem):
            _finish(tx, row, state, problem)


def _send_sign(tx: Tx, row: JobRow) -> None:
    try:
        contract = assemble(row.id, row.spec, row.card, row.signature, _offers(tx, row), int(row.deadline))
    except ParleyError as problem:
        move_job(tx, row, jobs.Failed(problem))
        return
    row.contract, row.contract_hash = contract.canonical(), contract.hash().hex()
    for party in row.parties:
        tx.send(party, row.id, signature_request(row.id, row.contract))


def _offers(tx: Tx, row: JobRow) -> dict[str, PartyOffer]:
    found = {p: tx.session.get(OfferRow, (row.id, p)) for p in row.parties}
    return {p: PartyOffer.model_validate(o.offer) for p, o in found.items() if o is not None and o.offer is not None}


def _signatures(tx: Tx, row: JobRow) -> list[pb.PartySignature]:
    found = {p: tx.session.get(SignatureRow, (row.id, p)) for p in row.parties}
    return [pb.PartySignature(party=p, signature=s.signature) for p, s in found.items() if s is not None]


def _send_close(tx: Tx, row: JobRow, state: jobs.JobState, problem: ParleyError | None) -> None:
    row.close_by = tx.now + tx.waits.close
    row.reason = problem.to_dict() if problem else None
    # What this job still had in the mail is void, except the notices that end something.
    tx.session.execute(
        delete(OutboxRow).where(
            OutboxRow.job == row.id, ~OutboxRow.id.startswith("cancel-"), ~OutboxRow.id.startswith("close-")
        )
    )
    reason = str(problem) if problem else ""
    for party in row.parties:
        close = pb.CloseJob(job=row.id, state=state.value, reason=reason)
        tx.send(party, row.id, pb.Instruction(close=close), id=f"close-{row.id}")


def _finish(tx: Tx, row: JobRow, state: jobs.JobState, problem: ParleyError | None) -> None:
    row.ended = tx.now
    row.close_by = None
    if problem is not None:
        row.reason = problem.to_dict()
    outcomes = {s.name: s.outcome for s in tx.steps(row.id) if s.outcome != "ok"}
    tx.event(row.id, "ended", state=state.value, reason=row.reason, outcomes=outcomes)


# ---------------------------------------------------------------- steps


def load_step(job: JobRow, row: StepRow) -> steps.Step:
    return steps.Step(
        steps.StepState(row.state),
        frozenset(row.parties),
        job.attempts,
        row.attempt,
        frozenset(row.waiting),
        tuple(ParleyError.from_dict(p) for p in row.problems),
        row.outcome,
    )


def move_step(tx: Tx, job: JobRow, row: StepRow, event: object) -> None:
    """Apply `event` to the step; IllegalEvent changes nothing."""
    before = load_step(job, row)
    after, effects = steps.apply(before, event)
    row.state, row.attempt, row.outcome = after.state.value, after.attempt, after.outcome
    row.waiting, row.problems = sorted(after.waiting), [p.to_dict() for p in after.problems]
    if after.state is not before.state:
        if after.state is steps.StepState.READY:
            row.ready_at = tx.now
        if after.state in steps.TERMINAL:
            row.ended = tx.now
        tx.event(job.id, "step", step=row.name, state=after.state.value, attempt=after.attempt)
    for effect in effects:
        _perform_step(tx, job, row, effect)


def _perform_step(tx: Tx, job: JobRow, row: StepRow, effect: object) -> None:
    match effect:
        case steps.SendStart():
            _start(tx, job, row)
        case steps.SendCancel(parties):
            _cancel(tx, job, row, parties)
        case steps.Settle():
            row.settle_by = tx.now + tx.waits.settle
        case steps.Release():
            _release(tx, job, row)
        case steps.Ended():
            _open_dependents(tx, job, row)
        case steps.Retry(problem):
            tx.event(job.id, "retry", step=row.name, party=problem.party, problem=problem.to_dict())
        case steps.GiveUp(problem):
            move_job(tx, job, jobs.Failed(problem.located(step=row.name)))


def _start(tx: Tx, job: JobRow, row: StepRow) -> None:
    attempt = AttemptRow(job=job.id, step=row.name, attempt=row.attempt, started=tx.now)
    tx.session.add(attempt)
    tx.session.flush()
    row.fence, row.started = attempt.fence, row.started or tx.now
    boundary = min((row.boundaries.get(p, -1) for p in row.parties), default=-1)
    for party in row.parties:
        tx.session.add(
            LeaseRow(
                fence=attempt.fence,
                party=party,
                job=job.id,
                step=row.name,
                attempt=row.attempt,
                state="held",
                taken=tx.now,
            )
        )
        start = pb.Start(
            job=job.id,
            step=row.name,
            attempt=row.attempt,
            fence=attempt.fence,
            deadline_s=max(1, int(job.deadline - tx.now)),
            resume=boundary >= 0,
            boundary=max(0, boundary),
        )
        tx.send(party, job.id, pb.Instruction(start=start), id=start_id(attempt.fence))


def start_id(fence: int) -> str:
    return f"start-{fence}"


def _cancel(tx: Tx, job: JobRow, row: StepRow, parties: frozenset[str]) -> None:
    assert row.fence is not None
    mail = OutboxRow.id == start_id(row.fence)
    tx.session.execute(delete(OutboxRow).where(OutboxRow.party.in_(parties), mail))
    for party in sorted(parties):
        cancel = pb.CancelStep(job=job.id, step=row.name, attempt=row.attempt, reason="The attempt is over.")
        tx.send(party, job.id, pb.Instruction(cancel=cancel), id=f"cancel-{row.fence}")
    tx.touched.attempts.add((job.id, row.name, row.attempt))


def _release(tx: Tx, job: JobRow, row: StepRow) -> None:
    row.settle_by = None
    if row.fence is None:
        return
    held = (LeaseRow.fence == row.fence, LeaseRow.state == "held")
    tx.session.execute(update(LeaseRow).where(*held).values(state="released"))
    problem = None
    if row.problems:
        problem = steps.root_cause(tuple(ParleyError.from_dict(p) for p in row.problems)).to_dict()
    tx.session.execute(
        update(AttemptRow)
        .where(AttemptRow.fence == row.fence, AttemptRow.ended.is_(None))
        .values(ended=tx.now, problem=problem)
    )
    tx.touched.attempts.add((job.id, row.name, row.attempt))


def _open_dependents(tx: Tx, job: JobRow, ended: StepRow) -> None:
    everything = {s.name: s for s in tx.steps(job.id)}
    lacking = ended.state == steps.StepState.SKIPPED or ended.outcome != "ok"
    for step in everything.values():
        if ended.name not in step.needs or step.state != steps.StepState.WAITING:
            continue
        if lacking:
            move_step(tx, job, step, steps.Skip(ended.outcome))
        elif all(everything[n].state == steps.StepState.DONE for n in step.needs):
            move_step(tx, job, step, steps.Unblocked())
    over = all(steps.StepState(s.state) in (steps.StepState.DONE, steps.StepState.SKIPPED) for s in everything.values())
    if over and job.state == jobs.JobState.RUNNING:
        move_job(tx, job, jobs.StepsFinished())


__all__ = ["CardRow", "alone", "load_job", "load_step", "move_job", "move_step", "start_id"]
