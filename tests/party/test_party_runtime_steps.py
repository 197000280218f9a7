"""Steps between two daemons: relayed and direct, and what happens when somebody tampers, dies, is slow or repeats."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from runtime_protocols import NAME
from runtime_world import World, align, with_tables, world

from parley.crypto.box import open_box
from parley.party.store import StepRecord
from parley.protocols import registry
from parley.protocols.kit import host, pipework
from parley.wire import codec
from parley.wire.errors import ParleyError
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb
from parley.wire.result import open_result

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(autouse=True)
def known_to_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step processes know the test protocol, too."""
    before = os.environ.get("PYTHONPATH")
    paths = [str(SUPPORT / "runtime_site"), str(SUPPORT), *([before] if before else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setitem(registry.PROTOCOLS, NAME, ("runtime_protocols", "PACE"))


def pace(**params: Any) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "pace",
            "purpose": "a test of the party",
            "parties": {"bank": {}, "shop": {}},
            "steps": {"one": {"uses": NAME, "roles": {"speaker": "bank", "listener": "shop"}, "with": params}},
            "deadline": 60,
        }
    )


def run(
    folder: Path, body: Callable[[World], Awaitable[None]], prepare: Callable[[World], None] = lambda w: None
) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100), world(folder, prepare) as w:
            await body(w)

    asyncio.run(whole())


def failure(end: object) -> ParleyError:
    assert isinstance(end, ParleyError), "the attempt ended well"
    return end


@pytest.mark.parametrize("route", ["relay", "direct"])
def test_an_alignment_runs_from_contract_to_sealed_result(tmp_path: Path, route: str) -> None:
    def prepare(w: World) -> None:
        with_tables(w)
        if route == "direct":
            w.direct("shop", "bank")

    async def body(w: World) -> None:
        contract = await w.agreed(align())
        w.launch()
        ends = await w.ends()
        assert {n: getattr(e, "outcome", str(e)) for n, e in ends.items()} == {"bank": "ok", "shop": "ok"}
        (result,) = ends["bank"].results
        assert result.reader == w.person.fingerprint
        opened = open_box(w.seal, result.sealed, contract.hash())
        assert open_result(opened, w.homes["bank"].card, contract.hash(), "one", 1) == {"intersection": 200}
        assert b"intersection" not in result.sealed
        told = {(line.to, line.tag) for line in ends["bank"].egress}
        assert ("shop", "psi.ecdh.blinded/1") in told
        assert (w.coordinator.frames > 0) == (route == "relay")
        for home in w.homes.values():
            kept = home.store.load_output("j1", "one")
            assert kept is not None
            assert kept["count"] == 200
            assert home.ledger.verify() > 0

    run(tmp_path, body, prepare)


def flip(frame: pb.Frame) -> pb.Frame:
    raw = bytearray(frame.sealed)
    raw[-1] ^= 1
    return pb.Frame(sealed=bytes(raw))


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda f: [flip(f)], {"bad_ciphertext"}),
        (lambda f: [f, f], {"bad_ciphertext"}),
        (lambda f: [], {"bad_ciphertext", "peer_lost"}),
    ],
)
def test_a_relay_that_changes_repeats_or_drops_a_frame_is_found_out(
    tmp_path: Path, change: Callable[[pb.Frame], list[pb.Frame]], codes: set[str]
) -> None:
    async def body(w: World) -> None:
        def tamper(sender: str, receiver: str, index: int, frame: pb.Frame) -> list[pb.Frame]:
            return change(frame) if (sender, index) == ("bank", 2) else [frame]

        w.coordinator.tamper = tamper
        await w.agreed(pace(words=5, gap=0.1))
        w.launch()
        end = failure((await w.ends("shop"))["shop"])
        assert end.code in codes
        assert end.party == "bank"
        assert end.step == "one"
        assert end.retryable

    run(tmp_path, body)


