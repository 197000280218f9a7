"""Runs a step's attempt: a child process, a gate, a ledger and a pipe to each peer, joined and taken apart again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

import grpc

from parley.crypto.box import seal_to
from parley.party.home import PartyHome
from parley.party.runtime import agreement, caches, direct
from parley.party.runtime.desk import Desk, log, problem_message, settled, together
from parley.party.runtime.link import Link
from parley.party.runtime.pipes import CallEnd, End, Pipe, open_pipe
from parley.party.store import StepRecord
from parley.protocols.kit.gate import Gate
from parley.protocols.kit.host import ChildHost, ChildSpec
from parley.protocols.kit.protocol import Cast, Protocol, Sizes, StepInputs, StepOutputs
from parley.protocols.kit.spare import QUIET_S, Spare
from parley.protocols.planned import sizes_at
from parley.wire.contract import Contract
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.pb import parley_pb2 as pb
from parley.wire.result import sign_result

PROGRESS_S = 0.5
RESULT_TAG = "parley.result/1"
Key = tuple[str, str, int]


@dataclass
class Attempt:
    """One attempt in memory; everything here dies with it."""

    start: pb.Start
    contract: Contract
    protocol: Protocol
    cast: Cast
    params: Any
    gate: Gate
    ledger: Any
    began: float = field(default_factory=time.monotonic)
    pipes: dict[str, Pipe] = field(default_factory=dict)
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    host: ChildHost | None = None
    arriving: list[asyncio.Task[None]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)  # the child has ended
    reported: float = 0.0
    cancelled: str = ""
    charged: bool = False  # its run is counted for those who probe this party's data

    @property
    def key(self) -> Key:
        return self.start.job, self.start.step, int(self.start.attempt)


class Steps:
    """The attempts that run at this party now."""

    def __init__(self, desk: Desk, listener: direct.Listener) -> None:
        self._desk, self._listener = desk, listener
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._attempts: dict[Key, Attempt] = {}
        self._spare = Spare(wanted=desk.home.config.spare_process)
        self._void: set[Key] = set()  # cancelled; a Start of these may still wait in its job's queue
        self.link: Link | None = None

    def running(self) -> list[pb.Running]:
        return [pb.Running(job=j, step=s, attempt=a) for j, s, a in self._tasks]

    async def start(self, start: pb.Start) -> None:
        """Begin an attempt unless its fencing token is old; a job that is not agreed here starts nothing."""
        store, key = self._desk.home.store, (start.job, start.step, int(start.attempt))

        def claim() -> bool:
            with store.transaction():
                if start.fence <= store.fence(start.job, start.step):
                    self._report_lost(start)
                    return False
                store.put_step(StepRecord(start.job, start.step, int(start.attempt), int(start.fence), "running"))
                return True

        if key in self._tasks:
            return
        if await self._desk.do(claim):
            self._tasks[key] = asyncio.create_task(self._run(start, key))
        else:
            self._desk.wake.set()

    def _report_lost(self, start: pb.Start) -> None:
        """An attempt that was begun and is not running here: the daemon ended in between, perhaps before it could
        acknowledge the Start, so that the coordinator does not miss it by itself."""
        store, number = self._desk.home.store, (int(start.attempt), int(start.fence), "running")
        held = [s for s in store.steps(start.job) if s.step == start.step]
        if not any((s.attempt, s.fence, s.state) == number for s in held):
            return
        problem = ParleyError(
            "party_restarted",
            "The party's daemon was restarted while the step ran.",
            party=self._desk.home.name,
            step=start.step,
            retryable=True,
        )
        store.put_step(StepRecord(start.job, start.step, int(start.attempt), int(start.fence), "failed"))
        failed = pb.StepFailed(
            job=start.job,
            step=start.step,
            attempt=start.attempt,
            fence=start.fence,
            problem=problem_message(problem),
            retryable=True,
            egress=self._egress(start),
        )
        self._desk.queue(f"end-{start.fence}", pb.PartyEvent(failed=failed))

    def cancel(self, job: str, step: str, attempt: int, reason: str) -> None:
        key = (job, step, attempt)
        self._void.add(key)
        if (held := self._attempts.get(key)) is not None:
            held.cancelled = reason or "The attempt was cancelled."
        if (task := self._tasks.get(key)) is not None:
            task.cancel()

    async def cancel_job(self, job: str, reason: str) -> None:
        mine = {k: t for k, t in self._tasks.items() if k[0] == job}
        for job_, step, attempt in mine:
            self.cancel(job_, step, attempt, reason)
        if mine:
            await asyncio.wait(mine.values(), timeout=20)
        self._void = {k for k in self._void if k[0] != job}

    async def stop(self) -> None:
        for job in {k[0] for k in self._tasks}:
            await self.cancel_job(job, "The party's daemon stops.")
        await self._spare.close()

    def ready(self) -> None:
        """Nothing runs: a process for the next step is started, unless one comes sooner."""
        if not self._tasks:
            self._spare.later(QUIET_S, self._desk.home.config.step_threads)

    # ------------------------------------------------------------ one attempt

    async def _run(self, start: pb.Start, key: Key) -> None:
        log.info("step_start job=%s step=%s attempt=%d", *key)
        try:
            if key in self._void:
                raise asyncio.CancelledError
            ended = await settled(self._attempt(start), max(1, int(start.deadline_s)))
        except asyncio.CancelledError:
            ended = ParleyError("cancelled", "The attempt was cancelled.", retryable=True)
        if isinstance(ended, ParleyError):
            ended = await self._failed(start, ended)
        self._tasks.pop(key, None)
        self._attempts.pop(key, None)
        self.ready()
        await self._desk.do(self._end, start, ended)
        self._desk.wake.set()

    def _end(self, start: pb.Start, event: pb.PartyEvent) -> None:
        state = event.WhichOneof("kind") or ""
        with self._desk.home.store.transaction() as _:
            record = StepRecord(start.job, start.step, int(start.attempt), int(start.fence), state)
            self._desk.home.store.put_step(record)
            self._desk.queue(f"end-{start.fence}", event)
        log.info("step_end job=%s step=%s attempt=%d state=%s", start.job, start.step, start.attempt, state)

    async def _failed(self, start: pb.Start, problem: ParleyError) -> pb.PartyEvent:
        located = problem.located(party=self._desk.home.name, step=start.step)
        log.warning("step_failed job=%s step=%s code=%s", start.job, start.step, problem.code)
        return pb.PartyEvent(
            failed=pb.StepFailed(
                job=start.job,
                step=start.step,
                attempt=start.attempt,
                fence=start.fence,
                problem=problem_message(located),
                retryable=problem.retryable,
                egress=await self._desk.do(self._egress, start),
            )
        )

    def _egress(self, start: pb.Start) -> list[pb.EgressLine]:
        return self._desk.home.ledger.summary(start.job, start.step, int(start.attempt))

    async def _attempt(self, start: pb.Start) -> pb.PartyEvent:
        attempt = await self._desk.do(self._prepare, start)
        self._attempts[attempt.key] = attempt
        try:
            await self._open_pipes(attempt)
            outputs = await self._child(attempt)
            await self._part(attempt)
        finally:
            await asyncio.shield(self._take_apart(attempt))
        return await self._desk.do(self._done, attempt, outputs)

    def _prepare(self, start: pb.Start) -> Attempt:
        home = self._desk.home
        record = home.store.get_job(start.job)
        if record is None or record.state != "agreed" or record.contract is None:
            raise ParleyError("not_agreed", "This party was told to start a step of a job it has not agreed to.")
        contract = agreement.read_contract(record.contract)
        if time.time() > contract.expires:
            raise ParleyError("contract_expired", "The contract has expired.", "Submit the job again.")
        spec = contract.job_spec()
        step = spec.steps.get(start.step)
        if step is None or home.name not in step.parties():
            raise ParleyError("bad_step", "This party has no part in the step it was told to start.")
        protocol, cast, params = agreement.part_of(step)
        datasets = {p: o.dataset for p, o in contract.offers.items() if o.dataset is not None}
        sizes = Sizes({p: d.rows for p, d in datasets.items()}, {p: d.columns for p, d in datasets.items()})
        sizes = sizes_at(spec, start.step, sizes)
        ledger = home.ledger.for_job(start.job)
        gate = Gate(
            protocol,
            cast,
            me=home.name,
            job=start.job,
            step=start.step,
            attempt=int(start.attempt),
            flows=protocol.cost(params, cast, sizes),
            ledger=ledger,
        )
        return Attempt(start, contract, protocol, cast, params, gate, ledger)

    # ------------------------------------------------------------ pipes

    async def _open_pipes(self, a: Attempt) -> None:
        role = a.cast.role_of(self._desk.home.name)
        talk = {s.receiver for s in a.protocol.steps if s.sender == role}
        talk |= {s.sender for s in a.protocol.steps if s.receiver == role}
        peers = sorted({p for r in talk for p in a.cast.get(r, ())} - {self._desk.home.name})
        await together(*(self._open_one(a, peer) for peer in peers))

    async def _open_one(self, a: Attempt, peer: str) -> None:
        home, start = self._desk.home, a.start
        card = Card.from_text(a.contract.offers[peer].card)
        believed = await self._desk.do(home.peers.believed, peer)
        if believed is None or believed.fingerprint != card.fingerprint:
            raise ParleyError("unpinned_peer", f"{peer} is not believed here any more.", party=home.name)
        end = await self._end_to(a, peer)
        a.pipes[peer] = await open_pipe(
            end,
            me=home.name,
            peer=peer,
            key=home.seal_key,
            peer_public=card.seal_public,
            contract=a.contract.hash(),
            step=start.step,
            attempt=int(start.attempt),
        )

    async def _end_to(self, a: Attempt, peer: str) -> End:
        home, start = self._desk.home, a.start
        meta = (("parley-job", start.job), ("parley-step", start.step), ("parley-attempt", str(start.attempt)))
        if (peer, home.name) in a.contract.direct:
            return await self._listener.accept((*a.key, peer))
        if (home.name, peer) in a.contract.direct:
            channel = direct.dial(home, peer)
            a.channels.append(channel)
            return direct.opened(channel, meta, peer)
        if self.link is None:
            raise ParleyError("not_connected", "There is no link to the coordinator.", retryable=True)
        channel = self.link.channel()
        a.channels.append(channel)
        call = self.link.stub(channel).Pipe(metadata=(*meta, ("parley-peer", peer)))
        return CallEnd(call, "the coordinator")

    async def _part(self, a: Attempt) -> None:
        """Say the end to every peer, and read on until each has said its own: a slower one still needs the pipe.

        A pending read is not cancelled before that, since gRPC then takes the whole pipe down, unread frames and all.
        The attempt's deadline bounds it.
        """
        for pipe in a.pipes.values():
            with contextlib.suppress(ParleyError):  # this party's part is done, whatever became of the peer
                await pipe.finish()
        if a.arriving:
            await asyncio.wait(a.arriving, timeout=max(1, int(a.start.deadline_s)))

    async def _take_apart(self, a: Attempt) -> None:
        for task in a.arriving:
            task.cancel()
        if a.arriving:
            await asyncio.wait(a.arriving, timeout=5)
        if a.host is not None:
            a.host.kill(a.cancelled or "The attempt is over.")
            await a.host.close()
        for pipe in a.pipes.values():
            await pipe.close()
        for channel in a.channels:
            await channel.close(None)

    # ------------------------------------------------------------ the child

    async def _child(self, a: Attempt) -> StepOutputs:
        spec = await asyncio.to_thread(self._spec, a)
        a.host = host = await ChildHost.spawn(spec, self._spare)
        running = asyncio.create_task(
            host.run(
                lambda e: self._leave(a, e),
                lambda d, t, phase: self._progress(a, d, t, phase),
                lambda b, state: self._checkpoint(a, b, state),
            )
        )
        a.arriving = [asyncio.create_task(self._arrive(a, pipe)) for pipe in a.pipes.values()]
        try:
            while not running.done():
                waiting = {running, *(t for t in a.arriving if not t.done())}
                await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
                await self._fate(running, a.arriving)
            return running.result()
        finally:
            a.over.set()
            running.cancel()
            await asyncio.wait({running}, timeout=5)

    async def _fate(self, running: asyncio.Task[StepOutputs], arriving: list[asyncio.Task[None]]) -> None:
        """A pipe that failed ends the attempt, unless the child has just ended well without it."""
        failed = [t for t in arriving if t.done() and not t.cancelled() and t.exception() is not None]
        if failed and not running.done():
            await asyncio.wait({running}, timeout=1)
            if not running.done():
                failed[0].result()

    def _spec(self, a: Attempt) -> ChildSpec:
        home, start = self._desk.home, a.start
        spec = a.contract.job_spec()
        step, use = spec.steps[start.step], spec.parties[home.name]
        stored = home.datasets.stored(use.data, start.job) if use.data is not None else None
        table = home.datasets.read(use.data, start.job) if use.data is not None and stored is None else None
        needs = {n: home.store.load_output(start.job, n) or {} for n in step.needs}
        resumed = None
        if start.resume:
            state = home.store.load_checkpoint(start.job, start.step, int(start.boundary))
            if state is None:
                raise ParleyError("no_checkpoint", "The checkpoint to resume from is not here any more.")
            resumed = (int(start.boundary), state)
        return ChildSpec(
            protocol=step.uses,
            job=start.job,
            step=start.step,
            attempt=int(start.attempt),
            me=home.name,
            cast=dict(a.cast),
            params=step.with_,
            seed=bytes.fromhex(a.contract.seed),
            inputs=StepInputs(table, needs, caches.load(home.vault, self._cache(a)), stored),
            patience=home.config.patience_s,
            resumed=resumed,
            memory_mb=home.config.step_memory_mb,
            threads=home.config.step_threads,
        )

    def _cache(self, a: Attempt) -> caches.Place | None:
        return caches.place_of(a.contract, a.contract.job_spec().steps[a.start.step], a.protocol)

    async def _leave(self, a: Attempt, envelope: Envelope) -> None:
        """Budget, policy, gate, ledger, seal, send: in this order, for every envelope that leaves."""
        pipe = a.pipes.get(envelope.address.receiver)
        if pipe is None:
            raise ParleyError("undeclared_message", "The step wrote to a party it has no pipe to.")
        line = await self._desk.do(self._open_line, a, envelope)
        await pipe.send(envelope)
        await self._desk.do(a.gate.left, line, envelope)

    def _open_line(self, a: Attempt, envelope: Envelope) -> Any:
        if not a.charged:
            agreement.charge_probe(self._desk.home, a.contract, *a.key)
            a.charged = True
        disclosure = a.gate.disclosure(envelope)
        if not self._desk.home.policy().permits_disclosure(disclosure):
            raise ParleyError(
                "policy_denied",
                f"The policy of {self._desk.home.name} does not allow the disclosure {disclosure} any more.",
                "The operator tightened policy.yaml while the job ran.",
            )
        return a.gate.outgoing(envelope)

    async def _arrive(self, a: Attempt, pipe: Pipe) -> None:
        assert a.host is not None
        while (envelope := await pipe.recv()) is not None:
            if envelope.address.sender != pipe.peer:
                raise ParleyError("protocol_violation", f"{pipe.peer} wrote in another name.", party=pipe.peer)
            a.gate.incoming(envelope)
            await self._deliver(a, envelope)

    async def _deliver(self, a: Attempt, envelope: Envelope) -> None:
        """Hand an envelope to the child, waiting for its credit; after its end nobody reads, and it is dropped."""
        assert a.host is not None
        if a.over.is_set():
            return
        handing = asyncio.ensure_future(a.host.deliver(envelope))
        over = asyncio.ensure_future(a.over.wait())
        try:
            await asyncio.wait({handing, over}, return_when=asyncio.FIRST_COMPLETED)
            if handing.done() and not a.over.is_set():
                handing.result()
        finally:
            handing.cancel()
            over.cancel()

    def _progress(self, a: Attempt, done: int, total: int, phase: str) -> None:
        now = time.monotonic()
        if done < total and now - a.reported < PROGRESS_S:
            return
        a.reported = now
        counters = pb.StepProgress(
            job=a.start.job,
            step=a.start.step,
            attempt=a.start.attempt,
            done=max(0, done),
            total=max(0, total),
            bytes_out=sum(p.bytes_out for p in a.pipes.values()),
            bytes_in=sum(p.bytes_in for p in a.pipes.values()),
            phase=phase,
        )
        self._desk.note(pb.PartyEvent(progress=counters))

    async def _checkpoint(self, a: Attempt, boundary: int, state: bytes) -> None:
        start, store = a.start, self._desk.home.store
        await asyncio.to_thread(store.save_checkpoint, start.job, start.step, boundary, state)
        reached = pb.StepBoundary(job=start.job, step=start.step, attempt=start.attempt, boundary=boundary)
        await self._desk.say(f"boundary-{start.fence}-{boundary}", pb.PartyEvent(boundary=reached))

    # ------------------------------------------------------------ the result

    def _done(self, a: Attempt, outputs: StepOutputs) -> pb.PartyEvent:
        """Keep what stays, seal what the submitter may read, and account for it."""
        home, start = self._desk.home, a.start
        home.store.save_output(start.job, start.step, outputs.keep)
        caches.save(home.vault, self._cache(a), outputs.cache)
        results = [self._result(home, a, outputs.result)] if outputs.result else []
        return pb.PartyEvent(
            done=pb.StepDone(
                job=start.job,
                step=start.step,
                attempt=start.attempt,
                fence=start.fence,
                results=results,
                egress=self._egress(start),
                outcome=outputs.outcome,
                seconds=time.monotonic() - a.began,
            )
        )

    def _result(self, home: PartyHome, a: Attempt, result: dict[str, Any]) -> pb.SealedResult:
        submitter, start = Card.from_text(a.contract.submitter), a.start
        body = sign_result(home.sign_key, a.contract.hash(), start.step, int(start.attempt), result)
        line = a.ledger.open(
            to=submitter.name,
            tag=RESULT_TAG,
            disclosure="result",
            step=start.step,
            attempt=int(start.attempt),
            seq=0,
            cap=len(body),
        )
        sealed = seal_to(submitter.seal_public, body, a.contract.hash())
        a.ledger.close(line, len(body), hashlib.sha256(body).digest())
        return pb.SealedResult(reader=submitter.fingerprint, sealed=sealed, sha256=hashlib.sha256(sealed).digest())
