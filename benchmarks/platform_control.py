"""What a job costs before and after its steps: contract, signatures, leases, pipes and books of two real daemons.

The step itself is nothing here: its process is never started. All daemons run in this one process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

sys.path.insert(0, str(Path(__file__).resolve().parent))
from platform_world import World, postgres, running, seconds_of_job
from rows import OUT, Row, seconds

from parley.protocols.kit.host import ChildHost
from parley.protocols.kit.protocol import StepOutputs

JOBS, TOGETHER, WARM = 20, 12, 2
BODY = b"x" * 512
WRITES = ("INSERT", "UPDATE", "DELETE")


class NoProcess:
    """Stands where a step's process would: it is done at once and has nothing to say."""

    async def run(self, *hooks: Any) -> StepOutputs:
        return StepOutputs()

    async def deliver(self, envelope: Any) -> None:
        raise AssertionError("no step speaks here")

    def kill(self, reason: str = "") -> None: ...

    async def close(self) -> None: ...


@contextmanager
def no_processes() -> Iterator[None]:
    """Steps end as soon as their pipes are open."""
    kept = ChildHost.__dict__["spawn"]

    async def spawn(cls: type[ChildHost], spec: Any) -> NoProcess:
        return NoProcess()

    ChildHost.spawn = classmethod(spawn)  # type: ignore[method-assign,assignment]  # for the length of a measurement
    try:
        yield
    finally:
        ChildHost.spawn = kept  # type: ignore[method-assign]  # as it was


@contextmanager
def commits() -> Iterator[Counter[str]]:
    """Counts transactions that wrote something and were committed, by database."""
    count: Counter[str] = Counter()

    def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip()[:6].upper() in WRITES:
            connection.info["wrote"] = True

    def ended(connection: Any) -> None:
        if connection.info.pop("wrote", False):
            count[connection.dialect.name] += 1

    def undone(connection: Any) -> None:
        connection.info.pop("wrote", None)

    hooks: list[tuple[str, Callable[..., None]]] = [
        ("before_cursor_execute", executed), ("commit", ended), ("rollback", undone),
    ]  # fmt: skip
    for name, hook in hooks:
        event.listen(Engine, name, hook)
    try:
        yield count
    finally:
        for name, hook in hooks:
            event.remove(Engine, name, hook)


def bare_sqlite(folder: Path, n: int = 100) -> float:
    """Seconds of one durable commit of one small row: write-ahead log, full synchronisation."""
    with sqlite3.connect(folder / "bare.db", isolation_level=None) as c:
        c.execute("PRAGMA journal_mode=WAL")
        c.execute("PRAGMA synchronous=FULL")
        c.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")

        def work() -> None:
            for _ in range(n):
                c.execute("BEGIN IMMEDIATE")
                c.execute("INSERT INTO t (body) VALUES (?)", (BODY,))
                c.execute("COMMIT")

        spent = seconds(work) / n
    c.close()
    return spent


def bare_postgresql(url: str, n: int = 100) -> float:
    """Seconds of one commit of one small row on the same server."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=10) as c:
        c.execute("CREATE TABLE bare (id BIGSERIAL PRIMARY KEY, body BYTEA)")

        def work() -> None:
            for _ in range(n):
                with c.transaction():
                    c.execute("INSERT INTO bare (body) VALUES (%s)", (BODY,))

        spent = seconds(work) / n
        c.execute("DROP TABLE bare")
    return spent


async def measure(folder: Path, database: str | None) -> tuple[float, float, Counter[str]]:
    """Seconds a job, one after another (median) and many at once; commits of one of the former."""
    world = World(folder, database)
    for home in world.homes.values():
        home.config.capacity = TOGETHER
    async with running(world):
        for _ in range(WARM):
            await seconds_of_job(world)
        with commits() as count:
            alone = [await seconds_of_job(world) for _ in range(JOBS)]
        begun = time.perf_counter()
        await asyncio.gather(*(seconds_of_job(world) for _ in range(TOGETHER)))
        together = (time.perf_counter() - begun) / TOGETHER
    return statistics.median(alone), together, Counter({k: round(v / JOBS) for k, v in count.items()})


def on(name: str, database: str | None) -> list[Row]:
    """The rows of one kind of coordinator database; the parties' own are SQLite either way."""
    with tempfile.TemporaryDirectory(dir=OUT) as folder, no_processes():
        alone, together, count = asyncio.run(measure(Path(folder), database))
        bare = {"sqlite": bare_sqlite(Path(folder))}
    if database is not None:
        bare["postgresql"] = bare_postgresql(database)
    yardstick = sum(n * bare[kind] for kind, n in count.items())
    about = {"parties": 2, "steps": 1, "step_process": "none", "processes": 1, "commits": dict(count)}
    about["seconds_per_commit"] = {kind: round(s, 7) for kind, s in bare.items()}
    about["yardstick"] = "as many bare commits of one 512 B row, one after another"
    if database is not None:
        about["postgresql"] = "throwaway server with fsync=off"
    return [
        Row(f"control plane, a job ({name})", alone, "s", yardstick, "lower", {**about, "jobs": JOBS, "at_once": 1}),
        Row(f"control plane, of {TOGETHER} at once ({name})", together, "s", yardstick, "lower",
            {**about, "jobs": TOGETHER, "at_once": TOGETHER}),
    ]  # fmt: skip


def control_rows() -> list[Row]:
    """On SQLite, and on PostgreSQL where it is installed."""
    OUT.mkdir(parents=True, exist_ok=True)
    if (found := postgres.binaries()) is None:
        print("control plane on PostgreSQL left out: it is not installed")
        return on("SQLite", None)
    # The server is started by a fork, which gRPC's threads would not survive: so it comes before them.
    with postgres.cluster(found) as url:
        return [*on("SQLite", None), *on("PostgreSQL", url)]
