"""Thousands of tiny runs of real role functions in one loop: no gates, no threads, no table to read.

The roles, their sessions, their messages and the codec are the product's; what is left out adds nothing to what a peer
is sent, and `run_local` puts it back in every other test.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from parley.crypto.prg import Rng
from parley.protocols.kit import Cast, Session
from parley.protocols.kit.session import Context
from parley.wire.envelope import Envelope

Role = Callable[[Session], Awaitable[Any]]


class Wire:
    """Carries envelopes between the parties of one run and keeps them all."""

    def __init__(self) -> None:
        self.transcript: list[Envelope] = []
        self.queues: dict[tuple[str, str], asyncio.Queue[Envelope]] = defaultdict(asyncio.Queue)


class End:
    def __init__(self, wire: Wire, me: str) -> None:
        self.wire, self.me = wire, me

    async def send(self, envelope: Envelope) -> None:
        self.wire.transcript.append(envelope)
        self.wire.queues[self.me, envelope.address.receiver].put_nowait(envelope)

    async def recv(self, peer: str) -> Envelope:
        return await self.wire.queues[peer, self.me].get()


class Quick(Session):
    """A session that computes where it stands."""

    async def compute(self, f, *args, **kwargs):
        return f(*args, **kwargs)

    def at(self, **loop: int) -> Quick:
        return Quick(self._context, self._path + tuple(loop.items()))


async def one_run(
    cast: Cast, params: Any, roles: Mapping[str, Role], rngs: Mapping[str, Rng]
) -> tuple[dict[str, Any], list[Envelope]]:
    """Every party's output and the transcript."""
    wire = Wire()
    contexts = {
        p: Context("local", "step", 1, p, cast, params, bytes(32), End(wire, p), None, rngs.get(p) or Rng())
        for p in roles
    }
    done = await asyncio.wait_for(asyncio.gather(*(roles[p](Quick(contexts[p])) for p in roles)), 60)
    return dict(zip(roles, done, strict=True)), wire.transcript
