"""What each party was sent in many tiny runs, loops and streams included, as decoded messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from manyruns import Role, one_run
from seeded import Seeded

from parley.protocols.kit import Cast, Protocol
from parley.protocols.kit.conformance import received
from parley.protocols.kit.message import Message
from parley.protocols.psi.ids import IdColumn
from parley.wire.envelope import Envelope

View = dict[str, np.ndarray]
Sees = Callable[[Sequence[Message], Seeded, Any], View]


def ids(values: Sequence[str]) -> IdColumn:
    return IdColumn(pa.array(values), np.arange(len(values), dtype=np.int64))


def messages(protocol: Protocol, transcript: Sequence[Envelope], me: str) -> list[Message]:
    """By sender, each sender's in order."""
    kinds = {s.message.TAG: s.message for s in protocol.steps}
    return [kinds[e.address.tag].decode(e.body, {}) for e in received(transcript, me) if not e.last]


def real(
    protocol: Protocol,
    cast: Mapping[str, Any],
    params: Mapping[str, Any],
    roles: Mapping[str, Role],
    sees: Mapping[str, Sees],
    pairs: int,
    planted: Mapping[str, type[Seeded]] | None = None,
    seed: str = "",
) -> dict[str, list[View]]:
    """For each party of `sees` its view of so many runs: its messages, its own source and its output go in."""
    whole = Cast(cast)
    typed = protocol.validate(params, whole)
    out: dict[str, list[View]] = {me: [] for me in sees}

    async def many() -> None:
        for k in range(pairs):
            rngs = {p: (planted or {}).get(p, Seeded)(seed, k, p) for p in roles}
            done, transcript = await one_run(whole, typed, roles, rngs)
            for me, look in sees.items():
                out[me].append(look(messages(protocol, transcript, me), rngs[me], done[me]))

    asyncio.run(many())
    return out
