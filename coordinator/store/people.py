"""Named transactions about who may reach the coordinator: invites, cards, bearers, certificates, vouches."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from parley.coordinator.store.database import Database
from parley.coordinator.store.models import BearerRow, CardRow, CertificateRow, InviteRow, VouchRow
from parley.coordinator.store.tx import Tx
from parley.crypto.errors import CryptoError
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.pb import parley_pb2 as pb
from parley.wire.tls import RENEWAL, KeyPair, expires, issue_party, renewal, serial

INVITE_S = 7 * 86400
Role = Literal["admin", "person", "party"]


@dataclass(frozen=True)
class Caller:
    """Whom a bearer token stands for."""

    role: Role
    name: str


@dataclass(frozen=True)
class Certified:
    serial: str
    expires: float


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def invite(db: Database, name: str, kind: Literal["party", "person"]) -> str:
    """Make a one-use token that lets `name` enrol within 7 days; only its hash is kept."""
    token = secrets.token_urlsafe(32)

    def work(tx: Tx) -> None:
        card = tx.card(name)
        if card is not None and card.kind != kind:
            raise ParleyError("name_taken", f"{name} is enrolled as a {card.kind}.", "Choose another name.")
        tx.session.add(InviteRow(hash=_hash(token), name=name, kind=kind, expires=tx.now + INVITE_S))

    db.transact(work)
    return token


def invited(db: Database, token: str) -> tuple[str, str]:
    """(name, kind) of an invite that can still be used; ParleyError "bad_invite". Uses nothing up."""

    def work(session: Session) -> tuple[str, str]:
        row = session.get(InviteRow, _hash(token))
        if row is None or row.used is not None or row.expires <= db.clock():
            raise bad_invite()
        return row.name, row.kind

    return db.read(work)


def enrol(db: Database, token: str, card: Card, certified: Certified | None) -> str:
    """Use up the invite, enrol the card, record the certificate (older ones are revoked); a new bearer token."""

    def work(tx: Tx) -> str:
        fresh = (InviteRow.hash == _hash(token), InviteRow.used.is_(None), InviteRow.expires > tx.now)
        matching = (InviteRow.name == card.name, InviteRow.kind == card.body.kind)
        used = tx.session.execute(update(InviteRow).where(*fresh, *matching).values(used=tx.now))
        if used.rowcount != 1:  # type: ignore[attr-defined]  # Result of an UPDATE is a CursorResult
            raise bad_invite()
        _enrol_card(tx, card)
        if certified is not None:
            _certify(tx, card.name, certified)
        tx.touched.roster = True
        return _bearer(tx, "party" if card.body.kind == "party" else "person", card.name)

    return db.transact(work)


def _enrol_card(tx: Tx, card: Card) -> None:
    known = tx.card(card.name)
    if known is None:
        tx.session.add(
            CardRow(
                name=card.name,
                kind=card.body.kind,
                card=card.to_text(),
                fingerprint=card.fingerprint,
                declarations={},
                enrolled=tx.now,
            )
        )
        tx.session.flush()
    elif known.fingerprint != card.fingerprint:
        raise ParleyError(
            "name_taken",
            f"Another identity is enrolled under the name {card.name}.",
            "An identity keeps its keys; enrol a new identity under a new name.",
            party=card.name,
        )


def _certify(tx: Tx, party: str, certified: Certified) -> None:
    old = (CertificateRow.party == party, CertificateRow.revoked.is_(None))
    tx.session.execute(update(CertificateRow).where(*old).values(revoked=tx.now))
    tx.session.add(
        CertificateRow(serial=certified.serial, party=party, issued=tx.now, expires=certified.expires, revoked=None)
    )
    tx.touched.revoked.add(party)


def _bearer(tx: Tx, role: Role, name: str) -> str:
    old = (BearerRow.name == name, BearerRow.role == role, BearerRow.revoked.is_(None))
    tx.session.execute(update(BearerRow).where(*old).values(revoked=tx.now))
    ident, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    tx.session.add(BearerRow(id=ident, hash=_hash(secret), role=role, name=name, created=tx.now))
    return f"{ident}.{secret}"


def new_bearer(db: Database, role: Role, name: str) -> str:
    """A fresh token for this role and name; the former one ends."""
    return db.transact(lambda tx: _bearer(tx, role, name))


def caller(db: Database, token: str) -> Caller:
    """Whom a token stands for; ParleyError "unauthorized". The secret half is compared in constant time."""
    ident, _, secret = token.partition(".")

    def work(session: Session) -> Caller:
        row = session.get(BearerRow, ident[:32])
        expected = row.hash if row is not None else "0" * 64
        good = hmac.compare_digest(expected, _hash(secret))
        if not good or row is None or row.revoked is not None:
            raise unauthorized()
        return Caller("admin" if row.role == "admin" else "party" if row.role == "party" else "person", row.name)

    return db.read(work)


def revoke(db: Database, name: str) -> int:
    """Revoke a party's certificates and tokens; how many certificates were current."""

    def work(tx: Tx) -> int:
        mine = (CertificateRow.party == name, CertificateRow.revoked.is_(None))
        count = tx.session.execute(update(CertificateRow).where(*mine).values(revoked=tx.now))
        tx.session.execute(update(BearerRow).where(BearerRow.name == name).values(revoked=tx.now))
        tx.touched.revoked.add(name)
        return int(count.rowcount)  # type: ignore[attr-defined]  # Result of an UPDATE is a CursorResult

    return db.transact(work)


