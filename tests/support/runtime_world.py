"""A scripted coordinator over real mutual TLS, and real party daemons in this process around real step processes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.party.home import PartyHome
from parley.party.runtime import daemon
from parley.party.runtime.desk import Desk
from parley.wire import contract as ct
from parley.wire import tls
from parley.wire.canonical import parse
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb
from parley.wire.pb import parley_pb2_grpc as rpc

WAIT_S = 30.0
Tamper = Callable[[str, str, int, pb.Frame], list[pb.Frame]]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def untouched(sender: str, receiver: str, index: int, frame: pb.Frame) -> list[pb.Frame]:
    return [frame]


class Coordinator(rpc.CoordinatorServicer):
    """Says what the test tells it to, keeps every event, and relays frames through `tamper`."""

    def __init__(self) -> None:
        self.authority = tls.new_authority("test")
        self.port = free_port()
        self.events: dict[str, list[pb.PartyEvent]] = {}
        self.hellos: dict[str, list[pb.Hello]] = {}
        self.acks: dict[str, list[str]] = {}
        self.silent = False  # keeps events without acknowledging them
        self.tamper: Tamper = untouched
        self.frames = 0
        self.dated: dt.datetime | None = None  # when its certificate was issued, if not now
        self.roster = pb.Roster()
        self._out: dict[str, asyncio.Queue[pb.Instruction | None]] = {}
        self._ends: dict[tuple[str, ...], asyncio.Queue[pb.Frame | None]] = {}
        self._news = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        rpc.add_CoordinatorServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]  # generated
        key = tls.new_key()
        pair = tls.KeyPair(key, tls.issue_server(self.authority, tls.request(key, "c"), ["127.0.0.1"], now=self.dated))
        credentials = tls.server_credentials(pair, self.authority.certificate)
        self._server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=0)

    # ------------------------------------------------------------ what parties call

    async def Connect(self, request_iterator: Any, context: Any) -> None:
        party = tls.party_of(bytes(context.auth_context()["x509_pem_cert"][0]))
        first = await anext(aiter(request_iterator))
        assert first.hello.party == party
        self.hellos.setdefault(party, []).append(first.hello)
        out: asyncio.Queue[pb.Instruction | None] = asyncio.Queue()
        self._out[party] = out
        await context.write(pb.Instruction(welcome=pb.Welcome(coordinator="c", version="1", heartbeat_s=3)))
        await context.write(pb.Instruction(roster=self.roster))
        await self._tell()
        reading = asyncio.ensure_future(self._read(party, request_iterator, out))
        try:
            while (instruction := await out.get()) is not None:
                await context.write(instruction)
        finally:
            reading.cancel()

    async def _read(self, party: str, requests: Any, out: asyncio.Queue[pb.Instruction | None]) -> None:
        async for event in requests:
            kind = event.WhichOneof("kind")
            if kind == "ack":
                self.acks.setdefault(party, []).append(event.ack.id)
            elif kind != "heartbeat":
                self.events.setdefault(party, []).append(event)
                if event.id and not self.silent:
                    out.put_nowait(pb.Instruction(ack=pb.Ack(id=event.id)))
            await self._tell()
        out.put_nowait(None)

    async def Pipe(self, request_iterator: Any, context: Any) -> None:
        me = tls.party_of(bytes(context.auth_context()["x509_pem_cert"][0]))
        given = dict(context.invocation_metadata())
        address = tuple(given[k] for k in ("parley-job", "parley-step", "parley-attempt"))
        peer = given["parley-peer"]
        inward = self._ends.setdefault((*address, me, peer), asyncio.Queue(8))
        outward = self._ends.setdefault((*address, peer, me), asyncio.Queue(8))
        taking = asyncio.ensure_future(self._take(me, peer, request_iterator, inward))
        clean = False
        try:
            while (frame := await outward.get()) is not None:
                await context.write(frame)
                clean = frame.end
            if clean:
                await asyncio.wait({taking}, timeout=WAIT_S)
        finally:
            taking.cancel()
            with contextlib.suppress(asyncio.QueueFull):
                inward.put_nowait(None)
        if not clean:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "peer_gone")

    async def _take(self, me: str, peer: str, requests: Any, inward: asyncio.Queue[pb.Frame | None]) -> None:
        index = 0
        async for frame in requests:
            self.frames += 1
            for changed in self.tamper(me, peer, index, frame):
                await inward.put(changed)
            index += 1
            if frame.end:
                break
        await inward.put(None)

    # ------------------------------------------------------------ what tests call

    def say(self, party: str, **kind: Any) -> str:
        """Send an instruction; returns its id."""
        instruction = pb.Instruction(id=kind.pop("id", None) or secrets.token_hex(6), **kind)
        self._out[party].put_nowait(instruction)
        return instruction.id

    def hang_up(self, party: str) -> None:
        self._out[party].put_nowait(None)

    async def until(self, condition: Callable[[], Any], timeout: float = WAIT_S) -> Any:
        """Wait until `condition` gives something true, and return it."""
        async with asyncio.timeout(timeout), self._news:
            while not (found := condition()):
                await self._news.wait()
            return found

    async def event(self, party: str, *kinds: str, nth: int = 0, timeout: float = WAIT_S) -> pb.PartyEvent:
        """The party's nth event of one of these kinds."""

        def look() -> pb.PartyEvent | None:
            found = [e for e in self.events.get(party, []) if e.WhichOneof("kind") in kinds]
            return found[nth] if len(found) > nth else None

        found = await self.until(look, timeout)
        assert isinstance(found, pb.PartyEvent)
        return found

    def count(self, party: str, kind: str) -> int:
        return sum(e.WhichOneof("kind") == kind for e in self.events.get(party, []))

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class Daemon:
    """One party's daemon, running in this process."""

    def __init__(self, home: PartyHome) -> None:
        self.home = home
        self._stop = asyncio.Event()
        self._task: asyncio.Future[None] | None = None

    async def start(self) -> None:
        self._stop = asyncio.Event()
        self.desk = Desk(self.home)
        self._task = asyncio.ensure_future(daemon._run(self.desk, self._stop))

    async def stop(self) -> None:
        if self._task is not None:
            self._stop.set()
            await asyncio.wait_for(self._task, WAIT_S)
            self.desk.close()
            self._task = None


