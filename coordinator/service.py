"""One coordinator: `init` makes its folder, `serve` runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley import __version__
from parley.coordinator.api.app import Site, create_app
from parley.coordinator.drivers.control import Control
from parley.coordinator.drivers.hub import Hub, Timing, log, monotonic
from parley.coordinator.drivers.relay import Relay
from parley.coordinator.drivers.scheduler import Scheduler
from parley.coordinator.lifecycle.link import Link, LinkState
from parley.coordinator.store import people, schedule
from parley.coordinator.store.database import Database
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2_grpc as rpc

CONFIG = "config.json"
MAX_MESSAGE = 8 << 20
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.http2.max_ping_strikes", 0),  # a party's pings go on while its pipes are silent
]


class Config(BaseModel):
    """config.json. `listen` is where the sockets are bound, `host` what parties and people dial."""

    model_config = ConfigDict(extra="forbid")
    name: str = "coordinator"
    host: str = "127.0.0.1"
    listen: str = "127.0.0.1"
    rest_port: int = Field(default=8440, ge=1, le=65535)
    grpc_port: int = Field(default=8441, ge=1, le=65535)
    database: str = ""
    heartbeat: float = 3.0
    lease: float = 15.0
    grace: float = 10.0

    def rest(self) -> str:
        return f"https://{self.host}:{self.rest_port}"

    def grpc(self) -> str:
        return f"{self.host}:{self.grpc_port}"


def _secret(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def init(
    home: Path,
    host: str = "127.0.0.1",
    rest_port: int = 8443,
    grpc_port: int = 8444,
    *,
    database: str | None = None,
    name: str = "coordinator",
    listen: str | None = None,
) -> str:
    """Make keys, certificates and database in `home`; returns the first admin token, of which only a hash is kept.

    `host` is what people and parties dial, `listen` where the sockets are bound (the same when None).
    """
    if (home / CONFIG).exists():
        raise ParleyError("exists", f"{home} holds a coordinator already.", "Start it, or choose another folder.")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    url = database or f"sqlite:///{(home / 'coordinator.db').resolve()}"
    config = Config(name=name, host=host, listen=listen or host, rest_port=rest_port, grpc_port=grpc_port, database=url)
    authority, key = tls.new_authority(name), tls.new_key()
    hosts = list(dict.fromkeys([host, "localhost", "127.0.0.1"]))
    _secret(home / "ca.key", authority.key)
    (home / "ca.pem").write_bytes(authority.certificate)
    _secret(home / "server.key", key)
    (home / "server.pem").write_bytes(tls.issue_server(authority, tls.request(key, host), hosts, days=825))
    store = Database(url)
    store.migrate()
    token = people.new_bearer(store, "admin", "admin")
    store.close()
    _secret(home / CONFIG, config.model_dump_json(indent=1).encode() + b"\n")
    return token


def addresses(home: Path) -> dict[str, str]:
    """Where people (`rest`) and parties (`grpc`) reach it."""
    config = load(home)
    return {"rest": config.rest(), "grpc": config.grpc()}


def authority(home: Path) -> str:
    """Its certificate authority (PEM)."""
    return (home / "ca.pem").read_text()


def load(home: Path) -> Config:
    try:
        return Config.model_validate_json((home / CONFIG).read_text())
    except FileNotFoundError:
        hint = "`parley coordinator init` makes one."
        raise ParleyError("no_coordinator", f"{home} holds no coordinator.", hint) from None
    except ValidationError:
        raise ParleyError("bad_config", f"{home / CONFIG} cannot be read.", "Restore it from a copy.") from None


async def serve(home: Path, stop: asyncio.Event | None = None) -> None:
    """Run REST, gRPC and the scheduler until SIGTERM, SIGINT or `stop`; all state is in the database."""
    config = load(home)
    configure_log()
    stop = stop or asyncio.Event()
    _on_signals(stop)
    database = Database(config.database)
    await asyncio.to_thread(database.migrate)
    hub = Hub(database, config.name, __version__, Timing(config.heartbeat, config.lease, config.grace))
    for party in await hub.store(schedule.holders, database):
        hub.links[party] = Link(LinkState.DOWN, monotonic(), monotonic())
    try:
        await _run(home, config, hub, stop)
    finally:
        hub.close()
        database.close()
        log.info("stopped")


async def _run(home: Path, config: Config, hub: Hub, stop: asyncio.Event) -> None:
    ca = tls.KeyPair((home / "ca.key").read_bytes(), (home / "ca.pem").read_bytes())
    control, relay = Control(hub, ca), Relay(hub)
    site = Site(hub, ca, config.rest(), config.grpc())
    async with _grpc(home, config, control, relay), _rest(home, config, site) as server:
        log.info("started rest=%s grpc=%s", config.rest(), config.grpc())
        background = [asyncio.ensure_future(w) for w in (Scheduler(hub).run(), control.watch(), server)]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({stopping, *background}, return_when=asyncio.FIRST_COMPLETED)
            for task in background:
                if task.done() and not stop.is_set():
                    task.result()
        finally:
            for task in (stopping, *background[:2]):
                task.cancel()


class _Servicer(rpc.CoordinatorServicer):
    def __init__(self, control: Control, relay: Relay) -> None:
        self._control, self._relay = control, relay

    async def Connect(self, request_iterator: Any, context: Any) -> None:
        await self._control.connect(request_iterator, context)

    async def Pipe(self, request_iterator: Any, context: Any) -> None:
        await self._relay.pipe(request_iterator, context)


@contextlib.asynccontextmanager
async def _grpc(home: Path, config: Config, control: Control, relay: Relay) -> AsyncIterator[None]:
    server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    rpc.add_CoordinatorServicer_to_server(_Servicer(control, relay), server)  # type: ignore[no-untyped-call]  # generated code has no types
    pair = tls.KeyPair((home / "server.key").read_bytes(), (home / "server.pem").read_bytes())
    credentials = tls.server_credentials(pair, (home / "ca.pem").read_bytes())
    try:
        server.add_secure_port(f"{config.listen}:{config.grpc_port}", credentials)
    except RuntimeError:
        raise _port_taken(config.grpc_port) from None
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=2)


@contextlib.asynccontextmanager
async def _rest(home: Path, config: Config, site: Site) -> AsyncIterator[Any]:
    sock = socket.socket(socket.AF_INET6 if ":" in config.listen else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.listen, config.rest_port))
    except OSError:
        sock.close()
        raise _port_taken(config.rest_port) from None
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(site),
            ssl_keyfile=home / "server.key",
            ssl_certfile=home / "server.pem",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=64 << 10,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # older releases install their own
    try:
        yield server._serve([sock])
    finally:
        server.should_exit = True
        await asyncio.sleep(0.3)
        sock.close()


def _port_taken(port: int) -> ParleyError:
    return ParleyError("port_taken", f"Port {port} is in use.", "Stop what uses it, or change the port in config.json.")


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)


def configure_log(stream: Any = None) -> None:
    """One key=value line per event on stderr."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s level=%(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
