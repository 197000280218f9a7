"""The session: everything a role function may do, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from pydantic import BaseModel

from parley.crypto.prg import Keystream, Rng
from parley.protocols.kit.message import Message
from parley.protocols.kit.protocol import Cast
from parley.wire import codec
from parley.wire.canonical import canonical, digest
from parley.wire.envelope import Address, Envelope, Path
from parley.wire.errors import ParleyError

M = TypeVar("M", bound=Message)
R = TypeVar("R")
P = ParamSpec("P")
DEFAULT_PATIENCE = 600.0


class Carrier(Protocol):
    """Moves envelopes in order between this party and each peer; the gate stands behind it."""

    async def send(self, envelope: Envelope) -> None: ...
    async def recv(self, peer: str) -> Envelope: ...


async def _no_checkpoint(boundary: int, state: dict[str, Any]) -> None: ...


def _no_progress(done: int, total: int, phase: str) -> None: ...


@dataclass
class Context:
    """One party's part in one attempt of one step, as its runtime built it."""

    job: str
    step: str
    attempt: int
    me: str
    cast: Cast
    params: BaseModel
    seed: bytes
    carrier: Carrier
    pool: Executor | None = None
    rng: Rng = field(default_factory=Rng)
    patience: float = DEFAULT_PATIENCE
    resumed: tuple[int, dict[str, Any]] | None = None
    on_checkpoint: Callable[[int, dict[str, Any]], Awaitable[None]] = _no_checkpoint
    on_progress: Callable[[int, int, str], None] = _no_progress
    sent: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)


class Session:
    """A role's view of its step at one place in its loops.

    `rng` is secret and never replayed: keys, masks, noise, privacy shuffles. `coins` is public and the same at every
    party and attempt: sampling, splits, initialisation. Never one for the other.
    """

    def __init__(self, context: Context, path: Path = ()) -> None:
        self._context = context
        self._path = path

    @property
    def me(self) -> str:
        return self._context.me

    @property
    def role(self) -> str:
        return self._context.cast.role_of(self.me)

    @property
    def cast(self) -> Cast:
        return self._context.cast

    @property
    def params(self) -> Any:
        return self._context.params

    @property
    def rng(self) -> Rng:
        return self._context.rng

    @property
    def coins(self) -> Keystream:
        """A fresh stream from the contract's seed, this step and this place in its loops."""
        where = canonical([self._context.step, [list(p) for p in self._path]])
        return Keystream(digest("coins/1", self._context.seed), where)

    @property
    def resumed(self) -> tuple[int, dict[str, Any]] | None:
        """(boundary, state) of the last checkpoint that all parties reached, in a resumed attempt."""
        return self._context.resumed

    def peers(self, role: str) -> tuple[str, ...]:
        """Everybody else in a role, in the job's order."""
        return tuple(p for p in self._context.cast.get(role, ()) if p != self.me)

    def peer(self, role: str) -> str:
        """The one party in a role."""
        (one,) = self.peers(role)
        return one

    def at(self, **loop: int) -> Session:
        """The same session one loop deeper: `s.at(tree=3).at(level=2)`."""
        return Session(self._context, self._path + tuple(loop.items()))

    async def send(self, peer: str, message: Message) -> None:
        await self._put(peer, message.TAG, message.encode())

    async def recv(self, peer: str, kind: type[M], **dims: int) -> M:
        """The next message from `peer`, which must be a `kind` with these dimensions; ParleyError naming the peer."""
        envelope = await self._get(peer, kind.TAG)
        if envelope.stream:
            raise self._violation(peer, f"sent a stream where one {kind.TAG} message was expected")
        return self._decode(peer, kind, envelope.body, dims)

    def stream(self, peer: str, kind: type[M], **dims: int) -> Stream[M]:
        """A stream of chunks to (`put`, `close`) or from (`async for`) a peer; totals are checked at its end."""
        return Stream(self, peer, kind, dims)

    async def compute(self, f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run GIL-free native work on the bounded pool, off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._context.pool, lambda: f(*args, **kwargs))

    async def checkpoint(self, boundary: int, state: dict[str, Any]) -> None:
        """Store this party's state at a boundary that every party reaches; a later attempt may resume there."""
        await self._context.on_checkpoint(boundary, state)

    def progress(self, done: int, total: int, phase: str = "") -> None:
        """Counters for the people who wait; never a data value."""
        self._context.on_progress(done, total, phase)

    # ------------------------------------------------------------------ inside the kit

    async def _put(self, peer: str, tag: str, body: bytes, *, stream: bool = False, last: bool = False) -> None:
        c = self._context
        seq = c.sent.get(peer, 0)
        c.sent[peer] = seq + 1
        address = Address(c.job, c.attempt, c.step, self._path, tag, c.me, peer, seq)
        await c.carrier.send(Envelope(address, body, stream, last))

    async def _get(self, peer: str, tag: str) -> Envelope:
        c = self._context
        try:
            envelope = await asyncio.wait_for(c.carrier.recv(peer), c.patience)
        except TimeoutError:
            raise ParleyError(
                "peer_silent",
                f"{peer} sent nothing for {c.patience:.0f} s while {tag} was expected.",
                f"Look at the log of {peer}.",
                party=c.me,
                step=c.step,
                retryable=True,
            ) from None
        seq = c.received.get(peer, 0)
        c.received[peer] = seq + 1
        want = Address(c.job, c.attempt, c.step, self._path, tag, peer, c.me, seq)
        if envelope.address != want:
            raise self._violation(peer, f"sent {envelope.address.tag} out of turn where {tag} was expected")
        return envelope

    def _decode(self, peer: str, kind: type[M], body: bytes, dims: dict[str, int]) -> M:
        try:
            return kind.decode(body, dims)
        except ParleyError as e:
            raise self._violation(peer, f"sent a wrong message: {e.cause}") from None

    def _violation(self, peer: str, what: str) -> ParleyError:
        c = self._context
        return ParleyError(
            "protocol_violation", f"{peer} {what}", "Compare software versions.", party=peer, step=c.step
        )


