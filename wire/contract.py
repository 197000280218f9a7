"""What every party signs before anything runs, and what each party offers for it.

Guarantee: a contract hash covers the job, its submitter, every party's identity, data snapshot, software, policy,
and the public seed, to which every party contributed. Not guaranteed: that a party's data is what it says.
"""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from parley.crypto.errors import CryptoError
from parley.crypto.sign import SigningKey
from parley.wire.canonical import canonical, digest
from parley.wire.errors import ParleyError
from parley.wire.identity import NAME, Card
from parley.wire.jobspec import JobSpec

JOB = "job/1"
CONTRACT = "contract/1"
HEX32 = r"^[0-9a-f]{64}$"


class DatasetOffer(BaseModel):
    """A tagged snapshot; `rows` is rounded up to two significant digits, `commitment` keyed and hiding."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    snapshot: int
    rows: int = Field(ge=0)
    columns: int = Field(ge=0)
    commitment: str = Field(pattern=HEX32)


class PartyOffer(BaseModel):
    """What one party brings to a contract. `code` maps a protocol to the SHA-256 of its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    party: str = Field(pattern=NAME)
    fingerprint: str = Field(pattern=HEX32)
    card: str
    dataset: DatasetOffer | None
    version: str
    code: dict[str, str]
    declarations: dict[str, str]
    policy: str = Field(pattern=HEX32)
    nonce: str = Field(pattern=HEX32)
    accepts_from: tuple[str, ...] = ()  # peers that may dial this party directly
    dials: tuple[str, ...] = ()  # peers this party can dial directly


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    job: str
    spec: dict[str, Any]
    submitter: str  # card, hex text
    submitter_signature: str
    offers: dict[str, PartyOffer]
    seed: str = Field(pattern=HEX32)
    direct: tuple[tuple[str, str], ...] = ()  # (dialling party, accepting party)
    expires: int  # unix seconds

    def canonical(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    def hash(self) -> bytes:
        return digest(CONTRACT, self.canonical())

    def job_spec(self) -> JobSpec:
        return JobSpec.model_validate(self.spec)


def bucket(rows: int) -> int:
    """Rows rounded up to two significant digits: 9,857 -> 9,900."""
    step: int = 10 ** max(0, len(str(rows)) - 2)
    return -(-rows // step) * step


def seed_of(offers: dict[str, PartyOffer]) -> str:
    """The public seed: a hash over every party's nonce, so that nobody alone chooses it."""
    return digest("seed/1", canonical({n: o.nonce for n, o in offers.items()})).hex()


def direct_routes(offers: dict[str, PartyOffer]) -> tuple[tuple[str, str], ...]:
    """Pairs that talk without the relay: one side dials, the other accepts, both said so."""
    pairs: list[tuple[str, str]] = []
    for a in sorted(offers):
        for b in sorted(offers):
            if a == b or (b, a) in pairs:
                continue
            if b in offers[a].dials and a in offers[b].accepts_from:
                pairs.append((a, b))
    return tuple(pairs)


def sign_job(key: SigningKey, spec: JobSpec) -> bytes:
    return key.sign(spec.canonical(), JOB)


def verify_job(spec: JobSpec, submitter: Card, signature: bytes) -> None:
    """ParleyError "bad_submitter_signature" unless `submitter` signed exactly this job."""
    try:
        submitter.verify_key.verify(signature, spec.canonical(), JOB)
    except CryptoError:
        raise ParleyError(
            "bad_submitter_signature",
            "The job is not signed by the person it names as submitter.",
            "Submit it again with `parley job submit`, which signs it.",
        ) from None


def sign_contract(key: SigningKey, contract: Contract) -> bytes:
    return key.sign(contract.hash(), CONTRACT)


def verify_contract(contract: Contract, signatures: dict[str, bytes], cards: dict[str, Card], now: float) -> None:
    """Every party's signature, against cards the verifier already believes; ParleyError naming the party."""
    if now > contract.expires:
        raise ParleyError("contract_expired", "The contract has expired.", "Submit the job again.")
    if contract.seed != seed_of(contract.offers):
        raise ParleyError("bad_contract", "The contract's seed does not follow from the parties' nonces.")
    for name, offer in contract.offers.items():
        card = cards.get(name)
        if card is None or card.fingerprint != offer.fingerprint:
            raise ParleyError(
                "unpinned_peer",
                f"The contract names {name} with an identity this party has not pinned.",
                f"Compare codes with {name} and run `parley party trust {name} CODE`.",
                party=name,
            )
        try:
            card.verify_key.verify(signatures.get(name, b""), contract.hash(), CONTRACT)
        except CryptoError:
            raise ParleyError("bad_contract_signature", f"{name} did not sign this contract.", party=name) from None


def expiry(seconds: int) -> int:
    return int(time.time()) + seconds
