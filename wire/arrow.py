"""A look at an Arrow stream's metadata before Arrow reads it.

Guarantee: a stream that passes holds no compressed buffer, whose declared size Arrow would allocate before it unpacks,
and no batch of more rows than its bytes can hold. Not guaranteed: that the stream is valid; Arrow checks that.
Source: Arrow columnar format 1.5, "Encapsulated message format" and Message.fbs; FlatBuffers' binary layout.
"""

from __future__ import annotations

import struct
from typing import Final

from parley.wire.errors import ParleyError

CONTINUATION: Final = b"\xff\xff\xff\xff"
SCHEMA, DICTIONARY_BATCH, RECORD_BATCH = 1, 2, 3  # MessageHeader
SLACK: Final = 1 << 20  # rows of a batch that needs no bytes at all, as of a column of nothing but nulls


class _Table:
    """A FlatBuffers table at an offset of `raw`; struct.error or IndexError for one that points outside."""

    def __init__(self, raw: bytes, at: int) -> None:
        self._raw, self._at = raw, at
        self._fields = at - self._number("<i", at)

    @classmethod
    def root(cls, raw: bytes) -> _Table:
        return cls(raw, struct.unpack_from("<I", raw, 0)[0])

    def where(self, slot: int) -> int:
        """The offset of a field, 0 when it is absent."""
        if 4 + 2 * slot >= self._number("<H", self._fields):
            return 0
        offset = self._number("<H", self._fields + 4 + 2 * slot)
        return self._at + offset if offset else 0

    def number(self, kind: str, slot: int) -> int:
        at = self.where(slot)
        return self._number(kind, at) if at else 0

    def table(self, slot: int) -> _Table:
        at = self.where(slot)
        if not at:
            raise IndexError("a table is absent")
        return _Table(self._raw, at + self._number("<I", at))

    def _number(self, kind: str, at: int) -> int:
        if at < 0:
            raise IndexError("an offset points before its buffer")
        return int(struct.unpack_from(kind, self._raw, at)[0])


def check_stream(raw: bytes) -> None:
    """ParleyError "malformed" unless every message of the stream is plain and of a size its bytes can hold."""
    try:
        at = 0
        while at + 8 <= len(raw):
            if raw[at : at + 4] != CONTINUATION:
                raise IndexError("the framing before Arrow 0.15 is not used")
            size = struct.unpack_from("<i", raw, at + 4)[0]
            if size <= 0:
                return
            body = _check_message(raw[at + 8 : at + 8 + size], 8 * len(raw) + SLACK)
            at += 8 + size + body
    except (struct.error, IndexError):
        raise ParleyError(
            "malformed",
            "A table in a message body is not a plain Arrow stream.",
            "The sender's software or the link is broken; compare versions.",
        ) from None


def _check_message(metadata: bytes, rows: int) -> int:
    """The bytes of the message's body; IndexError when it is compressed or claims more than `rows` rows."""
    message = _Table.root(metadata)
    kind = message.number("<B", 1)
    if kind not in (SCHEMA, DICTIONARY_BATCH, RECORD_BATCH):
        raise IndexError("neither schema nor batch")
    if kind != SCHEMA:
        header = message.table(2)
        batch = header.table(1) if kind == DICTIONARY_BATCH else header
        if batch.where(3) or not 0 <= batch.number("<q", 0) <= rows:
            raise IndexError("compressed, or more rows than bytes")
    body = message.number("<q", 3)
    if body < 0:
        raise IndexError("a negative length")
    return body
