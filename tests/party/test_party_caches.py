"""What a lookup leaves at both daemons: found again under the same contract's facts, and under no others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pyarrow as pa
from runtime_world import World, problem, with_tables, world

from parley.party.home import PartyHome
from parley.party.runtime import caches
from parley.protocols import registry
from parley.wire.contract import Contract
from parley.wire.jobspec import JobSpec

LOOKUP = registry.load("psi/lookup")


def spec(**with_: Any) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "lookup",
            "purpose": "a test of the party",
            "parties": {"bank": {"data": "people"}, "shop": {"data": "people"}},
            "steps": {
                "one": {
                    "uses": "psi/lookup",
                    "roles": {"receiver": "bank", "sender": "shop"},
                    "with": {"id": "id", "columns": ["amount"], "prefix": "shop_", **with_},
                }
            },
            "deadline": 60,
        }
    )


def allow(home: PartyHome) -> None:
    path = home.path / "policy.yaml"
    old = 'disclosures:\n  allow: ["*"]'
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, 'disclosures:\n  allow: ["*", matched_values]'))


def prepared(w: World) -> None:
    with_tables(w)
    for home in w.homes.values():
        allow(home)


def items(w: World) -> dict[str, list[str]]:
    return {n: h.vault.names("cache/") for n, h in w.homes.items()}


def table_bytes(end: Any) -> int:
    return sum(line.bytes for line in end.egress if line.tag == "psi.lookup.table/1")


def test_a_second_attempt_sends_no_table_and_a_replaced_dataset_makes_another(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        contract = await w.agreed(spec())
        w.launch()
        ends = await w.ends()
        assert {n: getattr(e, "outcome", str(e)) for n, e in ends.items()} == {"bank": "ok", "shop": "ok"}
        first = table_bytes(ends["shop"])
        assert first > 300 * 16
        found = w.homes["bank"].store.load_output("j1", "one")
        assert found is not None
        looked_up: pa.Table = found["looked_up"]
        assert looked_up["matched"].to_pylist() == [k >= 100 for k in range(300)]
        assert looked_up["shop_amount"].to_pylist() == [None] * 100 + list(range(200))
        before = items(w)
        assert {n: len(i) for n, i in before.items()} == {"bank": 1, "shop": 1}
        assert before["bank"] == before["shop"]
        w.launch(fence=2, attempt=2)
        ends = await w.ends(nth=1)
        assert table_bytes(ends["shop"]) < 300
        again = w.homes["bank"].store.load_output("j1", "one")
        assert again is not None
        assert again["looked_up"].equals(looked_up)
        assert items(w) == before
        places = facts(w, contract)
        assert len(set(places)) == len(places)

    asyncio.run(within(tmp_path, body))


def facts(w: World, contract: Contract) -> list[str]:
    """Where other contracts' steps would look: nowhere that this one's does."""
    shop, bank = contract.offers["shop"], contract.offers["bank"]
    assert shop.dataset is not None
    assert bank.dataset is not None
    others = [
        contract,
        contract.model_copy(update={"offers": {"bank": bank, "shop": replaced(shop, snapshot=1)}}),
        contract.model_copy(update={"offers": {"bank": bank, "shop": replaced(shop, commitment="00" * 32)}}),
        contract.model_copy(update={"offers": {"bank": bank, "shop": replaced(shop, name="other")}}),
        contract.model_copy(
            update={"offers": {"bank": bank.model_copy(update={"fingerprint": "00" * 32}), "shop": shop}}
        ),
    ]
    out = [caches.place_of(c, spec().steps["one"], LOOKUP) for c in others]
    out.append(caches.place_of(contract, spec(prefix="other_").steps["one"], LOOKUP))
    # The receiver's own table is another each time, and does not matter.
    moved = contract.model_copy(update={"offers": {"bank": replaced(bank, snapshot=1), "shop": shop}})
    assert caches.place_of(moved, spec().steps["one"], LOOKUP) == out[0]
    assert caches.place_of(contract, spec().steps["one"], registry.load("psi/ecdh")) is None
    return [p.item for p in out if p is not None]


def replaced(offer: Any, **changes: Any) -> Any:
    return offer.model_copy(update={"dataset": offer.dataset.model_copy(update=changes)})


async def within(folder: Path, body: Any) -> None:
    async with asyncio.timeout(100), world(folder, prepared) as w:
        await body(w)


def test_values_of_single_rows_need_the_operators_own_word(tmp_path: Path) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100), world(tmp_path, with_tables) as w:
            w.coordinator.say("shop", prepare=w.prepare(spec()))
            found = problem((await w.coordinator.event("shop", "offer", "refused")).refused.problem)
            assert found.code == "policy_denied"
            assert "matched_values" in found.cause

    asyncio.run(whole())


def test_what_belongs_to_other_states_of_a_dataset_goes_when_a_new_one_is_kept(tmp_path: Path) -> None:
    home = PartyHome.create(tmp_path / "home", "bank")
    places = [caches.Place("g" * 8, s, p) for s, p in (("old", "x"), ("old", "y"), ("new", "x"), ("new", "y"))]
    other = caches.Place("h" * 8, "old", "x")
    for at, place in enumerate([other, *places]):
        caches.save(home.vault, place, {"n": at})
    assert [caches.load(home.vault, p) for p in [other, *places]] == [{"n": 0}, {}, {}, {"n": 3}, {"n": 4}]
    caches.save(home.vault, places[2], {})
    caches.save(home.vault, None, {"n": 9})
    assert caches.load(home.vault, places[2]) == {"n": 3}
    assert caches.load(home.vault, None) == {}
    home.close()
