"""A real coordinator with two real party daemons around it, all in this process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from fake_party import Api, Identity
from runtime_world import Daemon, align, free_port, with_tables

from parley.coordinator import service
from parley.crypto.box import open_box
from parley.party.home import PartyHome
from parley.wire import tls
from parley.wire.canonical import parse
from parley.wire.contract import Contract
from parley.wire.invite import Invite
from parley.wire.result import open_result

COMMON = 200  # of the ids that `with_tables` gives both parties


class World:
    """One coordinator, the parties bank and shop that pinned each other, and the person ana whom both pinned."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.folder = folder / "coordinator"
        token = service.init(self.folder, "127.0.0.1", free_port(), free_port(), database=database)
        config = json.loads((self.folder / "config.json").read_text())
        (self.folder / "config.json").write_text(json.dumps({**config, "lease": 5.0, "grace": 1.0, "heartbeat": 0.5}))
        self.at, ca = service.addresses(self.folder), self.folder / "ca.pem"
        self.admin, self.open = Api(self.at["rest"], ca, token), Api(self.at["rest"], ca)
        self.person = self.open
        self.ana = Identity("person", "ana")
        self.homes = {n: PartyHome.create(folder / n, n) for n in ("bank", "shop")}
        for home in self.homes.values():
            home.config.coordinator_rest, home.config.coordinator_grpc = self.at["rest"], self.at["grpc"]
            home.config.step_threads = 1
            home.config.spare_process = False
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

    async def connected(self) -> None:
        """Until every party is there: a job is refused before."""
        async with asyncio.timeout(30):
            while sum(p["online"] for p in (await self.person.call("GET", "/v1/parties"))[1]) < len(self.homes):
                await asyncio.sleep(0.05)

    async def ended(self, **changes: Any) -> dict[str, Any]:
        """Submit an alignment, signed by ana, and wait for its end."""
        spec = align(**changes).model_dump(mode="json", by_alias=True)
        async with asyncio.timeout(45):
            await self.connected()
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


def play(
    folder: Path, story: Callable[[World], Awaitable[None]], prepare: Callable[[World], None] = lambda w: None
) -> None:
    """A story in a running world; `prepare` changes homes before the daemons start."""

    async def run() -> None:
        w = World(folder)
        prepare(w)
        await w.start()
        try:
            await story(w)
        finally:
            await w.end()

    asyncio.run(asyncio.wait_for(run(), 90))
