"""The coordinator over real REST and gRPC, with scripted parties: every way a job can go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from fake_party import Api, FakeParty, Identity

from parley.coordinator import service
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb
from parley.wire.pb import parley_pb2_grpc as rpc


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def spec(**changes: Any) -> dict[str, Any]:
    roles = {"asker": "lender", "helper": ["bureau"]}
    return {
        "name": "demo",
        "purpose": "a test of the coordinator",
        "parties": {"lender": {}, "bureau": {}},
        "steps": {
            "one": {"uses": "test/echo", "roles": roles},
            "two": {"uses": "test/echo", "roles": roles, "needs": "one"},
        },
        "deadline": 60,
        **changes,
    }


class World:
    """One coordinator, two parties, one person."""

    def __init__(self, home: Path, database: str | None) -> None:
        self.home = home
        ports = free_port(), free_port()
        token = service.init(home, "127.0.0.1", *ports, database=database)
        config = json.loads((home / "config.json").read_text())
        (home / "config.json").write_text(json.dumps({**config, "lease": 2.0, "grace": 1.0, "heartbeat": 0.5}))
        self.at = service.addresses(home)
        self.admin = Api(self.at["rest"], home / "ca.pem", token)
        self.open = Api(self.at["rest"], home / "ca.pem")
        self.lender = FakeParty("lender", self.at["grpc"], home / "ca.pem")
        self.bureau = FakeParty("bureau", self.at["grpc"], home / "ca.pem")
        self.ana = Identity("person", "ana")
        self.stop = asyncio.Event()
        self.task: asyncio.Future[None] | None = None

    async def start(self) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.ensure_future(service.serve(self.home, self.stop))
        for _ in range(200):
            with contextlib.suppress(Exception):
                if (await self.open.call("GET", "/v1/health"))[0] == 200:
                    return
            assert not self.task.done(), self.task.exception()
            await asyncio.sleep(0.05)
        raise AssertionError("the coordinator does not answer")

    async def end(self) -> None:
        self.stop.set()
        assert self.task is not None
        await asyncio.wait_for(self.task, 15)

    async def people(self) -> None:
        for party in (self.lender, self.bureau):
            assert await party.enrol(self.open, self.admin) == 200
        assert await self.ana.enrol(self.open, self.admin, "person") == 200
        self.person = Api(self.at["rest"], self.home / "ca.pem", self.ana.bearer)

    async def submit(self, document: dict[str, Any] | None = None) -> str:
        status, answer = await self.person.call("POST", "/v1/jobs", **self.ana.job(document or spec()))
        assert status == 201, answer
        return str(answer["job"])

    async def until(self, job: str, *states: str, seconds: float = 20) -> dict[str, Any]:
        for _ in range(int(seconds * 20)):
            _, found = await self.person.call("GET", f"/v1/jobs/{job}")
            if found["state"] in states:
                return dict(found)
            await asyncio.sleep(0.05)
        raise AssertionError(f"the job is {found['state']}, not {states}: {found}")


Story = Callable[[World], Awaitable[None]]


def play(tmp_path: Path, story: Story, database: str | None = None) -> None:
    async def run() -> None:
        world = World(tmp_path / "coordinator", database)
        await world.start()
        try:
            await world.people()
            world.lender.connect()
            world.bureau.connect()
            await story(world)
        finally:
            for party in (world.lender, world.bureau):
                await party.disconnect()
            for api in (world.admin, world.open, world.person):
                await api.close()
            await world.end()

    asyncio.run(asyncio.wait_for(run(), 90))


async def success(w: World) -> None:
    job = await w.submit()
    found = await w.until(job, "succeeded", "failed")
    assert found["state"] == "succeeded", found
    assert [s["state"] for s in found["steps"]] == ["done", "done"]
    assert len(found["contract"]) == 64
    _, results = await w.person.call("GET", f"/v1/jobs/{job}/results")
    assert {(r["step"], r["party"]) for r in results} == {(s, p) for s in ("one", "two") for p in ("lender", "bureau")}
    _, egress = await w.person.call("GET", f"/v1/jobs/{job}/egress")
    assert sum(e["bytes"] for e in egress) == 40
    _, log = await w.person.call("GET", f"/v1/jobs/{job}/events?after=0")
    states = [e["data"]["state"] for e in log["events"] if e["kind"] == "job"]
    assert states == ["submitted", "preparing", "contracting", "agreeing", "running", "closing", "succeeded"]
    assert sum(1 for i in w.lender.heard if i.WhichOneof("kind") == "close") == 1


def test_a_job_succeeds(tmp_path):
    play(tmp_path, success)


def test_a_job_succeeds_on_postgresql(tmp_path, empty_postgres_url):
    play(tmp_path, success, empty_postgres_url)


def test_a_failed_step_is_tried_again_with_a_newer_fence(tmp_path):
    async def story(w: World) -> None:
        w.bureau.on_start = lambda me, s: me.failed(s) if s.attempt == 1 else me.done(s)
        found = await w.until(await w.submit(), "succeeded", "failed")
        assert found["state"] == "succeeded"
        first, second = [s for s in w.bureau.starts if s.step == "one"]
        assert (first.attempt, second.attempt) == (1, 2)
        assert second.fence > first.fence

    play(tmp_path, story)


def test_a_failure_no_retry_can_cure_ends_the_job_with_its_cause(tmp_path):
    async def story(w: World) -> None:
        w.bureau.on_start = lambda me, s: me.failed(s, "no_ids", retryable=False)
        w.lender.on_start = lambda me, s: None
        found = await w.until(await w.submit(), "failed")
        assert (found["reason"]["code"], found["reason"]["party"], found["reason"]["step"]) == (
            "no_ids",
            "bureau",
            "one",
        )
        assert any(i.WhichOneof("kind") == "cancel" for i in w.lender.heard)

    play(tmp_path, story)


def test_a_report_with_a_stale_fence_changes_nothing(tmp_path):
    async def story(w: World) -> None:
        def stale(me: FakeParty, s: pb.Start) -> pb.PartyEvent | None:
            event = me.done(s)
            event.done.fence += 1000
            return event if s.step == "one" else me.done(s)

        w.bureau.on_start = stale
        job = await w.submit(spec(deadline=10))
        await asyncio.sleep(1.5)
        _, found = await w.person.call("GET", f"/v1/jobs/{job}")
        assert found["steps"][0]["state"] == "running"
        await w.person.call("POST", f"/v1/jobs/{job}/cancel", reason="enough")
        assert (await w.until(job, "cancelled"))["reason"]["code"] == "cancelled"
        assert (await w.person.call("POST", f"/v1/jobs/{job}/cancel", reason="again"))[0] == 409

    play(tmp_path, story)


def test_a_lost_party_fails_the_attempt_and_its_return_finishes_the_job(tmp_path):
    async def story(w: World) -> None:
        w.bureau.on_start = lambda me, s: None
        w.lender.on_start = lambda me, s: None
        job = await w.submit()
        await w.until(job, "running")
        while not w.bureau.starts:
            await asyncio.sleep(0.05)
        await w.bureau.disconnect()
        w.lender.on_start = lambda me, s: me.done(s)
        await asyncio.sleep(3.5)
        w.bureau.on_start = lambda me, s: me.done(s)
        w.bureau.connect()
        found = await w.until(job, "succeeded", "failed")
        assert found["state"] == "succeeded", found
        assert found["steps"][0]["attempt"] == 2
        _, log = await w.person.call("GET", f"/v1/jobs/{job}/events?after=0")
        assert "party_lost" in {e["kind"] for e in log["events"]}

    play(tmp_path, story)


def test_the_coordinator_restarts_and_goes_on_with_the_same_job(tmp_path):
    async def story(w: World) -> None:
        w.bureau.on_start = lambda me, s: None
        job = await w.submit()
        await w.until(job, "running")
        while not w.bureau.starts:
            await asyncio.sleep(0.05)
        for party in (w.lender, w.bureau):
            await party.disconnect()
        await w.end()
        await w.start()
        w.bureau.on_start = lambda me, s: me.done(s)
        for party in (w.lender, w.bureau):
            party.connect()
        assert (await w.until(job, "succeeded", "failed"))["state"] == "succeeded"

    play(tmp_path, story)


def test_refusals_offline_parties_and_deadlines_end_with_their_reason(tmp_path):
    async def story(w: World) -> None:
        w.bureau.refuse = ParleyError("policy_denied", "Not for this purpose.", "Ask the owner.")
        found = await w.until(await w.submit(), "failed")
        assert (found["reason"]["code"], found["reason"]["party"]) == ("policy_denied", "bureau")
        status, plan = await w.person.call("POST", "/v1/plan", **w.ana.job(spec()))
        assert status == 201
        planned = await w.until(plan["job"], "planned")
        assert {p["name"]: bool(p["problem"]) for p in planned["parties"]} == {"lender": False, "bureau": True}
        w.bureau.refuse = None
        w.bureau.on_start = lambda me, s: None
        assert (await w.until(await w.submit(spec(deadline=10)), "failed"))["reason"]["code"] == "deadline"
        await w.bureau.disconnect()
        assert (await w.until(await w.submit(), "failed"))["reason"]["code"] == "party_offline"

    play(tmp_path, story)


def test_outcomes_skip_what_needs_them(tmp_path):
    async def story(w: World) -> None:
        for party in (w.lender, w.bureau):
            party.on_start = lambda me, s: me.done(s, "empty")
        found = await w.until(await w.submit(), "succeeded", "failed")
        assert [(s["state"], s["outcome"]) for s in found["steps"]] == [("done", "empty"), ("skipped", "empty")]

    play(tmp_path, story)


def test_who_may_do_what(tmp_path):
    async def story(w: World) -> None:
        eve = Identity("person", "eve")
        assert await eve.enrol(w.open, w.admin, "person") == 200
        other = Api(w.at["rest"], w.home / "ca.pem", eve.bearer)
        party = Api(w.at["rest"], w.home / "ca.pem", w.lender.bearer)
        job = await w.submit()
        for api, method, path, body, want in (
            (w.open, "GET", "/v1/jobs", {}, 401),
            (w.open, "GET", "/v1/roster", {}, 401),
            (other, "GET", f"/v1/jobs/{job}", {}, 404),
            (other, "POST", f"/v1/jobs/{job}/cancel", {"reason": "x"}, 404),
            (other, "POST", "/v1/invites", {"name": "z", "kind": "party"}, 403),
            (party, "GET", "/v1/jobs", {}, 403),
            (party, "GET", "/v1/roster", {}, 200),
            (w.admin, "GET", f"/v1/jobs/{job}", {}, 200),
            (other, "POST", "/v1/jobs", w.ana.job(spec()), 403),
            (w.person, "POST", "/v1/jobs", {**w.ana.job(spec()), "signature": "00" * 64}, 400),
            (w.person, "POST", "/v1/jobs", {**w.ana.job(spec()), "signature": ""}, 400),
            (w.person, "POST", "/v1/jobs", {**w.ana.job(spec()), "card": eve.card.to_text()}, 400),
            (w.person, "GET", "/v1/jobs/nothing", {}, 404),
        ):
            status, answer = await api.call(method, path, **body)
            assert status == want, (method, path, answer)
        _, answer = await w.person.call(
            "POST", "/v1/jobs", **w.ana.job(spec(parties={"lender": {}, "bureu": {}}, steps={
                "one": {"uses": "test/echo", "roles": {"asker": "lender", "helper": "bureu"}}}))
        )  # fmt: skip
        assert answer["error"]["hint"] == "Did you mean bureau?"
        await other.close()
        await party.close()

    play(tmp_path, story)


def test_invites_work_once_and_certificates_can_be_revoked(tmp_path):
    async def story(w: World) -> None:
        assert await Identity("party", "lender").enrol(w.open, w.admin) == 409
        twin = FakeParty("lender", w.at["grpc"], w.home / "ca.pem")
        twin.pair = tls.KeyPair(twin.pair.key, tls.issue_party(
            tls.new_authority("foreign"), tls.request(twin.pair.key, "lender"), "lender"))  # fmt: skip
        twin.connect()
        await asyncio.sleep(0.5)
        assert twin.heard == []
        await twin.disconnect()
        _, answer = await w.admin.call("POST", "/v1/parties/bureau/revoke")
        assert answer == {"revoked": 1}
        await asyncio.sleep(0.5)
        await w.bureau.disconnect()
        w.bureau.heard.clear()
        w.bureau.connect()
        await asyncio.sleep(0.5)
        kinds = [i.WhichOneof("kind") for i in w.bureau.heard]
        assert kinds in ([], ["problem"])

    play(tmp_path, story)


def test_pipes_join_two_parties_and_nobody_else(tmp_path):
    async def story(w: World) -> None:
        for party in (w.lender, w.bureau):
            party.on_start = lambda me, s: None
        job = await w.submit()
        while not (w.bureau.starts and w.lender.starts):
            await asyncio.sleep(0.05)

        def open_pipe(who: FakeParty, channel: grpc.aio.Channel, peer: str, attempt: str = "1") -> Any:
            meta = (("parley-job", job), ("parley-step", "one"), ("parley-attempt", attempt), ("parley-peer", peer))
            return rpc.CoordinatorStub(channel).Pipe(metadata=meta)  # type: ignore[no-untyped-call]  # generated

        async def knock(pipe: Any) -> None:
            await pipe.write(pb.Frame(sealed=b"x"))
            await read_on(pipe, 2)

        async def read_on(pipe: Any, frames: int) -> None:
            for _ in range(frames):
                await asyncio.wait_for(pipe.read(), 10)

        async with w.lender.channel() as one, w.bureau.channel() as two:
            a, b = open_pipe(w.lender, one, "bureau"), open_pipe(w.bureau, two, "lender")
            frames = [bytes([k]) * 1_000_000 for k in range(40)]

            async def put() -> None:
                for f in frames:
                    await a.write(pb.Frame(sealed=f))
                await a.write(pb.Frame(end=True))

            putting = asyncio.ensure_future(put())
            await asyncio.sleep(0.5)
            assert not putting.done()  # nobody reads yet: the sender is held back
            got = [await asyncio.wait_for(b.read(), 10) for _ in range(41)]
            assert [g.sealed for g in got[:40]] == frames
            assert got[40].end
            await putting
            for who, channel, peer, attempt in ((w.lender, one, "ana", "1"), (w.lender, one, "bureau", "2")):
                bad = open_pipe(who, channel, peer, attempt)
                with pytest.raises(grpc.aio.AioRpcError) as e:
                    await knock(bad)
                assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED
            await b.write(pb.Frame(sealed=b"answer"))
            assert (await asyncio.wait_for(a.read(), 10)).sealed == b"answer"
            b.cancel()
            with pytest.raises(grpc.aio.AioRpcError) as e:
                await read_on(a, 3)
            assert e.value.code() == grpc.StatusCode.UNAVAILABLE
        await w.person.call("POST", f"/v1/jobs/{job}/cancel", reason="over")

    play(tmp_path, story)
