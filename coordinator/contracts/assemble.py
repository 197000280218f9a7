"""From offers to a contract; every fact in it is a party's or the submitter's own word."""

from __future__ import annotations

from collections.abc import Mapping

from parley.coordinator.contracts.declarations import compare
from parley.wire.canonical import parse
from parley.wire.contract import Contract, PartyOffer, direct_routes, seed_of
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec
from parley.wire.pb import parley_pb2 as pb

GRACE_S = 3600  # a contract outlives its job's deadline a little, for what is still closing


def read_spec(spec: bytes) -> JobSpec:
    return JobSpec.model_validate(parse(spec))


def prepare(job: str, spec: bytes, card: str, signature: bytes) -> pb.Prepare:
    return pb.Prepare(job=job, spec=spec, submitter=Card.from_text(card).message(), signature=signature)


def signature_request(job: str, contract: bytes) -> pb.Instruction:
    return pb.Instruction(sign=pb.Sign(job=job, contract=contract))


def assemble(
    job: str, spec: bytes, card: str, signature: bytes, offers: Mapping[str, PartyOffer], deadline: int
) -> Contract:
    """The contract; ParleyError "declaration_mismatch" when parties run different versions of a protocol.

    `deadline`: unix seconds by which the job must be over.
    """
    parsed = read_spec(spec)
    missing = sorted(set(parsed.parties) - set(offers))
    if missing:
        raise ParleyError("missing_offer", "A party's offer is missing.", party=missing[0], retryable=True)
    compare(parsed, {p: o.declarations for p, o in offers.items()})
    ordered = {name: offers[name] for name in sorted(offers)}
    return Contract(
        job=job,
        spec=parsed.model_dump(mode="json", by_alias=True),
        submitter=card,
        submitter_signature=signature.hex(),
        offers=ordered,
        seed=seed_of(ordered),
        direct=direct_routes(ordered),
        expires=deadline + GRACE_S,
    )
