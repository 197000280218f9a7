"""The job's lifecycle.

submitted -> preparing -> contracting -> agreeing -> running -> closing -> succeeded | failed | cancelled | planned
A job reaches exactly one terminal state, always through `closing` once a party has heard of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from parley.coordinator.lifecycle.machine import Effects, IllegalEvent, Table, lookup
from parley.wire.errors import ParleyError


class JobState(StrEnum):
    SUBMITTED = "submitted"
    PREPARING = "preparing"
    CONTRACTING = "contracting"  # every party is asked to sign
    AGREEING = "agreeing"  # every party checks every signature
    RUNNING = "running"
    CLOSING = "closing"
    PLANNED = "planned"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.PLANNED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Job:
    """`waiting`: parties whose answer the current phase still needs; `ending`: where closing leads."""

    state: JobState
    parties: frozenset[str]
    dry_run: bool = False
    waiting: frozenset[str] = frozenset()
    ending: JobState | None = None


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Begin:
    """Every party is online."""


@dataclass(frozen=True, slots=True)
class Offered:
    party: str


@dataclass(frozen=True, slots=True)
class Declined:
    """A party answered Prepare with a refusal."""

    party: str
    problem: ParleyError


@dataclass(frozen=True, slots=True)
class Signed:
    party: str


@dataclass(frozen=True, slots=True)
class Agreed:
    party: str


@dataclass(frozen=True, slots=True)
class StepsFinished:
    """Every step is done or skipped."""


@dataclass(frozen=True, slots=True)
class Failed:
    problem: ParleyError


@dataclass(frozen=True, slots=True)
class Cancelled:
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    party: str


@dataclass(frozen=True, slots=True)
class CloseExpired:
    """Not everybody confirmed the closing in time; their notice stays in the outbox."""


EVENTS = (Begin, Offered, Declined, Signed, Agreed, StepsFinished, Failed, Cancelled, Closed, CloseExpired)

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class SendPrepare:
    pass


@dataclass(frozen=True, slots=True)
class SendSign:
    """Assemble the contract from the offers and ask everybody to sign it."""


@dataclass(frozen=True, slots=True)
class SendAgree:
    pass


@dataclass(frozen=True, slots=True)
class OpenSteps:
    """Steps that need nothing become ready."""


@dataclass(frozen=True, slots=True)
class StopSteps:
    """Steps that have not ended are cancelled."""


@dataclass(frozen=True, slots=True)
class SendClose:
    state: JobState
    problem: ParleyError | None


@dataclass(frozen=True, slots=True)
class Finish:
    state: JobState
    problem: ParleyError | None = None


# ---------------------------------------------------------------- table


def _begin(job: Job, _: Begin) -> tuple[Job, Effects]:
    return replace(job, state=JobState.PREPARING, waiting=job.parties), (SendPrepare(),)


def _answered(job: Job, event: Offered | Signed | Agreed | Declined | Closed) -> Job:
    if event.party not in job.waiting:
        raise IllegalEvent(job.state, event, "this party has answered already or is not asked")
    return replace(job, waiting=job.waiting - {event.party})


def _offered(job: Job, event: Offered) -> tuple[Job, Effects]:
    job = _answered(job, event)
    if job.waiting:
        return job, ()
    if job.dry_run:
        return _close(job, JobState.PLANNED, None)
    return replace(job, state=JobState.CONTRACTING, waiting=job.parties), (SendSign(),)


def _declined(job: Job, event: Declined) -> tuple[Job, Effects]:
    job = _answered(job, event)
    if not job.dry_run:
        return _close(job, JobState.FAILED, event.problem)
    return (job, ()) if job.waiting else _close(job, JobState.PLANNED, None)


def _signed(job: Job, event: Signed) -> tuple[Job, Effects]:
    job = _answered(job, event)
    if job.waiting:
        return job, ()
    return replace(job, state=JobState.AGREEING, waiting=job.parties), (SendAgree(),)


def _agreed(job: Job, event: Agreed) -> tuple[Job, Effects]:
    job = _answered(job, event)
    return (job, ()) if job.waiting else (replace(job, state=JobState.RUNNING), (OpenSteps(),))


def _close(job: Job, ending: JobState, problem: ParleyError | None) -> tuple[Job, Effects]:
    closing = replace(job, state=JobState.CLOSING, waiting=job.parties, ending=ending)
    return closing, (StopSteps(), SendClose(ending, problem))


def _end_early(job: Job, ending: JobState, problem: ParleyError) -> tuple[Job, Effects]:
    """No party has heard of the job, so there is nobody to tell."""
    return replace(job, state=ending, waiting=frozenset(), ending=ending), (StopSteps(), Finish(ending, problem))


def _cancel_problem(event: Cancelled) -> ParleyError:
    return ParleyError("cancelled", event.reason or "The job was cancelled.")


def _finished(job: Job, _: StepsFinished) -> tuple[Job, Effects]:
    return _close(job, JobState.SUCCEEDED, None)


def _closed(job: Job, event: Closed) -> tuple[Job, Effects]:
    job = _answered(job, event)
    return (job, ()) if job.waiting else _expire(job, CloseExpired())


def _expire(job: Job, _: CloseExpired) -> tuple[Job, Effects]:
    assert job.ending is not None
    return replace(job, state=job.ending, waiting=frozenset()), (Finish(job.ending),)


_ACTIVE = (JobState.PREPARING, JobState.CONTRACTING, JobState.AGREEING, JobState.RUNNING)

TABLE: Table = {
    (JobState.SUBMITTED, Begin): _begin,
    (JobState.SUBMITTED, Failed): lambda j, e: _end_early(j, JobState.FAILED, e.problem),
    (JobState.SUBMITTED, Cancelled): lambda j, e: _end_early(j, JobState.CANCELLED, _cancel_problem(e)),
    (JobState.PREPARING, Offered): _offered,
    (JobState.PREPARING, Declined): _declined,
    (JobState.CONTRACTING, Signed): _signed,
    # A party that finds fault with the contract declines it; so does one that finds fault with a signature.
    (JobState.CONTRACTING, Declined): _declined,
    (JobState.AGREEING, Agreed): _agreed,
    (JobState.AGREEING, Declined): _declined,
    (JobState.RUNNING, StepsFinished): _finished,
    **{(s, Failed): lambda j, e: _close(j, JobState.FAILED, e.problem) for s in _ACTIVE},
    **{(s, Cancelled): lambda j, e: _close(j, JobState.CANCELLED, _cancel_problem(e)) for s in _ACTIVE},
    (JobState.CLOSING, Closed): _closed,
    (JobState.CLOSING, CloseExpired): _expire,
}


def apply(job: Job, event: object) -> tuple[Job, Effects]:
    """The next state and what must be done about it; IllegalEvent when the table has no such move."""
    return lookup(TABLE, job.state, event)(job, event)
