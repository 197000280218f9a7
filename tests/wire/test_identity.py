"""Cards, vouches, contracts and certificates: what verifies, and what must not."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.wire import contract as ct
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.identity import Card, read_vouch, vouch
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb

SPEC = {
    "name": "demo",
    "purpose": "a test",
    "parties": {"lender": {"data": "loans"}, "bureau": {"data": "records"}},
    "steps": {
        "align": {"uses": "psi/ecdh", "roles": {"receiver": "lender", "sender": ["bureau"]}, "with": {"id": "k"}}
    },
    "deadline": "30m",
}


def person(name: str, kind: str = "party") -> tuple[SigningKey, Card]:
    key = SigningKey.generate()
    return key, Card.issue(kind, name, key, StaticKey.generate().public)  # type: ignore[arg-type]  # a literal in a variable


def offer(card: Card, nonce: str = "ab" * 32, **more: object) -> ct.PartyOffer:
    return ct.PartyOffer(
        party=card.name,
        fingerprint=card.fingerprint,
        card=card.to_text(),
        dataset=None,
        version="1",
        code={},
        declarations={},
        policy="00" * 32,
        nonce=nonce,
        **more,  # type: ignore[arg-type]  # optional fields by name
    )


def test_cards_round_trip_and_refuse_changes():
    _, card = person("lender")
    again = Card.from_text(card.to_text())
    assert again.fingerprint == card.fingerprint
    assert len(card.short_code.replace("-", "")) == 16
    message = card.message()
    for bad in (
        pb.Card(body=message.body.replace(b"lender", b"bender"), signature=message.signature),
        pb.Card(body=message.body, signature=bytes(64)),
        pb.Card(body=b"{}", signature=message.signature),
    ):
        with pytest.raises(ParleyError):
            Card.read(bad)
    with pytest.raises(ParleyError):
        Card.from_text("zz")


def test_vouches_bind_voucher_and_card():
    key, own = person("lender")
    _, other = person("bureau")
    v = vouch(key, own, other)
    assert read_vouch(v, own).fingerprint == other.fingerprint
    with pytest.raises(ParleyError):
        read_vouch(v, other)


def test_contract_signatures():
    (k1, lender), (k2, bureau) = person("lender"), person("bureau")
    offers = {"lender": offer(lender), "bureau": offer(bureau, "cd" * 32)}
    spec = JobSpec.model_validate(SPEC)
    contract = ct.Contract(
        job="j1",
        spec=spec.model_dump(mode="json", by_alias=True),
        submitter="00",
        submitter_signature="00",
        offers=offers,
        seed=ct.seed_of(offers),
        expires=ct.expiry(60),
    )
    cards = {"lender": lender, "bureau": bureau}
    good = {"lender": ct.sign_contract(k1, contract), "bureau": ct.sign_contract(k2, contract)}
    ct.verify_contract(contract, good, cards, time.time())
    assert contract.job_spec() == spec

    def code(*args: object) -> str:
        with pytest.raises(ParleyError) as e:
            ct.verify_contract(*args)  # type: ignore[arg-type]  # shorthand
        return e.value.code

    assert code(contract, {**good, "bureau": good["lender"]}, cards, time.time()) == "bad_contract_signature"
    assert code(contract, good, {"lender": lender}, time.time()) == "unpinned_peer"
    assert code(contract, good, {**cards, "bureau": person("bureau")[1]}, time.time()) == "unpinned_peer"
    assert code(contract, good, cards, time.time() + 120) == "contract_expired"
    assert code(contract.model_copy(update={"seed": "00" * 32}), good, cards, time.time()) == "bad_contract"
    changed = contract.model_copy(update={"spec": {**contract.spec, "purpose": "another purpose"}})
    assert code(changed, good, cards, time.time()) == "bad_contract_signature"


def test_job_signature_names_its_submitter():
    key, card = person("ana", "person")
    spec = JobSpec.model_validate(SPEC)
    ct.verify_job(spec, card, ct.sign_job(key, spec))
    with pytest.raises(ParleyError) as e:
        ct.verify_job(spec, person("eve", "person")[1], ct.sign_job(key, spec))
    assert e.value.code == "bad_submitter_signature"
    assert spec.deadline == 1800


@pytest.mark.parametrize(
    "change",
    [
        {"steps": {"a": {"uses": "x", "needs": "b", "roles": {"r": "lender"}}}},
        {"steps": {"a": {"uses": "x", "needs": "a", "roles": {"r": "lender"}}}},
        {"steps": {"a": {"uses": "x", "roles": {"r": "nobody"}}}},
        {"steps": {"a": {"uses": "x", "roles": {"r": "lender", "q": "lender"}}}},
        {"parties": {}},
        {"colour": "red"},
    ],
)
def test_inconsistent_jobs_are_refused(change):
    with pytest.raises(ValueError):
        JobSpec.model_validate({**SPEC, **change})


def test_direct_routes_need_both_sides():
    (_, a), (_, b) = person("a"), person("b")
    assert ct.direct_routes({"a": offer(a, dials=("b",)), "b": offer(b, accepts_from=("a",))}) == (("a", "b"),)
    assert ct.direct_routes({"a": offer(a, dials=("b",)), "b": offer(b)}) == ()
    assert ct.bucket(9857) == 9900
    assert ct.bucket(0) == 0


def test_certificates_name_the_party():
    authority = tls.new_authority("test")
    key = tls.new_key()
    pem = tls.issue_party(authority, tls.request(key, "mallory"), "lender")
    assert tls.party_of(pem) == "lender"
    assert len(tls.pin(authority.certificate)) == 64
    assert tls.expires(pem) > dt.datetime.now(dt.UTC) + dt.timedelta(days=80)
    server = tls.issue_server(authority, tls.request(key, "x"), ["127.0.0.1", "localhost"])
    with pytest.raises(ParleyError):
        tls.party_of(server)
    assert "BEGIN" not in repr(tls.KeyPair(key, pem))
