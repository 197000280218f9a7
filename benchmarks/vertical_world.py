"""What the measurements of whole vertical jobs share: real daemons, each a process, and the seconds a step took."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from parley import Parley
from parley.client import Job
from parley.demo.cluster import Cluster, free_port

JOB_S = 900.0
POLL_S = 0.05
LABEL, FEATURES = "bank", "bureau"


@contextlib.contextmanager
def daemons(files: Mapping[str, Path], threads: int, **more: int) -> Iterator[tuple[Cluster, Parley]]:
    """A coordinator and a daemon for each party of `files`, with direct routes, `threads` to a step, over mTLS.

    `more` are other numbers of their configuration.
    """
    parties = tuple(files)
    ports = {p: f"127.0.0.1:{free_port()}" for p in parties}
    settings = {
        p: {
            "listen": ports[p],
            "routes": {q: ports[q] for q in parties if q > p},
            "accepts_from": [q for q in parties if q < p],
            "step_threads": threads,
            **more,
        }
        for p in parties
    }
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        cluster = Cluster(Path(folder) / "world", lambda line: None, {**os.environ}, parties, settings)
        try:
            cluster.build(files)
            with Parley(cluster.home("scientist")) as parley:
                yield cluster, parley
        finally:
            cluster.stop()


@dataclass
class Watched:
    """What was seen of a job from outside: when each party's progress in a step first reached a count, and memory."""

    seconds: float = 0.0
    steps: dict[str, tuple[float, float]] = field(default_factory=dict)
    reached: dict[tuple[str, str, int], float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    egress: list[dict[str, Any]] = field(default_factory=list)

    def step_seconds(self, step: str) -> float:
        """From the first sight of the step running to its end."""
        begun, ended = self.steps[step]
        return ended - begun

    def per_unit(self, step: str, party: str) -> float:
        """Seconds between one count of progress and the next, over all that were seen, without the first."""
        seen = sorted((n, at) for (s, p, n), at in self.reached.items() if (s, p) == (step, party) and n > 0)
        if len(seen) < 2:
            raise SystemExit(f"too little progress was seen of {step}")
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])

    def sent(self, step: str) -> int:
        return sum(int(e["bytes"]) for e in self.egress if e["step"] == step)


def watch(cluster: Cluster, parley: Parley, spec: Mapping[str, Any], *, progress: bool = True) -> Watched:
    """Submit a job and follow it to its end; SystemExit unless it succeeds.

    Without `progress` only its end is waited for, by long polls, which cost the machine nothing.
    """
    seen, stop = Watched(), threading.Event()
    sampler = threading.Thread(target=_memory, args=(cluster, seen, stop), daemon=True)
    sampler.start()
    begun = time.perf_counter()
    job = parley.submit(spec)
    try:
        if progress:
            _follow(job, seen, begun)
        else:
            _await(parley, job, begun)
        seen.seconds = time.perf_counter() - begun
        view = job.status()
    finally:
        stop.set()
        sampler.join(timeout=10)
    if view["state"] != "succeeded":
        raise SystemExit(f"the job ended {view['state']}: {view.get('reason')}")
    seen.results, seen.egress = job.results(), job.egress()
    return seen


def _follow(job: Job, seen: Watched, begun: float) -> None:
    while True:
        view, now = job.status(), time.perf_counter()
        for step in view["steps"]:
            if step["state"] not in ("waiting", "ready", "blocked"):
                first, _ = seen.steps.get(step["name"], (now, now))
                ended = seen.steps[step["name"]][1] if step["name"] in seen.steps and step["state"] == "done" else now
                seen.steps[step["name"]] = (first, ended)
            for party, told in (step.get("progress") or {}).items():
                seen.reached.setdefault((step["name"], party, int(told.get("done", 0))), now)
        if view["state"] in ("succeeded", "failed", "cancelled"):
            return
        if now - begun > JOB_S:
            raise SystemExit("the job took too long")
        time.sleep(POLL_S)


def _await(parley: Parley, job: Job, begun: float) -> None:
    after, state = 0, ""
    while state not in ("succeeded", "failed", "cancelled"):
        found = parley.rest.get(f"/v1/jobs/{job.id}/events", after=after, wait=20, timeout=60.0)
        state, after = found["state"], max([after, *(int(e["n"]) for e in found["events"])])
        if time.perf_counter() - begun > JOB_S:
            raise SystemExit("the job took too long")


def _memory(cluster: Cluster, seen: Watched, stop: threading.Event) -> None:
    """The most that each party's daemon and its step processes held at once, in MiB of proportional set size."""
    while not stop.wait(0.2):
        for party in cluster.parties:
            total = 0
            with contextlib.suppress(psutil.Error):
                daemon = psutil.Process(cluster.pids[party])
                for process in (daemon, *daemon.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        total += process.memory_full_info().pss
            seen.peak_mb[party] = max(seen.peak_mb.get(party, 0.0), total / 2**20)


def spec(name: str, parties: tuple[str, ...], steps: Mapping[str, Any]) -> dict[str, Any]:
    """A job over the dataset that every party of the cluster has."""
    return {
        "name": name,
        "purpose": "measuring how long it takes",
        "parties": {p: {"data": "loans"} for p in parties},
        "steps": dict(steps),
        "deadline": int(JOB_S),
        "attempts": 1,
    }
