"""A party's own judgement of a job and of its contract; pure but for the home it reads."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from parley import __version__
from parley.party.home import PartyHome
from parley.party.ledger import Probed, Run
from parley.party.policy import probes
from parley.protocols import registry
from parley.protocols.kit.protocol import Cast, Protocol
from parley.protocols.planned import check_rows, is_reshaped
from parley.wire.canonical import canonical, parse
from parley.wire.contract import Contract, DatasetOffer, PartyOffer, direct_routes, seed_of, verify_job
from parley.wire.declaration import Declaration
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec, StepSpec
from parley.wire.pb import parley_pb2 as pb

LONGEST_CONTRACT_S = 30 * 86400


@dataclass(frozen=True)
class Request:
    """A verified job: `submitter` signed `spec`."""

    spec: JobSpec
    submitter: Card
    signature: bytes


def read_request(message: pb.Prepare) -> Request:
    """ParleyError "bad_job", "bad_card" or "bad_submitter_signature"."""
    try:
        spec = JobSpec.model_validate(parse(message.spec))
    except (ValueError, ValidationError):
        raise ParleyError(
            "bad_job", "The coordinator offered a job that cannot be read.", "Compare versions."
        ) from None
    submitter = Card.read(message.submitter)
    verify_job(spec, submitter, message.signature)
    return Request(spec, submitter, message.signature)


def part_of(step: StepSpec) -> tuple[Protocol, Cast, Any]:
    """A step's protocol, cast and typed parameters, by this party's own code; ParleyError."""
    protocol, cast = registry.load(step.uses), Cast(step.roles)
    return protocol, cast, protocol.validate(step.with_, cast)


def roles_of(spec: JobSpec, me: str) -> dict[str, str]:
    """Step -> this party's role, for the steps it has one in."""
    return {n: Cast(s.roles).role_of(me) for n, s in spec.steps.items() if me in s.parties()}


def _declared(spec: JobSpec) -> dict[str, Declaration]:
    """What this party's own code declares of the protocols of a job."""
    return {name: registry.load(name).declaration() for name in {s.uses for s in spec.steps.values()}}


def judge(home: PartyHome, job: str, request: Request) -> DatasetOffer | None:
    """Everything this party asks of a job before it offers; holds and returns the dataset it brings.

    ParleyError "unknown_submitter", "unpinned_peer", "bad_parameters", "unknown_dataset", "unknown_column",
    "policy_denied" and what the protocols' own checks raise.
    """
    spec, me = request.spec, home.name
    if home.peers.person(request.submitter.fingerprint) is None:
        name = request.submitter.name
        raise ParleyError(
            "unknown_submitter",
            f"{me} has not pinned {name}, who submitted this job.",
            f"Compare codes with {name}, then run `parley party trust --person {name} CODE`.",
            party=me,
        )
    use = spec.parties.get(me)
    if use is None:
        raise ParleyError("bad_job", "This party was asked about a job it has no part in.", party=me)
    require_believed(home, spec)
    offer = home.datasets.offer(use.data, job) if use.data is not None else None
    schema = home.datasets.schema(use.data, job) if use.data is not None else {}
    for name, step in spec.steps.items():
        protocol, cast, params = _located(name, step)
        if me in step.parties() and not is_reshaped(spec, name):
            for check in protocol.data_checks:
                _check(check, params, cast, me, schema, name)
    check_rows(spec)
    rows = None if offer is None else offer.rows
    home.policy().require(spec, request.submitter, _declared(spec), roles_of(spec, me), rows)
    if offer is not None:
        _require_budget(home, spec, offer)
    return offer


def _require_budget(home: PartyHome, spec: JobSpec, offer: DatasetOffer) -> None:
    """ParleyError "probe_budget" when a job's steps would probe the dataset more often than is left."""
    probing = probes.probing_steps(spec, _declared(spec), home.name)
    wanted = Counter(peer for who in probing.values() for peer in who)
    limit = home.policy().document.intersections.runs
    for peer, steps in wanted.items():
        card = home.peers.believed(peer)
        if card is not None:
            home.budgets.require({peer: card.fingerprint}, _probed(home, offer), steps, limit)


def _probed(home: PartyHome, offer: DatasetOffer) -> Probed:
    return Probed(home.name, offer.name, offer.snapshot)


def charge_probe(home: PartyHome, contract: Contract, job: str, step: str, attempt: int) -> None:
    """Count this attempt for everybody who probes this party's dataset in it, before anything leaves.

    ParleyError "probe_budget"; the policy is read anew, so that a lower limit holds at once.
    """
    offer = contract.offers[home.name].dataset
    spec = contract.job_spec()
    who = probes.probing_steps(spec, _declared(spec), home.name).get(step, ())
    if offer is None or not who:
        return
    fingerprints = {peer: contract.offers[peer].fingerprint for peer in who}
    limit = home.policy().document.intersections.runs
    home.budgets.charge(Run(job, step, attempt), fingerprints, _probed(home, offer), limit)


