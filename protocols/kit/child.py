"""What a step process does: it runs one role, speaking frames over one socket, and nothing else.

It has no identity key, no network of its own where the kernel allows that (`confined`), limits on memory and files, and
no core dumps. A crash here is a failed step.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from parley.protocols.kit.pipework import WINDOW, Kind, Shelf, Window, read_frame, write_frame, write_map
from parley.protocols.kit.protocol import Cast, StepInputs
from parley.protocols.kit.session import Context, Session
from parley.protocols.kit.stored import Stored
from parley.protocols.registry import load, names
from parley.wire import codec
from parley.wire.buffers import keep_little
from parley.wire.canonical import canonical
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError


def bound(memory_mb: int, files: int = 0) -> None:
    """Limit the memory and the open files of this process, which was given so many files of a dataset."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256 + files, 256 + files))
    if memory_mb:
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))


def warm() -> None:
    """Load what steps need, while there is no step yet."""
    for name in names():
        load(name)
    _arrow_without_pandas()


class SocketCarrier:
    """The child's carrier: one socket to its daemon, one bounded queue per peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shelf: Shelf, window: int) -> None:
        self._reader, self.writer, self.shelf = reader, writer, shelf
        self._shelving = asyncio.Lock()
        self._queues: dict[str, asyncio.Queue[Envelope]] = {}
        self._kept: dict[int, asyncio.Event] = {}
        self.window = Window(window)

    async def send(self, envelope: Envelope) -> None:
        await self.window.take(envelope.address.receiver, len(envelope.body))
        await write_frame(self.writer, Kind.DATA, envelope.encode())

    async def recv(self, peer: str) -> Envelope:
        envelope = await self._queue(peer).get()
        await write_map(self.writer, Kind.CREDIT, {"peer": peer, "bytes": len(envelope.body)})
        return envelope

    def _queue(self, peer: str) -> asyncio.Queue[Envelope]:
        return self._queues.setdefault(peer, asyncio.Queue())  # bounded by the daemon's credit, in bytes

    async def checkpoint(self, boundary: int, state: dict[str, Any]) -> None:
        """Hand the state to the daemon and wait until it is durable."""
        encoded = codec.encode(state)
        async with self._shelving:
            self._kept[boundary] = asyncio.Event()
            fields = {"boundary": boundary, "state": self.shelf.put(encoded)}
            await write_map(self.writer, Kind.CHECKPOINT, fields)
            await asyncio.wait_for(self._kept[boundary].wait(), 120)

    async def pump(self) -> None:
        """Read frames until the daemon hangs up."""
        while (frame := await read_frame(self._reader)) is not None:
            kind, body = frame
            if kind is Kind.DATA:
                envelope = Envelope.decode(body)
                await self._queue(envelope.address.sender).put(envelope)
            elif kind is Kind.KEPT:
                self._kept[int(codec.decode(body)["boundary"])].set()
            elif kind is Kind.SENT:
                sent = codec.decode(body)
                await self.window.give(sent["peer"], int(sent["bytes"]))


async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fds: list[int], isolated: bool) -> None:
    """One step, from START to DONE or FAILED; `fds` are the open files that came with it."""
    first = await asyncio.wait_for(read_frame(reader), 60)
    if first is None or first[0] is not Kind.START:
        return
    start = here(codec.decode(first[1]), fds)
    bound(int(start["memory_mb"]), len(start["stored"]["files"]) if start["stored"] else 0)
    stored = _stored(start["stored"])
    carrier = SocketCarrier(reader, writer, Shelf(int(start["shelf_fd"])), WINDOW if stored is None else stored.window)
    given = codec.decode(carrier.shelf.take(start["given"]))
    pump = asyncio.ensure_future(carrier.pump())
    with ThreadPoolExecutor(max(1, int(start["threads"])), "parley-compute") as pool:
        role = asyncio.ensure_future(_role(start, given, stored, carrier, pool))
        await asyncio.wait({pump, role}, return_when=asyncio.FIRST_COMPLETED)
        if not role.done():
            role.cancel()
            os._exit(3)  # the daemon is gone; nothing here is worth keeping
        await _report(role, writer, isolated)
    pump.cancel()


def here(start: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """What the daemon says by the numbers that its open files have at this end; ParleyError "malformed"."""
    theirs = [int(fd) for fd in start["fds"]]
    if len(theirs) != len(fds):
        raise ParleyError("malformed", "A step process was given other files than it was told of.")
    ours: dict[Any, int | None] = {None: None, **dict(zip(theirs, fds, strict=True))}
    out = {**start, "shelf_fd": ours[start["shelf_fd"]], "table_fd": ours[start["table_fd"]]}
    if (stored := start["stored"]) is not None:
        files = [ours[fd] for fd in stored["files"]]
        out["stored"] = {**stored, "files": files, "scratch": ours[stored["scratch"]]}
    return out


async def _role(
    start: dict[str, Any],
    given: dict[str, Any],
    stored: Stored | None,
    carrier: SocketCarrier,
    pool: ThreadPoolExecutor,
) -> dict[str, Any]:
    protocol = load(start["protocol"])
    cast = Cast(start["cast"])
    resumed = given["resumed"] and (int(given["resumed"]["boundary"]), codec.decode(given["resumed"]["state"]))
    pending: set[asyncio.Future[None]] = set()

    def progress(done: int, total: int, phase: str) -> None:
        fields = {"done": done, "total": total, "phase": phase}
        task = asyncio.ensure_future(write_map(carrier.writer, Kind.PROGRESS, fields))
        pending.add(task)
        task.add_done_callback(pending.discard)

    context = Context(
        job=start["job"],
        step=start["step"],
        attempt=start["attempt"],
        me=start["me"],
        cast=cast,
        params=protocol.validate(start["params"], cast),
        seed=start["seed"],
        carrier=carrier,
        pool=pool,
        patience=start["patience"],
        resumed=resumed or None,
        on_checkpoint=carrier.checkpoint,
        on_progress=progress,
    )
    inputs = StepInputs(_table(start["table_fd"]), given["needs"], given["cache"], stored)
    outputs = await protocol.jobs[cast.role_of(context.me)](Session(context), inputs)
    if pending:
        await asyncio.wait(pending, timeout=10)
    await asyncio.wait_for(carrier.window.empty(), context.patience)
    left = carrier.shelf.put(codec.encode({"keep": outputs.keep, "cache": outputs.cache}))
    return {"left": left, "result": canonical(outputs.result), "outcome": outputs.outcome}


def _table(fd: int | None) -> Any:
    """The dataset from the shared memory that the daemon filled, without a copy."""
    if fd is None:
        return None
    import pyarrow as pa

    _arrow_without_pandas()
    with pa.memory_map(f"/proc/self/fd/{fd}", "r") as source, pa.ipc.open_stream(source) as reader:
        return reader.read_all()


def _stored(value: Any) -> Stored | None:
    if value is None:
        return None
    _arrow_without_pandas()
    keep_little()
    return Stored.from_dict(value)


class _NoPandas:
    """An import hook for which pandas is not there."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ImportError(name)


