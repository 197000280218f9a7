"""A sealed pipe to one peer in one attempt of one step, through the coordinator or on a direct route.

Guarantee: envelopes arrive in order, unread and unchanged, from the party whose sealing key the contract names, under
this contract, step and attempt, or the pipe fails. Not guaranteed: that the relay delivers anything; sizes are seen.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Protocol

import grpc

from parley.crypto.errors import CryptoError
from parley.crypto.seal import Channel, KKHandshake, StaticKey
from parley.wire import tls
from parley.wire.canonical import canonical
from parley.wire.envelope import MAX_ENVELOPE, Envelope
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

CHUNK = 1 << 20
HEADER = struct.Struct("<Q")
HANDSHAKE_S = 90.0
END = b"end"  # seals the end frame, so that a relay cannot make a stream look finished


class End(Protocol):
    """One end of a frame stream. `read` returns None when the other side has ended."""

    async def write(self, frame: pb.Frame) -> None: ...
    async def read(self) -> pb.Frame | None: ...
    async def close(self) -> None: ...


class CallEnd:
    """An end that this party opened at `host`: the coordinator, or a peer that listens.

    ParleyError "certificate_expired" or "certificate_refused" when the host's certificate is not accepted.
    """

    def __init__(self, call: Any, host: str) -> None:
        self._call, self._host = call, host

    async def write(self, frame: pb.Frame) -> None:
        try:
            await self._call.write(frame)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as e:
            raise await self._cause(e) from None

    async def read(self) -> pb.Frame | None:
        try:
            frame = await self._call.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as e:
            raise await self._cause(e) from None
        return frame if isinstance(frame, pb.Frame) else None  # the end of a stream is a value of grpc's own

    async def _cause(self, error: Exception) -> Exception:
        details = await self._call.details() if self._call.done() else ""
        return tls.refusal(details, self._host, f"Ask the operator of {self._host} to renew it.") or error

    async def close(self) -> None:
        self._call.cancel()


def prologue(contract_hash: bytes, step: str, attempt: int) -> bytes:
    return canonical([contract_hash.hex(), step, attempt])


class Pipe:
    """Made by `open_pipe`; one task may send while another receives."""

    def __init__(self, peer: str, end: End, channel: Channel) -> None:
        self.peer = peer
        self._end, self._channel = end, channel
        self._sending = asyncio.Lock()
        self.bytes_in = self.bytes_out = 0
        self.ended = False

    async def send(self, envelope: Envelope) -> None:
        """Seal and hand over; waits while the peer is behind. ParleyError "peer_lost"."""
        raw = envelope.encode()
        whole = HEADER.pack(len(raw)) + raw
        async with self._sending:
            for at in range(0, len(whole), CHUNK):
                sealed = self._channel.seal(whole[at : at + CHUNK])
                await self._guard(self._end.write(pb.Frame(sealed=sealed)))
                self.bytes_out += len(sealed)

    async def recv(self) -> Envelope | None:
        """The next envelope, None once the peer has said its end.

        ParleyError "peer_lost", "bad_ciphertext" or "malformed", naming the peer.
        """
        first = await self._open()
        if first is None:
            return None
        (size,) = HEADER.unpack_from(first.ljust(HEADER.size, b"\0"))
        if size > MAX_ENVELOPE or len(first) < HEADER.size:
            raise ParleyError("malformed", f"{self.peer} announced an envelope that is too large.", party=self.peer)
        parts, have = [first[HEADER.size :]], len(first) - HEADER.size
        while have < size:
            part = await self._open()
            if part is None:
                raise lost(self.peer)
            parts.append(part)
            have += len(part)
        if have != size:
            raise ParleyError("malformed", f"{self.peer} sent more than it announced.", party=self.peer)
        try:
            return Envelope.decode(b"".join(parts))
        except ParleyError as e:
            raise e.located(party=self.peer) from None

    async def _open(self) -> bytes | None:
        """The next piece, or None at the peer's end; a stream that stops without one is a lost peer."""
        frame = await self._guard(self._end.read())
        if frame is None:
            raise lost(self.peer)
        self.bytes_in += len(frame.sealed)
        try:
            opened = self._channel.open(frame.sealed, END if frame.end else b"")
            self.ended = bool(frame.end)
            return None if frame.end else opened
        except CryptoError:
            raise ParleyError(
                "bad_ciphertext",
                f"A sealed message from {self.peer} was changed or lost on its way.",
                "Somebody between the parties tampers, or the link is broken; a new attempt uses new keys.",
                party=self.peer,
                retryable=True,
            ) from None

    async def _guard(self, work: Any) -> Any:
        try:
            return await work
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.BaseError, ConnectionError):
            raise lost(self.peer) from None

    async def finish(self) -> None:
        """Say that nothing more comes; the peer may still be reading."""
        async with self._sending:
            await self._guard(self._end.write(pb.Frame(sealed=self._channel.seal(b"", END), end=True)))

    async def close(self) -> None:
        await self._end.close()


def lost(peer: str) -> ParleyError:
    return ParleyError(
        "peer_lost", f"The connection with {peer} broke.", f"Look at the log of {peer}.", party=peer, retryable=True
    )


async def open_pipe(
    end: End, *, me: str, peer: str, key: StaticKey, peer_public: bytes, contract: bytes, step: str, attempt: int
) -> Pipe:
    """Shake hands over a fresh end: the party whose name sorts first speaks first."""
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            channel = await _shake(end, me < peer, key, peer_public, prologue(contract, step, attempt), peer)
    except TimeoutError:
        raise ParleyError(
            "peer_silent", f"{peer} did not open its end in time.", f"Look at the log of {peer}.", party=peer,
            retryable=True,
        ) from None  # fmt: skip
    except CryptoError:
        raise ParleyError(
            "bad_handshake",
            f"{peer} could not prove its identity for this contract.",
            "Its keys changed, or somebody between the parties tampers.",
            party=peer,
            retryable=True,
        ) from None
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.BaseError, ConnectionError):
        raise lost(peer) from None
    return Pipe(peer, end, channel)


async def _shake(end: End, first: bool, key: StaticKey, public: bytes, words: bytes, peer: str) -> Channel:
    shake = KKHandshake(first, key, public, words, "AESGCM")
    if first:
        await end.write(pb.Frame(sealed=shake.write()))
    frame = await end.read()
    if frame is None:
        raise lost(peer)
    shake.read(frame.sealed)
    if not first:
        await end.write(pb.Frame(sealed=shake.write()))
    return shake.channel()
