"""A submitter believes a result only with its party's own signature, whatever the coordinator shows."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from parley.client import Job
from parley.crypto.box import open_box, seal_to
from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.verify import check_contract
from parley.wire.canonical import canonical
from parley.wire.contract import Contract, PartyOffer, expiry, seed_of, sign_contract, sign_job
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec
from parley.wire.result import sign_result

SPEC = JobSpec.model_validate(
    {
        "name": "overlap",
        "purpose": "Count the customers in common.",
        "parties": {"lender": {}, "bureau": {}},
        "steps": {"align": {"uses": "psi/ecdh", "roles": {"receiver": "lender", "sender": "bureau"}}},
    }
)
TRUE, FORGED = {"intersection": 200}, {"intersection": 7}


@dataclass
class Home:
    """A person's home, as far as reading results looks at it."""

    sign_key: SigningKey = field(default_factory=SigningKey.generate)
    seal_key: StaticKey = field(default_factory=StaticKey.generate)
    pins: dict[str, Card] = field(default_factory=dict)

    @property
    def card(self) -> Card:
        return Card.issue("person", "ada", self.sign_key, self.seal_key.public)

    def pinned(self) -> dict[str, Card]:
        return self.pins

    def roster(self) -> dict[str, Card]:
        return {}


class World:
    """What a coordinator would serve for one finished job; also stands for `Parley` and its REST client."""

    def __init__(self, *, foreign_card: bool = False) -> None:
        self.home, self.rest = Home(), self
        self.keys = {n: SigningKey.generate() for n in ("lender", "bureau")}
        seal = StaticKey.generate().public
        cards = self.home.pins = {n: Card.issue("party", n, k, seal) for n, k in self.keys.items()}
        self.stranger = SigningKey.generate()
        texts = {n: c.to_text() for n, c in cards.items()}
        if foreign_card:
            texts["lender"] = Card.issue("party", "lender", self.stranger, seal).to_text()
        offers = {
            n: PartyOffer(
                party=n, fingerprint=c.fingerprint, card=texts[n], dataset=None, version="1", code={}, declarations={},
                policy="0" * 64, nonce="1" * 64,
            )
            for n, c in cards.items()
        }  # fmt: skip
        signed = sign_job(self.home.sign_key, SPEC).hex()
        self.contract = Contract(
            job="j1", spec=SPEC.model_dump(mode="json", by_alias=True), submitter=self.home.card.to_text(),
            submitter_signature=signed, offers=offers, seed=seed_of(offers), expires=expiry(60),
        )  # fmt: skip
        self.blobs: list[dict[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        signatures = {n: sign_contract(k, self.contract).hex() for n, k in self.keys.items()}
        return {"contract": self.contract.canonical().decode(), "signatures": signatures}

    def get(self, path: str) -> Any:
        return self.answer() if path.endswith("/contract") else self.blobs

    def show(self, plaintext: bytes, **where: Any) -> None:
        sealed = base64.b64encode(seal_to(self.home.seal_key.public, plaintext, self.contract.hash())).decode()
        self.blobs = [{"step": "align", "party": "lender", "attempt": 1, "sealed": sealed, **where}]

    def signed(self, key: SigningKey, result: dict[str, Any]) -> bytes:
        return sign_result(key, self.contract.hash(), "align", 1, result)

    def results(self) -> dict[str, dict[str, Any]]:
        return Job(self, "j1").results()  # type: ignore[arg-type]  # stands for Parley


def refusal(w: World) -> tuple[str, str, str]:
    with pytest.raises(ParleyError) as caught:
        w.results()
    return caught.value.code, caught.value.party, caught.value.step


def test_the_partys_own_result_is_read() -> None:
    w = World()
    w.show(w.signed(w.keys["lender"], TRUE))
    assert w.results() == {"align": {"lender": TRUE}}


def test_a_box_the_coordinator_made_itself_is_refused() -> None:
    w = World()
    w.show(canonical(FORGED))
    # The box is as good as a real one: anybody can seal to the reader, so only the signature tells them apart.
    opened = open_box(w.home.seal_key, base64.b64decode(w.blobs[0]["sealed"]), w.contract.hash())
    assert opened == canonical(FORGED)
    assert refusal(w) == ("bad_result_signature", "lender", "align")
    w.show(w.signed(w.stranger, FORGED))
    assert refusal(w) == ("bad_result_signature", "lender", "align")


@pytest.mark.parametrize("where", [{"party": "bureau"}, {"step": "other"}, {"attempt": 2}])
def test_a_true_result_shown_as_another_is_refused(where: dict[str, Any]) -> None:
    w = World()
    w.show(w.signed(w.keys["lender"], TRUE), **where)
    assert refusal(w)[0] == "bad_result_signature"


def test_a_result_of_nobody_in_the_contract_or_in_a_broken_box_is_refused() -> None:
    w = World()
    w.show(w.signed(w.keys["lender"], TRUE), party="mallory")
    assert refusal(w)[0] == "bad_result"
    w.show(w.signed(w.keys["lender"], TRUE), sealed="AAAA")
    assert refusal(w)[0] == "bad_result"


def test_a_contract_that_shows_another_card_than_it_was_signed_with_is_refused() -> None:
    w = World(foreign_card=True)
    with pytest.raises(ParleyError) as caught:
        check_contract(w.home, "j1", w.answer())  # type: ignore[arg-type]  # stands for UserHome
    assert caught.value.code == "bad_contract"
