"""The models whose parts this party holds: what they are, and as bundles to keep or to use elsewhere.

What a training step kept lies in the vault and outlives its job. Guarantee: a bundle holds this party's own part and a
card, no row of anybody, and is signed with the party's key. Not guaranteed: secrecy once it is exported; the part then
is as secret as the folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.components.serving.bundle import SIGNATURE, Bundle
from parley.components.serving.card import Held, ModelCard
from parley.components.serving.parts import LabelTrees, Linear, SideTrees, kept_model, part_of
from parley.components.serving.scorecards import scorecard_of
from parley.components.training.metrics import evaluate
from parley.components.training.scorecard import Scaling, Scorecard
from parley.crypto.errors import CryptoError
from parley.party.errors import converted
from parley.protocols.kit.protocol import Cast
from parley.wire.canonical import parse
from parley.wire.contract import Contract
from parley.wire.errors import ParleyError
from parley.wire.identity import Card

if TYPE_CHECKING:
    from parley.party.home import PartyHome

BUNDLE = "bundle/1"
MARKS = ({"model", "binning"}, {"left", "binning"}, {"linear", "columns", "weights"})
PARTS = {0: "training", 1: "validation", 2: "test"}
KINDS = {
    LabelTrees: "trees with the label party's own splits and all leaf weights",
    SideTrees: "a features party's own splits of boosted trees",
    Linear: "a party's own coefficients of a linear model",
}


@dataclass(frozen=True)
class Listed:
    """A model this party holds a part of."""

    job: str
    step: str
    name: str
    protocol: str
    role: str


def models(home: PartyHome) -> list[Listed]:
    """Every step whose output here holds a part of a model, by job and step."""
    found = []
    for job, step in home.store.outputs():
        kept = home.store.load_output(job, step)
        contract = _contract(home, job)
        if kept is None or contract is None or not any(marks <= set(kept) for marks in MARKS):
            continue
        spec = contract.job_spec()
        used = spec.steps[step]
        found.append(Listed(job, step, spec.name, used.uses, Cast(used.roles).role_of(home.name)))
    return found


def model_card(home: PartyHome, job: str, step: str) -> ModelCard:
    """The card of a part; ParleyError "unknown_model", "no_model", "bad_model"."""
    contract, kept = _found(home, job, step)
    spec = contract.job_spec()
    used = spec.steps[step]
    with converted():
        part = part_of(kept)
    return ModelCard(
        party=home.name,
        job=job,
        step=step,
        name=spec.name,
        purpose=spec.purpose,
        protocol=used.uses,
        code=contract.offers[home.name].code.get(used.uses, ""),
        contract=contract.hash().hex(),
        submitter=Card.from_text(contract.submitter).name,
        software=f"parley {contract.offers[home.name].version}",
        kind=KINDS[type(part)],
        parameters=dict(used.with_),
        holders=_holders(contract, step),
        metrics=_measured(kept),
        prepared=_prepared(kept),
    )


def export(home: PartyHome, job: str, step: str, folder: Path, *, onnx: bool = False, pmml: bool = False) -> Bundle:
    """Write the part of a model as a signed bundle; ParleyError as `model_card`, "folder_not_empty", "no_onnx",
    "cannot_export"."""
    made = model_card(home, job, step)
    _, kept = _found(home, job, step)
    with converted():
        bundle = Bundle.make(made, kept_model(kept), onnx=onnx, pmml=pmml)
        signed = {"card": home.card.to_text(), "signature": home.sign_key.sign(bundle.manifest, BUNDLE).hex()}
        bundle.write(folder, json.dumps(signed, indent=1).encode() + b"\n")
    return bundle


def scorecard(
    home: PartyHome, job: str, step: str, *, points: float, odds: float, double: float, bad: int, whole: bool
) -> Scorecard:
    """This party's part of a scorecard; ParleyError as `model_card`, "no_scorecard", "bad_parameter"."""
    _, kept = _found(home, job, step)
    with converted():
        return scorecard_of(kept, Scaling.of_odds(points, odds, double, bad=bad), whole=whole)


def verify(folder: Path) -> tuple[Bundle, Card]:
    """A whole bundle and the card of the party that signed it; whether to believe that card is the reader's affair.

    ParleyError "no_bundle", "bundle_damaged", "not_signed", "bad_signature".
    """
    with converted():
        bundle = Bundle.read(folder)
    try:
        record = parse((folder / SIGNATURE).read_bytes())
        signer, signature = Card.from_text(record["card"]), bytes.fromhex(record["signature"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ParleyError("not_signed", "The bundle has no readable signature.", "Export it again.") from None
    try:
        signer.verify_key.verify(signature, bundle.manifest, BUNDLE)
        named = {h.party: h.fingerprint for h in bundle.card.holders}
        if bundle.card.party != signer.name or named.get(signer.name) != signer.fingerprint:
            raise CryptoError("bad_signature", "another party signed")
    except CryptoError:
        raise ParleyError("bad_signature", "The bundle is not signed by the party that its card names.") from None
    return bundle, signer


def _contract(home: PartyHome, job: str) -> Contract | None:
    record = home.store.get_job(job)
    if record is None or record.contract is None:
        return None
    return Contract.model_validate(parse(record.contract))


def _found(home: PartyHome, job: str, step: str) -> tuple[Contract, dict[str, Any]]:
    contract, kept = _contract(home, job), home.store.load_output(job, step)
    if contract is None or kept is None:
        known = ", ".join(f"{m.job} {m.step}" for m in models(home)[:10])
        raise ParleyError(
            "unknown_model", f"{home.name} holds no model of that job and step.", f"Known: {known}." if known else ""
        )
    return contract, kept


def _holders(contract: Contract, step: str) -> tuple[Held, ...]:
    """Everyone with a role in the step, from the offers that all of them signed."""
    cast = Cast(contract.job_spec().steps[step].roles)
    out = []
    for party in cast.parties():
        offer, role = contract.offers[party], cast.role_of(party)
        d = offer.dataset
        facts: dict[str, Any] = {}
        if d is not None:
            facts = {"dataset": d.name, "snapshot": d.snapshot, "rows": d.rows, "columns": d.columns,
                     "commitment": d.commitment}  # fmt: skip
        part = {"label": "shape, own features and output", "features": "own features"}.get(role, "")
        out.append(Held(party, offer.fingerprint, role, part, offer.version, **facts))
    return tuple(out)


def _measured(kept: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Single numbers by part, of the scores and labels that training kept at the label party."""
    if not {"labels", "scores", "task"} <= set(kept):
        return {}
    part = kept.get("part", kept.get("validation"))
    weights, groups, out = kept.get("weights"), kept.get("groups"), {}
    for code, name in PARTS.items():
        rows = slice(None) if part is None else part == code
        labels, scores = kept["labels"][rows], kept["scores"][rows]
        if len(labels) == 0:
            continue
        with converted():
            w, group = (None if v is None else v[rows] for v in (weights, groups))
            found = evaluate(kept["task"], labels, scores, weights=w, groups=group)
        out[name] = {k: float(v) for k, v in found.items() if isinstance(v, int | float)}
        if part is None:
            break
    return out


def _prepared(kept: dict[str, Any]) -> tuple[str, ...]:
    """The kinds of this party's preparing transforms, in order."""
    chain = json.loads(kept["prepared"])["transforms"] if "prepared" in kept else []
    return tuple(str(t["kind"]) for t in chain)
