"""Two real party daemons around a real coordinator: contract, sealed pipes, step processes, ledger, signed results."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coordinated import COMMON, World, play
from runtime_world import free_port

from parley.coordinator.drivers.relay import Relay
from parley.party.policy.default import DEFAULT
from parley.party.runtime.steps import Steps
from parley.protocols.kit.host import ChildHost
from parley.wire.pb import parley_pb2 as pb


def count_relayed(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, pb.Frame], pb.Frame]) -> list[int]:
    """Let `change` see every frame the relay gives out (index within its direction); returns their sizes."""
    seen: list[int] = []

    class Passing:
        """The context of the call, with `change` before every write."""

        def __init__(self, context: Any) -> None:
            self._context, self._index = context, 0

        async def write(self, frame: pb.Frame) -> None:
            seen.append(len(frame.sealed))
            await self._context.write(change(self._index, frame))
            self._index += 1

    give = Relay._give

    async def give_on(self: Relay, queue: Any, context: Any) -> None:
        await give(self, queue, Passing(context))

    monkeypatch.setattr(Relay, "_give", give_on)
    return seen


@pytest.mark.parametrize("route", ["relay", "direct"])
def test_a_job_ends_with_signed_results_and_an_accounted_egress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    relayed = count_relayed(monkeypatch, lambda _, frame: frame)

    async def story(w: World) -> None:
        if route == "direct":
            await w.daemons[0].stop()
            address = f"127.0.0.1:{free_port()}"
            w.homes["bank"].config.listen = address
            w.homes["bank"].config.accepts_from = ["shop"]
            w.homes["shop"].config.routes = {"bank": address}
            await w.daemons[0].start()
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        assert (await w.results(view["id"]))["bank"] == {"intersection": COMMON}
        assert (await w.contract(view["id"])).direct == ((("shop", "bank"),) if route == "direct" else ())
        assert bool(relayed) == (route == "relay")
        for name, home in w.homes.items():
            lines = home.ledger.summary(view["id"])
            peer = "shop" if name == "bank" else "bank"
            assert sum(line.bytes for line in lines if line.to == peer) > 32 * COMMON
            assert home.ledger.verify() > 0

    play(tmp_path, story)


def _policy(w: World) -> None:
    old = 'protocols:\n  allow: ["*"]\n  deny: []'
    assert old in DEFAULT
    (w.homes["shop"].path / "policy.yaml").write_text(DEFAULT.replace(old, old.replace("[]", '["psi/*"]')))


REFUSALS: list[tuple[str, str, str, Callable[[World], None], dict[str, Any]]] = [
    ("unpinned_peer", "bank", "", lambda w: w.homes["bank"].peers.unpin("shop"), {}),
    ("unknown_submitter", "shop", "", lambda w: w.homes["shop"].peers.unpin("ana", person=True), {}),
    ("unknown_column", "bank", "one", lambda w: None, {"column": "idd"}),
    ("policy_denied", "shop", "", _policy, {}),
]


@pytest.mark.parametrize(("code", "party", "step", "prepare", "changes"), REFUSALS, ids=[r[0] for r in REFUSALS])
def test_a_party_refuses_with_its_reason_and_nothing_leaves_it(
    tmp_path: Path, code: str, party: str, step: str, prepare: Callable[[World], None], changes: dict[str, Any]
) -> None:
    async def story(w: World) -> None:
        prepare(w)
        view = await w.ended(**changes)
        reason = view["reason"]
        assert view["state"] == "failed"
        assert (reason["code"], reason["step"]) == (code, step or reason["step"])
        assert reason["party"] == party or (code == "unknown_column" and reason["party"] in w.homes)
        assert await w.blobs(view["id"]) == []
        assert [line for home in w.homes.values() for line in home.ledger.summary(view["id"])] == []

    play(tmp_path, story)


def test_a_killed_step_process_is_tried_again_and_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    run = ChildHost.run

    async def run_killed(self: ChildHost, *hooks: Any) -> Any:
        if not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return await run(self, *hooks)

    monkeypatch.setattr(ChildHost, "run", run_killed)

    async def story(w: World) -> None:
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        assert (killed != [], view["steps"][0]["attempt"]) == (True, 2)
        assert (await w.results(view["id"]))["bank"] == {"intersection": COMMON}

    play(tmp_path, story)


def test_a_relay_that_flips_a_bit_gives_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(k: int, frame: pb.Frame) -> pb.Frame:
        if k != 1 or frame.end:  # the first frame after the handshake's
            return frame
        sealed = bytearray(frame.sealed)
        sealed[len(sealed) // 2] ^= 1
        return pb.Frame(sealed=bytes(sealed))

    count_relayed(monkeypatch, flipped)

    async def story(w: World) -> None:
        view = await w.ended()
        assert view["state"] == "failed"
        assert view["reason"]["code"] == "bad_ciphertext", view["reason"]
        assert await w.blobs(view["id"]) == []

    play(tmp_path, story)


def test_a_start_that_comes_again_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Steps, pb.Start]] = []
    spawned: list[str] = []
    start, spawn = Steps.start, ChildHost.spawn.__func__  # type: ignore[attr-defined]  # the function of a class method

    async def start_twice(self: Steps, message: pb.Start) -> None:
        told.append((self, message))
        await start(self, message)
        await start(self, message)

    async def count(cls: type[ChildHost], spec: Any, spare: Any) -> Any:
        spawned.append(spec.me)
        return await spawn(cls, spec, spare)

    monkeypatch.setattr(Steps, "start", start_twice)
    monkeypatch.setattr(ChildHost, "spawn", classmethod(count))

    async def story(w: World) -> None:
        view = await w.ended()
        assert view["state"] == "succeeded", view["reason"]
        before = [h.ledger.summary(view["id"]) for h in w.homes.values()]
        for steps, message in list(told):
            await start(steps, message)
            assert steps.running() == []
        await asyncio.sleep(0.5)
        assert sorted(spawned) == ["bank", "shop"]
        assert [h.ledger.summary(view["id"]) for h in w.homes.values()] == before
        assert len(await w.blobs(view["id"])) == len(view["steps"])

    play(tmp_path, story)
