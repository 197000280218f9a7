"""What the links, the scheduler, the relay and the API share within one running coordinator."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from parley.coordinator.lifecycle import link as links
from parley.coordinator.store.database import Database
from parley.coordinator.store.tx import Touched

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("parley.coordinator")


@dataclass(frozen=True)
class Timing:
    """Seconds. `lease`: how long a silent party keeps its attempts; `grace`: how long a job waits for its parties."""

    heartbeat: float = 3.0
    lease: float = 15.0
    grace: float = 10.0
    join: float = 60.0
    tick: float = 0.5


class Hub:
    """Memory of the running process; everything that must survive it is in the database."""

    def __init__(self, db: Database, name: str, version: str, timing: Timing) -> None:
        self.db, self.name, self.version, self.timing = db, name, version, timing
        self._pool = ThreadPoolExecutor(4, "parley-store")
        self._loop = asyncio.get_running_loop()
        self.links: dict[str, links.Link] = {}
        self.capacity: dict[str, int] = {}
        self.progress: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
        self.mail: dict[str, asyncio.Event] = {}
        self.work = asyncio.Event()
        self._jobs: dict[str, asyncio.Event] = {}
        self.on_sever: Callable[[str], None] = lambda party: None
        self.on_attempt_over: Callable[[tuple[str, str, int]], None] = lambda attempt: None
        self.on_roster: Callable[[], None] = lambda: None
        db.touched = self._committed

    async def store(self, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store function off the loop."""
        return await self._loop.run_in_executor(self._pool, lambda: f(*args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def online(self) -> dict[str, int]:
        """Slots of each party whose link is up."""
        return {p: self.capacity.get(p, 1) for p, k in self.links.items() if k.state is links.LinkState.UP}

    def move_link(self, party: str, event: object) -> tuple[object, ...]:
        start = links.Link(links.LinkState.AWAY, 0.0, 0.0)
        try:
            after, effects = links.apply(self.links.get(party, start), event)
        except links.IllegalEvent:
            return ()
        self.links[party] = after
        return effects

    def note_progress(self, attempt: tuple[str, str, int], party: str, values: dict[str, Any]) -> None:
        self.progress.setdefault(attempt, {})[party] = values
        self._wake_job(attempt[0])

    def change_of(self, job: str) -> asyncio.Event:
        """Set once something about the job changes."""
        return self._jobs.setdefault(job, asyncio.Event())

    @staticmethod
    def now() -> float:
        """Seconds of a clock that never goes back."""
        return monotonic()

    def mailbox(self, party: str) -> asyncio.Event:
        return self.mail.setdefault(party, asyncio.Event())

    def _committed(self, touched: Touched) -> None:
        """Called from a store thread."""
        self._loop.call_soon_threadsafe(self._wake, touched)

    def _wake(self, touched: Touched) -> None:
        for party in touched.parties:
            self.mailbox(party).set()
        for job in touched.jobs:
            self._wake_job(job)
        for attempt in touched.attempts:
            self.progress.pop(attempt, None)
            self.on_attempt_over(attempt)
        for party in touched.revoked:
            self.on_sever(party)
        if touched.roster:
            self.on_roster()
        self.work.set()

    def _wake_job(self, job: str) -> None:
        if (event := self._jobs.pop(job, None)) is not None:
            event.set()


def monotonic() -> float:
    return time.monotonic()
