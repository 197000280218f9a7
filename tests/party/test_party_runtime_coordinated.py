"""Two real party daemons around a real coordinator: contract, sealed pipes, step processes, ledger, signed results."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_party import Api, Identity
from runtime_world import Daemon, align, free_port, with_tables

from parley.coordinator import service
from parley.coordinator.drivers.relay import Relay
from parley.crypto.box import open_box
from parley.party.home import PartyHome
from parley.party.policy.default import DEFAULT
from parley.party.runtime.steps import Steps
from parley.protocols.kit.host import ChildHost
from parley.wire import tls
from parley.wire.canonical import parse
from parley.wire.contract import Contract
from parley.wire.invite import Invite
from parley.wire.pb import parley_pb2 as pb
from parley.wire.result import open_result

COMMON = 200  # of the ids that `with_tables` gives both parties


class World:
    """One coordinator, the parties bank and shop that pinned each other, and the person ana whom both pinned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "coordinator"
        token = service.init(self.folder, "127.0.0.1", free_port(), free_port())
        config = json.loads((self.folder / "config.json").read_text())
        (self.folder / "config.json").write_text(json.dumps({**config, "lease": 5.0, "grace": 1.0, "heartbeat": 0.5}))
        self.at, ca = service.addresses(self.folder), self.folder / "ca.pem"
        self.admin, self.open = Api(self.at["rest"], ca, token), Api(self.at["rest"], ca)
        self.person = self.open
        self.ana = Identity("person", "ana")
        self.homes = {n: PartyHome.create(folder / n, n) for n in ("bank", "shop")}
        for home in self.homes.values():
            home.config.coordinator_grpc = self.at["grpc"]
            home.config.step_threads = 1
            home.peers.pin(self.ana.card)
            for other in self.homes.values():
                home.peers.pin(other.card)
        with_tables(self)  # type: ignore[arg-type]  # it asks for the homes alone
        self.daemons = [Daemon(h) for h in self.homes.values()]
        self._stop = asyncio.Event()

    async def start(self) -> None:
        self.task = asyncio.ensure_future(service.serve(self.folder, self._stop))
        async with asyncio.timeout(15):
            while not await self._healthy():
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.05)
        for home in self.homes.values():
            await self._enrol(home)
        assert await self.ana.enrol(self.open, self.admin, "person") == 200
        self.person = Api(self.at["rest"], self.folder / "ca.pem", self.ana.bearer)
        for one in self.daemons:
            await one.start()

    async def _healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return (await self.open.call("GET", "/v1/health"))[0] == 200
        return False

    async def _enrol(self, home: PartyHome) -> None:
        _, made = await self.admin.call("POST", "/v1/invites", name=home.name, kind="party")
        key = tls.new_key()
        status, answer = await self.open.call(
            "POST", "/v1/enrol", token=Invite.from_text(made["invite"]).token, card=home.card.to_text(),
            csr=tls.request(key, home.name).decode(),
        )  # fmt: skip
        assert status == 200, answer
        pair = tls.KeyPair(key, answer["certificate"].encode())
        home.set_membership(pair, (self.folder / "ca.pem").read_bytes(), answer["bearer"])

    async def end(self) -> None:
        for one in self.daemons:
            await one.stop()
        for api in {self.admin, self.open, self.person}:
            await api.close()
        self._stop.set()
        await asyncio.wait_for(self.task, 15)
        for home in self.homes.values():
            home.close()

    async def ended(self, **changes: Any) -> dict[str, Any]:
        """Submit an alignment, signed by ana, and wait for its end."""
        spec = align(**changes).model_dump(mode="json", by_alias=True)
        async with asyncio.timeout(45):
            while True:  # a job is refused while a party is not connected yet
                parties = (await self.person.call("GET", "/v1/parties"))[1]
                if sum(p["online"] for p in parties) == len(self.homes):
                    break
                await asyncio.sleep(0.05)
            status, answer = await self.person.call("POST", "/v1/jobs", **self.ana.job(spec))
            assert status == 201, answer
            while True:
                _, view = await self.person.call("GET", f"/v1/jobs/{answer['job']}")
                if view["state"] in ("succeeded", "failed", "cancelled"):
                    return {"id": answer["job"], **view}
                await asyncio.sleep(0.05)

    async def blobs(self, job: str) -> list[dict[str, Any]]:
        return list((await self.person.call("GET", f"/v1/jobs/{job}/results"))[1])

    async def contract(self, job: str) -> Contract:
        _, answer = await self.person.call("GET", f"/v1/jobs/{job}/contract")
        return Contract.model_validate(parse(answer["contract"].encode()))

    async def results(self, job: str) -> dict[str, Any]:
        """party -> result, opened with ana's key and checked against the party's signature."""
        digest, found = (await self.contract(job)).hash(), {}
        for blob in await self.blobs(job):
            raw = open_box(self.ana.seal, base64.b64decode(blob["sealed"]), digest)
            card = self.homes[blob["party"]].card
            found[blob["party"]] = open_result(raw, card, digest, blob["step"], int(blob["attempt"]))
        return found

    async def events(self, job: str) -> list[dict[str, Any]]:
        return list((await self.person.call("GET", f"/v1/jobs/{job}/events?after=0"))[1]["events"])


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        w = World(folder)
        await w.start()
        try:
            await story(w)
        finally:
            await w.end()

    asyncio.run(asyncio.wait_for(run(), 90))


