"""The daemon as a process: serve in the foreground, start in the background, stop, status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import signal
from pathlib import Path
from typing import Any

from parley.party import process
from parley.party.files import write_atomic
from parley.party.home import PartyHome
from parley.party.runtime import direct
from parley.party.runtime.desk import Desk, log
from parley.party.runtime.jobs import Jobs
from parley.party.runtime.link import Link
from parley.party.runtime.steps import Steps
from parley.wire.errors import ParleyError

NAME, STATUS = "party", "status.json"
START_S = 60.0


async def serve(home: PartyHome) -> None:
    """Run until SIGTERM or SIGINT. ParleyError "not_joined" or "already_running"."""
    _ = home.tls()  # says what is missing before anything starts
    with process.claimed(home.path, NAME):
        await _serve(home)


async def _serve(home: PartyHome) -> None:
    _log_to(home.path / "log")
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
        (home.path / STATUS).unlink(missing_ok=True)
        log.info("stopped party=%s", home.name)


async def _run(desk: Desk, stop: asyncio.Event) -> None:
    listener = direct.Listener(desk)
    steps = Steps(desk, listener)
    jobs = Jobs(desk, steps)
    link = Link(desk, jobs.handle, steps.running)
    steps.link = link
    steps.ready()
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


def spawn_detached(home: PartyHome) -> int:
    """Start `parley party start` in the background; returns its process id once it is connected."""
    _ = home.tls()
    pid = process.spawn(home.path, NAME, ["party", "start", "--home", str(home.path)])
    if process.until(lambda: status(home)["state"] == "connected", pid, home.path, NAME, START_S):
        return pid
    problem = status(home).get("problem") or {}
    cause = problem.get("cause", "The coordinator does not answer.")
    raise ParleyError("not_connected", f"The daemon runs but is not connected: {cause}", "`parley doctor` says why.")


def stop(home: PartyHome) -> bool:
    """SIGTERM, then SIGKILL after a while; whether anything was running."""
    return process.stop(home.path, NAME)


def status(home: PartyHome) -> dict[str, Any]:
    """`state`: "stopped", "connecting" or "connected"; with pid, since, running steps, and the last problem."""
    pid = process.running(home.path, NAME)
    if pid is None:
        return {"state": "stopped", "pid": None}
    try:
        facts = dict(json.loads((home.path / STATUS).read_text()))
    except (OSError, ValueError):
        facts = {"state": "connecting"}
    return {**facts, "pid": pid}