class World:
    """Parties that pinned each other and a scientist, connected to a scripted coordinator."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("bank", "shop")) -> None:
        self.coordinator = Coordinator()
        self.key, self.seal = SigningKey.generate(), StaticKey.generate()
        self.person = Card.issue("person", "ada", self.key, self.seal.public)
        self.homes = {n: self._home(folder / n, n) for n in names}
        self.daemons = {n: Daemon(h) for n, h in self.homes.items()}
        for home in self.homes.values():
            home.peers.pin(self.person)
            for other in self.homes.values():
                home.peers.pin(other.card)
        self.contract: ct.Contract | None = None

    def _home(self, path: Path, name: str) -> PartyHome:
        home = PartyHome.create(path, name)
        home.set_membership(self.certified(name), self.coordinator.authority.certificate, "bearer")
        home.config.coordinator_rest = "https://127.0.0.1:1"
        home.config.coordinator_grpc = f"127.0.0.1:{self.coordinator.port}"
        home.config.step_memory_mb = 8192
        home.config.step_threads = 1
        home.config.spare_process = False
        home.config.patience_s = 30.0
        home.save_config()
        return home

    def certified(self, name: str, now: dt.datetime | None = None) -> tls.KeyPair:
        key = tls.new_key()
        return tls.KeyPair(key, tls.issue_party(self.coordinator.authority, tls.request(key, name), name, now=now))

    def direct(self, dialler: str, listener: str) -> None:
        """Let `dialler` reach `listener` without the coordinator."""
        address = f"127.0.0.1:{free_port()}"
        self.homes[listener].config.listen = address
        self.homes[listener].config.accepts_from = [dialler]
        self.homes[dialler].config.routes = {listener: address}

    async def start(self) -> None:
        await self.coordinator.start()
        for d in self.daemons.values():
            await d.start()
        await self.coordinator.until(lambda: set(self.coordinator.hellos) == set(self.homes))

    async def stop(self) -> None:
        for d in self.daemons.values():
            await d.stop()
        await self.coordinator.stop()
        for home in self.homes.values():
            home.close()

    # ------------------------------------------------------------ a job's way to its contract

    def prepare(self, spec: JobSpec, job: str = "j1", *, by: SigningKey | None = None, card: Card | None = None) -> Any:
        signature = ct.sign_job(by or self.key, spec)
        submitter = (card or self.person).message()
        return pb.Prepare(job=job, spec=spec.canonical(), submitter=submitter, signature=signature)

    async def offers(self, spec: JobSpec, job: str = "j1") -> dict[str, ct.PartyOffer]:
        found = {}
        for party in spec.parties:
            self.coordinator.say(party, prepare=self.prepare(spec, job))
        for party in spec.parties:
            event = await self.coordinator.event(party, "offer", "refused")
            assert event.WhichOneof("kind") == "offer", problem(event.refused.problem)
            found[party] = ct.PartyOffer.model_validate(parse(event.offer.json))
        return found

    def assembled(
        self, spec: JobSpec, offers: dict[str, ct.PartyOffer], job: str = "j1", /, **changes: Any
    ) -> ct.Contract:
        ordered = {n: offers[n] for n in sorted(offers)}
        fields: dict[str, Any] = {
            "job": job,
            "spec": spec.model_dump(mode="json", by_alias=True),
            "submitter": self.person.to_text(),
            "submitter_signature": ct.sign_job(self.key, spec).hex(),
            "offers": ordered,
            "seed": ct.seed_of(ordered),
            "direct": ct.direct_routes(ordered),
            "expires": ct.expiry(spec.deadline + 60),
        }
        return ct.Contract(**{**fields, **changes})

    async def signatures(self, contract: ct.Contract) -> list[pb.PartySignature]:
        found = []
        for party in contract.offers:
            self.coordinator.say(party, sign=pb.Sign(job=contract.job, contract=contract.canonical()))
            event = await self.coordinator.event(party, "signed", "refused")
            assert event.WhichOneof("kind") == "signed", problem(event.refused.problem)
            found.append(pb.PartySignature(party=party, signature=event.signed.signature))
        return found

    async def agreed(self, spec: JobSpec, job: str = "j1") -> ct.Contract:
        """Everything up to the moment at which steps may start."""
        contract = self.assembled(spec, await self.offers(spec, job), job)
        signatures = await self.signatures(contract)
        for party in contract.offers:
            agree = pb.Agree(job=job, contract=contract.canonical(), signatures=signatures)
            self.coordinator.say(party, agree=agree)
        for party in contract.offers:
            event = await self.coordinator.event(party, "agreed", "refused")
            assert event.WhichOneof("kind") == "agreed", problem(event.refused.problem)
        self.contract = contract
        return contract

    def launch(self, *parties: str, step: str = "one", fence: int = 1, attempt: int = 1, **more: Any) -> None:
        """Start an attempt of a step at these parties, or at all."""
        for party in parties or tuple(self.homes):
            start = pb.Start(job="j1", step=step, attempt=attempt, fence=fence, deadline_s=60, **more)
            self.coordinator.say(party, start=start, id=f"start-{party}-{fence}-{secrets.token_hex(3)}")

    async def ends(self, *parties: str, nth: int = 0, timeout: float = WAIT_S) -> dict[str, Any]:
        """How each party's attempt ended: StepDone, or the ParleyError of its StepFailed."""
        found: dict[str, Any] = {}
        for party in parties or tuple(self.homes):
            event = await self.coordinator.event(party, "done", "failed", nth=nth, timeout=timeout)
            done = event.WhichOneof("kind") == "done"
            found[party] = event.done if done else problem(event.failed.problem)
        return found


def align(data: str = "people", column: str = "id", **changes: Any) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "align",
            "purpose": "a test of the party",
            "parties": {"bank": {"data": data}, "shop": {"data": "people"}},
            "steps": {
                "one": {"uses": "psi/ecdh", "roles": {"receiver": "bank", "sender": "shop"}, "with": {"id": column}}
            },
            "deadline": 60,
            **changes,
        }
    )


def with_tables(w: World, rows: int = 300) -> None:
    for k, home in enumerate(w.homes.values()):
        path = home.path.parent / f"{home.name}.csv"
        path.write_text("id,amount\n" + "".join(f"person-{i + 100 * k:05d},{i}\n" for i in range(rows)))
        home.datasets.add("people", path)


def problem(message: pb.Problem) -> ParleyError:
    return ParleyError.from_dict(parse(message.json))


@contextlib.asynccontextmanager
async def world(folder: Path, prepare: Callable[[World], None] = lambda w: None) -> AsyncIterator[World]:
    """A running world; `prepare` changes homes before the daemons start."""
    made = World(folder)
    prepare(made)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
