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
from parley.protocols.kit.message import Message
from parley.protocols.kit.session import Context
from parley.wire.envelope import Envelope, Path

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
    """A session that computes where it stands, and keeps what it accepted."""

    def __init__(self, context: Context, path: Path = ()) -> None:
        super().__init__(context, path)
        self.accepted: list[Message] = []

    async def compute(self, f, *args, **kwargs):
        return f(*args, **kwargs)

    def _decode(self, *args):
        self.accepted.append(super()._decode(*args))
        return self.accepted[-1]

    def at(self, **loop: int) -> Quick:
        return Quick(self._context, self._path + tuple(loop.items()))


async def one_run(
    cast: Cast, params: Any, roles: Mapping[str, Role], rngs: Mapping[str, Rng]
) -> tuple[dict[str, Any], list[Envelope]]:
    """Every party's output and the transcript."""
    wire, sessions = _seated(cast, params, roles, rngs)
    done = await _played(roles, sessions)
    return dict(zip(roles, done, strict=True)), wire.transcript


async def accepted_in_one_run(
    cast: Cast, params: Any, roles: Mapping[str, Role], rngs: Mapping[str, Rng]
) -> dict[str, list[Message]]:
    """The messages that each party accepted outside of loops, in their order."""
    _, sessions = _seated(cast, params, roles, rngs)
    await _played(roles, sessions)
    return {p: s.accepted for p, s in sessions.items()}


def _seated(cast, params, roles, rngs) -> tuple[Wire, dict[str, Quick]]:
    wire = Wire()
    contexts = {
        p: Context("local", "step", 1, p, cast, params, bytes(32), End(wire, p), None, rngs.get(p) or Rng())
        for p in roles
    }
    return wire, {p: Quick(c) for p, c in contexts.items()}


async def _played(roles: Mapping[str, Role], sessions: Mapping[str, Quick]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*(roles[p](sessions[p]) for p in roles)), 60)
