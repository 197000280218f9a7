"""Step processes before they have a step: started by exec, told nothing yet; and one that is kept ready.

Starting one and loading what every protocol needs takes longer than many a step. A spare does that while nothing runs.
It serves one attempt, as any other, and is thrown away when it has ended, grown old, or was made for other settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Sequence

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "PARLEY_CPU", "OPENBLAS_CORETYPE")
ENTRY = "parley.protocols.confined"
LIFE_S = 3600.0  # how long a process waits for a step at most
FILES, GO = b"f", b"g"  # a handful of open files comes with this byte; all are there
AT_ONCE = 200  # open files that one message carries; Linux takes 253
FRESH_S = LIFE_S - 60  # it would not end by itself while it is being told its step
QUIET_S, BUSY_S = 1.0, 5.0  # a spare is made so long after the last step has ended, or a long one has begun


class StepProcess:
    """A process and the socket to it."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket, threads: int) -> None:
        self.process, self._sock, self._threads = process, sock, threads
        self._begun = time.monotonic()

    @classmethod
    async def start(cls, threads: int, *, warm: bool = False) -> StepProcess:
        """Exec one whose kernels use so many threads; it has no open file but its end of the socket."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", ENTRY, "--fd", str(theirs.fileno())]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *(["--warm"] if warm else []),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={
                    **{k: os.environ[k] for k in KEPT_VARIABLES if k in os.environ},
                    "OPENBLAS_NUM_THREADS": str(threads),  # as many as every other kernel of the step
                },
                cwd="/",
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours, threads)

    def fits(self, threads: int) -> bool:
        """Whether it still waits for a step, and kernels would use so many threads."""
        young = time.monotonic() - self._begun < FRESH_S
        return self.process.returncode is None and young and self._threads == threads

    async def give(self, fds: Sequence[int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Hand over the step's open files, which stay the caller's as well; then it listens for what its part is."""
        self._sock.settimeout(10)
        with contextlib.suppress(ConnectionError):  # it has ended: whoever reads from it hears that
            for at in range(0, len(fds), AT_ONCE):
                socket.send_fds(self._sock, [FILES], list(fds[at : at + AT_ONCE]))
            self._sock.sendall(GO)
        return await asyncio.open_connection(sock=self._sock, limit=1 << 20)

    async def end(self) -> None:
        """End it, though it has no step, and reap it."""
        self._sock.close()
        with contextlib.suppress(ProcessLookupError):
            if self.process.returncode is None:
                self.process.kill()
        await asyncio.wait_for(self.process.wait(), 30)


def given_files(sock: socket.socket) -> list[int] | None:
    """The open files of this process's step, in the daemon's order; None when it is not wanted any more."""
    fds: list[int] = []
    sock.settimeout(LIFE_S)
    while True:
        try:
            said, some, _, _ = socket.recv_fds(sock, 1, AT_ONCE)
        except OSError:
            return None
        if said == FILES:
            fds += some
        else:
            return fds if said == GO else None


class Spare:
    """At most one process that waits; it is made when there is time for it."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._ready: StepProcess | None = None
        self._due: asyncio.TimerHandle | None = None
        self._making: asyncio.Task[None] | None = None

    async def take(self, threads: int) -> StepProcess:
        """The spare if there is one that fits, else a new process."""
        ready, self._ready = self._ready, None
        self.later(BUSY_S, threads)
        if ready is not None and ready.fits(threads):
            return ready
        if ready is not None:
            await ready.end()
        return await StepProcess.start(threads)

    def later(self, seconds: float, threads: int) -> None:
        """Have one made so many seconds from now, and not when it was wanted before."""
        if self._due is not None:
            self._due.cancel()
        if self._wanted:
            self._due = asyncio.get_running_loop().call_later(seconds, self._begin, threads)

    def _begin(self, threads: int) -> None:
        if self._making is None or self._making.done():
            self._making = asyncio.ensure_future(self._make(threads))

    async def _make(self, threads: int) -> None:
        if self._ready is not None and self._ready.fits(threads):
            return
        old, self._ready = self._ready, None
        if old is not None:
            await old.end()
        with contextlib.suppress(OSError):  # the next step starts its own, and says why it cannot
            self._ready = await StepProcess.start(threads, warm=True)

    async def close(self) -> None:
        """No process waits any more, and none is made."""
        self._wanted = False
        if self._due is not None:
            self._due.cancel()
        if self._making is not None:
            await asyncio.wait({self._making}, timeout=30)
        ready, self._ready = self._ready, None
        if ready is not None:
            await ready.end()
