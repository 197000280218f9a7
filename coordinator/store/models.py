"""The tables. Times are wall-clock seconds (float); JSON columns hold small documents of ours, never payloads."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Big = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        bytes: LargeBinary(),
        float: Float(53),
        int: Big,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class CardRow(Base):
    """An enrolled party or person. `declarations`, `version` and `capacity` are a party's latest Hello."""

    __tablename__ = "cards"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    card: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    declarations: Mapped[dict[str, Any]] = mapped_column(default=dict)
    version: Mapped[str] = mapped_column(default="")
    capacity: Mapped[int] = mapped_column(default=1)
    last_seen: Mapped[float | None]
    enrolled: Mapped[float]


class InviteRow(Base):
    __tablename__ = "invites"
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(16))
    expires: Mapped[float]
    used: Mapped[float | None]


class BearerRow(Base):
    """`hash`: SHA-256 of the secret half of the token; the token itself is stored nowhere."""

    __tablename__ = "bearers"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(63), index=True)
    created: Mapped[float]
    revoked: Mapped[float | None]


class CertificateRow(Base):
    __tablename__ = "certificates"
    serial: Mapped[str] = mapped_column(String(64), primary_key=True)
    party: Mapped[str] = mapped_column(ForeignKey("cards.name"), index=True)
    issued: Mapped[float]
    expires: Mapped[float]
    revoked: Mapped[float | None]


class VouchRow(Base):
    __tablename__ = "vouches"
    voucher: Mapped[str] = mapped_column(ForeignKey("cards.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    body: Mapped[bytes]


class JobRow(Base):
    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("submitter", "idempotency_key"), Index("jobs_by_state", "state", "submitted"))
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    purpose: Mapped[str]
    submitter: Mapped[str] = mapped_column(ForeignKey("cards.name"))
    card: Mapped[str]
    signature: Mapped[bytes]
    spec: Mapped[bytes]
    parties: Mapped[list[Any]]
    attempts: Mapped[int]
    dry_run: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16))
    ending: Mapped[str | None] = mapped_column(String(16))
    waiting: Mapped[list[Any]]
    reason: Mapped[dict[str, Any] | None]
    deadline: Mapped[float]
    close_by: Mapped[float | None]
    submitted: Mapped[float]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    contract: Mapped[bytes | None]
    contract_hash: Mapped[str | None] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    request_hash: Mapped[str] = mapped_column(String(64))


class StepRow(Base):
    """`boundaries`: the furthest boundary each party has reported, over all attempts."""

    __tablename__ = "steps"
    __table_args__ = (Index("steps_by_state", "state"),)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    position: Mapped[int]
    uses: Mapped[str]
    parties: Mapped[list[Any]]
    needs: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    fence: Mapped[int | None]
    waiting: Mapped[list[Any]]
    problems: Mapped[list[Any]]
    outcome: Mapped[str] = mapped_column(String(16))
    boundaries: Mapped[dict[str, Any]]
    ready_at: Mapped[float | None]
    settle_by: Mapped[float | None]
    started: Mapped[float | None]
    ended: Mapped[float | None]


class AttemptRow(Base):
    """One try at a step. `fence` grows over the whole database and is never used twice."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("job", "step", "attempt"), {"sqlite_autoincrement": True})
    fence: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    step: Mapped[str] = mapped_column(String(63))
    attempt: Mapped[int]
    started: Mapped[float]
    ended: Mapped[float | None]
    problem: Mapped[dict[str, Any] | None]


class LeaseRow(Base):
    """One party's slot for one attempt: `held` until it reports, is lost, or the attempt ends."""

    __tablename__ = "leases"
    __table_args__ = (Index("leases_by_party", "party", "state"), Index("leases_by_step", "job", "step", "attempt"))
    fence: Mapped[int] = mapped_column(ForeignKey("attempts.fence"), primary_key=True)
    party: Mapped[str] = mapped_column(String(63), primary_key=True)
    job: Mapped[str] = mapped_column(String(40))
    step: Mapped[str] = mapped_column(String(63))
    attempt: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    taken: Mapped[float]
    suspect_by: Mapped[float | None]
    seconds: Mapped[float | None]


class OfferRow(Base):
    __tablename__ = "offers"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    party: Mapped[str] = mapped_column(String(63), primary_key=True)
    offer: Mapped[dict[str, Any] | None]
    problem: Mapped[dict[str, Any] | None]


class SignatureRow(Base):
    __tablename__ = "signatures"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    party: Mapped[str] = mapped_column(String(63), primary_key=True)
    signature: Mapped[bytes]


class ResultRow(Base):
    """A blob that only its reader can open."""

    __tablename__ = "results"
    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    step: Mapped[str] = mapped_column(String(63))
    attempt: Mapped[int]
    party: Mapped[str] = mapped_column(String(63))
    reader: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes]
    sha256: Mapped[str] = mapped_column(String(64))


class EgressRow(Base):
    """What a party's ledger says it sent: an advisory copy."""

    __tablename__ = "egress"
    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    step: Mapped[str] = mapped_column(String(63))
    attempt: Mapped[int]
    party: Mapped[str] = mapped_column(String(63))
    to: Mapped[str] = mapped_column(String(63))
    tag: Mapped[str]
    disclosure: Mapped[str]
    messages: Mapped[int]
    bytes: Mapped[int]


class EventRow(Base):
    __tablename__ = "events"
    __table_args__ = (Index("events_by_job", "job", "n"), {"sqlite_autoincrement": True})
    n: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    at: Mapped[float]
    kind: Mapped[str] = mapped_column(String(32))
    step: Mapped[str] = mapped_column(String(63), default="")
    party: Mapped[str] = mapped_column(String(63), default="")
    data: Mapped[dict[str, Any]]


class OutboxRow(Base):
    """An instruction that its party has not acknowledged yet."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("party", "id"), {"sqlite_autoincrement": True})
    n: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    party: Mapped[str] = mapped_column(String(63), index=True)
    id: Mapped[str] = mapped_column(String(80))
    job: Mapped[str] = mapped_column(String(40))
    body: Mapped[bytes]


class InboxRow(Base):
    """Party events that have had their effect."""

    __tablename__ = "inbox"
    party: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    at: Mapped[float]
