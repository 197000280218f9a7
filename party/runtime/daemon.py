"""The daemon as a process: serve in the foreground, start in the background, stop, status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from parley.party.files import write_atomic
from parley.party.home import PartyHome
from parley.party.runtime import direct
from parley.party.runtime.desk import Desk, log
from parley.party.runtime.jobs import Jobs
from parley.party.runtime.link import Link
from parley.party.runtime.steps import Steps
from parley.wire.errors import ParleyError

STATUS, PID = "status.json", "party.pid"
START_S, STOP_S = 60.0, 20.0


async def serve(home: PartyHome) -> None:
    """Run until SIGTERM or SIGINT. ParleyError "not_joined" or "already_running"."""
    _ = home.tls()  # says what is missing before anything starts
    if (other := _pid(home.path)) is not None and other != os.getpid():
        raise ParleyError(
            "already_running", f"The daemon of {home.name} already runs (process {other}).", "Stop it first."
        )
    _log_to(home.path / "log")
    write_atomic(home.path / PID, str(os.getpid()).encode())
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    desk = Desk(home)
    left_open = await desk.do(home.ledger.recover)
    log.info("started party=%s ledger_lines_left_open=%d", home.name, left_open)
    try:
        await _run(desk, stop)
    finally:
        await desk.do(home.ledger.anchor)
        desk.close()
        home.close()
        for name in (PID, STATUS):
            (home.path / name).unlink(missing_ok=True)
        log.info("stopped party=%s", home.name)


async def _run(desk: Desk, stop: asyncio.Event) -> None:
    listener = direct.Listener(desk)
    steps = Steps(desk, listener)
    jobs = Jobs(desk, steps)
    link = Link(desk, jobs.handle, steps.running)
    steps.link = link
    link.on_change = lambda: _write_status(desk.home, link, steps)
    async with direct.listening(desk.home, listener):
        linking = asyncio.ensure_future(link.run())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({linking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if linking.done():
                linking.result()
        finally:
            await steps.stop()
            await jobs.stop()
            for task in (linking, stopping):
                task.cancel()
            await asyncio.wait({linking, stopping}, timeout=5)


def _write_status(home: PartyHome, link: Link, steps: Steps) -> None:
    facts = {
        "state": "connected" if link.connected_since is not None else "connecting",
        "since": link.connected_since,
        "running": [f"{r.job}/{r.step}#{r.attempt}" for r in steps.running()],
        "problem": link.problem.to_dict() if link.problem else None,
        "renewal": link.renewal.problem.to_dict() if link.renewal.problem else None,
    }
    with contextlib.suppress(OSError):  # a full disk must not end the link
        write_atomic(home.path / STATUS, json.dumps(facts).encode())


def _log_to(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(folder / "party.log", maxBytes=4 << 20, backupCount=4)
    handler.setFormatter(logging.Formatter("%(asctime)s level=%(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _pid(home: Path) -> int | None:
    """The running daemon's process id; a stale file counts as none."""
    try:
        pid = int((home / PID).read_text())
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"parley" not in command.read_bytes():
            return None
    except (OSError, ValueError):
        return None
    return pid


def spawn_detached(home: PartyHome) -> int:
    """Start `parley party start` in the background; returns its process id once it is connected."""
    _ = home.tls()
    if (pid := _pid(home.path)) is not None:
        raise ParleyError(
            "already_running", f"The daemon of {home.name} already runs (process {pid}).", "Stop it first."
        )
    folder = home.path / "log"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "party.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "parley.cli", "party", "start", "--home", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            words = (folder / "party.out").read_text(errors="replace").strip().splitlines()
            raise ParleyError("did_not_start", f"The daemon ended at once: {words[-1] if words else 'it said nothing'}")
        if status(home)["state"] == "connected":
            return process.pid
        time.sleep(0.1)
    problem = status(home).get("problem") or {}
    cause = problem.get("cause", "The coordinator does not answer.")
    raise ParleyError("not_connected", f"The daemon runs but is not connected: {cause}", "`parley doctor` says why.")


def _already(name: str, pid: int) -> ParleyError:
    return ParleyError("already_running", f"The daemon of {name} already runs (process {pid}).", "Stop it first.")


def stop(home: PartyHome) -> bool:
    """SIGTERM, then SIGKILL after a while; whether anything was running."""
    pid = _pid(home.path)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_S
    while time.monotonic() < end:
        if _pid(home.path) is None or _zombie(pid):
            return True
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return True


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return True


def status(home: PartyHome) -> dict[str, Any]:
    """`state`: "stopped", "connecting" or "connected"; with pid, since, running steps, and the last problem."""
    pid = _pid(home.path)
    if pid is None:
        return {"state": "stopped", "pid": None}
    try:
        facts = dict(json.loads((home.path / STATUS).read_text()))
    except (OSError, ValueError):
        facts = {"state": "connecting"}
    return {**facts, "pid": pid}
