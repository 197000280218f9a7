"""A coordinator's store with two parties that know a protocol, and jobs brought to the moment a test needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fake_party import Identity
from sqlalchemy import func, select

from parley.coordinator.store import inbox, schedule, submit, views
from parley.coordinator.store.database import Database
from parley.coordinator.store.models import Base
from parley.wire import contract as ct
from parley.wire.canonical import canonical
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb

DIGEST = "0" * 64
ROLES = {"asker": "lender", "helper": ["bureau"]}


class Clock:
    """Wall seconds that move only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    db: Database
    clock: Clock
    who: dict[str, Identity]
    count: int = 0

    def count_rows(self, table: type[Base]) -> int:
        return self.db.read(lambda s: int(s.scalar(select(func.count()).select_from(table)) or 0))

    def submission(self, **changes: Any) -> submit.Submission:
        step = {"uses": "test/echo", "roles": ROLES}
        document = {
            "name": "demo",
            "purpose": "a test of the store",
            "parties": {"lender": {}, "bureau": {}},
            "steps": {"one": step, "two": {**step, "needs": "one"}},
            "deadline": 600,
            **changes,
        }
        spec = JobSpec.model_validate(document)
        ana = self.who["ana"]
        return submit.Submission(spec, ana.card, ct.sign_job(ana.key, spec), False, None, spec.hash().hex())

    def event(self, **kind: Any) -> pb.PartyEvent:
        self.count += 1
        return pb.PartyEvent(id=f"e{self.count}", **kind)

    def tell(self, party: str, **kind: Any) -> str:
        return inbox.receive(self.db, party, self.event(**kind))

    def mail(self, party: str) -> list[pb.Instruction]:
        return [pb.Instruction.FromString(body) for _, body in inbox.mail(self.db, party, 0)]

    def running(self) -> str:
        """A job whose first step runs at both parties."""
        job = self.ready()
        assert schedule.lease_ready(self.db, {"lender": 1, "bureau": 1}) == 1
        return job

    def ready(self) -> str:
        """A job that everybody agreed to; its first step waits for slots."""
        job, _ = submit.submit(self.db, self.submission(), [])
        submit.begin(self.db, job)
        for name in ("lender", "bureau"):
            self.tell(name, offer=pb.Offer(job=job, json=canonical(self.offer(name).model_dump(mode="json"))))
        digest = bytes.fromhex(views.detail(self.db, job)["contract"])
        for name in ("lender", "bureau"):
            signature = self.who[name].key.sign(digest, ct.CONTRACT)
            self.tell(name, signed=pb.Signed(job=job, contract_hash=digest, signature=signature))
        for name in ("lender", "bureau"):
            self.tell(name, agreed=pb.Agreed(job=job, contract_hash=digest))
        return job

    def offer(self, name: str, **changes: Any) -> ct.PartyOffer:
        who = self.who[name]
        values: dict[str, Any] = {
            "party": name,
            "fingerprint": who.card.fingerprint,
            "card": who.card.to_text(),
            "dataset": None,
            "version": "0",
            "code": {},
            "declarations": {"test/echo": DIGEST},
            "policy": DIGEST,
            "nonce": DIGEST,
        }
        return ct.PartyOffer(**{**values, **changes})

    def start(self, party: str) -> pb.Start:
        return [i.start for i in self.mail(party) if i.WhichOneof("kind") == "start"][-1]

    def done(self, start: pb.Start, **changes: Any) -> pb.StepDone:
        values = {"job": start.job, "step": start.step, "attempt": start.attempt, "fence": start.fence, "outcome": "ok"}
        return pb.StepDone(**{**values, **changes})

    def step(self, job: str, name: str = "one") -> dict[str, Any]:
        return next(s for s in views.detail(self.db, job)["steps"] if s["name"] == name)
