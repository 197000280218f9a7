"""The daemon's side of a step process: starts it by exec, feeds it, hears it, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from parley.protocols.kit.pipework import WINDOW, Kind, Shelf, Window, read_frame, write_frame, write_map
from parley.protocols.kit.protocol import StepInputs, StepOutputs
from parley.protocols.kit.spare import Spare, StepProcess
from parley.protocols.kit.stored import Stored
from parley.wire import codec
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError
from parley.wire.result import read_result

OnData = Callable[[Envelope], Awaitable[None]]
OnProgress = Callable[[int, int, str], None]
OnCheckpoint = Callable[[int, bytes], Awaitable[None]]


@dataclass
class ChildSpec:
    """What a step process is told: one party's part in one attempt of one step."""

    protocol: str
    job: str
    step: str
    attempt: int
    me: str
    cast: dict[str, Any]
    params: dict[str, Any]
    seed: bytes
    inputs: StepInputs = field(repr=False, default_factory=StepInputs)
    patience: float = 600.0
    resumed: tuple[int, bytes] | None = field(repr=False, default=None)
    memory_mb: int = 0
    threads: int = 2


class ChildHost:
    """One step process. Everything it says is a frame on its socket; its standard output is closed."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        shelf: Shelf,
        window: int = WINDOW,
    ) -> None:
        self._process, self._reader, self._writer, self._shelf = process, reader, writer, shelf
        self._window = Window(window)
        self._outbox: dict[str, asyncio.Queue[Envelope]] = {}
        self._senders: list[asyncio.Future[None]] = []
        self._killed = ""
        self.isolated = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def spawn(cls, spec: ChildSpec, spare: Spare | None = None) -> ChildHost:
        """Take a process and hand it its part; the dataset and what is large travel in shared memory."""
        memory = await asyncio.to_thread(shared_table, spec.inputs.table)
        shelf = Shelf(os.memfd_create("parley-shelf"))
        stored, held = (None, []) if spec.inputs.stored is None else spec.inputs.stored.opened()
        fds = [shelf.fd, *held] + ([memory] if memory is not None else [])
        try:
            begun = await (StepProcess.start(spec.threads) if spare is None else spare.take(spec.threads))
            reader, writer = await begun.give(fds)
        except OSError:
            os.close(shelf.fd)
            raise
        finally:
            for fd in fds[1:]:
                os.close(fd)
        host = cls(begun.process, reader, writer, shelf, WINDOW if stored is None else stored.window)
        given = await asyncio.to_thread(shelf.put, _given(spec))
        start = {**_start(spec, memory, stored), "fds": fds, "shelf_fd": shelf.fd, "given": given}
        with contextlib.suppress(ConnectionError):  # it has ended, which `run` says
            await write_map(writer, Kind.START, start)
        return host

    async def deliver(self, envelope: Envelope) -> None:
        """Give the child an envelope; waits while too many bytes of this peer lie unread there."""
        await self._window.take(envelope.address.sender, len(envelope.body))
        await write_frame(self._writer, Kind.DATA, envelope.encode())

    async def run(self, on_data: OnData, on_progress: OnProgress, on_checkpoint: OnCheckpoint) -> StepOutputs:
        """Serve the child until it is done; ParleyError with its reason, or "child_died"."""
        reading = asyncio.ensure_future(self._read(on_data, on_progress, on_checkpoint))
        tasks: set[asyncio.Future[Any]] = {reading}
        try:
            while not reading.done():
                await asyncio.wait(tasks.union(self._senders), timeout=1, return_when=asyncio.FIRST_COMPLETED)
                for sender in self._senders:
                    if sender.done():
                        sender.result()
            return reading.result()
        finally:
            for task in tasks.union(self._senders):
                task.cancel()
            await self.close()

    async def _read(self, on_data: OnData, on_progress: OnProgress, on_checkpoint: OnCheckpoint) -> StepOutputs:
        while (frame := await read_frame(self._reader)) is not None:
            kind, body = frame
            if kind is Kind.DATA:
                self._queue(Envelope.decode(body), on_data)
                continue
            fields = codec.decode(body)
            if kind is Kind.DONE:
                self.isolated = bool(fields["isolated"])
                left = codec.decode(await asyncio.to_thread(self._shelf.take, fields["left"]))
                return StepOutputs(left["keep"], read_result(fields["result"]), fields["outcome"], left["cache"])
            if kind is Kind.FAILED:
                raise ParleyError.from_dict(fields)
            await self._notice(kind, fields, on_progress, on_checkpoint)
        raise await self._died()

    def _queue(self, envelope: Envelope, on_data: OnData) -> None:
        """Hand over to the peer's own sender: a slow peer holds up nobody else; the child's credit bounds it."""
        peer = envelope.address.receiver
        if peer not in self._outbox:
            self._outbox[peer] = asyncio.Queue()
            self._senders.append(asyncio.ensure_future(self._send(peer, on_data)))
        self._outbox[peer].put_nowait(envelope)

    async def _send(self, peer: str, on_data: OnData) -> None:
        while True:
            envelope = await self._outbox[peer].get()
            await on_data(envelope)
            await write_map(self._writer, Kind.SENT, {"peer": peer, "bytes": len(envelope.body)})

    async def _notice(
        self, kind: Kind, fields: dict[str, Any], on_progress: OnProgress, on_checkpoint: OnCheckpoint
    ) -> None:
        if kind is Kind.CREDIT:
            await self._window.give(str(fields["peer"]), int(fields["bytes"]))
        elif kind is Kind.PROGRESS:
            on_progress(int(fields["done"]), int(fields["total"]), str(fields["phase"])[:80])
        elif kind is Kind.CHECKPOINT:
            state = await asyncio.to_thread(self._shelf.take, fields["state"])
            await on_checkpoint(int(fields["boundary"]), state)
            await write_map(self._writer, Kind.KEPT, {"boundary": int(fields["boundary"])})

    async def _died(self) -> ParleyError:
        code = await asyncio.wait_for(self._process.wait(), 30)
        if self._killed:
            return ParleyError("cancelled", self._killed, retryable=True)
        return ParleyError(
            "child_died",
            f"The step's process ended with status {code} before it was done.",
            "A negative status is a signal: -9 means killed, often for memory.",
            retryable=True,
        )

    def kill(self, reason: str = "The step was cancelled.") -> None:
        """End the process now; `run` then raises "cancelled" with the reason."""
        self._killed = reason
        self._kill()

    def _kill(self) -> None:
        # It may have ended by itself since it was last looked at, and before its end was heard of.
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                self._process.kill()

    async def close(self) -> None:
        """End the process if it still runs, and reap it."""
        self._writer.close()
        if self._shelf.fd >= 0:
            os.close(self._shelf.fd)
            self._shelf.fd = -1
        if self._process.returncode is None:
            try:
                await asyncio.wait_for(self._process.wait(), 2)
            except TimeoutError:
                self._kill()
                await asyncio.wait_for(self._process.wait(), 30)


def shared_table(table: Any) -> int | None:
    """An anonymous memory file with the table as an Arrow stream; the caller closes it."""
    if table is None:
        return None
    import pyarrow as pa

    fd = os.memfd_create("parley-table")
    with os.fdopen(os.dup(fd), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return fd


def _given(spec: ChildSpec) -> bytes:
    """What earlier steps and an earlier attempt left, encoded."""
    state = None if spec.resumed is None else {"boundary": spec.resumed[0], "state": spec.resumed[1]}
    return codec.encode({"needs": spec.inputs.needs, "cache": spec.inputs.cache, "resumed": state})


def _start(spec: ChildSpec, memory: int | None, stored: Stored | None) -> dict[str, Any]:
    return {
        "protocol": spec.protocol,
        "job": spec.job,
        "step": spec.step,
        "attempt": spec.attempt,
        "me": spec.me,
        "cast": {role: [members] if isinstance(members, str) else list(members) for role, members in spec.cast.items()},
        "params": spec.params,
        "seed": spec.seed,
        "patience": spec.patience,
        "memory_mb": spec.memory_mb,
        "threads": spec.threads,
        "table_fd": memory,
        "stored": None if stored is None else stored.to_dict(),
    }
