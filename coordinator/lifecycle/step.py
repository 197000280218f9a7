"""The lifecycle of one step of a job, over all its attempts.

waiting -> ready -> running -> done, or running -> settling -> ready (a new attempt) | failed.
`settling` exists so that the first report of a failure, often only its echo at a peer, does not hide the cause:
the attempt is over, the others are told to stop, and for a short while their problems are still collected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from parley.coordinator.lifecycle.machine import Effects, IllegalEvent, Table, lookup
from parley.wire.errors import ParleyError


class StepState(StrEnum):
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    SETTLING = "settling"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


TERMINAL = frozenset({StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED})
OUTCOMES = ("ok", "empty", "below_floor")  # from best to worst
ECHOES = frozenset({"cancelled", "peer_gone", "peer_lost", "peer_closed", "pipe_closed", "link_lost", "unavailable"})


@dataclass(frozen=True, slots=True)
class Step:
    """`attempts`: how many are allowed; `attempt`: the current or last one, from 1; `waiting`: who still runs it."""

    state: StepState
    parties: frozenset[str]
    attempts: int
    attempt: int = 0
    waiting: frozenset[str] = frozenset()
    problems: tuple[ParleyError, ...] = ()
    outcome: str = "ok"


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Unblocked:
    """Everything the step needs is done."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Something the step needs ended without the output it needs."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Leased:
    """Every party of the step has a slot for it."""


@dataclass(frozen=True, slots=True)
class PartyDone:
    party: str
    outcome: str = "ok"


@dataclass(frozen=True, slots=True)
class PartyFailed:
    party: str
    problem: ParleyError


@dataclass(frozen=True, slots=True)
class Settled:
    """Time is up for collecting problems."""


@dataclass(frozen=True, slots=True)
class Abort:
    """The job ends."""


EVENTS = (Unblocked, Skip, Leased, PartyDone, PartyFailed, Settled, Abort)

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class SendStart:
    pass


@dataclass(frozen=True, slots=True)
class SendCancel:
    parties: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settle:
    """Start the short clock for collecting problems."""


@dataclass(frozen=True, slots=True)
class Release:
    """The attempt's leases end; its fencing token is worth nothing from here on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The step reached a good end: look at what needs it."""


@dataclass(frozen=True, slots=True)
class Retry:
    problem: ParleyError


@dataclass(frozen=True, slots=True)
class GiveUp:
    problem: ParleyError


# ---------------------------------------------------------------- table


def root_cause(problems: tuple[ParleyError, ...]) -> ParleyError:
    """The problem to show: one that a retry would not cure before one it would, a cause before its echo."""
    return min(problems, key=lambda p: (p.code in ECHOES, p.retryable))


def _unblocked(step: Step, _: Unblocked) -> tuple[Step, Effects]:
    return replace(step, state=StepState.READY), ()


def _skip(step: Step, event: Skip) -> tuple[Step, Effects]:
    return replace(step, state=StepState.SKIPPED, outcome=event.outcome), (Ended(),)


def _leased(step: Step, _: Leased) -> tuple[Step, Effects]:
    started = replace(
        step, state=StepState.RUNNING, attempt=step.attempt + 1, waiting=step.parties, problems=(), outcome="ok"
    )
    return started, (SendStart(),)


def _leave(step: Step, event: PartyDone | PartyFailed) -> Step:
    if event.party not in step.waiting:
        raise IllegalEvent(step.state, event, "this party has no part in the attempt any more")
    return replace(step, waiting=step.waiting - {event.party})


def _done(step: Step, event: PartyDone) -> tuple[Step, Effects]:
    if event.outcome not in OUTCOMES:
        raise IllegalEvent(step.state, event, "unknown outcome")
    worst = max(step.outcome, event.outcome, key=OUTCOMES.index)
    step = replace(_leave(step, event), outcome=worst)
    return (step, ()) if step.waiting else (replace(step, state=StepState.DONE), (Release(), Ended()))


def _failed(step: Step, event: PartyFailed) -> tuple[Step, Effects]:
    problem = event.problem.located(party=event.party)
    step = replace(_leave(step, event), problems=(*step.problems, problem))
    if not step.waiting:
        return _decide(step)
    # The failing party is told too: one that was only unreachable may still be running the attempt.
    cancel = SendCancel(step.waiting | {event.party})
    return replace(step, state=StepState.SETTLING), (cancel, Settle())


def _late_done(step: Step, event: PartyDone) -> tuple[Step, Effects]:
    step = _leave(step, event)
    return (step, ()) if step.waiting else _decide(step)


def _late_failed(step: Step, event: PartyFailed) -> tuple[Step, Effects]:
    step = _leave(step, event)
    if event.problem.code != "cancelled":  # it only says that it heard us
        step = replace(step, problems=(*step.problems, event.problem.located(party=event.party)))
    return (step, ()) if step.waiting else _decide(step)


def _settled(step: Step, _: Settled) -> tuple[Step, Effects]:
    return _decide(replace(step, waiting=frozenset()))


def _decide(step: Step) -> tuple[Step, Effects]:
    cause = root_cause(step.problems)
    if step.attempt < step.attempts and all(p.retryable for p in step.problems):
        return replace(step, state=StepState.READY), (Release(), Retry(cause))
    return replace(step, state=StepState.FAILED), (Release(), GiveUp(cause))


def _abort(step: Step, _: Abort) -> tuple[Step, Effects]:
    ended = replace(step, state=StepState.CANCELLED, waiting=frozenset())
    return ended, ((SendCancel(step.waiting), Release()) if step.waiting else (Release(),))


TABLE: Table = {
    (StepState.WAITING, Unblocked): _unblocked,
    (StepState.WAITING, Skip): _skip,
    (StepState.READY, Leased): _leased,
    (StepState.RUNNING, PartyDone): _done,
    (StepState.RUNNING, PartyFailed): _failed,
    (StepState.SETTLING, PartyDone): _late_done,
    (StepState.SETTLING, PartyFailed): _late_failed,
    (StepState.SETTLING, Settled): _settled,
    **{(s, Abort): _abort for s in (StepState.WAITING, StepState.READY, StepState.RUNNING, StepState.SETTLING)},
}


def apply(step: Step, event: object) -> tuple[Step, Effects]:
    """The next state and what must be done about it; IllegalEvent when the table has no such move."""
    return lookup(TABLE, step.state, event)(step, event)