def check_certificate(db: Database, party: str, serial: str) -> None:
    """ParleyError "certificate_refused" unless this serial is the party's current certificate."""

    def work(session: Session) -> None:
        row = session.get(CertificateRow, serial)
        if row is None or row.party != party or row.revoked is not None or row.expires <= db.clock():
            raise refused(party)

    db.read(work)


def renew(db: Database, party: str, shown: str, request: pb.Renew, authority: KeyPair) -> bytes:
    """A certificate (PEM) for a party's new transport key, asked for with its enrolled identity key.

    The one whose serial number was `shown` stays good until a link opens with the new one: the answer may be lost on
    its way. ParleyError "certificate_refused", "bad_signature", "bad_certificate_request".
    """

    def work(tx: Tx) -> bytes:
        held, row = tx.session.get(CertificateRow, shown), tx.card(party)
        if held is None or row is None or held.revoked is not None or held.expires <= tx.now:
            raise refused(party)
        try:
            Card.from_text(row.card).verify_key.verify(request.signature, renewal(party, request.csr), RENEWAL)
        except CryptoError:
            raise ParleyError(
                "bad_signature", f"The renewal is not signed with the identity that {party} enrolled.", party=party
            ) from None
        pem = issue_party(authority, request.csr, party)
        lost = (CertificateRow.party == party, CertificateRow.serial != shown, CertificateRow.revoked.is_(None))
        tx.session.execute(update(CertificateRow).where(*lost).values(revoked=tx.now))
        until = expires(pem).timestamp()
        tx.session.add(CertificateRow(serial=serial(pem), party=party, issued=tx.now, expires=until, revoked=None))
        return pem

    return db.transact(work)


def arrived(db: Database, hello: pb.Hello, shown: str = "") -> None:
    """Record what a party's Hello says; ParleyError "wrong_card" unless the card is the enrolled one.

    Certificates older than the one that was `shown` (its serial number) end: the party has got the newer one.
    """
    card = Card.read(hello.card)

    def work(tx: Tx) -> None:
        row = tx.card(hello.party)
        if row is None or row.kind != "party" or row.fingerprint != card.fingerprint:
            raise ParleyError(
                "wrong_card",
                f"The identity shown by {hello.party} is not the one that was enrolled.",
                "Use the home folder that joined, or enrol under a new name.",
                party=hello.party,
            )
        row.declarations = {name: digest.hex() for name, digest in hello.declarations.items()}
        row.version, row.capacity, row.last_seen = hello.version[:64], max(1, min(hello.capacity, 1024)), tx.now
        if (current := tx.session.get(CertificateRow, shown)) is not None:
            older = (CertificateRow.party == hello.party, CertificateRow.issued < current.issued)
            tx.session.execute(
                update(CertificateRow).where(*older, CertificateRow.revoked.is_(None)).values(revoked=tx.now)
            )

    db.transact(work)


def seen(db: Database, party: str) -> None:
    def work(tx: Tx) -> None:
        if (row := tx.card(party)) is not None:
            row.last_seen = tx.now

    db.transact(work)


def roster(db: Database) -> pb.Roster:
    """All cards and vouches, as they were received: whoever reads them verifies them."""

    def work(session: Session) -> pb.Roster:
        cards = session.scalars(select(CardRow).order_by(CardRow.name))
        vouches = session.scalars(select(VouchRow).order_by(VouchRow.voucher, VouchRow.name))
        return pb.Roster(
            cards=[Card.from_text(c.card).message() for c in cards],
            vouches=[pb.Vouch.FromString(v.body) for v in vouches],
        )

    return db.read(work)


def parties(db: Database) -> list[CardRow]:
    def work(session: Session) -> list[CardRow]:
        rows = list(session.scalars(select(CardRow).where(CardRow.kind == "party").order_by(CardRow.name)))
        session.expunge_all()
        return rows

    return db.read(work)


def bad_invite() -> ParleyError:
    return ParleyError(
        "bad_invite",
        "The invite is unknown, used, expired, or for another name.",
        "Ask the coordinator's operator for a new one: `parley coordinator invite NAME`.",
    )


def refused(party: str) -> ParleyError:
    return ParleyError(
        "certificate_refused",
        f"The certificate shown for {party} is expired, revoked or not the current one.",
        "Ask the coordinator's operator for a new invite and run `parley party join`.",
        party=party,
    )


def unauthorized() -> ParleyError:
    return ParleyError(
        "unauthorized", "The request carries no valid token.", "Enrol with an invite, or use the token you were given."
    )
