"""Direct routes: a party that listens accepts the pipes that its contract expects, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from parley.party.home import PartyHome
from parley.party.runtime.desk import Desk, log
from parley.party.runtime.link import OPTIONS, own_pair
from parley.party.runtime.pipes import CallEnd
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb
from parley.wire.pb import parley_pb2_grpc as rpc

ACCEPT_S = 60.0
Key = tuple[str, str, int, str]


class ServedEnd:
    """An end that the peer opened here; the handler lives until it is closed."""

    def __init__(self, requests: AsyncIterator[pb.Frame], context: Any) -> None:
        self._requests, self._context = aiter(requests), context
        self.over = asyncio.Event()

    async def write(self, frame: pb.Frame) -> None:
        await self._context.write(frame)

    async def read(self) -> pb.Frame | None:
        return await anext(self._requests, None)

    async def close(self) -> None:
        self.over.set()


class Listener(rpc.PeerServicer):
    """Serves Peer.Pipe; an unexpected pipe is refused, and so is a peer that is not, or no longer, believed here."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._expected: dict[Key, asyncio.Future[ServedEnd]] = {}

    async def accept(self, key: Key) -> ServedEnd:
        """Wait for the peer (key: job, step, attempt, peer) to dial in."""
        future = self._expected.setdefault(key, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(future, ACCEPT_S)
        except TimeoutError:
            raise ParleyError(
                "peer_silent", f"{key[3]} did not dial in.", "Check the direct route, or remove it.", party=key[3],
                retryable=True,
            ) from None  # fmt: skip
        finally:
            self._expected.pop(key, None)

    async def Pipe(self, request_iterator: Any, context: Any) -> None:
        found = context.auth_context().get("x509_pem_cert", [b""])
        given = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
        try:
            peer = tls.party_of(bytes(found[0]))
            key = (given["parley-job"], given["parley-step"], int(given["parley-attempt"]), peer)
        except (ParleyError, KeyError, ValueError):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "bad_pipe")
            return
        if await self._desk.do(self._desk.home.peers.believed, peer) is None:
            log.warning("direct_refused peer=%s code=unpinned_peer", peer)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "unpinned_peer")
            return
        for _ in range(100):  # the peer may be a moment earlier than our own Start
            if key in self._expected and not self._expected[key].done():
                break
            await asyncio.sleep(0.1)
        else:
            log.warning("direct_refused peer=%s", peer)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "unexpected_pipe")
            return
        end = ServedEnd(request_iterator, context)
        self._expected[key].set_result(end)
        await asyncio.wait_for(end.over.wait(), 14 * 86400)


@contextlib.asynccontextmanager
async def listening(home: PartyHome, listener: Listener) -> AsyncIterator[None]:
    """Serve on the configured address, if there is one."""
    if home.config.listen is None:
        yield
        return
    server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    rpc.add_PeerServicer_to_server(listener, server)  # type: ignore[no-untyped-call]  # generated code has no types
    try:
        server.add_secure_port(home.config.listen, tls.renewed_server_credentials(home.tls, home.authority))
    except RuntimeError:
        raise ParleyError(
            "port_taken", f"{home.config.listen} is in use.", "Choose another `listen` in config.json."
        ) from None
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=2)


def dial(home: PartyHome, peer: str) -> grpc.aio.Channel:
    """A channel to a peer that listens; its certificate must be issued to that peer."""
    credentials = tls.channel_credentials(own_pair(home), home.authority)
    options = [*OPTIONS, ("grpc.ssl_target_name_override", tls.party_host(peer))]
    return grpc.aio.secure_channel(home.config.routes[peer], credentials, options=options)


def opened(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], peer: str) -> CallEnd:
    return CallEnd(rpc.PeerStub(channel).Pipe(metadata=metadata), peer)  # type: ignore[no-untyped-call]  # generated code has no types
