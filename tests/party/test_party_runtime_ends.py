"""Whatever way gRPC says that a stream is over, the pipe says which peer was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest

from parley.crypto.seal import StaticKey
from parley.party.runtime.pipes import Pipe, open_pipe
from parley.wire.envelope import Address, Envelope
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

WORD = Envelope(Address("j1", 1, "one", (), "test.word/1", "bank", "shop", 0), b"word")


class MemoryEnd:
    """One end of a stream in memory; `fault`, when set, is what its next write or read raises."""

    def __init__(self, inward: asyncio.Queue[pb.Frame], outward: asyncio.Queue[pb.Frame]) -> None:
        self._inward, self._outward = inward, outward
        self.fault: Exception | None = None

    async def write(self, frame: pb.Frame) -> None:
        if self.fault is not None:
            raise self.fault
        await self._outward.put(frame)

    async def read(self) -> pb.Frame | None:
        if self.fault is not None:
            raise self.fault
        return await asyncio.wait_for(self._inward.get(), 5)

    async def close(self) -> None:
        """Nothing is held."""


async def opened() -> tuple[MemoryEnd, Pipe, Pipe]:
    one: asyncio.Queue[pb.Frame] = asyncio.Queue()
    two: asyncio.Queue[pb.Frame] = asyncio.Queue()
    end, other = MemoryEnd(one, two), MemoryEnd(two, one)
    bank, shop = StaticKey.generate(), StaticKey.generate()

    def pipe(at: MemoryEnd, me: str, peer: str, key: StaticKey, public: bytes) -> asyncio.Future[Pipe]:
        return asyncio.ensure_future(
            open_pipe(
                at, me=me, peer=peer, key=key, peer_public=public, contract=b"\x01" * 32, step="one", attempt=1
            )
        )  # fmt: skip

    a, b = await asyncio.gather(
        pipe(end, "bank", "shop", bank, shop.public), pipe(other, "shop", "bank", shop, bank.public)
    )
    return end, a, b


@pytest.mark.parametrize(
    "fault",
    [grpc.aio.UsageError, grpc.aio.InternalError, grpc.aio.BaseError, asyncio.InvalidStateError, ConnectionResetError],
)
def test_a_broken_stream_is_a_lost_peer(fault: Callable[[str], Exception]) -> None:
    async def story() -> None:
        end, bank, shop = await opened()
        await bank.send(WORD)
        assert await shop.recv() == WORD
        end.fault = fault("the batch failed")
        for work in (bank.send(WORD), bank.recv(), bank.finish()):
            with pytest.raises(ParleyError) as caught:
                await work
            assert (caught.value.code, caught.value.party, caught.value.retryable) == ("peer_lost", "shop", True)

    asyncio.run(story())
