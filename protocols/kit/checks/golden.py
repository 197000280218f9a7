"""A transcript as a record of tags, shapes, sizes and hashes, kept beside the tests.

What stands on the wire may change only together with a version: `differences` says what changed, and `may_replace`
lets a new record take an old one's place only when the protocol's version, or the envelope's, was raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parley.protocols.kit.conformance import received
from parley.protocols.kit.message import Message
from parley.protocols.kit.protocol import Protocol
from parley.wire import codec
from parley.wire.envelope import VERSION, Envelope

Record = dict[str, Any]


def record(protocol: Protocol, transcript: Sequence[Envelope]) -> Record:
    """Every message of a transcript, by receiver and sender; SHA-256 is of the whole envelope as it travels."""
    kinds = {s.message.TAG: s.message for s in protocol.steps}
    parties = sorted({e.address.receiver for e in transcript})
    rows = [_row(e, kinds[e.address.tag]) for p in parties for e in received(transcript, p)]
    return {"protocol": protocol.name, "version": protocol.version, "envelope": VERSION, "messages": rows}


def _row(e: Envelope, kind: type[Message]) -> Record:
    a = e.address
    values = (
        codec.decode(e.body) if e.last else {n: getattr(m, n) for m in (kind.decode(e.body, {}),) for n in m.FIELDS}
    )
    return {
        "link": f"{a.sender} -> {a.receiver}",
        "tag": a.tag,
        "path": [[name, index] for name, index in a.path],
        "stream": e.stream,
        "last": e.last,
        "fields": {name: _kind(value) for name, value in values.items()},
        "bytes": len(e.body),
        "sha256": hashlib.sha256(e.encode()).hexdigest(),
    }


def _kind(value: Any) -> str:
    return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each thing that is not as recorded; empty when nothing changed."""
    found = [f"{k}: {old.get(k)} is now {new.get(k)}" for k in ("protocol", "version", "envelope") if old[k] != new[k]]
    if len(old["messages"]) != len(new["messages"]):
        found.append(f"{len(old['messages'])} messages are now {len(new['messages'])}")
    for index, (a, b) in enumerate(zip(old["messages"], new["messages"], strict=False)):
        changed = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
        if changed:
            found.append(f"message {index}, {a['tag']} on {a['link']}: {', '.join(changed)}")
    return found


def may_replace(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a record may take the old one's place: nothing changed, or a version was raised."""
    raised = new["version"] > old["version"] or new["envelope"] > old["envelope"]
    return raised or not differences(old, new)
