"""The control link of each party: a Hello, then instructions out until acknowledged, events in with effect once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from parley.coordinator.drivers.hub import Hub, log, monotonic
from parley.coordinator.lifecycle import link as links
from parley.coordinator.store import inbox, people
from parley.wire import tls
from parley.wire.canonical import canonical
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

HELLO_S = 15.0
MAX_RUNNING = 1024


@dataclass
class Stream:
    """One open link. `direct` holds acknowledgements, rosters and certificates, which need no delivery guarantee."""

    party: str
    serial: str  # of the certificate it was opened with
    direct: list[pb.Instruction] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)


def certificate_of(context: Any) -> bytes:
    """The caller's certificate (PEM), as the TLS layer verified it."""
    found = context.auth_context().get("x509_pem_cert", [b""])
    return bytes(found[0])


class Control:
    """Serves Connect."""

    def __init__(self, hub: Hub, authority: tls.KeyPair) -> None:
        self._hub, self._authority = hub, authority
        self._streams: dict[str, Stream] = {}
        hub.on_sever = self.sever
        hub.on_roster = self._roster_changed

    async def connect(self, requests: AsyncIterator[pb.PartyEvent], context: Any) -> None:
        """One link from Hello to its end."""
        try:
            hello, serial = await self._hello(requests, context)
        except ParleyError as problem:
            log.warning("link_refused code=%s party=%s", problem.code, problem.party)
            await context.write(pb.Instruction(problem=pb.Problem(json=canonical(problem.to_dict()))))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, problem.code)
            return
        party = hello.party
        stream = await self._open(hello, serial)
        reader = asyncio.ensure_future(self._read(stream, requests))
        try:
            await self._write(stream, context)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            if self._streams.get(party) is stream:
                del self._streams[party]
                self._hub.move_link(party, links.Dropped(monotonic()))
                log.info("link_down party=%s", party)

    async def _hello(self, requests: AsyncIterator[pb.PartyEvent], context: Any) -> tuple[pb.Hello, str]:
        """The Hello, and the serial number of the certificate it came under."""
        pem = certificate_of(context)
        party, serial = tls.party_of(pem), tls.serial(pem)
        await self._hub.store(people.check_certificate, self._hub.db, party, serial)
        try:
            first = await asyncio.wait_for(anext(aiter(requests)), HELLO_S)
        except (TimeoutError, StopAsyncIteration):
            raise ParleyError("no_hello", "The link opened without a Hello.", party=party) from None
        if first.WhichOneof("kind") != "hello" or first.hello.party != party:
            raise ParleyError("wrong_name", "The Hello names another party than the certificate.", party=party)
        await self._hub.store(people.arrived, self._hub.db, first.hello, serial)
        return first.hello, serial

    async def _open(self, hello: pb.Hello, serial: str) -> Stream:
        party, hub = hello.party, self._hub
        self.sever(party)
        stream = Stream(party, serial)
        self._streams[party] = stream
        running = [(r.job, r.step, int(r.attempt)) for r in hello.running[:MAX_RUNNING]]
        await hub.store(inbox.reconcile, hub.db, party, running, hub.timing.lease)
        hub.capacity[party] = max(1, min(int(hello.capacity), 1024))
        hub.move_link(party, links.Arrived(monotonic()))
        now = int(time.time() * 1000)
        welcome = pb.Welcome(
            coordinator=hub.name, version=hub.version, now_ms=now, heartbeat_s=max(1, int(hub.timing.heartbeat))
        )
        roster = await hub.store(people.roster, hub.db)
        stream.direct += [pb.Instruction(welcome=welcome), pb.Instruction(roster=roster)]
        log.info("link_up party=%s version=%s running=%d", party, hello.version[:32], len(running))
        hub.work.set()
        return stream

    def sever(self, party: str) -> None:
        """End the link that a party uses now."""
        if (stream := self._streams.get(party)) is not None:
            stream.over.set()
            self._hub.mailbox(party).set()

    def _roster_changed(self) -> None:
        for stream in self._streams.values():
            stream.direct.append(pb.Instruction())  # the writer fills in the roster as of then
            self._hub.mailbox(stream.party).set()

    async def _read(self, stream: Stream, requests: AsyncIterator[pb.PartyEvent]) -> None:
        try:
            async for event in requests:
                await self._event(stream, event)
        except grpc.aio.AioRpcError:
            log.info("link_broken party=%s", stream.party)
        finally:
            stream.over.set()
            self._hub.mailbox(stream.party).set()

    async def _event(self, stream: Stream, event: pb.PartyEvent) -> None:
        hub, party = self._hub, stream.party
        hub.move_link(party, links.Beat(monotonic()))
        kind = event.WhichOneof("kind")
        if kind == "ack":
            await hub.store(inbox.acknowledge, hub.db, party, event.ack.id)
        elif kind == "progress":
            self._progress(party, event.progress)
        elif kind == "renew":
            stream.direct.append(pb.Instruction(certificate=await self._renewed(stream, event.renew)))
            hub.mailbox(party).set()
        elif event.id:
            outcome = await hub.store(inbox.receive, hub.db, party, event)
            log.info("event party=%s kind=%s outcome=%s", party, kind, outcome)
            stream.direct.append(pb.Instruction(ack=pb.Ack(id=event.id)))
            hub.mailbox(party).set()

    async def _renewed(self, stream: Stream, asked: pb.Renew) -> pb.Certificate:
        hub, party = self._hub, stream.party
        try:
            pem = await hub.store(people.renew, hub.db, party, stream.serial, asked, self._authority)
        except ParleyError as problem:
            log.warning("renewal_refused party=%s code=%s", party, problem.code)
            return pb.Certificate(problem=pb.Problem(json=canonical(problem.to_dict())))
        log.info("certificate_renewed party=%s", party)
        return pb.Certificate(pem=pem)

    def _progress(self, party: str, p: pb.StepProgress) -> None:
        values = {
            "done": int(p.done),
            "total": int(p.total),
            "phase": p.phase[:80],
            "bytes_in": int(p.bytes_in),
            "bytes_out": int(p.bytes_out),
        }
        self._hub.note_progress((p.job, p.step, int(p.attempt)), party, values)

    async def _write(self, stream: Stream, context: Any) -> None:
        sent = 0
        wake = self._hub.mailbox(stream.party)
        while not stream.over.is_set():
            wake.clear()
            direct, stream.direct = stream.direct, []
            for instruction in direct:
                if instruction.WhichOneof("kind") is None:
                    instruction = pb.Instruction(roster=await self._hub.store(people.roster, self._hub.db))
                await context.write(instruction)
            for n, body in await self._hub.store(inbox.mail, self._hub.db, stream.party, sent):
                await context.write(pb.Instruction.FromString(body))
                sent = n
                wake.set()  # there may be more than one page
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), self._hub.timing.heartbeat)

    async def watch(self) -> None:
        """Once a second: links that have been silent for a lease's time are lost with their attempts."""
        while True:
            await asyncio.sleep(min(1.0, self._hub.timing.lease / 4))
            for party in list(self._hub.links):
                for effect in self._hub.move_link(party, links.Checked(monotonic(), self._hub.timing.lease)):
                    if isinstance(effect, links.Lost):
                        cause = f"{party} has not been heard for {self._hub.timing.lease:.0f} s."
                        log.warning("party_lost party=%s", party)
                        await self._hub.store(inbox.lost, self._hub.db, party, cause)
                    else:
                        self.sever(party)
