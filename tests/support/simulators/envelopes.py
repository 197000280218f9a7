"""A transcript made up message by message, to be compared with a real one envelope by envelope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parley.protocols.kit.message import Message
from parley.wire import codec
from parley.wire.envelope import Envelope

Place = tuple[str, tuple[tuple[str, int], ...], bool, bool]  # tag, path, stream, last


@dataclass
class MadeUp:
    """What one party would be sent by one peer."""

    rows: list[tuple[Place, bytes]] = field(default_factory=list)

    def one(self, message: Message, **path: int) -> None:
        self.rows.append(((message.TAG, tuple(path.items()), False, False), message.encode()))

    def stream(self, kind: type[Message], chunks: Sequence[Message], **path: int) -> None:
        where = tuple(path.items())
        self.rows += [((kind.TAG, where, True, False), c.encode()) for c in chunks]
        totals = {"chunks": len(chunks), "rows": sum(c.rows() for c in chunks)}
        self.rows.append(((kind.TAG, where, True, True), codec.encode(totals)))


def seen(transcript: Sequence[Envelope], sender: str, receiver: str) -> list[tuple[Place, bytes]]:
    """The real thing in the same form."""
    mine = [e for e in transcript if (e.address.sender, e.address.receiver) == (sender, receiver)]
    return [((e.address.tag, e.address.path, e.stream, e.last), e.body) for e in mine]
