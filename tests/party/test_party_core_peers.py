"""Belief: pins and pinned parties' vouches, never the coordinator's word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.party.home import PartyHome
from parley.party.identity import pin_card
from parley.party.peers import Peers
from parley.wire.errors import ParleyError
from parley.wire.identity import Card, vouch
from parley.wire.pb import parley_pb2 as pb


def _card(name: str, kind: str = "party") -> tuple[SigningKey, Card]:
    key = SigningKey.generate()
    assert kind in ("party", "person")
    return key, Card.issue(kind, name, key, StaticKey.generate().public)  # type: ignore[arg-type]  # checked above


@pytest.fixture
def home(tmp_path: Path) -> Iterator[PartyHome]:
    made = PartyHome.create(tmp_path / "home", "bank")
    yield made
    made.close()


@pytest.fixture
def peers(home: PartyHome) -> Peers:
    return home.peers


def test_the_coordinators_word_makes_nobody_believed(peers: Peers) -> None:
    _, card = _card("telco")
    peers.update([card], [])
    assert peers.believed("telco") is None
    naive = {c.card.name: c.card for c in peers.all()}  # who believes the roster as it comes has been fooled
    assert naive["telco"].fingerprint == card.fingerprint
    peers.pin(card)
    found = peers.believed("telco")
    assert found is not None
    assert found.fingerprint == card.fingerprint


def test_a_pinned_partys_vouch_counts_and_a_strangers_does_not(peers: Peers) -> None:
    friend_key, friend = _card("friend")
    stranger_key, stranger = _card("stranger")
    _, telco = _card("telco")
    peers.update([friend, stranger, telco], [vouch(stranger_key, stranger, telco)])
    assert peers.believed("telco") is None
    peers.pin(friend)
    forged = vouch(stranger_key, friend, telco)  # says "by friend", signed by somebody else
    peers.update([], [forged])
    assert peers.believed("telco") is None
    peers.update([], [vouch(friend_key, friend, telco)])
    found = peers.believed("telco")
    assert found is not None
    assert found.fingerprint == telco.fingerprint
    peers.unpin("friend")
    assert peers.believed("telco") is None


def test_a_vouch_does_not_carry_over_to_another_card(peers: Peers) -> None:
    friend_key, friend = _card("friend")
    _, telco = _card("telco")
    _, imposter = _card("telco")
    peers.pin(friend)
    peers.update([imposter], [vouch(friend_key, friend, telco)])
    assert peers.believed("telco") is None
    peers.update([telco], [])
    found = peers.believed("telco")
    assert found is not None
    assert found.fingerprint == telco.fingerprint


def test_a_vouched_party_does_not_vouch_on(peers: Peers) -> None:
    friend_key, friend = _card("friend")
    second_key, second = _card("second")
    _, third = _card("third")
    peers.pin(friend)
    peers.update([second, third], [vouch(friend_key, friend, second), vouch(second_key, second, third)])
    assert peers.believed("second") is not None
    assert peers.believed("third") is None


def test_two_vouched_cards_of_one_name_are_a_conflict(peers: Peers) -> None:
    friend_key, friend = _card("friend")
    _, one = _card("telco")
    _, two = _card("telco")
    peers.pin(friend)
    peers.update([one, two], [vouch(friend_key, friend, one), vouch(friend_key, friend, two)])
    assert peers.believed("telco") is None


def test_a_pinned_name_keeps_its_card(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    friend_key, friend = _card("friend")
    _, telco = _card("telco")
    _, imposter = _card("telco")
    peers.pin(telco)
    peers.pin(friend)
    peers.update([imposter], [vouch(friend_key, friend, imposter)])
    found = peers.believed("telco")
    assert found is not None
    assert found.fingerprint == telco.fingerprint
    assert "conflicting_card" in caplog.text
    with pytest.raises(ParleyError) as caught:
        peers.pin(imposter)
    assert caught.value.code == "pin_conflict"


def test_persons_and_parties_are_kept_apart(peers: Peers) -> None:
    friend_key, friend = _card("friend")
    _, alice = _card("alice", "person")
    peers.pin(friend)
    peers.update([alice], [vouch(friend_key, friend, alice)])
    assert peers.person(alice.fingerprint) is None
    peers.pin(alice)
    assert peers.person(alice.fingerprint) is not None
    assert peers.believed("alice") is None
    assert peers.person(friend.fingerprint) is None


def test_an_unpinned_card_does_not_come_back_by_the_own_vouch(home: PartyHome) -> None:
    _, telco = _card("telco")
    pin_card(home, telco)
    own: list[pb.Vouch] = home.peers.own_vouches()
    assert len(own) == 1
    home.peers.unpin("telco")
    assert home.peers.own_vouches() == []
    home.peers.update([home.card, telco], own)
    assert home.peers.believed("telco") is None
    assert home.peers.believed("bank") is not None
