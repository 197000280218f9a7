"""What an expired certificate and an unpinned peer meet: on the control link, in the relay and on a direct route."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from runtime_world import World, align, with_tables, world

from parley.party.home import PartyHome
from parley.party.runtime import daemon, direct
from parley.party.runtime.desk import Desk
from parley.party.runtime.pipes import open_pipe
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb
from parley.wire.pb import parley_pb2_grpc as rpc

LONG_AGO = dt.datetime.now(dt.UTC) - dt.timedelta(days=tls.CERT_DAYS + 10)
META = (("parley-job", "j1"), ("parley-step", "one"), ("parley-attempt", "1"))


def recertify(w: World, name: str, now: dt.datetime) -> None:
    w.homes[name].set_membership(w.certified(name, now), w.coordinator.authority.certificate, "bearer")


async def problem_of(home: PartyHome) -> dict[str, Any]:
    """What the running daemon says is wrong with its link."""
    async with asyncio.timeout(20):
        while not (found := json.loads((home.path / daemon.STATUS).read_bytes()).get("problem")):
            await asyncio.sleep(0.05)
    return dict(found)


def run(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def body() -> None:
        w = World(folder)
        try:
            await story(w)
        finally:
            await w.stop()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_party_whose_certificate_expired_is_told_so_and_is_not_let_in(tmp_path: Path) -> None:
    async def story(w: World) -> None:
        recertify(w, "bank", LONG_AGO)
        await w.coordinator.start()
        await w.daemons["bank"].start()
        await asyncio.sleep(0.2)
        found = await problem_of(w.homes["bank"])
        assert (found["code"], found["cause"]) == ("certificate_expired", "The certificate of bank has expired.")
        assert "parley party join" in found["hint"]
        assert await knock(w, w.homes["bank"].tls()) is grpc.StatusCode.UNAVAILABLE  # who does not look is refused too
        assert await knock(w, w.certified("bank")) is None
        assert list(w.coordinator.hellos) == ["bank"]

    run(tmp_path, story)


async def knock(w: World, pair: tls.KeyPair) -> grpc.StatusCode | None:
    """Open a control link with this certificate, whatever it says; why it failed, or None."""
    credentials = tls.channel_credentials(pair, w.coordinator.authority.certificate)
    async with grpc.aio.secure_channel(f"127.0.0.1:{w.coordinator.port}", credentials) as channel:
        hello = pb.PartyEvent(hello=pb.Hello(party="bank"))
        call = rpc.CoordinatorStub(channel).Connect(iter([hello]))  # type: ignore[no-untyped-call]  # generated
        try:
            await call.read()
        except grpc.aio.AioRpcError as e:
            return e.code()
    return None


def test_a_coordinator_whose_certificate_expired_is_named_and_not_spoken_to(tmp_path: Path) -> None:
    async def story(w: World) -> None:
        w.coordinator.dated = LONG_AGO
        await w.coordinator.start()
        await w.daemons["bank"].start()
        await asyncio.sleep(0.2)
        found = await problem_of(w.homes["bank"])
        assert found["code"] == "certificate_expired"
        assert "coordinator" in found["cause"]
        assert found["hint"]
        assert w.coordinator.hellos == {}

    run(tmp_path, story)


# ---------------------------------------------------------------- direct routes


@contextlib.asynccontextmanager
async def route(folder: Path, prepare: Callable[[World], None]) -> AsyncIterator[tuple[World, direct.Listener]]:
    """bank listens for shop; no daemon runs."""
    w = World(folder)
    w.direct("shop", "bank")
    prepare(w)
    desk = Desk(w.homes["bank"])
    listener = direct.Listener(desk)
    try:
        async with direct.listening(w.homes["bank"], listener):
            yield w, listener
    finally:
        desk.close()
        for home in w.homes.values():
            home.close()


async def met(w: World, listener: direct.Listener, channel: grpc.aio.Channel) -> grpc.StatusCode | str:
    """Open the pipe that bank waits for, and shake hands: "sealed", or how the call or the handshake ended."""
    bank, shop = w.homes["bank"], w.homes["shop"]
    common: dict[str, Any] = {"contract": bytes(32), "step": "one", "attempt": 1}

    async def answer() -> None:
        end = await listener.accept(("j1", "one", 1, "shop"))
        await open_pipe(end, me="bank", peer="shop", key=bank.seal_key, peer_public=shop.card.seal_public, **common)
        await asyncio.sleep(5)

    waiting = asyncio.ensure_future(answer())
    end = direct.opened(channel, META, "bank")
    try:
        async with asyncio.timeout(20):
            await open_pipe(end, me="shop", peer="bank", key=shop.seal_key, peer_public=bank.card.seal_public, **common)
        return "sealed"
    except ParleyError as problem:
        code = await end._call.code()
        return code if problem.code == "peer_lost" else f"{problem.code}: {problem.cause} {problem.hint}"
    finally:
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=5)
        await channel.close(None)


def dialled(w: World, pair: tls.KeyPair) -> grpc.aio.Channel:
    """As `direct.dial` does, for somebody who does not look at their own certificate."""
    credentials = tls.channel_credentials(pair, w.coordinator.authority.certificate)
    options = [("grpc.ssl_target_name_override", tls.party_host("bank"))]
    return grpc.aio.secure_channel(w.homes["shop"].config.routes["bank"], credentials, options=options)


def direct_story(
    folder: Path, story: Callable[[World, direct.Listener], Awaitable[None]], prepare: Callable[[World], None]
) -> None:
    async def body() -> None:
        async with route(folder, prepare) as (w, listener):
            await story(w, listener)

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_direct_route_between_good_certificates_is_sealed(tmp_path: Path) -> None:
    async def story(w: World, listener: direct.Listener) -> None:
        assert await met(w, listener, direct.dial(w.homes["shop"], "bank")) == "sealed"

    direct_story(tmp_path, story, lambda w: None)


def test_a_dialler_whose_certificate_expired_says_so_and_is_not_let_in(tmp_path: Path) -> None:
    async def story(w: World, listener: direct.Listener) -> None:
        with pytest.raises(ParleyError, match=r"The certificate of shop has expired\.") as caught:
            direct.dial(w.homes["shop"], "bank")
        assert (caught.value.code, bool(caught.value.hint)) == ("certificate_expired", True)
        assert await met(w, listener, dialled(w, w.homes["shop"].tls())) is grpc.StatusCode.UNAVAILABLE
        assert await met(w, listener, dialled(w, w.certified("shop"))) == "sealed"

    direct_story(tmp_path, story, lambda w: recertify(w, "shop", LONG_AGO))


def test_a_listener_whose_certificate_expired_is_named_and_not_spoken_to(tmp_path: Path) -> None:
    async def story(w: World, listener: direct.Listener) -> None:
        said = await met(w, listener, direct.dial(w.homes["shop"], "bank"))
        assert said == (
            "certificate_expired: The certificate of bank has expired. Ask the operator of bank to renew it."
        )

    direct_story(tmp_path, story, lambda w: recertify(w, "bank", LONG_AGO))


def test_a_listener_with_another_partys_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    async def story(w: World, listener: direct.Listener) -> None:
        said = await met(w, listener, direct.dial(w.homes["shop"], "bank"))
        assert not isinstance(said, grpc.StatusCode) or said is grpc.StatusCode.UNAVAILABLE
        assert said != "sealed"

    def other(w: World) -> None:
        w.homes["bank"].set_membership(w.certified("mill"), w.coordinator.authority.certificate, "bearer")

    direct_story(tmp_path, story, other)


def test_a_peer_that_is_not_believed_any_more_is_refused_though_its_pipe_is_waited_for(tmp_path: Path) -> None:
    async def story(w: World, listener: direct.Listener) -> None:
        assert await met(w, listener, direct.dial(w.homes["shop"], "bank")) == "sealed"
        w.homes["bank"].peers.unpin("shop")
        assert await met(w, listener, direct.dial(w.homes["shop"], "bank")) is grpc.StatusCode.PERMISSION_DENIED
        w.homes["bank"].peers.pin(w.homes["shop"].card)
        assert await met(w, listener, direct.dial(w.homes["shop"], "bank")) == "sealed"

    direct_story(tmp_path, story, lambda w: None)


def test_a_step_does_not_begin_with_a_peer_that_was_unpinned_after_the_contract(tmp_path: Path) -> None:
    def prepare(w: World) -> None:
        with_tables(w)
        w.direct("shop", "bank")

    async def body() -> None:
        async with world(tmp_path, prepare) as w:
            await w.agreed(align())
            w.homes["bank"].peers.unpin("shop")
            w.launch()
            ends = await w.ends()
            assert ends["bank"].code == "unpinned_peer"
            assert isinstance(ends["shop"], ParleyError)
            assert w.homes["shop"].ledger.summary("j1") == []

    asyncio.run(asyncio.wait_for(body(), 60))
