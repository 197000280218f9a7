"""A party's answers to Prepare, Sign, Agree and Close, heard by a scripted coordinator over real mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from runtime_world import World, align, problem, with_tables, world

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.wire import contract as ct
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.pb import parley_pb2 as pb


def run(folder: Path, body: Callable[[World], Awaitable[None]], prepare: Callable[[World], None] = with_tables) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100), world(folder, prepare) as w:
            await body(w)

    asyncio.run(whole())


async def refusal(w: World, message: pb.Prepare, party: str = "bank") -> ParleyError:
    w.coordinator.say(party, prepare=message)
    event = await w.coordinator.event(party, "offer", "refused")
    assert event.WhichOneof("kind") == "refused"
    return problem(event.refused.problem)


def test_a_job_is_offered_signed_and_agreed_once_each(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        spec, bank = align(), w.homes["bank"]
        contract = await w.agreed(spec)
        offer = contract.offers["bank"]
        assert offer.fingerprint == bank.card.fingerprint
        assert offer.dataset is not None
        assert (offer.dataset.rows, offer.dataset.columns) == (300, 2)
        assert set(offer.declarations) == {"psi/ecdh"}
        # The same instructions again, as after a lost acknowledgement, are acknowledged and change nothing.
        before = len(w.coordinator.events["bank"])
        for kind in ({"prepare": w.prepare(spec)}, {"sign": pb.Sign(job="j1", contract=contract.canonical())}):
            name = w.coordinator.say("bank", **kind, id=f"again-{next(iter(kind))}")
            await w.coordinator.until(lambda name=name: name in w.coordinator.acks["bank"])
            w.coordinator.say("bank", **kind, id=name)
            await w.coordinator.until(lambda name=name: w.coordinator.acks["bank"].count(name) == 2)
        answers = w.coordinator.events["bank"][before:]
        assert len({e.id for e in answers}) == len(answers) <= 2, "an instruction was answered twice"

    run(tmp_path, body)


def test_a_submitter_nobody_pinned_is_refused(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        key = SigningKey.generate()
        foreign = Card.issue("person", "ada", key, StaticKey.generate().public)
        found = await refusal(w, w.prepare(align(), by=key, card=foreign))
        assert (found.code, found.party) == ("unknown_submitter", "bank")
        assert "trust --person" in found.hint

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda w: w.prepare(align(), by=SigningKey.generate()), "bad_submitter_signature"),
        (lambda w: pb.Prepare(job="j1", spec=b"{}", submitter=w.person.message()), "bad_job"),
        (lambda w: w.prepare(align(data="peopel")), "unknown_dataset"),
        (lambda w: w.prepare(align(column="idd")), "unknown_column"),
        (lambda w: w.prepare(align(parties={"bank": {}, "shop": {}, "eve": {}})), "unpinned_peer"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(
    tmp_path: Path, change: Callable[[World], pb.Prepare], code: str
) -> None:
    async def body(w: World) -> None:
        found = await refusal(w, change(w))
        assert (found.code, found.party) == (code, "bank")
        assert found.cause
        tags = w.homes["bank"].datasets._warehouse.tags
        for _ in range(100):
            if "job-j1" not in tags("people"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("a refused job still holds a snapshot")

    run(tmp_path, body)


def test_the_policy_is_asked(tmp_path: Path) -> None:
    def strict(w: World) -> None:
        with_tables(w, 300)
        path = w.homes["bank"].path / "policy.yaml"
        path.write_text(path.read_text().replace("min_rows: 100", "min_rows: 1000"))

    async def body(w: World) -> None:
        found = await refusal(w, w.prepare(align()))
        assert found.code == "policy_denied"
        assert "min_rows" in found.cause

    run(tmp_path, body, strict)


def test_a_manual_policy_waits_for_its_operator(tmp_path: Path) -> None:
    def manual(w: World) -> None:
        with_tables(w)
        path = w.homes["bank"].path / "policy.yaml"
        path.write_text(path.read_text().replace("approval: automatic", "approval: manual"))

    async def body(w: World) -> None:
        bank = w.homes["bank"]
        w.coordinator.say("bank", prepare=w.prepare(align()))
        for _ in range(100):
            if bank.store.pending_approvals():
                break
            await asyncio.sleep(0.05)
        assert bank.store.pending_approvals() == ["j1"]
        assert w.coordinator.count("bank", "offer") == 0
        bank.store.decide("j1", True)
        assert (await w.coordinator.event("bank", "offer", "refused")).WhichOneof("kind") == "offer"

    run(tmp_path, body, manual)


async def answer(w: World, **kind: Any) -> ParleyError | None:
    """The party's next answer to Sign or Agree; None when it went along."""
    seen = len([e for e in w.coordinator.events["bank"] if e.WhichOneof("kind") in ("signed", "agreed", "refused")])
    w.coordinator.say("bank", **kind)
    event = await w.coordinator.event("bank", "signed", "agreed", "refused", nth=seen)
    return problem(event.refused.problem) if event.WhichOneof("kind") == "refused" else None


