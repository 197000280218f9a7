"""Who a party is: a card that the party signs itself, pinned by people or vouched for by pinned parties.

Guarantee: a verified card binds a name to a signing key and a sealing key; its fingerprint stands for all three.
Not guaranteed: that the name belongs to an organisation. People compare short codes for that.
"""

from __future__ import annotations

from typing import Literal

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field

from parley.crypto.errors import CryptoError
from parley.crypto.sign import SigningKey, VerifyKey, fingerprint, short_code
from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
CARD = "card/1"
VOUCH = "vouch/1"


class CardBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["party", "person"]
    name: str = Field(pattern=NAME)
    sign: str = Field(pattern=r"^[0-9a-f]{64}$")  # Ed25519 public key
    seal: str = Field(pattern=r"^[0-9a-f]{64}$")  # X25519 public key


class Card:
    """A verified card. Build one with `issue` (own keys) or `read` (somebody's bytes, verified)."""

    def __init__(self, body: CardBody, signature: bytes) -> None:
        self.body = body
        self.signature = signature

    @property
    def name(self) -> str:
        return self.body.name

    @property
    def seal_public(self) -> bytes:
        return bytes.fromhex(self.body.seal)

    @property
    def verify_key(self) -> VerifyKey:
        return VerifyKey.from_bytes(bytes.fromhex(self.body.sign))

    @property
    def fingerprint(self) -> str:
        """64 hex digits over name, kind and both keys."""
        return fingerprint(canonical(self.body.model_dump()), CARD).hex()

    @property
    def short_code(self) -> str:
        """What two people read to each other: 80 bits of the fingerprint in four groups."""
        return short_code(bytes.fromhex(self.fingerprint))

    @classmethod
    def issue(cls, kind: Literal["party", "person"], name: str, key: SigningKey, seal_public: bytes) -> Card:
        body = CardBody(kind=kind, name=name, sign=key.public.to_bytes().hex(), seal=seal_public.hex())
        return cls(body, key.sign(canonical(body.model_dump()), CARD))

    @classmethod
    def read(cls, message: pb.Card) -> Card:
        """Parse and verify; ParleyError "bad_card"."""
        try:
            body = CardBody.model_validate(parse(message.body))
            raw = canonical(body.model_dump())
            VerifyKey.from_bytes(bytes.fromhex(body.sign)).verify(message.signature, raw, CARD)
        except (ValueError, CryptoError):
            raise ParleyError("bad_card", "An identity card is malformed or not signed by its own key.") from None
        return cls(body, message.signature)

    def message(self) -> pb.Card:
        return pb.Card(body=canonical(self.body.model_dump()), signature=self.signature)

    def to_text(self) -> str:
        """Card as hex text for files and REST."""
        return self.message().SerializeToString().hex()

    @classmethod
    def from_text(cls, text: str) -> Card:
        try:
            message = pb.Card.FromString(bytes.fromhex(text.strip()))
        except (ValueError, DecodeError) as e:
            raise ParleyError("bad_card", "An identity card is not readable.") from e
        return cls.read(message)


class VouchBody(BaseModel):
    """`by` says: I compared the code of the card with this fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    by: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = Field(pattern=NAME)
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")


def vouch(key: SigningKey, own: Card, other: Card) -> pb.Vouch:
    body = VouchBody(by=own.fingerprint, name=other.name, fingerprint=other.fingerprint)
    raw = canonical(body.model_dump())
    return pb.Vouch(body=raw, signature=key.sign(raw, VOUCH), by=own.name)


def read_vouch(message: pb.Vouch, voucher: Card) -> VouchBody:
    """The statement, verified against the card of an already pinned voucher; ParleyError "bad_vouch"."""
    try:
        body = VouchBody.model_validate(parse(message.body))
        voucher.verify_key.verify(message.signature, canonical(body.model_dump()), VOUCH)
    except (ValueError, CryptoError):
        raise ParleyError("bad_vouch", "A vouch is malformed or not signed by its voucher.") from None
    if body.by != voucher.fingerprint:
        raise ParleyError("bad_vouch", "A vouch names another voucher than its signer.")
    return body
