"""What the parts of one running daemon share: the home, and one thread for its databases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from parley.party.home import PartyHome
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("parley.party")


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


def problem_message(problem: ParleyError) -> pb.Problem:
    from parley.wire.canonical import canonical

    return pb.Problem(json=canonical(problem.to_dict()))
