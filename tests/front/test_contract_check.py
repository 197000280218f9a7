"""What a submitter refuses to believe about a job's contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.verify import check_contract
from parley.wire.contract import Contract, PartyOffer, expiry, seed_of, sign_contract, sign_job
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec

SPEC = JobSpec.model_validate(
    {
        "name": "overlap",
        "purpose": "Count the customers in common.",
        "parties": {"lender": {}, "bureau": {}},
        "steps": {"align": {"uses": "psi/ecdh", "roles": {"receiver": "lender", "sender": "bureau"}}},
    }
)


@dataclass
class Person:
    """A person's home, as far as the check looks at it."""

    key: SigningKey
    card: Card
    pins: dict[str, Card]
    shown: dict[str, Card]

    def pinned(self) -> dict[str, Card]:
        return self.pins

    def roster(self) -> dict[str, Card]:
        return self.shown


def made(kind: Any, name: str) -> tuple[SigningKey, Card]:
    key = SigningKey.generate()
    return key, Card.issue(kind, name, key, StaticKey.generate().public)


@pytest.fixture
def world() -> dict[str, Any]:
    person_key, person_card = made("person", "ada")
    parties = {n: made("party", n) for n in ("lender", "bureau")}
    cards = {n: c for n, (_, c) in parties.items()}
    person = Person(person_key, person_card, dict(cards), dict(cards))
    return {"person": person, "parties": parties}


def answer(world: dict[str, Any], *, spec: JobSpec = SPEC, job: str = "j1", signers: Any = None) -> dict[str, Any]:
    person, parties = world["person"], signers or world["parties"]
    offers = {
        n: PartyOffer(
            party=n, fingerprint=c.fingerprint, card=c.to_text(), dataset=None, version="0.1.0", code={},
            declarations={}, policy="0" * 64, nonce="1" * 64,
        )
        for n, (_, c) in parties.items()
    }  # fmt: skip
    contract = Contract(
        job=job, spec=spec.model_dump(mode="json", by_alias=True), submitter=person.card.to_text(),
        submitter_signature=sign_job(person.key, spec).hex(), offers=offers, seed=seed_of(offers), expires=expiry(60),
    )  # fmt: skip
    signatures = {n: sign_contract(k, contract).hex() for n, (k, _) in parties.items()}
    return {"contract": contract.canonical().decode(), "signatures": signatures}


def code(world: dict[str, Any], given: dict[str, Any], job: str = "j1") -> str:
    with pytest.raises(ParleyError) as caught:
        check_contract(world["person"], job, given)
    return caught.value.code


def test_a_contract_everyone_signed_is_believed(world: dict[str, Any]) -> None:
    checked = check_contract(world["person"], "j1", answer(world))
    assert checked.cards == {"lender": "pinned", "bureau": "pinned"}
    world["person"].pins.pop("bureau")
    assert check_contract(world["person"], "j1", answer(world)).cards["bureau"] == "roster"


def test_the_coordinator_cannot_put_its_own_party_behind_a_pinned_name(world: dict[str, Any]) -> None:
    impostor = {**world["parties"], "bureau": made("party", "bureau")}
    world["person"].shown["bureau"] = impostor["bureau"][1]
    given = answer(world, signers=impostor)
    assert code(world, given) == "unpinned_peer"
    # Without the pin the same swap goes through: it is the pin that catches it.
    world["person"].pins.pop("bureau")
    assert check_contract(world["person"], "j1", given).cards["bureau"] == "roster"


def test_another_job_than_the_signed_one_is_refused(world: dict[str, Any]) -> None:
    other = SPEC.model_copy(update={"purpose": "Something else entirely."})
    given = answer(world)
    swapped = Contract.model_validate_json(given["contract"]).model_copy(
        update={"spec": other.model_dump(mode="json", by_alias=True)}
    )
    signatures = {n: sign_contract(k, swapped).hex() for n, (k, _) in world["parties"].items()}
    assert (
        code(world, {"contract": swapped.canonical().decode(), "signatures": signatures}) == "bad_submitter_signature"
    )


def test_missing_and_foreign_signatures_are_refused(world: dict[str, Any]) -> None:
    given = answer(world)
    del given["signatures"]["bureau"]
    assert code(world, given) == "bad_contract_signature"
    given = answer(world)
    given["signatures"]["bureau"] = given["signatures"]["lender"]
    assert code(world, given) == "bad_contract_signature"


def test_a_contract_for_another_job_id_or_garbage_is_refused(world: dict[str, Any]) -> None:
    assert code(world, answer(world, job="j2")) == "bad_contract"
    assert code(world, {"contract": "{}", "signatures": {}}) == "bad_contract"
    assert code(world, {}) == "bad_contract"
