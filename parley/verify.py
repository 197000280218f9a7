"""What a submitter checks about a contract before believing a result that came under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from parley.client import CheckedContract
from parley.wire.canonical import parse
from parley.wire.contract import Contract, verify_contract, verify_job
from parley.wire.errors import ParleyError
from parley.wire.identity import Card

if TYPE_CHECKING:
    from parley.user import UserHome


def check_contract(home: UserHome, job: str, answer: dict[str, Any]) -> CheckedContract:
    """Signed by this person (the job) and by every party (the contract); ParleyError saying what does not fit."""
    from pydantic import ValidationError

    try:
        contract = Contract.model_validate(parse(str(answer["contract"]).encode()))
        signatures = {str(p): bytes.fromhex(s) for p, s in dict(answer["signatures"]).items()}
        spec = contract.job_spec()
        job_signature = bytes.fromhex(contract.submitter_signature)
    except (ValidationError, ValueError, KeyError, TypeError):
        raise ParleyError(
            "bad_contract", "The job's contract cannot be read.", "Ask the coordinator's operator."
        ) from None
    if contract.job != job or Card.from_text(contract.submitter).fingerprint != home.card.fingerprint:
        raise ParleyError("bad_contract", "The contract is for another job or another submitter.")
    verify_job(spec, home.card, job_signature)
    if set(contract.offers) != set(spec.parties):
        raise ParleyError("bad_contract", "The contract names other parties than the job.")
    pinned, roster = home.pinned(), home.roster()
    cards = {**roster, **pinned}
    # Expiry bounds when a contract may start, not when its results may be read.
    verify_contract(contract, signatures, cards, now=float(contract.expires))
    for name, offer in contract.offers.items():
        if Card.from_text(offer.card).fingerprint != offer.fingerprint:
            raise ParleyError("bad_contract", f"The contract shows another card of {name} than it signed with.")
    known: dict[str, Literal["pinned", "roster"]] = {p: "pinned" if p in pinned else "roster" for p in contract.offers}
    return CheckedContract(contract, known, {p: o.fingerprint for p, o in contract.offers.items()})
