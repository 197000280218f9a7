"""What happens at once, or half-way: writers and readers, pauses, renewals, moves that are due."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fake_party import Identity
from store_world import World

from parley.coordinator.lifecycle.machine import IllegalEvent
from parley.coordinator.store import inbox, people, schedule, submit, views
from parley.coordinator.store.models import JobRow
from parley.coordinator.store.tx import Tx
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb


def test_many_at_once_wait_for_each_other_and_none_is_refused(world: World) -> None:
    submission = world.submission()
    with ThreadPoolExecutor(12) as pool:
        jobs = [job for job, _ in pool.map(lambda _: submit.submit(world.db, submission, []), range(72), timeout=60)]
    assert world.count_rows(JobRow) == len(set(jobs)) == 72


def test_a_reader_waits_for_no_writer(world: World) -> None:
    def work(tx: Tx) -> list[str]:
        tx.event(job, "noted")
        with ThreadPoolExecutor(1) as pool:
            seen = pool.submit(views.events, world.db, job, 0).result(timeout=30)
        return [e["kind"] for e in seen["events"]]

    job, _ = submit.submit(world.db, world.submission(), [])
    assert "noted" not in world.db.transact(work)
    assert "noted" in [e["kind"] for e in views.events(world.db, job, 0)["events"]]


def test_mail_is_numbered_in_the_order_in_which_it_is_committed(world: World) -> None:
    """A reader that has seen number n asks for what comes after it, and must not pass over a slower transaction's."""
    begun = threading.Event()

    def slow(tx: Tx) -> None:
        tx.send("lender", "j", pb.Instruction(close=pb.CloseJob(job="first")))
        begun.set()
        time.sleep(0.5)

    def quick(tx: Tx) -> None:
        tx.send("lender", "j", pb.Instruction(close=pb.CloseJob(job="second")))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(world.db.transact, slow)
        assert begun.wait(10)
        world.db.transact(quick)
        seen = inbox.mail(world.db, "lender", 0)
        writing.result(timeout=30)
    seen += inbox.mail(world.db, "lender", seen[-1][0])
    assert [pb.Instruction.FromString(body).close.job for _, body in seen] == ["first", "second"]


def asked(who: Identity, name: str = "lender") -> pb.Renew:
    """A renewal for a new transport key, signed with `who`'s identity key."""
    csr = tls.request(tls.new_key(), name)
    return pb.Renew(csr=csr, signature=who.key.sign(tls.renewal(name, csr), tls.RENEWAL))


def test_a_renewal_keeps_the_certificate_that_was_shown_until_the_new_one_is_used(world: World) -> None:
    ca, hello = tls.new_authority("test"), pb.Hello(party="lender", card=world.who["lender"].card.message())
    world.clock.now += 1
    missed = tls.serial(people.renew(world.db, "lender", "5elender", asked(world.who["lender"]), ca))
    world.clock.now += 1
    pem = people.renew(world.db, "lender", "5elender", asked(world.who["lender"]), ca)
    assert tls.party_of(pem) == "lender"
    for good in ("5elender", tls.serial(pem)):  # the answer may be lost, so either opens the next link
        people.check_certificate(world.db, "lender", good)
    people.arrived(world.db, hello, "5elender")
    people.check_certificate(world.db, "lender", tls.serial(pem))
    people.arrived(world.db, hello, tls.serial(pem))
    people.check_certificate(world.db, "lender", tls.serial(pem))
    for over in ("5elender", missed):
        with pytest.raises(ParleyError) as error:
            people.check_certificate(world.db, "lender", over)
        assert error.value.code == "certificate_refused"
    people.check_certificate(world.db, "bureau", "5ebureau")


def test_a_renewal_needs_the_enrolled_identity_and_a_certificate_that_is_still_good(world: World) -> None:
    ca, lender = tls.new_authority("test"), world.who["lender"]
    broken = asked(lender)
    broken.csr = tls.request(tls.new_key(), "lender")  # whoever holds the transport key alone cannot go on for ever
    refusals = [(asked(Identity("party", "lender")), "bad_signature"), (broken, "bad_signature")]
    refusals += [(asked(world.who["bureau"], "bureau"), "bad_signature")]
    csr = b"no request"
    signed = lender.key.sign(tls.renewal("lender", csr), tls.RENEWAL)
    refusals += [(pb.Renew(csr=csr, signature=signed), "bad_certificate_request")]
    for request, code in refusals:
        with pytest.raises(ParleyError) as error:
            people.renew(world.db, "lender", "5elender", request, ca)
        assert error.value.code == code
    people.revoke(world.db, "lender")
    world.clock.now += 101
    for party in ("lender", "bureau"):  # one is revoked, the other has expired
        with pytest.raises(ParleyError) as error:
            people.renew(world.db, party, f"5e{party}", asked(world.who[party], party), ca)
        assert error.value.code == "certificate_refused"


def test_one_move_that_is_due_and_illegal_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit.submit(world.db, world.submission(), [])[0] for _ in range(3)]
    real = schedule.move_job

    def move(tx: Tx, row: JobRow, event: object) -> None:
        real(tx, row, event)
        if row.id == jobs[1]:
            raise IllegalEvent("job", event)

    monkeypatch.setattr(schedule, "move_job", move)
    world.clock.now += 601
    assert schedule.due(world.db) == 1
    states = [views.detail(world.db, job)["state"] for job in jobs]
    assert states[1] == "submitted"  # and nothing of its half-way move is left
    assert "submitted" not in (states[0], states[2])
    assert [e["kind"] for e in views.events(world.db, jobs[1], 0)["events"]] == ["job"]
    monkeypatch.undo()
    assert schedule.due(world.db) == 0
    assert views.detail(world.db, jobs[1])["state"] == states[0]


def test_one_lease_that_cannot_be_lost_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [world.ready() for _ in range(2)]
    assert schedule.lease_ready(world.db, {"lender": 2, "bureau": 2}) == 2
    real = inbox.move_step

    def move(tx: Tx, job: JobRow, row: Any, event: object) -> None:
        if job.id == jobs[0]:
            raise IllegalEvent("step", event)
        real(tx, job, row, event)

    monkeypatch.setattr(inbox, "move_step", move)
    inbox.lost(world.db, "bureau", "bureau does not answer.")
    assert [world.step(job)["state"] for job in jobs] == ["running", "settling"]
