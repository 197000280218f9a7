"""A coordinator, its parties and a person on this machine, made by the very commands operators type.

Each has its own folder, keys and database, and each daemon is a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parley.demo.tables import PARTIES
from parley.wire.errors import ParleyError

COMMAND_S = 90.0
Say = Callable[[str], None]


@dataclass
class Cluster:
    """Where everything lies, and the daemons' process ids by name; `parties` all hold a dataset of the name `loans`."""

    root: Path
    say: Say
    env: dict[str, str] | None = None
    parties: tuple[str, ...] = PARTIES
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # party -> keys of its config.json
    pids: dict[str, int] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)

    def home(self, who: str) -> Path:
        return self.root / who

    def parley(self, *arguments: str, who: str = "", show: bool = True) -> Any:
        """Run one command for `who` (its --home is added) and return its JSON; ParleyError as the command told it."""
        if show:
            shown = " ".join(a if len(a) < 60 else a[:28] + "..." for a in arguments)
            self.say(f"  {who + ':':<12} $ parley {shown}")
        full = [*command(), *arguments, "--home", str(self.home(who)), "--json"]
        ran = subprocess.run(
            full, capture_output=True, text=True, timeout=COMMAND_S, env=self.env, stdin=subprocess.DEVNULL
        )
        if ran.returncode != 0:
            raise _failure(arguments, ran)
        return json.loads(ran.stdout)

    def build(self, files: Mapping[str, Path], coordinator_ports: tuple[int, int] | None = None) -> None:
        """From nothing to connected parties that trust each other, and a person they trust."""
        rest, grpc = coordinator_ports or (free_port(), free_port())
        self.root.mkdir(parents=True, exist_ok=True)
        ports = ("--rest-port", str(rest), "--grpc-port", str(grpc))
        self.parley("coordinator", "init", *ports, who="coordinator")
        self.start("coordinator")
        invites = {p: self.parley("coordinator", "invite", p, who="coordinator")["invite"] for p in self.parties}
        person = self.parley("coordinator", "invite", "scientist", "--person", who="coordinator")["invite"]
        self.codes["scientist"] = self.parley("user", "init", person, who="scientist")["code"]
        self._each(lambda party: self._join(party, invites[party]))
        self._each(lambda party: self._trust_and_load(party, files[party]))
        for party in self.parties:
            self.parley("user", "trust", party, self.codes[party], who="scientist")

    def _each(self, work: Callable[[str], object]) -> None:
        """The same for every party, at the same time, as separate operators would."""
        with ThreadPoolExecutor(len(self.parties)) as pool:
            list(pool.map(work, self.parties, timeout=10 * COMMAND_S))

    def _join(self, party: str, invite: str) -> None:
        self.codes[party] = self.parley("party", "init", party, who=party)["code"]
        self.parley("party", "join", invite, who=party)
        config = self.home(party) / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **self.settings.get(party, {})}))

    def _trust_and_load(self, party: str, file: Path) -> None:
        for peer in self.parties:
            if peer != party:
                self.parley("party", "trust", peer, self.codes[peer], who=party)
        self.parley("party", "trust", "--person", "scientist", self.codes["scientist"], who=party)
        self.parley("party", "data", "add", "loans", str(file), who=party)
        self.start(party)

    def start(self, who: str) -> int:
        """Start a daemon in the background; returns its process id."""
        kind = "coordinator" if who == "coordinator" else "party"
        self.pids[who] = int(self.parley(kind, "start", "--detach", who=who)["pid"])
        return self.pids[who]

    def kill(self, who: str) -> None:
        """SIGKILL, as a power cut would."""
        os.kill(self.pids[who], signal.SIGKILL)

    def alive(self) -> dict[str, bool]:
        return {who: _alive(pid) for who, pid in self.pids.items()}

    def stop(self) -> None:
        """Stop whatever this cluster started; what does not stop when asked is killed."""
        for who in reversed(list(self.pids)):
            kind = "coordinator" if who == "coordinator" else "party"
            try:
                self.parley(kind, "stop", who=who, show=False)
            except (ParleyError, subprocess.TimeoutExpired, ValueError):
                self.say(f"  {who} did not stop when asked")
            if _alive(self.pids[who]):
                os.kill(self.pids[who], signal.SIGKILL)


def command() -> list[str]:
    """How this installation's `parley` is run, whatever PATH says."""
    return [sys.executable, "-P", "-m", "parley.cli"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def _failure(arguments: tuple[str, ...], ran: subprocess.CompletedProcess[str]) -> ParleyError:
    for line in reversed(ran.stderr.strip().splitlines()):
        try:
            return ParleyError.from_dict(json.loads(line)["error"])
        except (ValueError, KeyError, TypeError):
            continue
    words = (ran.stderr or ran.stdout).strip().splitlines()
    return ParleyError("command_failed", f"`parley {' '.join(arguments[:3])}` ended with {ran.returncode}: "
                       f"{words[-1] if words else 'it said nothing'}")  # fmt: skip
