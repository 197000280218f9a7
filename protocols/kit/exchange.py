"""Moves envelopes between parties of one machine through each party's gate, for in-process and multi-process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from parley.protocols.kit.gate import Gate
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError

Fault = Callable[[Envelope, Literal["before", "after"]], Envelope | None]
DEPTH = 16  # envelopes in flight per directed pair


def admitted(raw: bytes, peer: str, gate: Gate) -> Envelope:
    """The envelope in `raw`, which came from `peer`, through the receiver's gate; ParleyError naming `peer`.

    The name on it is compared first: what an envelope says about its sender blames nobody else.
    """
    try:
        envelope = Envelope.decode(raw)
    except ParleyError as e:
        raise e.located(party=peer) from None
    if envelope.address.sender != peer:
        raise ParleyError("protocol_violation", f"{peer} sent an envelope in another name.", party=peer)
    gate.incoming(envelope)
    return envelope


class Exchange:
    """Ordered bounded queues between parties; every envelope is encoded, gated out, gated in, and decoded.

    `fault` sees each envelope before and after delivery: it may return a changed envelope, or None to lose it.
    """

    def __init__(self, gates: dict[str, Gate], fault: Fault | None = None) -> None:
        self._gates = gates
        self._fault = fault
        self._queues: dict[tuple[str, str], asyncio.Queue[bytes]] = {}
        self.transcript: list[Envelope] = []

    def _queue(self, sender: str, receiver: str) -> asyncio.Queue[bytes]:
        return self._queues.setdefault((sender, receiver), asyncio.Queue(DEPTH))

    async def send(self, me: str, envelope: Envelope) -> None:
        """Through the sender's gate into the pair's queue; waits while the receiver is behind."""
        gate = self._gates[me]
        line = gate.outgoing(envelope)
        moved: Envelope | None = envelope
        if self._fault is not None:
            moved = self._fault(envelope, "before")
        if moved is not None:
            self.transcript.append(moved)
            await self._queue(me, envelope.address.receiver).put(moved.encode())
        gate.left(line, envelope)
        if self._fault is not None:
            self._fault(envelope, "after")

    async def recv(self, me: str, peer: str) -> Envelope:
        """The next envelope from `peer`, through the receiver's gate."""
        return admitted(await self._queue(peer, me).get(), peer, self._gates[me])


class Port:
    """One party's carrier on an exchange."""

    def __init__(self, exchange: Exchange, me: str) -> None:
        self._exchange, self._me = exchange, me

    async def send(self, envelope: Envelope) -> None:
        await self._exchange.send(self._me, envelope)

    async def recv(self, peer: str) -> Envelope:
        return await self._exchange.recv(self._me, peer)
