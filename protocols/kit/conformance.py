"""What every protocol must survive, as functions a test calls: losses, mutations, and transcripts that say no more.

A conformance run is only as good as its oracle; these functions hold the parts that are the same for every protocol.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from parley.protocols.kit.exchange import Fault
from parley.protocols.kit.local import LocalRun, Setting
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError

Run = Callable[[Setting], LocalRun]
When = Literal["before", "after"]


def shape(transcript: Sequence[Envelope]) -> list[tuple[str, str, str, int, bool, bool]]:
    """Everything about a transcript but its contents: who, to whom, what, how large, in each pair's order."""
    rows = [(a.sender, a.receiver, a.tag, len(e.body), e.stream, e.last) for e in transcript for a in (e.address,)]
    return sorted(rows, key=lambda r: (r[0], r[1]))


def bytes_by_tag(transcript: Sequence[Envelope]) -> dict[tuple[str, str, str], int]:
    """Body bytes per (sender, receiver, tag)."""
    out: dict[tuple[str, str, str], int] = {}
    for e in transcript:
        key = (e.address.sender, e.address.receiver, e.address.tag)
        out[key] = out.get(key, 0) + len(e.body)
    return out


def received(transcript: Sequence[Envelope], party: str) -> list[Envelope]:
    """What one party was sent, by sender, each sender's messages in order: its view, less its own coins."""
    mine = [e for e in transcript if e.address.receiver == party]
    return sorted(mine, key=lambda e: (e.address.sender, e.address.seq))


def losing(index: int, when: When) -> Fault:
    """A fault that breaks the link at the `index`-th envelope, before or after it was delivered."""
    seen = {"before": 0, "after": 0}

    def fault(envelope: Envelope, now: When) -> Envelope | None:
        position = seen[now]
        seen[now] += 1
        if now == when and position == index:
            raise ParleyError("peer_lost", "The link broke.", party=envelope.address.receiver, retryable=True)
        return envelope

    return fault


def mutating(index: int, change: Callable[[Envelope], Envelope]) -> Fault:
    """A fault that changes the `index`-th envelope on its way."""
    seen = [0]

    def fault(envelope: Envelope, now: When) -> Envelope | None:
        if now == "after":
            return envelope
        seen[0] += 1
        return change(envelope) if seen[0] - 1 == index else envelope

    return fault


def losses(run: Run, envelopes: int, every: int = 1) -> Iterator[tuple[int, When, ParleyError | None]]:
    """Run once per lost envelope, before and after delivery; yields the error each run ended with."""
    for index in range(0, envelopes, every):
        for when in ("before", "after"):
            yield index, when, _failure(run, Setting(fault=losing(index, when), patience=1))


def mutations(
    run: Run, envelopes: int, change: Callable[[Envelope], Envelope], every: int = 1
) -> Iterator[tuple[int, ParleyError | None]]:
    """Run once per changed envelope; yields the error each run ended with, None when nobody noticed."""
    for index in range(0, envelopes, every):
        yield index, _failure(run, Setting(fault=mutating(index, change), patience=1))


def _failure(run: Run, setting: Setting) -> ParleyError | None:
    try:
        run(setting)
    except ParleyError as e:
        return e
    return None


def retagged(envelope: Envelope) -> Envelope:
    """The same envelope under a tag that nobody declared."""
    return dataclasses.replace(envelope, address=dataclasses.replace(envelope.address, tag="test.undeclared/1"))


def replayed(envelope: Envelope) -> Envelope:
    """The same envelope under a number that was used before, or was never due."""
    seq = envelope.address.seq
    return dataclasses.replace(envelope, address=dataclasses.replace(envelope.address, seq=seq - 1 if seq else 7))


def truncated(envelope: Envelope) -> Envelope:
    """The same envelope with half its body."""
    return dataclasses.replace(envelope, body=envelope.body[: len(envelope.body) // 2])
