"""The gate every envelope passes, out and in: declared, addressed once, in order, under its cap, on the ledger.

Guarantee: no envelope leaves that the protocol does not declare for these two roles at this place, nor more bytes of
a kind than the plan's formula allows; a ledger line is open before the first byte of it moves. Not guaranteed: that
the bytes mean what the declaration says; the protocol's own code answers for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from parley.protocols.kit.protocol import Cast, Flow, Protocol, Step
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError

OVERHEAD = 256  # names, tags and totals of one message body, in bytes


class EgressLedger(Interface):
    """Where a party accounts for what leaves it."""

    def open(self, *, to: str, tag: str, disclosure: str, step: str, attempt: int, seq: int, cap: int) -> Any:
        """Durably note an egress of at most `cap` bytes before it starts; returns the line."""
        ...

    def close(self, line: Any, total: int, digest: bytes) -> None:
        """Note what really left."""
        ...


@dataclass(frozen=True)
class EgressRow:
    to: str
    tag: str
    disclosure: str
    bytes: int


class MemoryLedger:
    """A ledger in memory, for in-process runs."""

    def __init__(self) -> None:
        self.rows: list[EgressRow] = []

    def open(self, *, to: str, tag: str, disclosure: str, step: str, attempt: int, seq: int, cap: int) -> int:
        self.rows.append(EgressRow(to, tag, disclosure, cap))
        return len(self.rows) - 1

    def close(self, line: int, total: int, digest: bytes) -> None:
        row = self.rows[line]
        self.rows[line] = EgressRow(row.to, row.tag, row.disclosure, total)


Order = tuple[int, ...]


def positions(steps: Iterable[Step]) -> dict[tuple[str, str, str], tuple[Step, tuple[int, ...], int]]:
    """For each (sender role, receiver role, tag): the step, where its surrounding loops begin, and its index."""
    out: dict[tuple[str, str, str], tuple[Step, tuple[int, ...], int]] = {}
    previous: Step | None = None
    starts: list[int] = []
    for index, step in enumerate(steps):
        shared = 0
        while (
            previous is not None
            and shared < min(len(previous.loop), len(step.loop))
            and previous.loop[shared] == step.loop[shared]
        ):
            shared += 1
        starts = starts[:shared] + [index] * (len(step.loop) - shared)
        out[(step.sender, step.receiver, step.message.TAG)] = (step, tuple(starts), index)
        previous = step
    return out


class Gate:
    """Both directions of one party's traffic in one attempt of one step."""

    def __init__(
        self,
        protocol: Protocol,
        cast: Cast,
        *,
        me: str,
        job: str,
        step: str,
        attempt: int,
        flows: list[Flow] | None,
        ledger: EgressLedger,
    ) -> None:
        self._cast, self._me, self._job, self._step, self._attempt = cast, me, job, step, attempt
        self._ledger = ledger
        self._positions = positions(protocol.steps)
        self._left = None if flows is None else _caps(flows)
        self._last: dict[tuple[str, str], tuple[Order, bool]] = {}
        self._seq: dict[tuple[str, str], int] = {}

    def outgoing(self, envelope: Envelope) -> Any:
        """Check one envelope that wants to leave and open its ledger line; returns the line for `left`."""
        a = envelope.address
        if a.sender != self._me:
            raise self._refuse(envelope, "it is not from this party")
        step = self._check(envelope)
        self._charge(envelope)
        return self._ledger.open(
            to=a.receiver,
            tag=a.tag,
            disclosure=step.disclosure,
            step=a.step,
            attempt=a.attempt,
            seq=a.seq,
            cap=len(envelope.body),
        )

    def disclosure(self, envelope: Envelope) -> str:
        """What an outgoing envelope would disclose; ParleyError "undeclared_message" when nothing declares it."""
        a = envelope.address
        try:
            found = self._positions.get((self._cast.role_of(a.sender), self._cast.role_of(a.receiver), a.tag))
        except KeyError:
            found = None
        if found is None:
            raise self._refuse(envelope, "the protocol does not declare it for these two")
        return found[0].disclosure

    def left(self, line: Any, envelope: Envelope) -> None:
        """Close the ledger line once the envelope has been handed over."""
        self._ledger.close(line, len(envelope.body), hashlib.sha256(envelope.body).digest())

    def incoming(self, envelope: Envelope) -> None:
        """Check one envelope that arrived; ParleyError "undeclared_message" naming the peer."""
        if envelope.address.receiver != self._me:
            raise self._refuse(envelope, "it is not for this party")
        self._check(envelope)
        self._charge(envelope)

    def _check(self, envelope: Envelope) -> Step:
        a = envelope.address
        if (a.job, a.step, a.attempt) != (self._job, self._step, self._attempt):
            raise self._refuse(envelope, "it belongs to another job, step or attempt")
        try:
            roles = (self._cast.role_of(a.sender), self._cast.role_of(a.receiver))
        except KeyError:
            raise self._refuse(envelope, "its sender or receiver has no role here") from None
        found = self._positions.get((*roles, a.tag))
        if found is None:
            raise self._refuse(envelope, f"no {roles[0]} sends it to a {roles[1]} in this protocol")
        step, starts, index = found
        if tuple(name for name, _ in a.path) != step.loop or envelope.stream != step.stream:
            raise self._refuse(envelope, "it is declared at another place")
        link = (a.sender, a.receiver)
        if a.seq != self._seq.get(link, 0):
            raise self._refuse(envelope, "its number was used before or skips one")
        order: Order = (*(n for start, (_, v) in zip(starts, a.path, strict=True) for n in (start, v)), index)
        previous, open_ = self._last.get(link, ((), False))
        if order < previous or (order == previous and not (step.many or open_)):
            raise self._refuse(envelope, "it comes out of order")
        if open_ and order != previous:
            raise self._refuse(envelope, "a stream before it is not closed")
        self._last[link] = (order, envelope.stream and not envelope.last)
        self._seq[link] = a.seq + 1
        return step

    def _charge(self, envelope: Envelope) -> None:
        if self._left is None:
            return
        a = envelope.address
        key = (a.sender, a.receiver, a.tag)
        self._left[key] = self._left.get(key, 0) - len(envelope.body)
        if self._left[key] < 0:
            raise ParleyError(
                "egress_cap",
                f"{a.sender} exceeded the planned bytes of {a.tag} for {a.receiver}.",
                "The data is larger than the plan said, or the sender's software misbehaves.",
                party=a.sender,
                step=a.step,
            )

    def _refuse(self, envelope: Envelope, why: str) -> ParleyError:
        a = envelope.address
        return ParleyError(
            "undeclared_message",
            f"A {a.tag[:80]} message from {a.sender[:80]} was refused: {why}.",
            "Compare software versions; if they match, the sender misbehaves.",
            party=a.sender[:80],
            step=self._step,
        )


def _caps(flows: list[Flow]) -> dict[tuple[str, str, str], int]:
    caps: dict[tuple[str, str, str], int] = {}
    for f in flows:
        key = (f.sender, f.receiver, f.tag)
        caps[key] = caps.get(key, 0) + f.bytes + OVERHEAD * (f.messages + 1)
    return caps
