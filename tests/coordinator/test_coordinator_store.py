"""The store, one test body on SQLite and on PostgreSQL: what commits together, what counts once, who holds a fence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_party import Identity
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from store_world import DIGEST, World

from parley.coordinator.lifecycle import step as steps
from parley.coordinator.store import inbox, people, schedule, submit, views
from parley.coordinator.store.models import AttemptRow, Base, EventRow, InboxRow, JobRow, LeaseRow, OutboxRow, VouchRow
from parley.coordinator.store.moves import move_step
from parley.coordinator.store.tx import Tx
from parley.wire.canonical import canonical
from parley.wire.errors import ParleyError
from parley.wire.identity import vouch
from parley.wire.pb import parley_pb2 as pb


def test_the_migrations_make_exactly_the_tables_of_the_models(world):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    world.db.migrate()  # a second start changes nothing
    with world.db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_foreign_keys_are_enforced(world):
    with pytest.raises(IntegrityError):
        world.db.transact(lambda tx: tx.event("no-such-job", "job"))


# ---------------------------------------------------------------- one transaction


def test_state_instructions_and_events_change_together_or_not_at_all(world, monkeypatch):
    job, _ = submit.submit(world.db, world.submission(), [])
    before = world.count_rows(EventRow), world.count_rows(OutboxRow)
    touched: list[object] = []
    world.db.touched = touched.append
    with monkeypatch.context() as patch:
        patch.setattr(Tx, "send", _fail_at_second_send(Tx.send))
        with pytest.raises(RuntimeError):
            submit.begin(world.db, job)
    assert views.detail(world.db, job)["state"] == "submitted"
    assert (world.count_rows(EventRow), world.count_rows(OutboxRow)) == before
    assert touched == []  # nobody was woken for what never happened
    submit.begin(world.db, job)
    assert views.detail(world.db, job)["state"] == "preparing"
    assert [len(world.mail(p)) for p in ("lender", "bureau")] == [1, 1]


def _fail_at_second_send(send: Any) -> Any:
    calls: list[str] = []

    def sending(tx: Tx, party: str, *args: Any, **kwargs: Any) -> None:
        calls.append(party)
        if len(calls) == 2:
            raise RuntimeError("the machine stops here")
        send(tx, party, *args, **kwargs)

    return sending


def test_an_instruction_stays_until_it_is_acknowledged_by_its_own_party(world):
    job, _ = submit.submit(world.db, world.submission(), [])
    submit.begin(world.db, job)
    (prepare,) = world.mail("lender")
    inbox.acknowledge(world.db, "bureau", prepare.id)
    assert world.mail("lender") == [prepare]
    inbox.acknowledge(world.db, "lender", prepare.id)
    inbox.acknowledge(world.db, "lender", prepare.id)
    assert world.mail("lender") == []


# ---------------------------------------------------------------- reports


def test_an_event_has_its_effect_once(world):
    job = world.running()
    event = world.event(done=world.done(world.start("lender"), egress=[pb.EgressLine(to="bureau", tag="t/1", bytes=7)]))
    assert [inbox.receive(world.db, "lender", event) for _ in range(3)] == ["done", "duplicate", "duplicate"]
    assert [e["bytes"] for e in views.egress(world.db, job)] == [7]


def test_the_same_event_id_of_another_party_is_another_event(world):
    world.running()
    event = world.event(done=world.done(world.start("lender")))
    assert [inbox.receive(world.db, p, event) for p in ("lender", "bureau")] == ["done", "done"]


def _second_attempt(world: World) -> tuple[str, pb.Start, pb.Start]:
    job = world.running()
    old = world.start("lender")
    failed = pb.StepFailed(job=job, step="one", attempt=1, fence=old.fence, retryable=True)
    world.tell("bureau", failed=failed)
    world.clock.now += 60
    schedule.due(world.db)
    assert schedule.lease_ready(world.db, {"lender": 1, "bureau": 1}) == 1
    return job, old, world.start("lender")


def test_a_retry_has_a_greater_fence_and_the_old_one_is_worth_nothing(world):
    job, old, new = _second_attempt(world)
    assert (new.attempt, new.fence > old.fence) == (2, True)
    sealed = [pb.SealedResult(reader=DIGEST, sealed=b"stale")]
    assert world.tell("lender", done=world.done(old, results=sealed)) == "ignored"
    assert world.tell("lender", done=world.done(new, fence=old.fence, results=sealed)) == "ignored"
    for party in ("lender", "bureau"):
        assert world.tell(party, done=world.done(new)) == "done"
    assert world.step(job)["state"] == "done"
    assert views.results(world.db, job) == []


def test_without_the_fence_a_stale_report_would_win(world, monkeypatch):
    """The same attack on a store that looks at party and step only: the dead attempt's result is taken."""
    job, old, new = _second_attempt(world)

    def unfenced(tx: Tx, party: str, job: str, step: str, *_: Any) -> None:
        where = (LeaseRow.party == party, LeaseRow.job == job, LeaseRow.step == step, LeaseRow.state == "held")
        for lease in tx.session.scalars(select(LeaseRow).where(*where)):
            lease.state = "done"

    monkeypatch.setattr(inbox, "take_back", unfenced)
    stale = world.done(new, fence=old.fence, results=[pb.SealedResult(reader=DIGEST, sealed=b"stale")])
    assert world.tell("lender", done=stale) == "done"
    assert world.tell("bureau", done=world.done(new)) == "done"
    assert [r["attempt"] for r in views.results(world.db, job)] == [2]


