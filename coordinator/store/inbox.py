"""What a party's event does to the store: once, whatever how often it arrives.

Guarantee: an event id has its effect at most once per party; a report about an attempt counts only with the attempt's
fencing token, checked in the very statement that takes the lease back. Not guaranteed: that a report is true.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select, update

from parley.coordinator.lifecycle import job as jobs
from parley.coordinator.lifecycle import step as steps
from parley.coordinator.lifecycle.machine import IllegalEvent
from parley.coordinator.store.database import Database
from parley.coordinator.store.models import (
    EgressRow,
    InboxRow,
    JobRow,
    LeaseRow,
    OfferRow,
    OutboxRow,
    ResultRow,
    SignatureRow,
    StepRow,
    VouchRow,
)
from parley.coordinator.store.moves import alone, move_job, move_step, start_id
from parley.coordinator.store.tx import Tx
from parley.crypto.errors import CryptoError
from parley.wire.canonical import parse
from parley.wire.contract import CONTRACT, PartyOffer
from parley.wire.errors import ParleyError
from parley.wire.identity import Card, read_vouch
from parley.wire.pb import parley_pb2 as pb

MAX_LINES = 10_000
MAX_PROBLEM = 64 << 10


class Stale(Exception):
    """A report about an attempt, job or phase that is over; it changes nothing."""


def receive(db: Database, party: str, event: pb.PartyEvent) -> str:
    """Give the event its effect: "done", "duplicate" or "ignored" (stale or out of turn)."""

    def work(tx: Tx) -> str:
        if tx.session.get(InboxRow, (party, event.id)) is not None:
            return "duplicate"
        tx.session.add(InboxRow(party=party, id=event.id, at=tx.now))
        tx.session.flush()
        try:
            with tx.session.begin_nested():
                _dispatch(tx, party, event)
        except (Stale, IllegalEvent):
            return "ignored"
        return "done"

    return db.transact(work)


def acknowledge(db: Database, party: str, instruction: str) -> None:
    def work(tx: Tx) -> None:
        row = tx.session.scalar(select(OutboxRow).where(OutboxRow.party == party, OutboxRow.id == instruction))
        if row is not None:
            tx.session.delete(row)

    db.transact(work)


def mail(db: Database, party: str, after: int, limit: int = 64) -> list[tuple[int, bytes]]:
    """Unacknowledged instructions with number above `after`, in order."""

    def work(session: Any) -> list[tuple[int, bytes]]:
        where = (OutboxRow.party == party, OutboxRow.n > after)
        rows = session.execute(select(OutboxRow.n, OutboxRow.body).where(*where).order_by(OutboxRow.n).limit(limit))
        return [(r.n, r.body) for r in rows]

    return db.read(work)


def _dispatch(tx: Tx, party: str, event: pb.PartyEvent) -> None:
    match event.WhichOneof("kind"):
        case "offer":
            _offer(tx, party, event.offer)
        case "refused":
            _refused(tx, party, event.refused)
        case "signed":
            _signed(tx, party, event.signed)
        case "agreed":
            row = _job(tx, party, event.agreed.job)
            if bytes.fromhex(row.contract_hash or "") != event.agreed.contract_hash:
                raise Stale
            move_job(tx, row, jobs.Agreed(party))
        case "boundary":
            _boundary(tx, party, event.boundary)
        case "done":
            _done(tx, party, event.done)
        case "failed":
            _failed(tx, party, event.failed)
        case "closed":
            move_job(tx, _job(tx, party, event.closed.job), jobs.Closed(party))
        case "vouch":
            _vouch(tx, party, event.vouch)
        case _:
            raise Stale


def _job(tx: Tx, party: str, job: str) -> JobRow:
    """The job, if `party` is one of its parties."""
    row = tx.session.get(JobRow, job[:40], with_for_update=True)
    if row is None or party not in row.parties:
        raise Stale
    return row


def problem_of(message: pb.Problem, party: str) -> ParleyError:
    """The problem a party reports; its text is bounded and its origin is what the link says."""
    try:
        raw = parse(message.json) if len(message.json) <= MAX_PROBLEM else {}
        problem = ParleyError.from_dict(raw if isinstance(raw, dict) else {})
    except (ValueError, UnicodeDecodeError):
        problem = ParleyError("unknown", "The party reported a problem that cannot be read.")
    return problem.located(party=party)


def _offer(tx: Tx, party: str, message: pb.Offer) -> None:
    row = _job(tx, party, message.job)
    try:
        offer = PartyOffer.model_validate(parse(message.json))
    except (ValueError, ValidationError):
        _fault(tx, row, party, "bad_offer", f"The offer of {party} cannot be read.")
        return
    card = tx.card(party)
    if card is None or offer.party != party or offer.fingerprint != card.fingerprint or offer.card != card.card:
        _fault(tx, row, party, "bad_offer", f"The offer of {party} names another identity than the enrolled one.")
        return
    tx.session.merge(OfferRow(job=row.id, party=party, offer=offer.model_dump(mode="json"), problem=None))
    tx.event(row.id, "offer", party=party)
    move_job(tx, row, jobs.Offered(party))


def _refused(tx: Tx, party: str, message: pb.Refused) -> None:
    row = _job(tx, party, message.job)
    problem = problem_of(message.problem, party)
    known = tx.session.get(OfferRow, (row.id, party))
    tx.session.merge(OfferRow(job=row.id, party=party, offer=known.offer if known else None, problem=problem.to_dict()))
    tx.event(row.id, "refused", party=party, problem=problem.to_dict())
    move_job(tx, row, jobs.Declined(party, problem))


def _signed(tx: Tx, party: str, message: pb.Signed) -> None:
    row = _job(tx, party, message.job)
    card = tx.card(party)
    if row.contract_hash is None or card is None or bytes.fromhex(row.contract_hash) != message.contract_hash:
        raise Stale
    try:
        Card.from_text(card.card).verify_key.verify(message.signature, message.contract_hash, CONTRACT)
    except CryptoError:
        _fault(tx, row, party, "bad_contract_signature", f"The signature of {party} on the contract does not verify.")
        return
    tx.session.merge(SignatureRow(job=row.id, party=party, signature=message.signature))
    tx.event(row.id, "signed", party=party)
    move_job(tx, row, jobs.Signed(party))


def _fault(tx: Tx, row: JobRow, party: str, code: str, cause: str) -> None:
    hint = "Compare the versions of parley at this party and at the coordinator."
    move_job(tx, row, jobs.Failed(ParleyError(code, cause, hint, party=party)))


def _boundary(tx: Tx, party: str, message: pb.StepBoundary) -> None:
    _job(tx, party, message.job)
    step = _current(tx, message.job, message.step, message.attempt)
    if party not in step.parties:
        raise Stale
    furthest = max(int(step.boundaries.get(party, -1)), int(message.boundary))
    step.boundaries = {**step.boundaries, party: furthest}


def _current(tx: Tx, job: str, name: str, attempt: int) -> StepRow:
    step = tx.step(job, name[:63])
    if step is None or step.attempt != attempt or step.state not in ("running", "settling"):
        raise Stale
    return step


def take_back(tx: Tx, party: str, job: str, step: str, attempt: int, fence: int, state: str, seconds: float) -> None:
    """End a lease; Stale unless it is held under exactly this fencing token. One statement checks and changes."""
    where = (
        LeaseRow.fence == fence,
        LeaseRow.party == party,
        LeaseRow.job == job,
        LeaseRow.step == step,
        LeaseRow.attempt == attempt,
        LeaseRow.state == "held",
    )
    changed = tx.session.execute(update(LeaseRow).where(*where).values(state=state, seconds=seconds))
    if changed.rowcount != 1:  # type: ignore[attr-defined]  # Result of an UPDATE is a CursorResult
        raise Stale


def _done(tx: Tx, party: str, m: pb.StepDone) -> None:
    row = _job(tx, party, m.job)
    take_back(tx, party, m.job, m.step, m.attempt, m.fence, "done", float(m.seconds))
    step = _current(tx, m.job, m.step, m.attempt)
    _egress(tx, party, m.job, m.step, m.attempt, m.egress)
    if len(m.results) > MAX_LINES:
        raise Stale
    for result in m.results:
        tx.session.add(
            ResultRow(
                job=m.job,
                step=m.step,
                attempt=m.attempt,
                party=party,
                reader=result.reader[:64],
                sealed=result.sealed,
                sha256=result.sha256.hex()[:64],
            )
        )
    outcome = m.outcome or "ok"
    tx.event(m.job, "party_done", step=m.step, party=party, attempt=m.attempt, outcome=outcome, seconds=m.seconds)
    move_step(tx, row, step, steps.PartyDone(party, outcome))


def _failed(tx: Tx, party: str, m: pb.StepFailed) -> None:
    row = _job(tx, party, m.job)
    take_back(tx, party, m.job, m.step, m.attempt, m.fence, "failed", 0.0)
    step = _current(tx, m.job, m.step, m.attempt)
    _egress(tx, party, m.job, m.step, m.attempt, m.egress)
    problem = problem_of(m.problem, party).located(step=m.step)
    problem.retryable = bool(m.retryable)
    tx.event(m.job, "party_failed", step=m.step, party=party, attempt=m.attempt, problem=problem.to_dict())
    move_step(tx, row, step, steps.PartyFailed(party, problem))


def _egress(tx: Tx, party: str, job: str, step: str, attempt: int, lines: Any) -> None:
    if len(lines) > MAX_LINES:
        raise Stale
    for line in lines:
        tx.session.add(
            EgressRow(
                job=job,
                step=step,
                attempt=attempt,
                party=party,
                to=line.to[:63],
                tag=line.tag[:200],
                disclosure=line.disclosure[:200],
                messages=min(line.messages, 2**62),
                bytes=min(line.bytes, 2**62),
            )
        )


def _vouch(tx: Tx, party: str, message: pb.Vouch) -> None:
    card = tx.card(party)
    if card is None:
        raise Stale
    try:
        body = read_vouch(message, Card.from_text(card.card))
    except ParleyError:
        raise Stale from None
    if message.by != party or tx.card(body.name) is None:
        raise Stale
    raw = message.SerializeToString()
    tx.session.merge(VouchRow(voucher=party, name=body.name, fingerprint=body.fingerprint, body=raw))
    tx.touched.roster = True


# ---------------------------------------------------------------- a party comes or goes


def lost(db: Database, party: str, cause: str) -> None:
    """Every attempt this party has a part in fails with "party_lost"."""

    def work(tx: Tx) -> None:
        held = select(LeaseRow).where(LeaseRow.party == party, LeaseRow.state == "held")
        for lease in list(tx.session.scalars(held)):
            alone(tx, partial(_lose, tx, lease, cause))

    db.transact(work)


def _lose(tx: Tx, lease: LeaseRow, cause: str) -> None:
    problem = ParleyError(
        "party_lost", cause, "Look at this party's log; the step is tried again.", step=lease.step, retryable=True
    )
    lease.state = "lost"
    job, step = tx.job(lease.job), tx.step(lease.job, lease.step)
    if step is None or step.fence != lease.fence:
        return
    tx.event(lease.job, "party_lost", step=lease.step, party=lease.party, attempt=lease.attempt)
    move_step(tx, job, step, steps.PartyFailed(lease.party, problem))


def reconcile(db: Database, party: str, running: list[tuple[str, str, int]], grace: float) -> None:
    """After a reconnect: what the party does not run any more is suspect, what it should not run is cancelled.

    A suspect lease is lost after `grace` seconds, unless the party's report of how it ended arrives first.
    """

    def work(tx: Tx) -> None:
        held = tx.session.scalars(select(LeaseRow).where(LeaseRow.party == party, LeaseRow.state == "held")).all()
        for lease in held:
            unread = (OutboxRow.party == party, OutboxRow.id == start_id(lease.fence))
            delivered = tx.session.scalar(select(OutboxRow.n).where(*unread)) is None
            gone = (lease.job, lease.step, lease.attempt) not in running
            lease.suspect_by = tx.now + grace if delivered and gone else None
        current = {(x.job, x.step, x.attempt) for x in held}
        for job, step, attempt in running[:1024]:
            row = tx.session.get(JobRow, job[:40])
            if (job, step, attempt) not in current and row is not None and party in row.parties:
                cancel = pb.CancelStep(job=job, step=step, attempt=attempt, reason="The attempt is over.")
                tx.send(party, job, pb.Instruction(cancel=cancel))

    db.transact(work)


def lose_suspects(db: Database) -> int:
    """Losing what a restarted party does not run any more; how many leases could not be moved."""

    def work(tx: Tx) -> int:
        due = select(LeaseRow).where(LeaseRow.state == "held", LeaseRow.suspect_by <= tx.now)
        cause = "{} was restarted and does not run this step any more."
        lost = [partial(_lose, tx, lease, cause.format(lease.party)) for lease in tx.session.scalars(due)]
        return sum(not alone(tx, lose) for lose in lost)

    return db.transact(work)


__all__ = ["Stale", "acknowledge", "lose_suspects", "lost", "mail", "problem_of", "receive", "reconcile"]
