"""A daemon in the background: started by exec, known by a pid file, stopped by SIGTERM with a deadline.

One way for a party's and a coordinator's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from parley.party.files import write_atomic
from parley.wire.errors import ParleyError

START_S = 40.0
STOP_S = 20.0


def pid_file(home: Path, name: str) -> Path:
    return home / f"{name}.pid"


def running(home: Path, name: str) -> int | None:
    """The daemon's process id, None when it does not run (a stale pid file counts as that)."""
    try:
        pid = int(pid_file(home, name).read_text(encoding="ascii"))
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"parley" not in command.read_bytes():
            return None  # the number went to somebody else's process
    except (OSError, ValueError):
        return None
    return pid


def spawn(home: Path, name: str, arguments: list[str]) -> int:
    """Start `parley ARGUMENTS` in a session of its own, its output in the home's log folder; returns its pid."""
    if (pid := running(home, name)) is not None:
        raise _already(name, pid)
    logs = home / "log"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (logs / f"{name}.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "parley.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=True,
        )
    return process.pid


def until(ready: Callable[[], bool], pid: int, home: Path, name: str, seconds: float = START_S) -> bool:
    """Wait until it is ready; False when the time is up and it runs on.

    ParleyError "did_not_start" with its last words when it has ended.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _ended(pid):
            words = (home / "log" / f"{name}.out").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            said = words[-1] if words else "it said nothing"
            raise ParleyError("did_not_start", f"The {name} ended at once: {said}", f"Read {home / 'log'}.")
        if ready():
            return True
        time.sleep(0.1)
    return False


@contextmanager
def claimed(home: Path, name: str) -> Iterator[None]:
    """Hold the pid file while serving in the foreground."""
    if (pid := running(home, name)) is not None and pid != os.getpid():
        raise _already(name, pid)
    path = pid_file(home, name)
    write_atomic(path, str(os.getpid()).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def stop(home: Path, name: str, seconds: float = STOP_S) -> bool:
    """SIGTERM, then SIGKILL after `seconds`; whether anything was running."""
    pid = running(home, name)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _ended(pid):
            pid_file(home, name).unlink(missing_ok=True)
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pid_file(home, name).unlink(missing_ok=True)
    return True


def _ended(pid: int) -> bool:
    try:
        done, _ = os.waitpid(pid, os.WNOHANG)  # our own child, when we started it
        if done:
            return True
    except ChildProcessError:
        pass  # somebody else's child: the signal below tells
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return state.exists() and state.read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    except OSError:  # it went, at the latest between the two
        return True


def _already(name: str, pid: int) -> ParleyError:
    return ParleyError("already_running", f"The {name} already runs (process {pid}).", "Stop it first.")