def _located(name: str, step: StepSpec) -> tuple[Protocol, Cast, Any]:
    try:
        return part_of(step)
    except ParleyError as problem:
        raise problem.located(step=name) from None


def _check(check: Any, params: Any, cast: Cast, me: str, schema: dict[str, str], step: str) -> None:
    try:
        check(params, cast, me, schema)
    except ParleyError as problem:
        raise problem.located(party=me, step=step) from None


def require_believed(home: PartyHome, spec: JobSpec) -> None:
    """ParleyError "unpinned_peer" naming the first party of the job that is neither pinned nor vouched for."""
    for peer in sorted(set(spec.parties) - {home.name}):
        if home.peers.believed(peer) is None:
            raise ParleyError(
                "unpinned_peer",
                f"{home.name} has not pinned {peer}, nor has a pinned party vouched for it.",
                f"Compare codes with {peer}, then run `parley party trust {peer} CODE` at {home.name}.",
                party=home.name,
            )


def make_offer(home: PartyHome, spec: JobSpec, dataset: DatasetOffer | None) -> PartyOffer:
    used = sorted({s.uses for s in spec.steps.values()})
    protocols = {name: registry.load(name) for name in used}
    return PartyOffer(
        party=home.name,
        fingerprint=home.card.fingerprint,
        card=home.card.to_text(),
        dataset=dataset,
        version=__version__,
        code={n: p.code_hash() for n, p in protocols.items()},
        declarations={n: p.declaration().hash().hex() for n, p in protocols.items()},
        policy=home.policy().hash,
        nonce=secrets.token_hex(32),
        accepts_from=tuple(sorted(home.config.accepts_from)) if home.config.listen else (),
        dials=tuple(sorted(home.config.routes)),
    )


def read_contract(raw: bytes) -> Contract:
    try:
        contract = Contract.model_validate(parse(raw))
    except (ValueError, ValidationError):
        raise ParleyError("bad_contract", "The contract cannot be read.", "Compare versions.") from None
    if contract.canonical() != raw:
        raise ParleyError("bad_contract", "The contract is not in canonical form.")
    return contract


def check_contract(home: PartyHome, contract: Contract, mine: PartyOffer, request: Request) -> None:
    """Is this what we offered and the submitter signed, with peers we believe and declarations like our own?"""
    spec = request.spec

    def need(good: bool, cause: str, code: str = "bad_contract", party: str = "") -> None:
        if not good:
            raise ParleyError(code, cause, "The coordinator's software is broken or it misbehaves.", party=party)

    need(contract.offers.get(home.name) == mine, f"The contract does not carry what {home.name} offered.")
    need(canonical(contract.spec) == spec.canonical(), "The contract is about another job than was submitted.")
    need(contract.submitter == request.submitter.to_text(), "The contract names another submitter.")
    need(contract.submitter_signature == request.signature.hex(), "The contract carries another signature.")
    need(set(contract.offers) == set(spec.parties), "The contract has other parties than the job.")
    need(contract.seed == seed_of(contract.offers), "The contract's seed does not follow from the parties' nonces.")
    need(contract.direct == direct_routes(contract.offers), "The contract names routes that nobody offered.")
    need(0 < contract.expires - time.time() < LONGEST_CONTRACT_S, "The contract's expiry is past or too far off.")
    require_believed(home, spec)
    for name, offer in contract.offers.items():
        card = home.card if name == home.name else home.peers.believed(name)
        need(card is not None and card.fingerprint == offer.fingerprint,
             f"The contract names {name} with an identity not believed here.", "unpinned_peer", name)  # fmt: skip
        _same_software(mine, offer)
    probing = probes.probing_steps(spec, _declared(spec), home.name)
    datasets = {n: o.dataset for n, o in contract.offers.items()}
    probes.require_sizes(home.policy().document.intersections, home.name, probing, datasets)


def _same_software(mine: PartyOffer, offer: PartyOffer) -> None:
    for protocol, declared in mine.declarations.items():
        if offer.declarations.get(protocol) != declared:
            raise ParleyError(
                "declaration_mismatch",
                f"{offer.party} declares {protocol} differently from {mine.party}.",
                "Install the same version of parley at both parties.",
                party=offer.party,
            )
        if offer.code.get(protocol) != mine.code.get(protocol):
            raise ParleyError(
                "code_mismatch",
                f"{offer.party} runs other code for {protocol} than {mine.party}.",
                "Install the same version of parley at both parties.",
                party=offer.party,
            )
