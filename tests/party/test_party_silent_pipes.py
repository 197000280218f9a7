"""A pipe on which nobody speaks for longer than several pings, as while both parties compute."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from runtime_world import World

from parley.coordinator import service
from parley.party.runtime import direct, link
from parley.party.runtime.desk import Desk
from parley.party.runtime.pipes import open_pipe
from parley.wire import tls
from parley.wire.envelope import Address, Envelope
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2_grpc as rpc

PINGS_MS, SILENT_S = 1000, 12.0
META = (("parley-job", "j1"), ("parley-step", "one"), ("parley-attempt", "1"))
UNLIMITED = ("grpc.http2.max_ping_strikes", 0)


def server_of(options: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [*(o for o in options if o[0] != "grpc.keepalive_time_ms"), ("grpc.keepalive_time_ms", 600_000)]


async def after_silence(folder: Path, options: list[tuple[str, int]]) -> str:
    """What becomes of an envelope that is sent after the silence, to a server with these options."""
    w = World(folder)
    bank, shop = w.homes["bank"], w.homes["shop"]
    desk = Desk(bank)
    listener, server = direct.Listener(desk), grpc.aio.server(options=server_of(options))
    rpc.add_PeerServicer_to_server(listener, server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_secure_port("127.0.0.1:0", tls.server_credentials(bank.tls(), bank.authority))
    shop.config.routes = {"bank": f"127.0.0.1:{port}"}
    await server.start()
    common: dict[str, Any] = {"contract": bytes(32), "step": "one", "attempt": 1}

    async def served() -> str:
        end = await listener.accept(("j1", "one", 1, "shop"))
        pipe = await open_pipe(
            end, me="bank", peer="shop", key=bank.seal_key, peer_public=shop.card.seal_public, **common
        )
        got = await pipe.recv()
        return "lost" if got is None else got.body.decode()

    async def dialled() -> None:
        end = direct.opened(direct.dial(shop, "bank"), META, "bank")
        pipe = await open_pipe(
            end, me="shop", peer="bank", key=shop.seal_key, peer_public=bank.card.seal_public, **common
        )
        await asyncio.sleep(SILENT_S)
        await pipe.send(Envelope(Address("j1", 1, "one", (), "t/1", "shop", "bank", 0), b"here"))
        await asyncio.sleep(2)

    try:
        return (await asyncio.wait_for(asyncio.gather(served(), dialled()), SILENT_S + 30))[0]
    except ParleyError as problem:
        return problem.code
    finally:
        await server.stop(grace=0)
        desk.close()
        for home in w.homes.values():
            home.close()


@pytest.mark.slow
def test_a_silent_pipe_outlives_its_pings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a listener, and to the coordinator's server; under gRPC's own allowance the same pings end it."""
    eager = [("grpc.keepalive_time_ms", PINGS_MS) if o[0] == "grpc.keepalive_time_ms" else o for o in link.OPTIONS]
    monkeypatch.setattr(direct, "OPTIONS", eager)
    strict = [o for o in service.OPTIONS if o != UNLIMITED]

    async def body() -> list[str]:
        servers = [link.OPTIONS, service.OPTIONS, strict]
        return await asyncio.gather(*(after_silence(tmp_path / str(k), o) for k, o in enumerate(servers)))

    assert asyncio.run(body()) == ["here", "here", "peer_lost"]
