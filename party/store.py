"""What a party must not forget: jobs, steps, undelivered events, seen instructions, checkpoints, outputs.

Guarantee: everything changed inside one `transaction()` is kept together or not at all, across a crash.
Not guaranteed: secrecy; what is secret goes into the vault and only its item name stands here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from parley.party import store_tables as t
from parley.party.database import open_database
from parley.party.vault import Vault
from parley.wire.codec import Value, decode, encode
from parley.wire.errors import ParleyError

VERSION = 1
INBOX_DAYS = 30


@dataclass(frozen=True)
class JobRecord:
    """One job as this party knows it; see `store_tables.jobs` for the forms."""

    id: str
    state: str
    spec: bytes
    submitter: str
    signature: bytes
    offer: str | None = None
    contract: bytes | None = None
    signatures: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class StepRecord:
    job: str
    step: str
    attempt: int
    fence: int
    state: str


class Store:
    """The party's database at `path`. Calls are synchronous and short; never await inside a transaction."""

    def __init__(self, path: Path, vault: Vault) -> None:
        self._engine = open_database(path, t.METADATA, VERSION)
        self._vault = vault
        self._current: ContextVar[Connection | None] = ContextVar("parley_store", default=None)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction for all calls in the body; an inner one joins the outer one."""
        outer = self._current.get(None)
        if outer is not None:
            yield outer
            return
        try:
            with self._engine.begin() as connection:
                token = self._current.set(connection)
                try:
                    yield connection
                finally:
                    self._current.reset(token)
        except OperationalError:
            raise ParleyError(
                "database_unavailable",
                "The party's database cannot be used at the moment.",
                "Look at disk space and at other processes using this home.",
                retryable=True,
            ) from None

    # Jobs and steps

    def put_job(self, job: JobRecord) -> None:
        """Store a job, or replace what was stored."""
        self._upsert(t.jobs, asdict(job), "id")

    def get_job(self, job: str) -> JobRecord | None:
        with self.transaction() as c:
            row = c.execute(select(t.jobs).where(t.jobs.c.id == job)).mappings().one_or_none()
        return None if row is None else JobRecord(**row)

    def jobs(self, state: str | None = None) -> list[JobRecord]:
        query = select(t.jobs).order_by(t.jobs.c.id)
        if state is not None:
            query = query.where(t.jobs.c.state == state)
        with self.transaction() as c:
            return [JobRecord(**row) for row in c.execute(query).mappings()]

    def put_step(self, step: StepRecord) -> None:
        self._upsert(t.steps, asdict(step), "job", "step", "attempt")

    def steps(self, job: str) -> list[StepRecord]:
        query = select(t.steps).where(t.steps.c.job == job).order_by(t.steps.c.step, t.steps.c.attempt)
        with self.transaction() as c:
            return [StepRecord(**row) for row in c.execute(query).mappings()]

    def fence(self, job: str, step: str) -> int:
        """The newest fencing token seen for this step of a job; 0 when there was none."""
        query = select(func.max(t.steps.c.fence)).where(t.steps.c.job == job, t.steps.c.step == step)
        with self.transaction() as c:
            return int(c.execute(query).scalar() or 0)

    # Events out, instructions in

    def add_event(self, event_id: str, event: bytes) -> None:
        """Queue an event until it is acknowledged; the same id again changes nothing."""
        with self.transaction() as c:
            c.execute(insert(t.outbox).values(id=event_id, event=event, acked=False).on_conflict_do_nothing())

    def pending_events(self, limit: int = 1000) -> list[tuple[str, bytes]]:
        """(id, event) of what is not acknowledged, oldest first."""
        query = select(t.outbox.c.id, t.outbox.c.event).where(t.outbox.c.acked.is_(False)).order_by(t.outbox.c.n)
        with self.transaction() as c:
            return [(str(row[0]), bytes(row[1])) for row in c.execute(query.limit(limit))]

    def ack(self, event_id: str) -> None:
        """Mark an event as delivered and let its bytes go; an unknown id is no error."""
        with self.transaction() as c:
            c.execute(update(t.outbox).where(t.outbox.c.id == event_id).values(acked=True, event=b""))

    def seen(self, instruction_id: str) -> bool:
        """Note an instruction; True when it was noted before, and so must not be carried out again."""
        now = time.time()
        with self.transaction() as c:
            c.execute(delete(t.inbox).where(t.inbox.c.at < now - INBOX_DAYS * 86400))
            done = c.execute(insert(t.inbox).values(id=instruction_id, at=now).on_conflict_do_nothing())
            return done.rowcount == 0

    # Checkpoints and outputs: bytes in the vault, names here

    def save_checkpoint(self, job: str, step: str, boundary: int, state: bytes) -> None:
        item = f"checkpoint/{job}/{step}/{boundary}"
        self._vault.put(item, state)
        self._upsert(
            t.checkpoints, {"job": job, "step": step, "boundary": boundary, "item": item}, "job", "step", "boundary"
        )

    def load_checkpoint(self, job: str, step: str, boundary: int) -> bytes | None:
        c = t.checkpoints.c
        item = self._item(select(c.item).where(c.job == job, c.step == step, c.boundary == boundary))
        return None if item is None else self._vault.get(item)

    def boundaries(self, job: str, step: str) -> list[int]:
        """Boundaries with a stored checkpoint, ascending."""
        c = t.checkpoints.c
        query = select(c.boundary).where(c.job == job, c.step == step).order_by(c.boundary)
        with self.transaction() as connection:
            return [int(b) for b in connection.execute(query).scalars()]

    def save_output(self, job: str, step: str, values: dict[str, Value]) -> None:
        """Keep what a step left at this party, for later steps and for serving."""
        item = f"output/{job}/{step}"
        self._vault.put(item, encode(values))
        self._upsert(t.outputs, {"job": job, "step": step, "item": item}, "job", "step")

    def load_output(self, job: str, step: str) -> dict[str, Value] | None:
        item = self._item(select(t.outputs.c.item).where(t.outputs.c.job == job, t.outputs.c.step == step))
        return None if item is None else decode(self._vault.get(item))

    def outputs(self) -> list[tuple[str, str]]:
        """(job, step) of every output there is, by name."""
        c = t.outputs.c
        with self.transaction() as connection:
            rows = connection.execute(select(c.job, c.step).order_by(c.job, c.step))
            return [(str(job), str(step)) for job, step in rows]

    def forget_checkpoints(self, job: str) -> None:
        """Drop a finished job's checkpoints and delivered events; outputs stay."""
        with self.transaction() as c:
            items = list(c.execute(select(t.checkpoints.c.item).where(t.checkpoints.c.job == job)).scalars())
            c.execute(delete(t.checkpoints).where(t.checkpoints.c.job == job))
            c.execute(delete(t.outbox).where(t.outbox.c.acked.is_(True)))
        for item in items:
            self._vault.delete(item)

    # Approvals and settings

    def request_approval(self, job: str) -> str:
        """The operator's word on a job: "pending" (also when asked for the first time), "approved" or "denied"."""
        row = {"job": job, "state": "pending", "at": time.time()}
        with self.transaction() as c:
            c.execute(insert(t.approvals).values(row).on_conflict_do_nothing())
            return str(c.execute(select(t.approvals.c.state).where(t.approvals.c.job == job)).scalar_one())

    def decide(self, job: str, approved: bool) -> None:
        """Record the operator's word; ParleyError "unknown_approval" when nobody asked for it."""
        values = {"state": "approved" if approved else "denied", "at": time.time()}
        with self.transaction() as c:
            if c.execute(update(t.approvals).where(t.approvals.c.job == job).values(values)).rowcount == 0:
                raise ParleyError("unknown_approval", "No job of this id waits for approval here.")

    def approval(self, job: str) -> str | None:
        with self.transaction() as c:
            return c.execute(select(t.approvals.c.state).where(t.approvals.c.job == job)).scalar_one_or_none()

    def pending_approvals(self) -> list[str]:
        query = select(t.approvals.c.job).where(t.approvals.c.state == "pending").order_by(t.approvals.c.at)
        with self.transaction() as c:
            return list(c.execute(query).scalars())

    def set_setting(self, key: str, value: str) -> None:
        self._upsert(t.settings, {"key": key, "value": value}, "key")

    def setting(self, key: str) -> str | None:
        with self.transaction() as c:
            return c.execute(select(t.settings.c.value).where(t.settings.c.key == key)).scalar_one_or_none()

    def _item(self, query: Any) -> str | None:
        with self.transaction() as c:
            found = c.execute(query).scalar_one_or_none()
        return None if found is None else str(found)

    def _upsert(self, table: Table, row: dict[str, Any], *keys: str) -> None:
        rest = {k: v for k, v in row.items() if k not in keys}
        with self.transaction() as c:
            c.execute(insert(table).values(row).on_conflict_do_update(index_elements=list(keys), set_=rest))