def test_an_ignored_report_leaves_no_trace_but_its_id(world):
    job, old, _ = _second_attempt(world)
    before = world.count_rows(EventRow), world.count_rows(InboxRow)
    line = pb.EgressLine(to="bureau", tag="t/1", bytes=7)
    assert world.tell("lender", done=world.done(old, egress=[line])) == "ignored"
    assert (world.count_rows(EventRow), world.count_rows(InboxRow)) == (before[0], before[1] + 1)
    assert views.egress(world.db, job) == []


def test_a_party_outside_the_job_cannot_report_on_it(world):
    spec = world.submission(parties={"lender": {}}, steps={"one": {"uses": "test/echo", "roles": {"asker": "lender"}}})
    job, _ = submit.submit(world.db, spec, [])
    submit.begin(world.db, job)
    offer = pb.Offer(job=job, json=canonical(world.offer("bureau").model_dump(mode="json")))
    assert world.tell("bureau", offer=offer) == "ignored"
    assert views.detail(world.db, job)["state"] == "preparing"


def test_an_offer_in_another_name_fails_the_job_and_names_the_party(world):
    job, _ = submit.submit(world.db, world.submission(), [])
    submit.begin(world.db, job)
    forged = world.offer("lender", fingerprint="f" * 64)
    world.tell("lender", offer=pb.Offer(job=job, json=canonical(forged.model_dump(mode="json"))))
    reason = views.detail(world.db, job)["reason"]
    assert (reason["code"], reason["party"]) == ("bad_offer", "lender")


# ---------------------------------------------------------------- leases


def test_a_step_starts_everywhere_or_nowhere(world):
    first, second = world.running(), world.ready()
    for capacity in ({"lender": 1, "bureau": 1}, {"lender": 9, "bureau": 1}, {"lender": 9}):
        assert schedule.lease_ready(world.db, capacity) == 0
    held = world.db.read(lambda s: s.execute(select(LeaseRow.job, LeaseRow.party)).all())
    assert sorted(map(tuple, held)) == [(first, "bureau"), (first, "lender")]
    assert world.step(second)["state"] == "ready"
    assert schedule.lease_ready(world.db, {"lender": 2, "bureau": 2}) == 1
    assert world.step(second)["state"] == "running"