@pytest.mark.parametrize("what", ["offer", "declaration", "seed", "spec", "submitter", "route", "expiry", "identity"])
def test_a_contract_that_says_something_else_is_not_signed(tmp_path: Path, what: str) -> None:
    async def body(w: World) -> None:
        spec = align()
        offers = await w.offers(spec)
        other = w.homes["shop"]
        mallory = Card.issue("party", "shop", SigningKey.generate(), other.seal_key.public)
        shop = offers["shop"]
        changed: dict[str, Any] = {
            "offer": {"offers": {**offers, "bank": offers["bank"].model_copy(update={"version": "other"})}},
            "declaration": {
                "offers": {**offers, "shop": shop.model_copy(update={"declarations": {"psi/ecdh": "00" * 32}})}
            },
            "seed": {"seed": "11" * 32},
            "spec": {"spec": align(purpose="another purpose").model_dump(mode="json", by_alias=True)},
            "submitter": {"submitter": mallory.to_text()},
            "route": {"direct": (("bank", "shop"),)},
            "expiry": {"expires": ct.expiry(-5)},
            "identity": {
                "offers": {
                    **offers,
                    "shop": shop.model_copy(update={"card": mallory.to_text(), "fingerprint": mallory.fingerprint}),
                }
            },
        }[what]
        contract = w.assembled(spec, offers, **changed)
        refused = await answer(w, sign=pb.Sign(job="j1", contract=contract.canonical()))
        assert refused is not None
        expected = {"declaration": "declaration_mismatch", "identity": "unpinned_peer"}.get(what, "bad_contract")
        assert refused.code == expected

    run(tmp_path, body)


