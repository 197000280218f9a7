"""Sealed pipes on their own: order, tampering, wrong contract; and the same attacks on an unsealed pipe, which work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from runtime_world import untouched

from parley.crypto.seal import StaticKey
from parley.party.runtime.pipes import CHUNK, Pipe, open_pipe
from parley.wire.envelope import Address, Envelope
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

CONTRACT = b"\x07" * 32
Change = Callable[[int, pb.Frame], list[pb.Frame]]


class Wire:
    """Both ends of a frame stream in memory; `change` is the relay between them, from the first end to the second."""

    def __init__(self, change: Change = lambda k, f: [f]) -> None:
        self._queues: list[asyncio.Queue[pb.Frame | None]] = [asyncio.Queue(), asyncio.Queue()]
        self._change, self._count = change, 0
        self.seen: list[bytes] = []
        self.ends = tuple(WireEnd(self, side) for side in (0, 1))

    async def put(self, side: int, frame: pb.Frame) -> None:
        frames = [frame]
        if side == 0:
            frames = self._change(self._count, frame)
            self._count += 1
        for f in frames:
            self.seen.append(f.sealed)
            self._queues[1 - side].put_nowait(f)

    async def get(self, side: int) -> pb.Frame | None:
        return await asyncio.wait_for(self._queues[side].get(), 5)


class WireEnd:
    def __init__(self, wire: Wire, side: int) -> None:
        self._wire, self._side = wire, side

    async def write(self, frame: pb.Frame) -> None:
        await self._wire.put(self._side, frame)

    async def read(self) -> pb.Frame | None:
        return await self._wire.get(self._side)

    async def close(self) -> None:
        return


class Unsealed:
    """What the attacks meet without sealing: a channel that changes and checks nothing."""

    def seal(self, plaintext: bytes, ad: bytes = b"") -> bytes:
        return plaintext

    def open(self, ciphertext: bytes, ad: bytes = b"") -> bytes:
        return ciphertext


def envelope(body: bytes, seq: int = 0) -> Envelope:
    return Envelope(Address("j", 1, "one", (), "t/1", "bank", "shop", seq), body)


async def joined(wire: Wire, *, other_contract: bytes = CONTRACT, attempt: int = 1) -> tuple[Pipe, Pipe]:
    bank, shop = StaticKey.generate(), StaticKey.generate()
    one = open_pipe(
        wire.ends[0],
        me="bank",
        peer="shop",
        key=bank,
        peer_public=shop.public,
        contract=CONTRACT,
        step="one",
        attempt=1,
    )
    two = open_pipe(
        wire.ends[1],
        me="shop",
        peer="bank",
        key=shop,
        peer_public=bank.public,
        contract=other_contract,
        step="one",
        attempt=attempt,
    )
    first, second = await asyncio.gather(one, two, return_exceptions=True)
    for found in (second, first):
        if isinstance(found, BaseException):
            raise found
    assert isinstance(first, Pipe)
    assert isinstance(second, Pipe)
    return first, second


@pytest.mark.parametrize("size", [0, 1, CHUNK - 9, CHUNK, 3 * CHUNK + 17])
def test_envelopes_of_any_size_arrive_whole_in_order_and_unread(size: int) -> None:
    async def body() -> None:
        wire = Wire()
        bank, shop = await joined(wire)
        payload = bytes(range(256)) * (size // 256 + 1)
        sent = [envelope(payload[:size], 0), envelope(b"the second one", 1)]
        for e in sent:
            await bank.send(e)
        assert [await shop.recv(), await shop.recv()] == sent
        assert max(map(len, wire.seen)) < CHUNK + (64 << 10)
        assert not any(b"the second one" in s for s in wire.seen)

    asyncio.run(body())


async def received(pipe: Pipe, count: int) -> list[Envelope | None]:
    return [await pipe.recv() for _ in range(count)]


def flipped(raw: bytes, at: int) -> pb.Frame:
    changed = bytearray(raw)
    changed[at] ^= 1
    return pb.Frame(sealed=bytes(changed))


def swapped() -> Change:
    """Holds one frame back and lets the next one pass it."""
    held: list[pb.Frame] = []

    def change(k: int, f: pb.Frame) -> list[pb.Frame]:
        if k == 1:
            held.append(f)
            return []
        return [f, *held] if k == 2 else [f]

    return change


ATTACKS: dict[str, Callable[[], Change]] = {
    "flip": lambda: lambda k, f: [flipped(f.sealed, -1)] if k == 1 else [f],
    "replay": lambda: lambda k, f: [f, f] if k == 1 else [f],
    "drop": lambda: lambda k, f: [] if k == 1 else [f],
    "swap": swapped,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_relay_that_interferes_is_noticed(attack: str) -> None:
    async def body() -> None:
        bank, shop = await joined(Wire(ATTACKS[attack]()))
        for seq in range(3):
            await bank.send(envelope(b"body", seq))
        with pytest.raises(ParleyError) as caught:
            await received(shop, 3)
        assert (caught.value.code, caught.value.party) == ("bad_ciphertext", "bank")

    asyncio.run(body())


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_interference_goes_unnoticed_without_sealing(attack: str) -> None:
    async def body() -> None:
        change = ATTACKS[attack]()
        wire = Wire(lambda k, f: change(k + 1, f))  # no handshake frame goes first here
        bank, shop = (Pipe(p, e, Unsealed()) for p, e in zip(("shop", "bank"), wire.ends, strict=True))  # type: ignore[arg-type]  # the point of the test
        sent = [envelope(b"body", seq) for seq in range(3)]
        for e in sent:
            await bank.send(e)
        got = await received(shop, 2)
        assert got != sent[:2], "the attack changed nothing"

    asyncio.run(body())


def test_nothing_opens_under_another_contract_or_attempt() -> None:
    async def body(contract: bytes, attempt: int) -> None:
        with pytest.raises(ParleyError) as caught:
            await joined(Wire(), other_contract=contract, attempt=attempt)
        assert caught.value.code == "bad_handshake"

    asyncio.run(body(b"\x08" * 32, 1))
    asyncio.run(body(CONTRACT, 2))


def test_somebody_without_the_peers_key_opens_nothing() -> None:
    async def body() -> None:
        wire, mine, peer = Wire(), StaticKey.generate(), StaticKey.generate()
        about = {"contract": CONTRACT, "step": "one", "attempt": 1}
        eve = open_pipe(
            wire.ends[0], me="bank", peer="shop", key=StaticKey.generate(), peer_public=mine.public, **about
        )
        shop = open_pipe(wire.ends[1], me="shop", peer="bank", key=mine, peer_public=peer.public, **about)
        ended = await asyncio.wait_for(asyncio.gather(eve, shop, return_exceptions=True), 20)
        assert isinstance(ended[1], ParleyError)
        assert (ended[1].code, ended[1].party) == ("bad_handshake", "bank")

    asyncio.run(body())


def test_an_envelope_announced_too_large_is_refused_before_it_is_gathered() -> None:
    async def body() -> None:
        wire = Wire()
        bank, shop = await joined(wire)
        await wire.ends[0].write(pb.Frame(sealed=bank._channel.seal((1 << 62).to_bytes(8, "little") + b"x")))
        with pytest.raises(ParleyError) as caught:
            await shop.recv()
        assert (caught.value.code, caught.value.party) == ("malformed", "bank")

    asyncio.run(body())


def test_the_untouched_relay_of_the_harness_is_untouched() -> None:
    frame = pb.Frame(sealed=b"x")
    assert untouched("a", "b", 0, frame) == [frame]


def test_a_relay_cannot_make_a_stream_look_finished() -> None:
    async def body() -> None:
        bank, shop = await joined(Wire(lambda k, f: [pb.Frame(end=True)] if k == 1 else [f]))
        await bank.send(envelope(b"body"))
        with pytest.raises(ParleyError) as caught:
            await shop.recv()
        assert (caught.value.code, caught.value.party) == ("bad_ciphertext", "bank")

    asyncio.run(body())


def test_a_real_end_is_told_from_a_broken_stream() -> None:
    async def body() -> None:
        bank, shop = await joined(Wire())
        await bank.send(envelope(b"body"))
        await bank.finish()
        assert (await received(shop, 2))[1] is None

    asyncio.run(body())
