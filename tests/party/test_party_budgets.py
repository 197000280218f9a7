"""How often others may intersect with this party's data: counts that hold, and the policy's word before and during."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from runtime_world import World, align, problem, with_tables, world
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from parley.cli import app
from parley.party.home import PartyHome
from parley.party.ledger import Budgets, Probed, Run
from parley.party.policy import probes
from parley.party.policy.default import DEFAULT
from parley.party.policy.document import Intersections, parse
from parley.protocols import registry
from parley.wire.contract import DatasetOffer
from parley.wire.errors import ParleyError
from parley.wire.jobspec import JobSpec, StepSpec

LOANS = Probed("bank", "loans", 7)
SHOP = {"shop": "aa" * 32}


@pytest.fixture
def budgets(tmp_path: Path) -> Iterator[Budgets]:
    made = Budgets(tmp_path / "budgets.db")
    yield made
    made.close()


def charged(budgets: Budgets, *runs: Run, limit: int, what: Probed = LOANS, who: dict[str, str] = SHOP) -> list[bool]:
    """Which of these runs got through; the others were refused as they should be."""

    def refusal(run: Run) -> ParleyError | None:
        try:
            budgets.charge(run, who, what, limit)
        except ParleyError as e:
            return e
        return None

    said = [refusal(run) for run in runs]
    told = [(e.code, e.party, f"{limit} were used" in e.cause, "intersections.runs" in e.cause) for e in said if e]
    assert told == [("probe_budget", "bank", True, True)] * len(told)
    return [e is None for e in said]


def attempts(n: int) -> list[Run]:
    return [Run("j", "match", k) for k in range(n)]


def test_the_budget_ends_at_the_declared_run(budgets: Budgets) -> None:
    assert charged(budgets, *attempts(5), limit=3) == [True] * 3 + [False] * 2
    assert budgets.used(SHOP["shop"], LOANS) == 3
    # A higher limit opens it again, a lower one closes it; another party has its own.
    assert charged(budgets, Run("j", "match", 9), limit=4) == [True]
    assert charged(budgets, Run("j", "match", 10), limit=4) == [False]
    assert charged(budgets, Run("j", "match", 11), limit=3, who={"mill": "bb" * 32}) == [True]


def test_one_attempt_is_counted_once(budgets: Budgets) -> None:
    assert charged(budgets, *[Run("j", "match", 1)] * 4, limit=1) == [True] * 4
    assert budgets.used(SHOP["shop"], LOANS) == 1


def test_a_replaced_dataset_counts_apart(budgets: Budgets) -> None:
    assert charged(budgets, *attempts(2), limit=1) == [True, False]
    other = Probed("bank", "loans", 8)
    assert charged(budgets, Run("j2", "match", 1), limit=1, what=other) == [True]
    assert [(f.snapshot, f.used) for f in budgets.all()] == [(7, 1), (8, 1)]


def test_of_two_who_ask_none_is_counted_when_one_may_not(budgets: Budgets) -> None:
    assert charged(budgets, Run("j", "one", 1), limit=1) == [True]
    both = {"mill": "bb" * 32, **SHOP}
    with pytest.raises(ParleyError, match="allows shop"):
        budgets.charge(Run("j", "two", 1), both, LOANS, 1)
    assert budgets.used("bb" * 32, LOANS) == 0
    budgets.charge(Run("j", "two", 1), both, LOANS, 2)
    assert (budgets.used("bb" * 32, LOANS), budgets.used("aa" * 32, LOANS)) == (1, 2)


def test_a_restart_keeps_the_count(tmp_path: Path) -> None:
    for expected in ([True, True], [True, False]):
        opened = Budgets(tmp_path / "budgets.db")
        runs = [Run("j", "match", k + 2 * (expected == [True, False])) for k in range(2)]
        assert charged(opened, *runs, limit=3) == expected
        opened.close()


def test_runs_at_the_same_time_never_overspend(tmp_path: Path) -> None:
    """Two handles on one file, as two processes have, and eight threads: exactly the limit gets through."""
    handles = [Budgets(tmp_path / "budgets.db") for _ in range(2)]

    def one(k: int) -> bool:
        return charged(handles[k % 2], Run("j", "match", k), limit=23)[0]

    with ThreadPoolExecutor(8) as pool:
        through = list(pool.map(one, range(96)))
    assert sum(through) == handles[0].used(SHOP["shop"], LOANS) == 23
    for handle in handles:
        handle.close()


def test_reading_first_and_writing_later_does_overspend(tmp_path: Path) -> None:
    """Two threads that read, compare and write in three steps get one run each out of one: the test above can fail."""
    engine = create_engine(f"sqlite:///{tmp_path / 'plain.db'}", connect_args={"timeout": 10})
    with engine.begin() as c:
        c.execute(text("create table spent (used integer)"))
        c.execute(text("insert into spent values (0)"))
    meet = Barrier(2, timeout=20)

    def one(_: int) -> bool:
        with engine.begin() as c:
            used = c.execute(text("select used from spent")).scalar_one()
        meet.wait()
        with engine.begin() as c:
            c.execute(text("update spent set used = :n"), {"n": used + 1})
        return bool(used < 1)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(one, range(2))) == 2


# ---------------------------------------------------------------- whom a step lets ask


def step(uses: str, roles: dict[str, Any], **with_: Any) -> StepSpec:
    return StepSpec.model_validate({"uses": uses, "roles": roles, "with": {"id": "id", **with_}})


@pytest.mark.parametrize(
    ("one", "me", "expected"),
    [
        (step("psi/cardinality", {"receiver": "shop", "sender": "bank"}), "bank", ("shop",)),
        (step("psi/cardinality", {"receiver": "shop", "sender": "bank"}), "shop", ()),
        (step("psi/sum", {"receiver": "shop", "sender": "bank"}, value="v"), "shop", ()),
        (step("psi/sum", {"receiver": "shop", "sender": "bank"}, value="v", result="sender"), "shop", ("bank",)),
        (step("psi/multi", {"member": ["shop", "bank", "mill"]}), "bank", ("mill", "shop")),
        (step("psi/ecdh", {"receiver": "shop", "sender": ["bank", "mill"]}), "bank", ("mill", "shop")),
        (step("psi/vole", {"receiver": "shop", "sender": "bank"}), "bank", ("shop",)),
        (step("psi/vole", {"receiver": "shop", "sender": "bank"}), "mill", ()),
        (step("psi/lookup", {"receiver": "shop", "sender": "bank"}, columns=["v"]), "bank", ("shop",)),
        (step("psi/lookup", {"receiver": "shop", "sender": "bank"}, columns=["v"]), "shop", ()),
        (step("gbdt/vertical", {"label": "shop", "features": ["bank"]}, label="y"), "bank", ()),
    ],
)
def test_who_probes_follows_from_what_is_learnt(one: StepSpec, me: str, expected: tuple[str, ...]) -> None:
    assert probes.probers(one, registry.load(one.uses).declaration(), me) == expected


@pytest.mark.parametrize(
    ("one", "floor", "allowed"),
    [
        (step("psi/cardinality", {"receiver": "shop", "sender": "bank"}), 0, True),
        (step("psi/cardinality", {"receiver": "shop", "sender": "bank"}), 5, False),
        (step("psi/cardinality", {"receiver": "shop", "sender": "bank"}, floor=4), 5, False),
        (step("psi/cardinality", {"receiver": "shop", "sender": "bank"}, floor=5), 5, True),
        (step("psi/vole", {"receiver": "shop", "sender": "bank"}), 5, False),
        (step("psi/vole", {"receiver": "shop", "sender": "bank"}, floor=9), 5, True),
        (step("psi/lookup", {"receiver": "shop", "sender": "bank"}, columns=["v"]), 5, False),
        (step("psi/vole", {"receiver": "shop", "sender": "bank"}), 0, True),
    ],
)
def test_a_smaller_floor_than_the_policys_is_refused(one: StepSpec, floor: int, allowed: bool) -> None:
    said = probes.floor_word(Intersections(floor=floor), "match", one, registry.load(one.uses).declaration())
    assert said[0] is allowed
    assert allowed or "at least 5" in said[1]


def test_a_prober_with_too_few_rows_is_refused() -> None:
    few, many = (DatasetOffer(name="t", snapshot=1, rows=n, columns=2, commitment="00" * 32) for n in (49, 50))
    rule = Intersections(min_size=50)
    probes.require_sizes(rule, "bank", {"match": ("shop",)}, {"shop": many, "bank": few})
    with pytest.raises(ParleyError, match="min_size: shop brings 49 rows") as e:
        probes.require_sizes(rule, "bank", {"match": ("shop",)}, {"shop": few, "bank": many})
    assert (e.value.code, e.value.party, e.value.step) == ("policy_denied", "bank", "match")


def test_a_file_without_the_key_is_as_valid_as_before() -> None:
    old = DEFAULT[: DEFAULT.index("# Intersections are")]
    assert "intersections:" not in old
    assert parse(old) == parse(DEFAULT)
    with pytest.raises(ParleyError) as e:
        parse(DEFAULT.replace("min_size: 1", "min_sise: 1"))
    assert "min_size" in e.value.hint
    for wrong in (("runs: 100", "runs: -1"), ("per: receiver_dataset", "per: job"), ("floor: 0", "floor: x")):
        with pytest.raises(ParleyError):
            parse(DEFAULT.replace(*wrong))


# ---------------------------------------------------------------- between daemons


def run(folder: Path, body: Callable[[World], Awaitable[None]], prepare: Callable[[World], None]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100), world(folder, prepare) as w:
            await body(w)

    asyncio.run(whole())


def amend(home: PartyHome, old: str, new: str) -> None:
    path = home.path / "policy.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def prepared(*amendments: tuple[str, str, str]) -> Callable[[World], None]:
    def prepare(w: World) -> None:
        with_tables(w)
        for party, old, new in amendments:
            amend(w.homes[party], old, new)

    return prepare


def test_the_run_beyond_the_budget_is_refused_and_nothing_leaves(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        contract = await w.agreed(align())
        shop, bank = w.homes["shop"], w.homes["bank"]
        w.launch()
        assert {e.outcome for e in (await w.ends()).values()} == {"ok"}
        offer = contract.offers["shop"].dataset
        assert offer is not None
        assert shop.budgets.used(bank.card.fingerprint, Probed("shop", "people", offer.snapshot)) == 1
        # A second attempt, which was agreed to, ends where shop would have sent its first byte.
        w.launch(fence=2, attempt=2)
        end = (await w.ends("shop", nth=1))["shop"]
        assert isinstance(end, ParleyError)
        assert (end.code, end.party, end.step) == ("probe_budget", "shop", "one")
        assert "allows bank 1 intersections" in end.cause
        assert "1 were used" in end.cause
        assert shop.ledger.summary("j1", "one", 2) == []
        # Another job is refused before anybody signs.
        w.coordinator.say("shop", prepare=w.prepare(align(), "j2"))
        event = await w.coordinator.event("shop", "refused")
        assert problem(event.refused.problem).code == "probe_budget"
        # What is left, for the operator.
        said = CliRunner().invoke(app, ["party", "budgets", "--home", str(shop.path), "--json"])
        assert said.exit_code == 0, said.output
        facts = json.loads(said.output)
        assert [(f["party"], f["dataset"], f["used"], f["left"]) for f in facts["probes"]] == [("bank", "people", 1, 0)]
        # A replaced dataset is another one.
        shop.datasets.add("people", shop.path.parent / "shop.csv", replace=True)
        w.coordinator.say("shop", prepare=w.prepare(align(), "j3"))
        assert (await w.coordinator.event("shop", "offer", nth=1)).offer.job == "j3"

    run(tmp_path, body, prepared(("shop", "runs: 100", "runs: 1")))


def test_a_job_with_more_probing_steps_than_runs_are_left_is_refused(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        one = align().model_dump(mode="json", by_alias=True)
        one["steps"]["two"] = one["steps"]["one"]
        w.coordinator.say("shop", prepare=w.prepare(JobSpec.model_validate(one)))
        event = await w.coordinator.event("shop", "offer", "refused")
        found = problem(event.refused.problem)
        assert (found.code, found.party) == ("probe_budget", "shop")
        assert "0 were used" in found.cause

    run(tmp_path, body, prepared(("shop", "runs: 100", "runs: 1")))


def test_the_policys_floor_is_asked_for_before_anybody_signs(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        w.coordinator.say("shop", prepare=w.prepare(align()))
        found = problem((await w.coordinator.event("shop", "offer", "refused")).refused.problem)
        assert found.code == "policy_denied"
        assert "intersections.floor" in found.cause

    run(tmp_path, body, prepared(("shop", "floor: 0", "floor: 50")))


def test_the_policys_least_size_is_asked_for_before_signing(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        contract = w.assembled(align(), await w.offers(align()))
        w.coordinator.say("shop", sign=pb_sign(contract))
        found = problem((await w.coordinator.event("shop", "signed", "refused")).refused.problem)
        assert (found.code, found.party) == ("policy_denied", "shop")
        assert "intersections.min_size: bank brings 300 rows" in found.cause

    run(tmp_path, body, prepared(("shop", "min_size: 1", "min_size: 301")))


def pb_sign(contract: Any) -> Any:
    from parley.wire.pb import parley_pb2 as pb

    return pb.Sign(job=contract.job, contract=contract.canonical())