class Stream(Generic[M]):
    """One stream of messages of a kind between two parties at one place in the protocol."""

    def __init__(self, session: Session, peer: str, kind: type[M], dims: dict[str, int]) -> None:
        self._session, self._peer, self._kind, self._dims = session, peer, kind, dims
        self._chunks = self._rows = 0

    async def put(self, chunk: M) -> None:
        """Send one chunk; waits while the peer is behind."""
        self._chunks += 1
        self._rows += chunk.rows()
        await self._session._put(self._peer, self._kind.TAG, chunk.encode(), stream=True)

    async def close(self) -> None:
        """Send the totals; the receiver compares them."""
        totals = codec.encode({"chunks": self._chunks, "rows": self._rows})
        await self._session._put(self._peer, self._kind.TAG, totals, stream=True, last=True)

    async def __aiter__(self) -> AsyncIterator[M]:
        while True:
            envelope = await self._session._get(self._peer, self._kind.TAG)
            if not envelope.stream:
                raise self._session._violation(self._peer, "sent a single message inside a stream")
            if envelope.last:
                self._check_totals(envelope.body)
                return
            chunk = self._session._decode(self._peer, self._kind, envelope.body, self._dims)
            self._chunks += 1
            self._rows += chunk.rows()
            yield chunk

    def _check_totals(self, body: bytes) -> None:
        try:
            totals = codec.decode(body, tables=False)
        except ParleyError as e:
            raise self._session._violation(self._peer, f"closed a stream with a wrong message: {e.cause}") from None
        # Kinds first: an array or a table in place of a number has no plain answer to `==`.
        if set(totals) != {"chunks", "rows"} or any(type(n) is not int for n in totals.values()):
            raise self._session._violation(self._peer, "closed a stream without its totals")
        if totals != {"chunks": self._chunks, "rows": self._rows}:
            raise self._session._violation(self._peer, "closed a stream with other totals than it sent")