def test_fences_are_never_used_twice_even_after_the_newest_attempt_is_gone(world):
    world.running()
    newest = world.start("lender").fence

    def remove_and_add(tx: Tx) -> int:
        for lease in tx.session.scalars(select(LeaseRow)).all():
            tx.session.delete(lease)
        tx.session.flush()
        attempt = tx.session.get(AttemptRow, newest)
        job = attempt.job
        tx.session.delete(attempt)
        tx.session.flush()
        again = AttemptRow(job=job, step="one", attempt=1, started=tx.now)
        tx.session.add(again)
        tx.session.flush()
        return again.fence

    assert world.db.transact(remove_and_add) > newest


def test_a_lost_party_fails_its_attempt_for_everybody_and_is_told_to_stop(world):
    job = world.running()
    inbox.lost(world.db, "bureau", "bureau does not answer.")
    assert world.step(job)["state"] == "settling"
    for party in ("lender", "bureau"):
        assert "cancel" in [i.WhichOneof("kind") for i in world.mail(party)]
    world.clock.now += 60
    schedule.due(world.db)
    assert world.step(job)["state"] == "ready"
    assert world.db.read(lambda s: s.scalar(select(func.count()).where(LeaseRow.state == "held"))) == 0


def test_a_step_resumes_at_the_smallest_boundary_that_everybody_reported(world):
    job = world.running()
    fence = world.start("lender").fence
    for party, boundary in (("lender", 3), ("lender", 7), ("bureau", 5), ("bureau", 4)):
        at = pb.StepBoundary(job=job, step="one", attempt=1, boundary=boundary)
        assert world.tell(party, boundary=at) == "done"
    world.tell("bureau", failed=pb.StepFailed(job=job, step="one", attempt=1, fence=fence, retryable=True))
    world.clock.now += 60
    schedule.due(world.db)
    schedule.lease_ready(world.db, {"lender": 1, "bureau": 1})
    start = world.start("lender")
    assert (start.attempt, start.resume, start.boundary) == (2, True, 5)


def test_a_job_past_its_deadline_ends_once(world):
    job = world.running()
    world.clock.now += 601
    schedule.due(world.db)
    for _ in range(3):
        world.clock.now += 60
        schedule.due(world.db)
    assert views.detail(world.db, job)["state"] == "failed"
    kinds = [e["kind"] for e in views.events(world.db, job, 0)["events"]]
    assert kinds.count("ended") == 1


def test_a_cancelled_job_stops_its_steps_and_cannot_be_cancelled_again(world):
    job = world.running()
    assert submit.cancel(world.db, job, "enough") == "closing"
    assert (world.step(job)["state"], world.step(job, "two")["state"]) == ("cancelled", "cancelled")
    with pytest.raises(ParleyError) as error:
        submit.cancel(world.db, job, "enough")
    assert error.value.code == "already_ended"


def test_a_step_event_out_of_turn_changes_nothing(world):
    job = world.running()
    before = world.step(job, "two")

    def out_of_turn(tx: Tx) -> None:
        move_step(tx, tx.job(job), tx.step(job, "two"), steps.Leased())

    with pytest.raises(steps.IllegalEvent):
        world.db.transact(out_of_turn)
    assert world.step(job, "two") == before


# ---------------------------------------------------------------- submitting


def test_an_idempotency_key_stands_for_one_request(world):
    new = replace(world.submission(), idempotency_key="k1")
    job, created = submit.submit(world.db, new, [])
    assert created
    assert submit.submit(world.db, new, []) == (job, False)
    with pytest.raises(ParleyError) as error:
        submit.submit(world.db, replace(world.submission(name="other"), idempotency_key="k1"), [])
    assert error.value.code == "idempotency_conflict"
    assert world.count_rows(JobRow) == 1


def test_an_unknown_party_is_refused_with_the_name_that_was_probably_meant(world):
    step = {"uses": "test/echo", "roles": {"asker": "lendr"}}
    with pytest.raises(ParleyError) as error:
        submit.submit(world.db, world.submission(parties={"lendr": {}}, steps={"one": step}), [])
    assert (error.value.code, error.value.party) == ("unknown_party", "lendr")
    assert "lender" in error.value.hint