def test_a_tampered_handshake_opens_nothing(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        w.coordinator.tamper = lambda s, r, k, f: [flip(f)] if (s, k) == ("bank", 0) else [f]
        await w.agreed(pace())
        w.launch()
        end = failure((await w.ends("shop"))["shop"])
        assert (end.code, end.party) == ("bad_handshake", "bank")
        assert w.homes["shop"].store.load_output("j1", "one") is None

    run(tmp_path, body)


def test_only_a_newer_fence_starts_an_attempt(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace())
        w.launch(fence=7)
        await w.ends()
        for fence in (7, 6):
            w.launch("bank", fence=fence, attempt=9)
        await asyncio.sleep(1.5)
        assert w.coordinator.count("bank", "done") == 1
        assert w.coordinator.count("bank", "failed") == 0
        assert not [s for s in w.homes["bank"].store.steps("j1") if s.attempt == 9]
        w.launch(fence=8, attempt=2)
        ends = await w.ends(nth=1)
        assert ends["bank"].fence == 8

    run(tmp_path, body)


async def a_child() -> int:
    """The process id of a running step of either party."""
    me = os.getpid()
    for _ in range(200):
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == me and b"protocols.confined" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except OSError:
                continue
        await asyncio.sleep(0.05)
    raise AssertionError("no step process runs")


def test_a_killed_step_process_fails_the_attempt_at_both_parties(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(words=200, gap=0.1))
        w.launch()
        os.kill(await a_child(), signal.SIGKILL)
        ends = {n: failure(e) for n, e in (await w.ends(timeout=20)).items()}
        assert {e.code for e in ends.values()} <= {"child_died", "peer_lost"}
        assert "child_died" in {e.code for e in ends.values()}
        assert all(e.retryable and e.step == "one" for e in ends.values())

    run(tmp_path, body)


def test_a_peer_that_breaks_off_before_the_pipe_stands_is_reported(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        w.coordinator.tamper = lambda s, r, k, f: [pb.Frame(end=True)] if k == 0 else [f]
        await w.agreed(pace())
        w.launch()
        ends = await w.ends(timeout=15)
        assert {failure(e).code for e in ends.values()} <= {"peer_lost", "bad_handshake"}

    run(tmp_path, body)


def test_cancelling_ends_the_attempt_and_its_process(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(wait=True))
        w.launch()
        await a_child()
        began = time.monotonic()
        for party in w.homes:
            w.coordinator.say(party, cancel=pb.CancelStep(job="j1", step="one", attempt=1, reason="Enough."))
        ends = await w.ends(timeout=15)
        assert time.monotonic() - began < 10
        assert "cancelled" in {failure(e).code for e in ends.values()}
        w.launch(fence=2, attempt=2)
        await a_child()  # the slot is free again
        w.coordinator.say("bank", close=pb.CloseJob(job="j1", state="cancelled"))
        await w.coordinator.event("bank", "closed")

    run(tmp_path, body)


def test_a_tightened_policy_stops_a_running_step_at_its_next_message(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(words=300, gap=0.1))
        w.launch()
        await w.coordinator.until(lambda: w.coordinator.frames > 5)
        path = w.homes["bank"].path / "policy.yaml"
        path.write_text(path.read_text().replace("deny: [individual_updates", "deny: [words, individual_updates"))
        end = failure((await w.ends("bank", timeout=20))["bank"])
        assert end.code == "policy_denied"
        assert "words" in end.cause
        assert not end.retryable

    run(tmp_path, body)


def test_a_step_of_an_unknown_job_starts_nothing(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        w.launch("bank")
        assert failure((await w.ends("bank"))["bank"]).code == "not_agreed"

    run(tmp_path, body)


def test_a_direct_pipe_is_only_for_the_party_that_is_expected(tmp_path: Path) -> None:
    """Eve has a certificate of the same authority, and dials in the bank's place."""
    import grpc

    from parley.wire import tls
    from parley.wire.pb import parley_pb2_grpc as rpc

    def prepare(w: World) -> None:
        w.direct("bank", "shop")

    async def body(w: World) -> None:
        await w.agreed(pace(wait=True))
        w.launch("shop")
        address = w.homes["bank"].config.routes["shop"]
        credentials = tls.channel_credentials(w.certified("eve"), w.coordinator.authority.certificate)
        options = [("grpc.ssl_target_name_override", tls.party_host("shop"))]
        meta = (("parley-job", "j1"), ("parley-step", "one"), ("parley-attempt", "1"))
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            call = rpc.PeerStub(channel).Pipe(metadata=meta)  # type: ignore[no-untyped-call]  # generated
            assert await asyncio.wait_for(call.code(), 20) is grpc.StatusCode.PERMISSION_DENIED
        for party in w.homes:
            w.coordinator.say(party, cancel=pb.CancelStep(job="j1", step="one", attempt=1, reason="Enough."))
        await w.ends("shop")

    run(tmp_path, body, prepare)


@pytest.mark.parametrize("much", [3 << 20, 5 << 20])
def test_a_result_of_more_than_4_mib_ends_the_step_with_a_plain_error(tmp_path: Path, much: int) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(told=much))
        w.launch()
        end = (await w.ends())["shop"]
        tags = [line.tag for line in w.homes["shop"].ledger.summary("j1")]
        if much < 4 << 20:
            raw = open_box(w.seal, end.results[0].sealed, w.contract.hash())
            assert len(open_result(raw, w.homes["shop"].card, w.contract.hash(), "one", 1)["told"]) == much
            assert tags == ["parley.result/1"]
            return
        assert (failure(end).code, end.retryable, end.step) == ("result_too_large", False, "one")
        assert "4 MiB" in end.cause
        assert end.hint
        assert tags == []  # nothing left, and nothing is on the books

    run(tmp_path, body)


@pytest.mark.slow
def test_an_envelope_of_more_than_64_mib_goes_through_the_relay(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(words=1, size=9 << 20))  # 72 MiB, more than one credit window
        w.launch()
        ends = await w.ends(timeout=60)
        assert not [e for e in ends.values() if isinstance(e, ParleyError)], ends
        assert sum(line.bytes for line in w.homes["bank"].ledger.summary("j1") if line.to == "shop") > 72 << 20
        assert w.coordinator.frames > 72

    run(tmp_path, body)


@pytest.mark.parametrize(("kept", "shared"), [(1000, False), (1 << 20, True)])
def test_what_is_large_goes_by_shared_memory_and_comes_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, shared: bool
) -> None:
    frames: list[tuple[str, int]] = []

    async def read(reader: asyncio.StreamReader) -> Any:
        frame = await pipework.read_frame(reader)
        frames.extend([(frame[0].name, len(frame[1]))] if frame else [])
        return frame

    async def write(writer: asyncio.StreamWriter, kind: Any, fields: dict[str, Any]) -> None:
        frames.append((kind.name, len(codec.encode(fields))))
        await pipework.write_map(writer, kind, fields)

    monkeypatch.setattr(host, "read_frame", read)
    monkeypatch.setattr(host, "write_map", write)

    async def body(w: World) -> None:
        await w.agreed(pace(kept=kept))
        w.launch()
        ends = await w.ends()
        assert not [e for e in ends.values() if isinstance(e, ParleyError)], ends
        w.launch(fence=2, attempt=2, resume=True, boundary=1)
        ends = await w.ends(nth=1)
        assert not [e for e in ends.values() if isinstance(e, ParleyError)], ends
        found = w.homes["shop"].store.load_output("j1", "one")
        assert found is not None
        assert found["resumed"] == int(found["numbers"].sum()) == kept * (kept - 1) // 2
        sizes = {kind: max(n for k, n in frames if k == kind) for kind in ("START", "CHECKPOINT", "DONE")}
        assert [n >= 8 * kept for n in sizes.values()] == [not shared] * 3, sizes

    run(tmp_path, body)


def test_a_shelf_gives_back_what_lies_there_and_refuses_another_size() -> None:
    shelf = pipework.Shelf(os.memfd_create("test"))
    body = os.urandom(pipework.LARGE + 5)
    assert shelf.put(body[:-6]) == body[:-6]  # small: in the frame itself
    said = shelf.put(body)
    assert said == len(body)
    found = shelf.take(said)
    shelf.put(bytes(pipework.LARGE))
    assert found == body  # a copy: what the other side does later changes nothing
    for wrong in (said, -1, pipework.MAX_FRAME + 1, pipework.LARGE - 1):
        with pytest.raises(ParleyError) as caught:
            shelf.take(wrong)
        assert caught.value.code == "malformed"
    os.close(shelf.fd)


def test_a_cancellation_that_overtakes_its_start_holds(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(wait=True))
        for party in w.homes:
            w.coordinator.say(party, cancel=pb.CancelStep(job="j1", step="one", attempt=1, reason="Enough."))
        w.launch()
        assert {e.code for e in (await w.ends(timeout=10)).values()} == {"cancelled"}

    run(tmp_path, body)


def test_a_party_that_is_done_does_not_end_a_peer_that_still_works(tmp_path: Path) -> None:
    async def body(w: World) -> None:
        await w.agreed(pace(words=2, think=4.0))
        w.launch()
        ends = await w.ends()
        assert not [e for e in ends.values() if isinstance(e, ParleyError)], ends
        assert ends["shop"].outcome == "ok"

    run(tmp_path, body)


def test_an_attempt_that_a_crash_took_is_reported_when_its_start_comes_again(tmp_path: Path) -> None:
    """The daemon died after it noted the Start and before its acknowledgement left."""

    def crashed(w: World) -> None:
        w.homes["bank"].store.put_step(StepRecord("j1", "one", 1, 5, "running"))

    async def body(w: World) -> None:
        await w.agreed(pace())
        w.launch("bank", fence=5)
        end = failure((await w.ends("bank", timeout=10))["bank"])
        assert end.code == "party_restarted"
        assert end.retryable

    run(tmp_path, body, crashed)
