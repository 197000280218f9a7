"""The three transition tables, cell by cell: every state times every event is a move or a typed refusal."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.coordinator.lifecycle import job as jobs
from parley.coordinator.lifecycle import link as links
from parley.coordinator.lifecycle import step as steps
from parley.coordinator.lifecycle.machine import IllegalEvent
from parley.coordinator.lifecycle.queue import Ready, choose
from parley.wire.errors import ParleyError

BOTH = frozenset({"a", "b"})
SOFT = ParleyError("child_killed", "The step's process ended.", retryable=True)
HARD = ParleyError("bad_column", "A column is constant.")
ECHO = ParleyError("peer_gone", "The peer hung up.")

J, S, L = jobs.JobState, steps.StepState, links.LinkState

JOB_EVENTS: list[Any] = [
    jobs.Begin(),
    jobs.Offered("a"),
    jobs.Declined("a", HARD),
    jobs.Signed("a"),
    jobs.Agreed("a"),
    jobs.StepsFinished(),
    jobs.Failed(HARD),
    jobs.Cancelled("enough"),
    jobs.Closed("a"),
    jobs.CloseExpired(),
]
# One of two parties answers; whatever is not listed here is refused.
JOB_MOVES = {
    (J.SUBMITTED, jobs.Begin): J.PREPARING,
    (J.SUBMITTED, jobs.Failed): J.FAILED,
    (J.SUBMITTED, jobs.Cancelled): J.CANCELLED,
    (J.PREPARING, jobs.Offered): J.PREPARING,
    (J.PREPARING, jobs.Declined): J.CLOSING,
    (J.CONTRACTING, jobs.Signed): J.CONTRACTING,
    (J.CONTRACTING, jobs.Declined): J.CLOSING,
    (J.AGREEING, jobs.Agreed): J.AGREEING,
    (J.AGREEING, jobs.Declined): J.CLOSING,
    (J.RUNNING, jobs.StepsFinished): J.CLOSING,
    (J.CLOSING, jobs.Closed): J.CLOSING,
    (J.CLOSING, jobs.CloseExpired): J.FAILED,
    **{(s, jobs.Failed): J.CLOSING for s in (J.PREPARING, J.CONTRACTING, J.AGREEING, J.RUNNING)},
    **{(s, jobs.Cancelled): J.CLOSING for s in (J.PREPARING, J.CONTRACTING, J.AGREEING, J.RUNNING)},
}


def a_job(state: jobs.JobState, **changes: Any) -> jobs.Job:
    values: dict[str, Any] = {"waiting": BOTH, "ending": J.FAILED if state is J.CLOSING else None, **changes}
    return jobs.Job(state, BOTH, **values)


def test_the_lists_of_events_are_complete():
    assert {type(e) for e in JOB_EVENTS} == set(jobs.EVENTS)
    assert {type(e) for e in STEP_EVENTS} == set(steps.EVENTS)
    assert {type(e) for e in LINK_EVENTS} == set(links.EVENTS)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(J, JOB_EVENTS)), ids=lambda x: type(x).__name__)
def test_every_cell_of_the_job_table(state, event):
    expected = JOB_MOVES.get((state, type(event)))
    if expected is None:
        with pytest.raises(IllegalEvent) as refusal:
            jobs.apply(a_job(state), event)
        assert refusal.value.event == type(event).__name__
        assert refusal.value.state == state.value
    else:
        assert jobs.apply(a_job(state), event)[0].state is expected


@pytest.mark.parametrize("state", sorted(jobs.TERMINAL))
@pytest.mark.parametrize("event", JOB_EVENTS, ids=lambda e: type(e).__name__)
def test_nothing_leaves_a_terminal_job_state(state, event):
    with pytest.raises(IllegalEvent):
        jobs.apply(a_job(state), event)


@pytest.mark.parametrize(
    ("state", "event", "following", "effect"),
    [
        (J.PREPARING, jobs.Offered("a"), J.CONTRACTING, jobs.SendSign()),
        (J.CONTRACTING, jobs.Signed("a"), J.AGREEING, jobs.SendAgree()),
        (J.AGREEING, jobs.Agreed("a"), J.RUNNING, jobs.OpenSteps()),
        (J.CLOSING, jobs.Closed("a"), J.FAILED, jobs.Finish(J.FAILED)),
    ],
)
def test_the_last_answer_moves_a_job_on_and_none_counts_twice(state, event, following, effect):
    after, effects = jobs.apply(a_job(state, waiting=frozenset({"a"})), event)
    assert after.state is following
    assert effect in effects
    with pytest.raises(IllegalEvent):
        jobs.apply(a_job(state, waiting=frozenset({"b"})), event)


def test_a_plan_collects_every_verdict_and_signs_nothing():
    job, effects = jobs.apply(a_job(J.PREPARING, dry_run=True), jobs.Declined("a", HARD))
    assert (job.state, effects) == (J.PREPARING, ())
    job, effects = jobs.apply(job, jobs.Offered("b"))
    assert (job.state, job.ending) == (J.CLOSING, J.PLANNED)
    assert jobs.SendSign() not in effects


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(JOB_EVENTS), st.sampled_from("abx")), max_size=60), st.booleans())
def test_any_history_finishes_a_job_at_most_once(history, dry_run):
    job, finished = jobs.Job(J.SUBMITTED, BOTH, dry_run), 0
    for event, party in history:
        if hasattr(event, "party"):
            event = type(event)(party, *([event.problem] if isinstance(event, jobs.Declined) else []))
        try:
            job, effects = jobs.apply(job, event)
        except IllegalEvent:
            continue
        finished += sum(isinstance(e, jobs.Finish) for e in effects)
        assert finished == (job.state in jobs.TERMINAL)
        assert job.waiting <= job.parties


# ---------------------------------------------------------------- steps

STEP_EVENTS: list[Any] = [
    steps.Unblocked(),
    steps.Skip("empty"),
    steps.Leased(),
    steps.PartyDone("a"),
    steps.PartyFailed("a", SOFT),
    steps.Settled(),
    steps.Abort(),
]
STEP_MOVES = {
    (S.WAITING, steps.Unblocked): S.READY,
    (S.WAITING, steps.Skip): S.SKIPPED,
    (S.READY, steps.Leased): S.RUNNING,
    (S.RUNNING, steps.PartyDone): S.RUNNING,
    (S.RUNNING, steps.PartyFailed): S.SETTLING,
    (S.SETTLING, steps.PartyDone): S.SETTLING,
    (S.SETTLING, steps.PartyFailed): S.SETTLING,
    (S.SETTLING, steps.Settled): S.READY,
    **{(s, steps.Abort): S.CANCELLED for s in (S.WAITING, S.READY, S.RUNNING, S.SETTLING)},
}


def a_step(state: steps.StepState, **changes: Any) -> steps.Step:
    busy = state in (S.RUNNING, S.SETTLING)
    values: dict[str, Any] = {
        "attempt": 1,
        "waiting": BOTH if busy else frozenset(),
        "problems": (SOFT,) if state is S.SETTLING else (),
        **changes,
    }
    return steps.Step(state, BOTH, 3, **values)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, STEP_EVENTS)), ids=lambda x: type(x).__name__)
def test_every_cell_of_the_step_table(state, event):
    expected = STEP_MOVES.get((state, type(event)))
    if expected is None:
        with pytest.raises(IllegalEvent):
            steps.apply(a_step(state), event)
    else:
        assert steps.apply(a_step(state), event)[0].state is expected


def run(step: steps.Step, *events: Any) -> tuple[steps.Step, list[Any]]:
    seen: list[Any] = []
    for event in events:
        step, effects = steps.apply(step, event)
        seen += effects
    return step, seen


def test_a_step_is_done_when_everybody_is_and_takes_the_worst_outcome():
    step, effects = run(a_step(S.RUNNING), steps.PartyDone("a", "below_floor"), steps.PartyDone("b", "ok"))
    assert (step.state, step.outcome) == (S.DONE, "below_floor")
    assert effects == [steps.Release(), steps.Ended()]
    with pytest.raises(IllegalEvent):
        steps.apply(a_step(S.RUNNING), steps.PartyDone("a", "splendid"))


def test_a_retryable_failure_becomes_a_new_attempt_with_nothing_left_of_the_old_one():
    step, effects = run(a_step(S.RUNNING), steps.PartyFailed("a", SOFT), steps.PartyDone("b"), steps.Leased())
    assert (step.state, step.attempt, step.waiting, step.problems) == (S.RUNNING, 2, BOTH, ())
    assert steps.SendCancel(BOTH) in effects
    assert steps.Release() in effects


@pytest.mark.parametrize(("attempt", "problem"), [(3, SOFT), (1, HARD)], ids=["attempts_used", "not_retryable"])
def test_a_failure_ends_the_step_when_no_retry_is_left_or_none_would_help(attempt, problem):
    step, effects = run(a_step(S.RUNNING, attempt=attempt), steps.PartyFailed("a", problem), steps.Settled())
    assert step.state is S.FAILED
    assert [e.problem.code for e in effects if isinstance(e, steps.GiveUp)] == [problem.code]


def test_the_cause_is_shown_even_when_its_echo_arrives_first():
    step, effects = run(a_step(S.RUNNING), steps.PartyFailed("b", ECHO), steps.PartyFailed("a", HARD))
    assert step.state is S.FAILED
    shown = next(e.problem for e in effects if isinstance(e, steps.GiveUp))
    assert (shown.code, shown.party) == ("bad_column", "a")


def test_a_party_that_only_confirms_its_cancellation_does_not_spoil_the_retry():
    heard = ParleyError("cancelled", "The step was cancelled.")
    step, _ = run(a_step(S.RUNNING), steps.PartyFailed("a", SOFT), steps.PartyFailed("b", heard))
    assert step.state is S.READY


# ---------------------------------------------------------------- links

LINK_EVENTS: list[Any] = [links.Arrived(20.0), links.Beat(20.0), links.Dropped(20.0), links.Checked(20.0, 15.0)]
LINK_MOVES = {
    (L.AWAY, links.Arrived): L.UP,
    (L.AWAY, links.Checked): L.AWAY,
    (L.DOWN, links.Arrived): L.UP,
    (L.DOWN, links.Checked): L.AWAY,
    (L.UP, links.Arrived): L.UP,
    (L.UP, links.Beat): L.UP,
    (L.UP, links.Dropped): L.DOWN,
    (L.UP, links.Checked): L.AWAY,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(L, LINK_EVENTS)), ids=lambda x: type(x).__name__)
def test_every_cell_of_the_link_table(state, event):
    link = links.Link(state, 0.0, 0.0)
    expected = LINK_MOVES.get((state, type(event)))
    if expected is None:
        with pytest.raises(IllegalEvent):
            links.apply(link, event)
    else:
        assert links.apply(link, event)[0].state is expected


@pytest.mark.parametrize("state", [L.UP, L.DOWN])
def test_a_link_is_lost_once_and_only_after_a_whole_lease_of_silence(state):
    link = links.Link(state, 0.0, 5.0)
    assert links.apply(link, links.Checked(20.0, 15.0)) == (link, ())
    link, effects = links.apply(link, links.Checked(20.1, 15.0))
    assert [e for e in effects if isinstance(e, links.Lost)] == [links.Lost()]
    assert links.apply(link, links.Checked(99.0, 15.0)) == (link, ())


def test_a_second_stream_of_a_party_replaces_the_first():
    _, effects = links.apply(links.Link(L.UP, 0.0, 0.0), links.Arrived(1.0))
    assert effects == (links.Sever(), links.Resend())


# ---------------------------------------------------------------- the queue


def entry(job: str, *parties: str, who: str = "ana", since: float = 0.0) -> Ready:
    return Ready(job, "s", who, parties, since)


def names(chosen: list[Ready]) -> list[str]:
    return [r.job for r in chosen]


def test_a_step_that_cannot_start_takes_no_slot_and_blocks_nobody():
    blocked = entry("blocked", "a", "offline", since=0.0)
    assert names(choose([blocked, entry("small", "a", since=50.0)], {"a": 1}, {}, 1000.0)) == ["small"]


def test_slots_are_never_given_out_twice():
    ready = [entry(f"j{n}", "a", "b", since=float(n)) for n in range(5)]
    assert names(choose(ready, {"a": 5, "b": 2}, {}, 10.0)) == ["j0", "j1"]


def test_the_submitter_with_less_running_goes_first():
    ready = [*(entry(f"big{n}", "a", who="bob", since=float(n)) for n in range(3)), entry("mine", "a", since=9.0)]
    assert names(choose(ready, {"a": 1}, {"bob": 2}, 10.0)) == ["mine"]


def test_a_wide_step_that_has_waited_long_is_not_starved_by_small_ones():
    wide, small = entry("wide", "a", "b", since=0.0), entry("small", "a", since=90.0)
    free = {"a": 1, "b": 0}
    assert names(choose([wide, small], free, {}, now=30.0 + 90.0, patience=1000.0)) == ["small"]  # without patience
    assert names(choose([wide, small], free, {}, now=30.0 + 90.0, patience=60.0)) == []
    assert names(choose([wide, small], {"a": 1, "b": 1}, {}, now=121.0, patience=60.0)) == ["wide"]
