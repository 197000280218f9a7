"""Frames between a party's daemon and the child process that runs a step, over one socket pair.

A frame is one kind byte, a length (u64, little endian) and a body: an envelope, or a closed-codec map.
"""

from __future__ import annotations

import asyncio
import enum
import os
import struct
from typing import Any

from parley.wire import codec
from parley.wire.envelope import MAX_ENVELOPE
from parley.wire.errors import ParleyError

HEADER = struct.Struct("<BQ")
MAX_FRAME = MAX_ENVELOPE + (1 << 20)
LARGE = 1 << 20  # bytes from which on a body goes by shared memory
WINDOW = 64 << 20  # bytes of one peer's envelopes that may be under way in one direction


class Window:
    """Credit per peer: how many bytes are under way, and a wait until there is room for more."""

    def __init__(self, size: int = WINDOW) -> None:
        self._size = size
        self._under_way: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def take(self, peer: str, size: int) -> None:
        """Wait for room for `size` bytes; a single larger envelope passes when nothing else is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._room(peer, size))
            self._under_way[peer] = self._under_way.get(peer, 0) + size

    async def give(self, peer: str, size: int) -> None:
        async with self._changed:
            self._under_way[peer] = self._under_way.get(peer, 0) - size
            self._changed.notify_all()

    async def empty(self) -> None:
        """Wait until nothing is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: not any(self._under_way.values()))

    def _room(self, peer: str, size: int) -> bool:
        waiting = self._under_way.get(peer, 0)
        return waiting == 0 or waiting + size <= self._size


class Shelf:
    """One anonymous memory file that both processes hold: what is large lies there, and its frame says how large it is.

    One body at a time: whoever puts waits until the other side has answered before putting the next.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def put(self, body: bytes) -> bytes | int:
        """What to say in the frame: the body itself, or its size in bytes once it lies on the shelf."""
        if len(body) < LARGE:
            return body
        os.ftruncate(self.fd, 0)
        view, at = memoryview(body), 0
        while at < len(body):
            at += os.pwrite(self.fd, view[at:], at)
        return len(body)

    def take(self, said: Any) -> bytes:
        """The body that a frame said, a copy that the other side changes no more; ParleyError "malformed"."""
        if isinstance(said, bytes):
            return said
        size = int(said)
        body = bytearray(size) if 0 <= size <= MAX_FRAME and size == os.fstat(self.fd).st_size else None
        if body is None or os.preadv(self.fd, [body], 0) != size:
            raise ParleyError("malformed", "A step process announced another size than it left in shared memory.")
        return bytes(body)


class Kind(enum.IntEnum):
    START = 1
    DATA = 2
    PROGRESS = 3
    CHECKPOINT = 4
    KEPT = 5  # answers CHECKPOINT once it is durable
    DONE = 6
    FAILED = 7
    CREDIT = 8  # child to daemon: an incoming envelope was taken
    SENT = 9  # daemon to child: an outgoing envelope was handed over


async def read_frame(reader: asyncio.StreamReader) -> tuple[Kind, bytes] | None:
    """The next frame, or None at the end of the stream; ParleyError "malformed" for a bad header."""
    try:
        head = await reader.readexactly(HEADER.size)
        kind, length = HEADER.unpack(head)
        if length > MAX_FRAME or kind not in Kind.__members__.values():
            raise ParleyError("malformed", "A step process wrote a frame that its daemon does not accept.")
        return Kind(kind), await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write_frame(writer: asyncio.StreamWriter, kind: Kind, body: bytes) -> None:
    """Write one frame, waiting while the other side is behind."""
    writer.write(HEADER.pack(kind, len(body)))
    writer.write(body)
    await writer.drain()


async def write_map(writer: asyncio.StreamWriter, kind: Kind, fields: dict[str, Any]) -> None:
    await write_frame(writer, kind, codec.encode(fields))
