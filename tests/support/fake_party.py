"""A scripted party: real TLS, real enrolment, real signatures, and no data. It answers as the test tells it."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.wire import contract as ct
from parley.wire import tls
from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb
from parley.wire.pb import parley_pb2_grpc as rpc

DECLARATIONS = {"test/echo": b"\x01" * 32}


class Api:
    """REST with one bearer token against one authority."""

    def __init__(self, rest: str, ca: Path, bearer: str = "") -> None:
        context = ssl.create_default_context(cafile=str(ca))
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        self._client = httpx.AsyncClient(base_url=rest, verify=context, headers=headers, timeout=40)

    async def call(self, method: str, path: str, **json: Any) -> tuple[int, Any]:
        answer = await self._client.request(method, path, json=json or None)
        return answer.status_code, answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    async def close(self) -> None:
        await self._client.aclose()


class Identity:
    def __init__(self, kind: str, name: str) -> None:
        self.name = name
        self.key, self.seal = SigningKey.generate(), StaticKey.generate()
        self.card = Card.issue(kind, name, self.key, self.seal.public)  # type: ignore[arg-type]  # a literal in a variable
        self.bearer = ""
        self.pair = tls.KeyPair(tls.new_key(), b"")

    async def enrol(self, api: Api, admin: Api, kind: str = "party") -> int:
        from parley.wire.invite import Invite

        _, made = await admin.call("POST", "/v1/invites", name=self.name, kind=kind)
        invite = Invite.from_text(made["invite"])
        body: dict[str, Any] = {"token": invite.token, "card": self.card.to_text()}
        if kind == "party":
            body["csr"] = tls.request(self.pair.key, self.name).decode()
        status, answer = await api.call("POST", "/v1/enrol", **body)
        if status == 200:
            self.bearer = answer["bearer"]
            self.pair = tls.KeyPair(self.pair.key, (answer["certificate"] or "").encode())
        return status

    def job(self, spec: dict[str, Any]) -> dict[str, Any]:
        parsed = JobSpec.model_validate(spec)
        return {
            "spec": parsed.model_dump(mode="json", by_alias=True),
            "card": self.card.to_text(),
            "signature": ct.sign_job(self.key, parsed).hex(),
        }


class FakeParty(Identity):
    """`on_start(self, start)` decides what a step does: it returns the event to send, or None to stay silent."""

    def __init__(self, name: str, grpc_at: str, ca: Path) -> None:
        super().__init__("party", name)
        self.grpc_at, self.ca = grpc_at, ca.read_bytes()
        self.heard: list[pb.Instruction] = []
        self.starts: list[pb.Start] = []
        self.refuse: ParleyError | None = None
        self.on_start: Callable[[FakeParty, pb.Start], pb.PartyEvent | None] = lambda me, start: me.done(start)
        self.capacity = 2
        self.heartbeat = 0.3
        self._out: asyncio.Queue[pb.PartyEvent] = asyncio.Queue()
        self._task: asyncio.Future[None] | None = None

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self.grpc_at, tls.channel_credentials(self.pair, self.ca))

    def connect(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def disconnect(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=5)

    async def _run(self) -> None:
        async with self.channel() as channel:
            call = rpc.CoordinatorStub(channel).Connect(self._events())  # type: ignore[no-untyped-call]  # generated
            async for instruction in call:
                self.heard.append(instruction)
                if instruction.id:
                    await self._out.put(pb.PartyEvent(ack=pb.Ack(id=instruction.id)))
                if (event := self.answer(instruction)) is not None:
                    await self.say(event)

    async def _events(self) -> AsyncIterator[pb.PartyEvent]:
        yield pb.PartyEvent(
            hello=pb.Hello(
                party=self.name,
                card=self.card.message(),
                version="1",
                declarations=DECLARATIONS,
                capacity=self.capacity,
            )
        )
        while True:
            try:
                yield await asyncio.wait_for(self._out.get(), self.heartbeat)
            except TimeoutError:
                yield pb.PartyEvent(heartbeat=pb.Heartbeat(sent_ms=1))

    async def say(self, event: pb.PartyEvent) -> None:
        event.id = event.id or secrets.token_hex(8)
        await self._out.put(event)

    def answer(self, i: pb.Instruction) -> pb.PartyEvent | None:
        kind = i.WhichOneof("kind")
        if kind == "prepare":
            if self.refuse is not None:
                problem = pb.Problem(json=canonical(self.refuse.to_dict()))
                return pb.PartyEvent(refused=pb.Refused(job=i.prepare.job, problem=problem))
            return pb.PartyEvent(
                offer=pb.Offer(job=i.prepare.job, json=canonical(self.offer().model_dump(mode="json")))
            )
        if kind == "sign":
            contract = ct.Contract.model_validate(parse(i.sign.contract))
            signature = ct.sign_contract(self.key, contract)
            return pb.PartyEvent(signed=pb.Signed(job=i.sign.job, contract_hash=contract.hash(), signature=signature))
        if kind == "agree":
            digest = ct.Contract.model_validate(parse(i.agree.contract)).hash()
            return pb.PartyEvent(agreed=pb.Agreed(job=i.agree.job, contract_hash=digest))
        if kind == "start":
            self.starts.append(i.start)
            return self.on_start(self, i.start)
        if kind == "close":
            return pb.PartyEvent(closed=pb.Closed(job=i.close.job))
        return None

    def offer(self) -> ct.PartyOffer:
        return ct.PartyOffer(
            party=self.name,
            fingerprint=self.card.fingerprint,
            card=self.card.to_text(),
            dataset=None,
            version="1",
            code={},
            declarations={k: v.hex() for k, v in DECLARATIONS.items()},
            policy="00" * 32,
            nonce=secrets.token_hex(32),
        )

    def done(self, start: pb.Start, outcome: str = "ok") -> pb.PartyEvent:
        line = pb.EgressLine(to="peer", tag="t/1", disclosure="d", messages=1, bytes=10)
        result = pb.SealedResult(reader="ab" * 32, sealed=b"sealed", sha256=bytes(32))
        return pb.PartyEvent(
            done=pb.StepDone(
                job=start.job,
                step=start.step,
                attempt=start.attempt,
                fence=start.fence,
                results=[result],
                egress=[line],
                outcome=outcome,
                seconds=0.1,
            )
        )

    def failed(self, start: pb.Start, code: str = "broken", *, retryable: bool = True) -> pb.PartyEvent:
        problem = ParleyError(code, "It broke.", retryable=retryable)
        return pb.PartyEvent(
            failed=pb.StepFailed(
                job=start.job,
                step=start.step,
                attempt=start.attempt,
                fence=start.fence,
                problem=pb.Problem(json=canonical(problem.to_dict())),
                retryable=retryable,
            )
        )
