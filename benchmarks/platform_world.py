"""What the measurements of daemons share: a real coordinator with two parties, and jobs that are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
import postgres
from coordinated import World
from runtime_world import align

__all__ = ["World", "postgres", "running", "seconds_of_job"]

ENDED = ("succeeded", "failed", "cancelled")
JOB_S = 240.0


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """Starts the world and ends it."""
    try:
        await world.start()
        logging.getLogger("parley.coordinator").setLevel(logging.WARNING)  # a line per event is not for the table
        await world.connected()
        yield world
    finally:
        await world.end()


async def seconds_of_job(world: World) -> float:
    """Submit one signed alignment between the two parties; seconds until the person learns that it succeeded."""
    loop, after, state = asyncio.get_running_loop(), 0, ""
    request = world.ana.job(align(deadline=int(JOB_S)).model_dump(mode="json", by_alias=True))
    begun = loop.time()
    async with asyncio.timeout(JOB_S):
        status, answer = await world.person.call("POST", "/v1/jobs", **request)
        if status != 201:
            raise SystemExit(f"the job was refused: {answer}")
        while state not in ENDED:
            _, found = await world.person.call("GET", f"/v1/jobs/{answer['job']}/events?after={after}&wait=20")
            state, after = found["state"], max([after, *(e["n"] for e in found["events"])])
    spent = loop.time() - begun
    if state != "succeeded":
        _, view = await world.person.call("GET", f"/v1/jobs/{answer['job']}")
        raise SystemExit(f"the job ended {state}: {view['reason']}")
    return spent
