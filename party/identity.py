"""Joining a coordinator, and deciding whom to believe.

Guarantee: a peer is pinned only when the code its operator read out matches its card. Not guaranteed: anything when
the code came over the same way as the card.
"""

from __future__ import annotations

import hmac
import logging
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.message import DecodeError

from parley.crypto.sign import parse_short_code
from parley.party.enrol import accept_authority, call, client, fetch_authority
from parley.party.errors import converted, did_you_mean
from parley.party.home import PartyHome
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.invite import Invite
from parley.wire.pb import parley_pb2 as pb
from parley.wire.tls import KeyPair, new_key, party_of, request

log = logging.getLogger("parley.party.identity")
MAX_ROSTER = 10_000


def join(home: PartyHome, invite: str | Invite) -> None:
    """Enrol at the coordinator an invite names; joining again replaces the certificate.

    ParleyError "bad_invite", "wrong_invite", "wrong_authority", "bad_certificate", or the coordinator's own.
    """
    inv = Invite.from_text(invite) if isinstance(invite, str) else invite
    if inv.name != home.name:
        raise ParleyError(
            "wrong_invite", f"The invite is for {inv.name}, and this home belongs to {home.name}.", "Ask for another."
        )
    authority = fetch_authority(inv)
    key = new_key()
    body = {"token": inv.token, "card": home.card.to_text(), "csr": request(key, home.name).decode()}
    with client(inv.rest, authority) as c:
        answer = call(c, "POST", "/v1/enrol", body)
    certificate = _text(answer, "certificate").encode()
    check_certificate(certificate, key, authority, home.name)
    if "ca" in answer:
        accept_authority(_text(answer, "ca").encode(), inv.ca)
    home.set_membership(KeyPair(key, certificate), authority, _text(answer, "bearer"))
    home.config.coordinator_rest, home.config.coordinator_grpc = inv.rest, inv.grpc
    home.save_config()


def roster(home: PartyHome) -> tuple[list[Card], list[pb.Vouch]]:
    """Cards and vouches the coordinator knows, each card verified; taken into `home.peers`, which believes none."""
    with client(home.config.coordinator_rest, home.authority, home.bearer) as c:
        answer = call(c, "GET", "/v1/roster")
    cards, vouches = [], []
    for text in _texts(answer, "cards"):
        try:
            cards.append(Card.from_text(text))
        except ParleyError:
            log.warning("event=bad_card source=roster action=ignored")
    for text in _texts(answer, "vouches"):
        try:
            vouches.append(pb.Vouch.FromString(bytes.fromhex(text)))
        except (ValueError, DecodeError):
            log.warning("event=bad_vouch source=roster action=ignored")
    home.peers.update(cards, vouches)
    return cards, vouches


def trust(home: PartyHome, peer: str, code: str, person: bool = False) -> Card:
    """Pin the card of `peer` whose short code equals `code`, and vouch for it if it is a party.

    ParleyError "unknown_peer", "code_mismatch", "bad_short_code", "pin_conflict".
    """
    with converted():
        wanted = parse_short_code(code)
    cards, _ = roster(home)
    kind = "person" if person else "party"
    named = [c for c in cards if c.name == peer and c.body.kind == kind]
    if not named:
        known = [c.name for c in cards if c.body.kind == kind and c.name != home.name]
        raise ParleyError("unknown_peer", f"No {kind} of this name has joined.", did_you_mean(peer, known, kind))
    for card in named:
        if hmac.compare_digest(bytes.fromhex(card.fingerprint)[: len(wanted)], wanted):
            return pin_card(home, card)
    raise ParleyError(
        "code_mismatch",
        f"The code does not belong to the identity that the coordinator shows for {peer}.",
        "Read it again from the other side's screen. If it still differs, somebody may sit in between: do not trust.",
        party=peer,
    )


def pin_card(home: PartyHome, card: Card) -> Card:
    """Pin a card whose code was compared, and vouch for it to the others if it is a party's."""
    with home.store.transaction():
        home.peers.pin(card)
        if card.body.kind == "party" and card.fingerprint != home.card.fingerprint:
            home.peers.vouch_for(home.sign_key, home.card, card)
    return card


def check_certificate(certificate: bytes, key: bytes, authority: bytes, name: str) -> None:
    """What came back is for our key and name, and the pinned authority signed it; ParleyError "bad_certificate"."""
    refused = ParleyError("bad_certificate", "The coordinator issued a certificate that is not for this party.")
    try:
        issued = x509.load_pem_x509_certificate(certificate)
        issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        raise refused from None
    own = serialization.load_pem_private_key(key, password=None).public_key()
    encoded = [k.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for k in (own, issued.public_key())]
    if encoded[0] != encoded[1] or party_of(certificate) != name:
        raise refused


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise ParleyError("bad_answer", f"The coordinator's answer lacks its {key}.", "Compare versions.")
    return value


def _texts(answer: dict[str, Any], key: str) -> list[str]:
    value = answer.get(key, [])
    if not isinstance(value, list) or len(value) > MAX_ROSTER or not all(isinstance(v, str) for v in value):
        raise ParleyError("bad_answer", f"The coordinator's answer has unusable {key}.", "Compare versions.")
    return value