def count_relayed(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, pb.Frame], pb.Frame]) -> list[int]:
    """Let `change` see every frame the relay gives out (index within its direction); returns their sizes."""
    seen: list[int] = []

    class Passing:
        """The context of the call, with `change` before every write."""

        def __init__(self, context: Any) -> None:
            self._context, self._index = context, 0

        async def write(self, frame: pb.Frame) -> None:
            seen.append(len(frame.sealed))
            await self._context.write(change(self._index, frame))
            self._index += 1

    give = Relay._give

    async def give_on(self: Relay, queue: Any, context: Any) -> None:
        await give(self, queue, Passing(context))

    monkeypatch.setattr(Relay, "_give", give_on)
    return seen


@pytest.mark.parametrize("route", ["relay", "direct"])
def test_a_job_ends_with_signed_results_and_an_accounted_egress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    relayed = count_relayed(monkeypatch, lambda _, frame: frame)

    async def story(w: World) -> None:
        if route == "direct":
            await w.daemons[0].stop()
            address = f"127.0.0.1:{free_port()}"
            w.homes["bank"].config.listen = address
            w.homes["bank"].config.accepts_from = ["shop"]
            w.homes["shop"].config.routes = {"bank": address}
            await w.daemons[0].start()
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        assert (await w.results(view["id"]))["bank"] == {"intersection": COMMON}
        assert (await w.contract(view["id"])).direct == ((("shop", "bank"),) if route == "direct" else ())
        assert bool(relayed) == (route == "relay")
        for name, home in w.homes.items():
            lines = home.ledger.summary(view["id"])
            peer = "shop" if name == "bank" else "bank"
            assert sum(line.bytes for line in lines if line.to == peer) > 32 * COMMON
            assert home.ledger.verify() > 0

    play(tmp_path, story)


def _policy(w: World) -> None:
    old = 'protocols:\n  allow: ["*"]\n  deny: []'
    assert old in DEFAULT
    (w.homes["shop"].path / "policy.yaml").write_text(DEFAULT.replace(old, old.replace("[]", '["psi/*"]')))


REFUSALS: list[tuple[str, str, str, Callable[[World], None], dict[str, Any]]] = [
    ("unpinned_peer", "bank", "", lambda w: w.homes["bank"].peers.unpin("shop"), {}),
    ("unknown_submitter", "shop", "", lambda w: w.homes["shop"].peers.unpin("ana", person=True), {}),
    ("unknown_column", "bank", "one", lambda w: None, {"column": "idd"}),
    ("policy_denied", "shop", "", _policy, {}),
]


@pytest.mark.parametrize(("code", "party", "step", "prepare", "changes"), REFUSALS, ids=[r[0] for r in REFUSALS])
def test_a_party_refuses_with_its_reason_and_nothing_leaves_it(
    tmp_path: Path, code: str, party: str, step: str, prepare: Callable[[World], None], changes: dict[str, Any]
) -> None:
    async def story(w: World) -> None:
        prepare(w)
        view = await w.ended(**changes)
        reason = view["reason"]
        assert view["state"] == "failed"
        assert (reason["code"], reason["step"]) == (code, step or reason["step"])
        assert reason["party"] == party or (code == "unknown_column" and reason["party"] in w.homes)
        assert await w.blobs(view["id"]) == []
        assert [line for home in w.homes.values() for line in home.ledger.summary(view["id"])] == []

    play(tmp_path, story)


def test_a_killed_step_process_is_tried_again_and_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    run = ChildHost.run

    async def run_killed(self: ChildHost, *hooks: Any) -> Any:
        if not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return await run(self, *hooks)

    monkeypatch.setattr(ChildHost, "run", run_killed)

    async def story(w: World) -> None:
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        assert (killed != [], view["steps"][0]["attempt"]) == (True, 2)
        assert (await w.results(view["id"]))["bank"] == {"intersection": COMMON}

    play(tmp_path, story)


def test_a_relay_that_flips_a_bit_gives_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(k: int, frame: pb.Frame) -> pb.Frame:
        if k != 1 or frame.end:  # the first frame after the handshake's
            return frame
        sealed = bytearray(frame.sealed)
        sealed[len(sealed) // 2] ^= 1
        return pb.Frame(sealed=bytes(sealed))

    count_relayed(monkeypatch, flipped)

    async def story(w: World) -> None:
        view = await w.ended()
        assert view["state"] == "failed"
        assert view["reason"]["code"] == "bad_ciphertext", view["reason"]
        assert await w.blobs(view["id"]) == []

    play(tmp_path, story)


def test_a_start_that_comes_again_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Steps, pb.Start]] = []
    spawned: list[str] = []
    start, spawn = Steps.start, ChildHost.spawn.__func__  # type: ignore[attr-defined]  # the function of a class method

    async def start_twice(self: Steps, message: pb.Start) -> None:
        told.append((self, message))
        await start(self, message)
        await start(self, message)

    async def count(cls: type[ChildHost], spec: Any) -> Any:
        spawned.append(spec.me)
        return await spawn(cls, spec)

    monkeypatch.setattr(Steps, "start", start_twice)
    monkeypatch.setattr(ChildHost, "spawn", classmethod(count))

    async def story(w: World) -> None:
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        before = [h.ledger.summary(view["id"]) for h in w.homes.values()]
        for steps, message in list(told):
            await start(steps, message)
            assert steps.running() == []
        await asyncio.sleep(0.5)
        assert sorted(spawned) == ["bank", "shop"]
        assert [h.ledger.summary(view["id"]) for h in w.homes.values()] == before
        assert len(await w.blobs(view["id"])) == len(view["steps"])

    play(tmp_path, story)
