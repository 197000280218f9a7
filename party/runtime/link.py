"""The control link: one outgoing connection, kept alive, on which everything is delivered at least once."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from parley import __version__
from parley.party.home import PartyHome
from parley.party.runtime.desk import Desk, log
from parley.party.runtime.renewal import Renewal
from parley.protocols import registry
from parley.wire import tls
from parley.wire.canonical import parse
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.pb import parley_pb2 as pb
from parley.wire.pb import parley_pb2_grpc as rpc

HEARTBEAT_S = 3.0
MAX_MESSAGE = 8 << 20
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Pings go on while nobody speaks, as when both ends compute, and whoever listens here lets them.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
]
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0

Handle = Callable[[pb.Instruction], Awaitable[None]]


def own_pair(home: PartyHome) -> tls.KeyPair:
    """This party's key and certificate; ParleyError "not_joined" or "certificate_expired".

    Looked at before anybody is dialled: the other side breaks a handshake off without saying why.
    """
    pair = home.tls()
    hint = "Ask the coordinator's operator for a new invite and run `parley party join`."
    tls.require_current(pair.certificate, home.name, hint)
    return pair


class Link:
    """Connects, says Hello, resends what is not acknowledged, and hands instructions on."""

    def __init__(self, desk: Desk, handle: Handle, running: Callable[[], list[pb.Running]]) -> None:
        self._desk, self._handle, self._running = desk, handle, running
        self.connected_since: float | None = None
        self.problem: ParleyError | None = None
        self._failure: ParleyError | None = None
        self.renewal = Renewal(desk.home)
        self._renewed = False
        self.on_change: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Until cancelled; after a failure it tries again, each time later, with some chance in it."""
        wait = FIRST_WAIT_S
        while True:
            started = time.monotonic()
            try:
                await self._once()
            except ParleyError as problem:
                self.problem = problem
                log.warning("link_refused code=%s cause=%s", problem.code, problem.cause)
            except grpc.aio.AioRpcError as e:
                self.problem = tls.refusal(e.details(), "the coordinator", "Ask its operator to renew it.")
                log.warning("link_lost code=%s", e.code().name)
            finally:
                self.connected_since = None
                self.on_change()
            if time.monotonic() - started > 2 * LONGEST_WAIT_S:
                wait = FIRST_WAIT_S
            await asyncio.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))
            wait = min(wait * 2, LONGEST_WAIT_S)

    def channel(self) -> grpc.aio.Channel:
        """ParleyError "not_joined" or "certificate_expired"."""
        home = self._desk.home
        credentials = tls.channel_credentials(own_pair(home), home.authority)
        return grpc.aio.secure_channel(home.config.coordinator_grpc, credentials, options=OPTIONS)

    async def _once(self) -> None:
        async with self.channel() as channel:
            self._failure, self._renewed = None, False
            call = rpc.CoordinatorStub(channel).Connect(self._watched())  # type: ignore[no-untyped-call]  # generated code has no types
            try:
                async for instruction in call:
                    await self._heard(instruction)
                    if self._renewed:
                        return  # and come back with the new certificate, while the old one would still do
            except asyncio.CancelledError:
                # gRPC answers a failure in `_events` by cancelling the call, which looks like our own cancellation.
                task, failure = asyncio.current_task(), self._events_failure()
                if failure is None or (task is not None and task.cancelling()):
                    raise
                raise failure from None

    async def _heard(self, i: pb.Instruction) -> None:
        desk, kind = self._desk, i.WhichOneof("kind")
        if kind == "welcome":
            self.connected_since, self.problem = time.time(), None
            log.info("link_up coordinator=%s version=%s", i.welcome.coordinator[:63], i.welcome.version[:32])
            self.on_change()
        elif kind == "ack":
            await desk.do(desk.home.store.ack, i.ack.id)
        elif kind == "roster":
            await desk.do(self._roster, i.roster)
        elif kind == "certificate":
            self._renewed = await desk.do(self.renewal.take, i.certificate)
            self.on_change()
        elif kind == "problem":
            raise _told(i.problem.json)
        elif kind is not None and i.id:
            await self._handle(i)

    def _roster(self, roster: pb.Roster) -> None:
        cards = []
        for message in roster.cards:
            with contextlib.suppress(ParleyError):  # one bad card takes no other with it
                cards.append(Card.read(message))
        self._desk.home.peers.update(cards, roster.vouches)

    def _hello(self) -> pb.PartyEvent:
        home = self._desk.home
        declared = {name: d.hash() for name, d in registry.declarations().items()}
        return pb.PartyEvent(
            hello=pb.Hello(
                party=home.name,
                card=home.card.message(),
                version=__version__,
                declarations=declared,
                capacity=home.config.capacity,
                running=self._running(),
            )
        )

    def _events_failure(self) -> ParleyError | None:
        return self._failure

    async def _watched(self) -> AsyncIterator[pb.PartyEvent]:
        """The events; what ends them is kept, since gRPC does not hand it on."""
        try:
            async for event in self._events():
                yield event
        except ParleyError as problem:
            self._failure = problem
            raise

    async def _events(self) -> AsyncIterator[pb.PartyEvent]:
        desk = self._desk
        yield await desk.do(self._hello)
        for k, vouch in enumerate(await desk.do(desk.home.peers.own_vouches)):
            yield pb.PartyEvent(id=f"vouch-{secrets.token_hex(8)}-{k}", vouch=vouch)
        sent: set[str] = set()
        while True:
            desk.wake.clear()
            for event_id, raw in await desk.do(desk.home.store.pending_events):
                if event_id not in sent:
                    sent.add(event_id)
                    yield pb.PartyEvent.FromString(raw)
            if (asked := await desk.do(self.renewal.ask)) is not None:
                self.on_change()
                yield asked
            notes, desk.notes = desk.notes, []
            for note in notes:
                yield note
            try:
                await asyncio.wait_for(desk.wake.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield pb.PartyEvent(heartbeat=pb.Heartbeat(sent_ms=int(time.time() * 1000)))

    def stub(self, channel: grpc.aio.Channel) -> Any:
        return rpc.CoordinatorStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types


def _told(raw: bytes) -> ParleyError:
    """The coordinator's reason for refusing the link, as far as it can be read."""
    try:
        return ParleyError.from_dict(dict(parse(raw)))
    except (ValueError, TypeError):
        return ParleyError("link_refused", "The coordinator refused the link without a readable reason.")
