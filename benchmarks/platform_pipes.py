"""A large stream from party to party: through the coordinator's relay, on a direct route, over a bare TLS socket.

Every end is a process of its own, as in production; the relay is in this one. What is measured starts at the first
envelope and ends when the receiver has said that it has everything.

python benchmarks/platform_pipes.py daemon HOME PEER    a party's daemon whose step streams (started from here)
python benchmarks/platform_pipes.py bare FOLDER PORT    the receiver of the bare socket (started from here)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from platform_world import World, running, seconds_of_job
from rows import OUT, Row

from parley.party.home import PartyHome
from parley.party.runtime import daemon
from parley.party.runtime.pipes import CHUNK, Pipe
from parley.party.runtime.steps import Attempt, Steps
from parley.protocols.kit.protocol import StepOutputs
from parley.wire import tls
from parley.wire.envelope import Address, Envelope
from parley.wire.errors import ParleyError

TOTAL, BODY, REPEAT = 256 << 20, 8 << 20, 2
SENDER, RECEIVER = "shop", "bank"
START_S = 60.0


def envelope(sender: str, receiver: str, seq: int, body: bytes) -> Envelope:
    return Envelope(Address("bench", 1, "one", (), "bench.bytes/1", sender, receiver, seq), body)


async def send(pipe: Pipe) -> float:
    """The stream some times over; seconds of the fastest."""
    body, best = os.urandom(BODY), float("inf")
    for _ in range(REPEAT):
        begun = time.perf_counter()
        for seq in range(TOTAL // BODY):
            await pipe.send(envelope(SENDER, RECEIVER, seq, body))
        if await pipe.recv() is None:
            raise SystemExit("the receiver ended early")
        best = min(best, time.perf_counter() - begun)
    return best


async def receive(pipe: Pipe) -> None:
    for _ in range(REPEAT):
        for _ in range(TOTAL // BODY):
            got = await pipe.recv()
            if got is None or len(got.body) != BODY:
                raise SystemExit("the stream is not whole")
        await pipe.send(envelope(RECEIVER, SENDER, 0, b""))
    with contextlib.suppress(ParleyError):  # the sender has hung up already
        await pipe.recv()


def party(path: Path, peer: str) -> None:
    """A real daemon, with a step that streams where a step process would be asked."""

    async def child(self: Steps, a: Attempt) -> StepOutputs:
        if path.name == SENDER:
            keep(path, await send(a.pipes[peer]))
        else:
            await receive(a.pipes[peer])
        return StepOutputs()

    Steps._child = child  # type: ignore[method-assign]  # this process measures and does nothing else
    asyncio.run(daemon.serve(PartyHome.open(path)))


def keep(home: Path, seconds: float) -> None:
    (home / "took").write_text(str(seconds), encoding="ascii")


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[Any]]:
    """This file in another process, ended with the block."""
    with subprocess.Popen([sys.executable, "-P", __file__, *arguments], stdin=subprocess.DEVNULL) as started:
        try:
            yield started
        finally:
            started.terminate()
            started.wait(START_S)


class Apart:
    """A party's daemon in a process of its own, in the place of the world's."""

    def __init__(self, home: PartyHome, peer: str) -> None:
        self._arguments, self._stack = ("daemon", str(home.path), peer), contextlib.ExitStack()

    async def start(self) -> None:
        self._stack.enter_context(process(*self._arguments))

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)


async def platform(folder: Path, *, direct: bool) -> float:
    """MB/s between two daemons."""
    world = World(folder)
    if direct:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{s.getsockname()[1]}"
        world.homes[RECEIVER].config.listen, world.homes[RECEIVER].config.accepts_from = address, [SENDER]
        world.homes[SENDER].config.routes = {RECEIVER: address}
    for home in world.homes.values():
        home.save_config()
    pair = [Apart(world.homes[me], peer) for me, peer in ((SENDER, RECEIVER), (RECEIVER, SENDER))]
    world.daemons = pair  # type: ignore[assignment]  # all the world asks is start and stop
    async with running(world):
        await seconds_of_job(world)
    return TOTAL / 1e6 / float((folder / SENDER / "took").read_text(encoding="ascii"))


# ---------------------------------------------------------------- the yardstick


def context(folder: Path, side: ssl.Purpose) -> ssl.SSLContext:
    """Mutual TLS 1.3 with one certificate for either side."""
    made = ssl.create_default_context(side, cafile=str(folder / "ca.pem"))
    made.minimum_version, made.verify_mode = ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED
    made.load_cert_chain(folder / "pair.pem")
    return made


def bare_receiver(folder: Path, port: int) -> None:
    buffer = memoryview(bytearray(CHUNK))
    with socket.create_server(("127.0.0.1", port)) as server:
        plain, _ = server.accept()
        with context(folder, ssl.Purpose.CLIENT_AUTH).wrap_socket(plain, server_side=True) as s:
            for _ in range(REPEAT):
                have = 0
                while have < TOTAL:
                    n = s.recv_into(buffer)
                    if n == 0:
                        raise SystemExit("the stream is not whole")
                    have += n
                s.sendall(b"k")
            s.recv(1)


def bare(folder: Path) -> tuple[float, str]:
    """MB/s of Python's ssl over loopback, and its cipher."""
    authority, key = tls.new_authority("bench"), tls.new_key()
    certificate = tls.issue_server(authority, tls.request(key, "bench"), ["127.0.0.1"])
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "pair.pem").write_bytes(key + certificate)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    data, best = os.urandom(CHUNK), float("inf")
    with (
        process("bare", str(folder), str(port)),
        dialled(port) as plain,
        context(folder, ssl.Purpose.SERVER_AUTH).wrap_socket(plain, server_hostname="127.0.0.1") as s,
    ):
        for _ in range(REPEAT):
            begun = time.perf_counter()
            for _ in range(TOTAL // CHUNK):
                s.sendall(data)
            if s.recv(1) != b"k":
                raise SystemExit("the receiver ended early")
            best = min(best, time.perf_counter() - begun)
        cipher = (s.cipher() or ("?",))[0]
    return TOTAL / 1e6 / best, cipher


def dialled(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    end = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=START_S)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def pipe_rows() -> list[Row]:
    """MB/s of payload, relay and direct route, against the bare socket."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        before, cipher = bare(Path(folder))
        relayed = asyncio.run(platform(Path(folder) / "relay", direct=False))
        between, _ = bare(Path(folder))
        direct = asyncio.run(platform(Path(folder) / "direct", direct=True))
    yardstick = max(before, between)
    about = {"bytes": TOTAL, "envelope_bytes": BODY, "frame_bytes": CHUNK, "gate_and_ledger": False}
    about["yardstick"] = f"Python ssl, one mutual TLS 1.3 connection, loopback, {CHUNK >> 20} MiB chunks, {cipher}"
    return [
        Row("stream through the relay", relayed, "MB/s", yardstick, "higher", {**about, "tls_hops": 2, "processes": 3}),
        Row("stream on a direct route", direct, "MB/s", yardstick, "higher", {**about, "tls_hops": 1, "processes": 2}),
    ]


if __name__ == "__main__":
    if sys.argv[1] == "daemon":
        party(Path(sys.argv[2]), sys.argv[3])
    else:
        bare_receiver(Path(sys.argv[2]), int(sys.argv[3]))
