"""What the parts of one running daemon share: the home, and one thread for its databases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from parley.party.home import PartyHome
from parley.protocols.kit.child import unexpected
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("parley.party")
STOP_S = 20.0


class Desk:
    """`note` and `say` are how everybody reaches the coordinator: say is delivered once, note may be lost."""

    def __init__(self, home: PartyHome) -> None:
        self.home = home
        self._thread = ThreadPoolExecutor(1, "parley-desk")
        self.wake = asyncio.Event()
        self.notes: list[pb.PartyEvent] = []

    async def do(self, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run database work off the loop, one piece at a time, in order."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: f(*args, **kwargs))

    def queue(self, event_id: str, event: pb.PartyEvent) -> None:
        """Inside a transaction on the desk's thread: keep an event until the coordinator acknowledges it."""
        event.id = event_id
        self.home.store.add_event(event_id, event.SerializeToString())

    async def say(self, event_id: str, event: pb.PartyEvent) -> None:
        await self.do(self.queue, event_id, event)
        self.wake.set()

    def note(self, event: pb.PartyEvent) -> None:
        self.notes.append(event)
        self.wake.set()

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


async def settled(work: Coroutine[Any, Any, T], timeout: float | None = None) -> T | ParleyError:
    """Run a piece of work to its end, whatever that is: its result, or why there is none.

    A failure nobody foresaw becomes a problem that names its type and place only; cancelling this cancels the work.
    `timeout` in seconds turns into the problem "deadline".
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=timeout)
    finally:
        late = not task.done()
        task.cancel()
        await asyncio.wait({task}, timeout=STOP_S)
    if late or not task.done():
        return ParleyError("deadline", "It did not end in time.", "Give the job a later `deadline`, or less to do.")
    if task.cancelled():
        return ParleyError("cancelled", "It was cancelled.", retryable=True)
    failure = task.exception()
    if failure is None:
        return task.result()
    return failure if isinstance(failure, ParleyError) else unexpected(failure)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Wait for all; the first failure cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)


def problem_message(problem: ParleyError) -> pb.Problem:
    from parley.wire.canonical import canonical

    return pb.Problem(json=canonical(problem.to_dict()))