def test_the_honest_contract_is_signed_where_changed_ones_are_not(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        spec = align()
        contract = w.assembled(spec, await w.offers(spec))
        assert await answer(w, sign=pb.Sign(job="j1", contract=contract.canonical())) is None

    run(tmp_path, body)


def test_a_card_that_swaps_the_sealing_key_is_not_signed(tmp_path: Path) -> None:
    """Payloads are sealed to the key on the card in the contract, so that card must be the believed one."""

    async def body(w: World) -> None:
        spec = align()
        offers = await w.offers(spec)
        shop = w.homes["shop"]
        swapped = Card.issue("party", "shop", SigningKey.generate(), StaticKey.generate().public)
        # The fingerprint stays the believed one: only the text of the card is another's.
        forged = offers["shop"].model_copy(update={"card": swapped.to_text()})
        assert forged.fingerprint == shop.card.fingerprint
        contract = w.assembled(spec, {**offers, "shop": forged})
        refused = await answer(w, sign=pb.Sign(job="j1", contract=contract.canonical()))
        if refused is None:  # then at the latest the pipe must not be opened to it
            await _agree(w, contract)
            w.launch("bank")
            end = (await w.ends("bank"))["bank"]
            assert isinstance(end, ParleyError)
            assert end.code == "unpinned_peer"

    run(tmp_path, body)


async def _agree(w: World, contract: ct.Contract) -> None:
    keys = {n: h.sign_key for n, h in w.homes.items()}
    signed = [pb.PartySignature(party=n, signature=ct.sign_contract(k, contract)) for n, k in keys.items()]
    assert await answer(w, agree=pb.Agree(job="j1", contract=contract.canonical(), signatures=signed)) is None


@pytest.mark.parametrize("what", ["missing", "forged", "other contract"])
def test_a_contract_without_everybodys_signature_is_not_agreed(tmp_path: Path, what: str) -> None:
    async def body(w: World) -> None:
        spec = align()
        contract = w.assembled(spec, await w.offers(spec))
        signatures = await w.signatures(contract)
        good = {s.party: s.signature for s in signatures}
        if what == "missing":
            given = {"bank": good["bank"]}
        elif what == "forged":
            given = {**good, "shop": ct.sign_contract(SigningKey.generate(), contract)}
        else:
            given = good
            contract = w.assembled(spec, contract.offers, expires=contract.expires + 1)
        lines = [pb.PartySignature(party=n, signature=s) for n, s in given.items()]
        refused = await answer(w, agree=pb.Agree(job="j1", contract=contract.canonical(), signatures=lines))
        assert refused is not None
        assert refused.code == ("bad_contract" if what == "other contract" else "bad_contract_signature")
        w.launch("bank")
        end = (await w.ends("bank"))["bank"]
        assert isinstance(end, ParleyError)
        assert end.code == "not_agreed"

    run(tmp_path, body)


def test_closing_lets_go_of_the_snapshot(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(align())
        tags = w.homes["bank"].datasets._warehouse.tags
        assert "job-j1" in tags("people")
        w.coordinator.say("bank", close=pb.CloseJob(job="j1", state="succeeded"))
        await w.coordinator.event("bank", "closed")
        assert "job-j1" not in tags("people")

    run(tmp_path, body)


def test_events_come_again_until_they_are_acknowledged(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        w.coordinator.silent = True
        w.coordinator.say("bank", prepare=w.prepare(align()))
        first = await w.coordinator.event("bank", "offer")
        w.coordinator.hang_up("bank")
        again = await w.coordinator.event("bank", "offer", nth=1)
        assert again.SerializeToString() == first.SerializeToString()
        w.coordinator.silent = False
        w.coordinator.hang_up("bank")
        third = await w.coordinator.event("bank", "offer", nth=2)
        assert third.id == first.id
        await w.coordinator.until(lambda: len(w.coordinator.hellos["bank"]) >= 3)
        w.coordinator.hang_up("bank")
        await w.coordinator.until(lambda: len(w.coordinator.hellos["bank"]) >= 4)
        await asyncio.sleep(0.5)
        assert w.coordinator.count("bank", "offer") == 3

    run(tmp_path, body)


def test_own_vouches_reach_the_coordinator(tmp_path: Path) -> None:
    def vouched(w: World) -> None:
        bank = w.homes["bank"]
        bank.peers.vouch_for(bank.sign_key, bank.card, w.homes["shop"].card)

    async def body(w: World) -> None:
        event = await w.coordinator.event("bank", "vouch")
        assert event.vouch.by == "bank"
        hello = w.coordinator.hellos["bank"][0]
        assert len(hello.declarations["psi/ecdh"]) == 32
        assert list(hello.running) == []

    run(tmp_path, body, vouched)


def test_a_database_that_is_busy_for_a_moment_does_not_end_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(w: World) -> None:
        store, failures = w.homes["bank"].store, [1]
        real = store.pending_events

        def sometimes(limit: int = 1000) -> list[tuple[str, bytes]]:
            if failures:
                failures.pop()
                raise ParleyError("database_unavailable", "Busy.", retryable=True)
            return real(limit)

        monkeypatch.setattr(store, "pending_events", sometimes)
        w.daemons["bank"].desk.wake.set()
        await w.coordinator.until(lambda: len(w.coordinator.hellos["bank"]) == 2)
        assert not failures
        w.coordinator.say("bank", prepare=w.prepare(align()))
        await w.coordinator.event("bank", "offer")

    run(tmp_path, body)