def test_parties_that_declare_a_protocol_differently_are_named_before_a_job_exists(world):
    for name, digest in (("lender", b"\1" * 32), ("bureau", b"\2" * 32)):
        card = world.who[name].card.message()
        people.arrived(world.db, pb.Hello(party=name, card=card, declarations={"test/echo": digest}))
    with pytest.raises(ParleyError) as error:
        submit.submit(world.db, world.submission(), ["lender", "bureau"])
    assert error.value.code == "declaration_mismatch"
    assert "lender" in error.value.cause
    assert "bureau" in error.value.cause
    assert world.count_rows(JobRow) == 0


# ---------------------------------------------------------------- people


def test_an_invite_works_once_in_its_time_and_for_its_name(world):
    carol, mallory = Identity("party", "carol"), Identity("party", "mallory")
    token = people.invite(world.db, "carol", "party")
    with pytest.raises(ParleyError):
        people.enrol(world.db, token, mallory.card, None)
    people.enrol(world.db, token, carol.card, None)  # the wrong name did not use it up
    late = people.invite(world.db, "dave", "party")
    world.clock.now += people.INVITE_S + 1
    for used in (token, late):
        with pytest.raises(ParleyError) as error:
            people.invited(world.db, used)
        assert error.value.code == "bad_invite"


def test_another_identity_cannot_take_an_enrolled_name_and_the_invite_survives(world):
    token = people.invite(world.db, "lender", "party")
    with pytest.raises(ParleyError) as error:
        people.enrol(world.db, token, Identity("party", "lender").card, people.Certified("bad", 2e9))
    assert error.value.code == "name_taken"
    people.check_certificate(world.db, "lender", "5elender")
    people.enrol(world.db, token, world.who["lender"].card, people.Certified("next", 2e9))
    people.check_certificate(world.db, "lender", "next")
    with pytest.raises(ParleyError):
        people.check_certificate(world.db, "lender", "5elender")


def test_certificates_count_for_their_party_until_they_expire_or_are_revoked(world):
    people.check_certificate(world.db, "lender", "5elender")
    with pytest.raises(ParleyError):
        people.check_certificate(world.db, "bureau", "5elender")
    people.revoke(world.db, "lender")
    with pytest.raises(ParleyError):
        people.check_certificate(world.db, "lender", "5elender")
    world.clock.now += 101
    with pytest.raises(ParleyError):
        people.check_certificate(world.db, "bureau", "5ebureau")


def test_tokens_are_stored_only_as_hashes_and_end_with_their_successor(world):
    token = world.who["ana"].bearer
    assert people.caller(world.db, token) == people.Caller("person", "ana")
    ident, _, secret = token.partition(".")
    for wrong in ("", ident, f"{ident}.", f"{ident}.{secret}x", f"0000.{secret}"):
        with pytest.raises(ParleyError) as error:
            people.caller(world.db, wrong)
        assert error.value.code == "unauthorized"
    everything = world.db.read(
        lambda s: [str(row) for t in Base.metadata.sorted_tables for row in s.execute(select(t)).all()]
    )
    assert not [row for row in everything if secret in row]
    people.new_bearer(world.db, "person", "ana")
    with pytest.raises(ParleyError):
        people.caller(world.db, token)


def test_only_a_vouch_signed_by_its_own_sender_reaches_the_roster(world):
    lender, bureau = world.who["lender"], world.who["bureau"]
    good = vouch(lender.key, lender.card, bureau.card)
    assert world.tell("bureau", vouch=good) == "ignored"
    assert world.tell("lender", vouch=pb.Vouch(body=good.body, signature=bytes(64), by="lender")) == "ignored"
    assert world.count_rows(VouchRow) == 0
    assert world.tell("lender", vouch=good) == "done"
    assert [v.by for v in people.roster(world.db).vouches] == ["lender"]