def _arrow_without_pandas() -> None:
    """Arrow looks for pandas at its first value, once for each of its two converters: it shall find none.

    Nothing here hands it data frames, and importing pandas takes about as long as starting this process.
    """
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.scalar(None, pa.null())
        pa.scalar(1)
    finally:
        sys.meta_path.remove(_NoPandas)


async def _report(role: asyncio.Future[dict[str, Any]], writer: asyncio.StreamWriter, isolated: bool) -> None:
    failure = role.exception()
    if failure is None:
        await write_map(writer, Kind.DONE, {**role.result(), "isolated": isolated})
        return
    if not isinstance(failure, ParleyError):
        failure = unexpected(failure)
    await write_map(writer, Kind.FAILED, failure.to_dict())


def unexpected(failure: BaseException) -> ParleyError:
    """A failure nobody foresaw, told by type and place only: its text might hold data."""
    code = getattr(failure, "code", "")
    where = failure.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{os.path.basename(where.tb_frame.f_code.co_filename)}:{where.tb_lineno}" if where else "unknown place"
    if isinstance(failure, MemoryError):
        return ParleyError("out_of_memory", "The step needed more memory than its limit.", "Raise step_memory_mb.")
    if code and type(failure).__name__ in ("CryptoError", "DataError"):
        return ParleyError(str(code), str(getattr(failure, "cause", failure)), str(getattr(failure, "hint", "")))
    return ParleyError(
        "step_crashed", f"The step failed with {type(failure).__name__} at {place}.", "This is a defect."
    )


async def serve(sock: socket.socket, fds: list[int], isolated: bool) -> None:
    """Run the step that is told over the socket, and end this process, without taking apart what it had loaded."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 20)
    await run(reader, writer, fds, isolated)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(writer.wait_closed(), 10)
    os._exit(0)
