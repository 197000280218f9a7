"""A party's side of a job: answer Prepare, Sign and Agree, start and cancel steps, close.

Each instruction's answer and its being done with are one transaction; an instruction that comes again changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace

from parley.party.runtime import agreement
from parley.party.runtime.desk import Desk, log, problem_message, settled
from parley.party.runtime.steps import Steps
from parley.party.store import JobRecord
from parley.wire.canonical import canonical
from parley.wire.contract import PartyOffer, sign_contract, verify_contract
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb

APPROVAL_POLL_S = 1.0


class Jobs:
    """Handles instructions, in order for each job, side by side for several."""

    def __init__(self, desk: Desk, steps: Steps) -> None:
        self._desk, self._steps = desk, steps
        self._queues: dict[str, asyncio.Queue[pb.Instruction]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def handle(self, instruction: pb.Instruction) -> None:
        """Take an instruction; what ends something does not wait behind what goes on."""
        kind = instruction.WhichOneof("kind")
        body = getattr(instruction, kind or "cancel")
        if kind == "cancel":
            self._steps.cancel(body.job, body.step, int(body.attempt), body.reason)
            self._acknowledge(instruction)
            return
        if kind == "close" and (worker := self._workers.get(body.job)) is not None:
            worker.cancel()
            self._workers.pop(body.job)
            self._queues.pop(body.job, None)
        queue = self._queues.setdefault(body.job, asyncio.Queue())
        queue.put_nowait(instruction)
        if body.job not in self._workers:
            self._workers[body.job] = asyncio.create_task(self._work(body.job, queue))

    async def _work(self, job: str, queue: asyncio.Queue[pb.Instruction]) -> None:
        while True:
            instruction = await queue.get()
            kind = instruction.WhichOneof("kind")
            problem = await settled(self._one(kind or "", instruction))
            if problem is not None:
                log.error("instruction_failed job=%s kind=%s code=%s: %s", job, kind, problem.code, problem.cause)
                continue  # not acknowledged: it comes again with the next connection
            self._acknowledge(instruction)
            log.info("instruction job=%s kind=%s", job, kind)
            if kind == "close":
                self._queues.pop(job, None)
                self._workers.pop(job, None)
                return

    def _acknowledge(self, instruction: pb.Instruction) -> None:
        self._desk.note(pb.PartyEvent(ack=pb.Ack(id=instruction.id)))

    async def _one(self, kind: str, i: pb.Instruction) -> None:
        if kind == "prepare":
            await self._prepare(i)
        elif kind == "sign":
            await self._answer(i, i.sign.job, lambda: self._sign(i.sign))
        elif kind == "agree":
            await self._answer(i, i.agree.job, lambda: self._agree(i.agree))
        elif kind == "start":
            await self._steps.start(i.start)
        elif kind == "close":
            await self._close(i)

    # ------------------------------------------------------------ before anything runs

    async def _prepare(self, i: pb.Instruction) -> None:
        message, desk = i.prepare, self._desk
        judged = await settled(self._judge(message))
        if isinstance(judged, ParleyError):
            await self._refuse(i, message.job, judged)
            return
        request, offer = judged
        body = canonical(offer.model_dump(mode="json"))
        record = JobRecord(
            message.job, "offered", message.spec, request.submitter.to_text(), message.signature, offer=body.decode()
        )

        def keep() -> None:
            with desk.home.store.transaction():
                if not desk.home.store.seen(i.id):
                    desk.home.store.put_job(record)
                    desk.queue(f"offer-{i.id}", pb.PartyEvent(offer=pb.Offer(job=message.job, json=body)))

        await desk.do(keep)
        desk.wake.set()

    async def _judge(self, message: pb.Prepare) -> tuple[agreement.Request, PartyOffer]:
        home, request = self._desk.home, agreement.read_request(message)
        dataset = await asyncio.to_thread(agreement.judge, home, message.job, request)
        await self._approved(message.job, request.spec)
        return request, await asyncio.to_thread(agreement.make_offer, home, request.spec, dataset)

    async def _approved(self, job: str, spec: JobSpec) -> None:
        """Wait for the operator where the policy says so; ParleyError "not_approved"."""
        desk = self._desk
        if not (await desk.do(desk.home.policy)).manual:
            return
        end = time.monotonic() + spec.deadline
        while time.monotonic() < end:
            word = await desk.do(desk.home.store.request_approval, job)
            if word == "approved":
                return
            if word == "denied":
                break
            await asyncio.sleep(APPROVAL_POLL_S)
        raise ParleyError("not_approved", f"The operator of {desk.home.name} did not approve this job.")

    async def _refuse(self, i: pb.Instruction, job: str, problem: ParleyError) -> None:
        desk = self._desk
        located = problem.located(party=desk.home.name)
        log.info("refused job=%s code=%s", job, problem.code)
        message = pb.Refused(job=job, problem=problem_message(located))

        def keep() -> None:
            with desk.home.store.transaction():
                if not desk.home.store.seen(i.id):
                    desk.queue(f"refused-{i.id}", pb.PartyEvent(refused=message))

        await desk.do(keep)
        desk.wake.set()
        record = await desk.do(desk.home.store.get_job, job)
        if record is None or record.state != "agreed":  # a late, odd question about a running job takes nothing away
            await asyncio.to_thread(desk.home.datasets.release, job)

    async def _answer(self, i: pb.Instruction, job: str, work: Callable[[], tuple[JobRecord, pb.PartyEvent]]) -> None:
        """Judge on the desk's thread; keep the new record, the answer and the instruction's id together."""
        desk = self._desk

        def keep() -> None:
            with desk.home.store.transaction():
                if desk.home.store.seen(i.id):
                    return
                record, event = work()
                desk.home.store.put_job(record)
                desk.queue(f"answer-{i.id}", event)

        try:
            await desk.do(keep)
        except ParleyError as problem:
            await self._refuse(i, job, problem)
        desk.wake.set()

    def _sign(self, message: pb.Sign) -> tuple[JobRecord, pb.PartyEvent]:
        home, record = self._desk.home, self._record(message.job, "offered")
        contract = agreement.read_contract(message.contract)
        mine = PartyOffer.model_validate_json(record.offer or "")
        spec = JobSpec.model_validate_json(record.spec)
        request = agreement.Request(spec, Card.from_text(record.submitter), record.signature)
        agreement.check_contract(home, contract, mine, request)
        if contract.job != message.job:
            raise ParleyError("bad_contract", "The contract is about another job.")
        signature = sign_contract(home.sign_key, contract)
        signed = pb.Signed(job=message.job, contract_hash=contract.hash(), signature=signature)
        return replace(record, state="signed", contract=message.contract), pb.PartyEvent(signed=signed)

    def _agree(self, message: pb.Agree) -> tuple[JobRecord, pb.PartyEvent]:
        home, record = self._desk.home, self._record(message.job, "signed")
        if record.contract != message.contract:
            raise ParleyError("bad_contract", "The contract is not the one this party signed.")
        contract = agreement.read_contract(message.contract)
        signatures = {s.party: s.signature for s in message.signatures}
        cards = {n: c for n in contract.offers if (c := home.card if n == home.name else home.peers.believed(n))}
        verify_contract(contract, signatures, cards, time.time())
        agreed = pb.Agreed(job=message.job, contract_hash=contract.hash())
        held = json.dumps({n: s.hex() for n, s in signatures.items()})
        return replace(record, state="agreed", signatures=held), pb.PartyEvent(agreed=agreed)

    def _record(self, job: str, state: str) -> JobRecord:
        record = self._desk.home.store.get_job(job)
        if record is None or record.state != state:
            raise ParleyError("bad_state", f"This party was asked out of turn: the job is not {state} here.")
        return record

    # ------------------------------------------------------------ the end

    async def _close(self, i: pb.Instruction) -> None:
        desk, message = self._desk, i.close
        await self._steps.cancel_job(message.job, "The job has ended.")
        await asyncio.to_thread(desk.home.datasets.release, message.job)

        def keep() -> None:
            store = desk.home.store
            with store.transaction():
                if store.seen(i.id):
                    return
                if (record := store.get_job(message.job)) is not None:
                    store.put_job(replace(record, state=message.state[:16] or "closed", problem=message.reason[:2000]))
                desk.queue(f"closed-{i.id}", pb.PartyEvent(closed=pb.Closed(job=message.job)))
            store.forget_checkpoints(message.job)

        await desk.do(keep)
        desk.wake.set()

    async def stop(self) -> None:
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers, timeout=5)
