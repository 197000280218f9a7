"""Real daemons for measurements: a coordinator, parties and a person, each with a folder and a process of its own.

They talk over mutual TLS on the loopback, made by the commands that operators type.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from parley.client import Parley
from parley.demo.cluster import Cluster, free_port
from parley.wire.errors import ParleyError

SAMPLE_S, JOB_S = 0.05, 900.0
ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Done:
    """What a job cost: seconds until its submitter knows, of its steps alone, bytes by (party, tag), peak MiB."""

    seconds: float
    steps: float
    results: dict[str, Any]
    bytes: dict[tuple[str, str], int]
    memory: dict[str, float]


@dataclass
class Daemons:
    """Parties by name, each with tables by name."""

    cluster: Cluster
    parties: tuple[str, ...]
    person: Parley = field(repr=False)

    def run(self, job: Mapping[str, Any]) -> Done:
        """Submit one job and wait for it; SystemExit when it does not succeed."""
        with peaks({p: self.cluster.pids[p] for p in self.parties}) as memory:
            begun = time.perf_counter()
            submitted = self.person.submit(job)
            self._ended(submitted.id, begun + JOB_S)
            spent = time.perf_counter() - begun
        view = submitted.status()
        if view["state"] != "succeeded":
            raise SystemExit(f"a job ended {view['state']}: {view.get('reason')}")
        sent = {(line["party"], line["tag"]): int(line["bytes"]) for line in submitted.egress()}
        steps = sum(float(s.get("seconds") or 0.0) for s in view["steps"])
        return Done(spent, steps, submitted.results(), sent, memory)

    def _ended(self, job: str, until: float) -> None:
        """Wait by long polls, which cost the machine nothing."""
        after, state = 0, ""
        while state not in ENDED:
            if time.perf_counter() > until:
                raise SystemExit(f"a job has not ended after {JOB_S:.0f} s")
            found = self.person.rest.get(f"/v1/jobs/{job}/events?after={after}&wait=20")
            state, after = found["state"], max([after, *(int(e["n"]) for e in found["events"])])


@contextlib.contextmanager
def peaks(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """MiB that each party's daemon and its step processes held together at most, by resident size, while it runs."""
    found = dict.fromkeys(pids, 0.0)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            for party, pid in pids.items():
                with contextlib.suppress(psutil.Error):
                    whole = psutil.Process(pid)
                    sizes = [p.memory_info().rss for p in (whole, *whole.children(recursive=True))]
                    found[party] = max(found[party], sum(sizes) / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join(10)


@contextlib.contextmanager
def daemons(folder: Path, tables: Mapping[str, Mapping[str, Path]]) -> Iterator[Daemons]:
    """A running world; `tables` is party -> name -> file, whose column `id` is kept as text."""
    cluster = Cluster(folder, lambda _: None)
    parties = tuple(tables)
    try:
        _build(cluster, parties, tables)
        with Parley(cluster.home("scientist")) as person:
            yield Daemons(cluster, parties, person)
    finally:
        cluster.stop()


def _build(cluster: Cluster, parties: tuple[str, ...], tables: Mapping[str, Mapping[str, Path]]) -> None:
    do = cluster.parley
    cluster.root.mkdir(parents=True, exist_ok=True)
    ports = ("--rest-port", str(free_port()), "--grpc-port", str(free_port()))
    do("coordinator", "init", *ports, who="coordinator")
    cluster.start("coordinator")
    invites = {p: do("coordinator", "invite", p, who="coordinator")["invite"] for p in parties}
    person = do("coordinator", "invite", "scientist", "--person", who="coordinator")["invite"]
    codes = {"scientist": do("user", "init", person, who="scientist")["code"]}
    for party in parties:
        codes[party] = do("party", "init", party, who=party)["code"]
        do("party", "join", invites[party], who=party)
    for party in parties:
        for peer in parties:
            if peer != party:
                do("party", "trust", peer, codes[peer], who=party)
        do("party", "trust", "--person", "scientist", codes["scientist"], who=party)
        for name, file in tables[party].items():
            do("party", "data", "add", name, str(file), "--text", "id", who=party)
        cluster.start(party)
        do("user", "trust", party, codes[party], who="scientist")
    _connected(cluster, parties)


def _connected(cluster: Cluster, parties: tuple[str, ...]) -> None:
    with Parley(cluster.home("scientist")) as person:
        for _ in range(300):
            if sum(bool(p["online"]) for p in person.parties()) == len(parties):
                return
            time.sleep(0.1)
    raise ParleyError("not_connected", "The parties did not connect.")
