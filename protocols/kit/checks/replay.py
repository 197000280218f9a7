"""One role against a recording of the others: no peer runs, nothing waits, and any message may have been changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from pydantic import BaseModel

from parley.crypto.prg import Rng
from parley.protocols.kit.exchange import admitted
from parley.protocols.kit.gate import Gate, MemoryLedger, positions
from parley.protocols.kit.local import Setting
from parley.protocols.kit.protocol import Cast, Flow, Protocol, StepInputs, StepOutputs
from parley.protocols.kit.session import Context, Session
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError

Incoming = Mapping[str, Sequence[bytes]]  # by peer: encoded envelopes in the order they arrive


class Replay:
    """A carrier that hands one party what was recorded, through its gate, and keeps nothing of what it sends."""

    def __init__(self, gate: Gate, incoming: Incoming) -> None:
        self._gate = gate
        self._waiting = {peer: deque(raws) for peer, raws in incoming.items()}

    async def send(self, envelope: Envelope) -> None:
        self._gate.left(self._gate.outgoing(envelope), envelope)

    async def recv(self, peer: str) -> Envelope:
        """The next recorded envelope; ParleyError "recording_over" when the role wants more than there was."""
        waiting = self._waiting.get(peer)
        if not waiting:
            raise ParleyError("recording_over", f"{peer} sent nothing more when this was recorded.", party=peer)
        return admitted(waiting.popleft(), peer, self._gate)


@dataclass(frozen=True)
class Seat:
    """One party's place in a recorded run, and what its peers sent it."""

    protocol: Protocol
    cast: Cast
    me: str
    params: BaseModel
    inputs: StepInputs = field(repr=False)
    flows: list[Flow]
    recorded: tuple[Envelope, ...] = field(repr=False)

    def gate(self, setting: Setting) -> Gate:
        return Gate(
            self.protocol,
            self.cast,
            me=self.me,
            job=setting.job,
            step=setting.step,
            attempt=setting.attempt,
            flows=self.flows,
            ledger=MemoryLedger(),
        )

    def incoming(self, index: int = -1, changed: bytes = b"") -> dict[str, list[bytes]]:
        """What arrives, by peer; the envelope at `index` of `recorded` is `changed`."""
        out: dict[str, list[bytes]] = {}
        for at, e in enumerate(self.recorded):
            out.setdefault(e.address.sender, []).append(changed if at == index else e.encode())
        return out

    async def play(self, incoming: Incoming, setting: Setting, rng: Rng | None, pool: Executor | None) -> StepOutputs:
        """Run this party's whole role on what arrives."""
        session = Session(self._context(Replay(self.gate(setting), incoming), setting, rng, pool))
        return await self.protocol.jobs[self.cast.role_of(self.me)](session, self.inputs)

    async def deliver(self, index: int, changed: bytes, setting: Setting) -> bytes:
        """Receive the envelope at `index` as `changed`, after all before it on its link: envelope, gate, session,
        message. Returns the accepted message encoded again; ParleyError when it is refused.

        A chunk of a stream is received after the chunks before it, so that totals are compared.
        """
        original = self.recorded[index].address
        link = [e for e in self.recorded if e.address.sender == original.sender]
        first = original.seq
        while first and link[first - 1].stream and not link[first - 1].last and link[first].stream:
            first -= 1
        gate, peer = self.gate(setting), original.sender
        for e in link[:first]:
            gate.incoming(e)
        raws = [*(e.encode() for e in link[first : original.seq]), changed]
        context = self._context(Replay(gate, {peer: raws}), setting, None, None)
        context.received[peer] = first
        step = positions(self.protocol.steps)[self.cast.role_of(peer), self.cast.role_of(self.me), original.tag][0]
        session = Session(context, original.path)
        if not step.stream:
            return (await session.recv(peer, step.message)).encode()
        last = b""
        chunks = aiter(session.stream(peer, step.message))
        for _ in raws:
            try:
                last = (await anext(chunks)).encode()
            except StopAsyncIteration:
                return b""
        return last

    def _context(self, carrier: Replay, setting: Setting, rng: Rng | None, pool: Executor | None) -> Context:
        return Context(
            job=setting.job,
            step=setting.step,
            attempt=setting.attempt,
            me=self.me,
            cast=self.cast,
            params=self.params,
            seed=setting.seed,
            carrier=carrier,
            pool=pool,
            rng=rng or Rng(),
            patience=setting.patience,
        )
