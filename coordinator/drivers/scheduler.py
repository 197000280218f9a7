"""The clock's driver: begins jobs whose parties are here, leases ready steps, ends what is due."""

from __future__ import annotations

import asyncio
import contextlib

from parley.coordinator.drivers.hub import Hub, log
from parley.coordinator.store import inbox, schedule, submit
from parley.wire.errors import ParleyError


class Scheduler:
    """Runs until cancelled; a failed round is logged and tried again at the next tick."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def run(self) -> None:
        while True:
            self._hub.work.clear()
            try:
                await self.round()
            except ParleyError as problem:
                log.error("scheduler code=%s", problem.code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hub.work.wait(), self._hub.timing.tick)

    async def round(self) -> None:
        hub = self._hub
        for job, parties, since in await hub.store(submit.submitted, hub.db):
            missing = sorted(set(parties) - set(hub.online()))
            if not missing:
                await hub.store(submit.begin, hub.db, job)
            elif hub.db.clock() - since > hub.timing.grace:
                await hub.store(submit.fail, hub.db, job, _offline(missing, hub.timing.grace))
        blocked = await hub.store(schedule.due, hub.db) + await hub.store(inbox.lose_suspects, hub.db)
        if blocked:
            log.warning("due_blocked count=%d", blocked)
        await hub.store(schedule.lease_ready, hub.db, hub.online())


def _offline(missing: list[str], grace: float) -> ParleyError:
    names = ", ".join(missing)
    return ParleyError(
        "party_offline",
        f"{names} did not connect within {grace:.0f} s.",
        f"Ask the operator of {missing[0]} to run `parley party start`, then submit again.",
        party=missing[0],
    )
