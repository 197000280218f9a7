"""The store under test, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_party import Identity
from store_world import Clock, World

from parley.coordinator.store import people
from parley.coordinator.store.database import Database
from parley.wire.pb import parley_pb2 as pb


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path) -> Iterator[World]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'coordinator.db'}"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    clock = Clock()
    db = Database(url, clock)
    db.migrate()
    who = {n: Identity("person" if n == "ana" else "party", n) for n in ("ana", "lender", "bureau")}
    for name, identity in who.items():
        token = people.invite(db, name, "person" if name == "ana" else "party")
        certified = people.Certified(f"5e{name}", clock.now + 100) if name != "ana" else None
        identity.bearer = people.enrol(db, token, identity.card, certified)
        if certified is not None:
            declared = {"test/echo": bytes(32)}
            people.arrived(db, pb.Hello(party=name, card=identity.card.message(), declarations=declared, capacity=1))
    yield World(db, clock, who)
    db.close()
