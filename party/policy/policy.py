"""Judging a job by the policy, rule by rule.

Guarantee: a job passes only when every rule allows it, and a disclosure of individual updates, rows or their cells only
when the file names it in full. Not guaranteed: that a protocol's declaration is true of its code; the code hash and the
gate hold it to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parley.party.policy import document, probes
from parley.party.policy.document import PolicyDocument, Rule
from parley.wire.canonical import canonical, digest
from parley.wire.declaration import Declaration
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec, StepSpec

if TYPE_CHECKING:
    from parley.party.peers import Peers

# What shows one party's update, activation, gradient or row, or cells of its rows.
CLEAR = ("individual_updates", "rows", "matched_values")


@dataclass(frozen=True)
class Verdict:
    """One rule's word on a job."""

    rule: str
    allowed: bool
    why: str


class Policy:
    """A loaded policy of the party `me`, which looks up identities in `peers`."""

    def __init__(self, content: PolicyDocument, me: str, peers: Peers) -> None:
        self.document = content
        self._me, self._peers = me, peers

    @classmethod
    def load(cls, path: Path, me: str, peers: Peers) -> Policy:
        """ParleyError "bad_policy": a file that is not understood allows nothing."""
        return cls(document.load(path), me, peers)

    @property
    def hash(self) -> str:
        """64 hex digits over the policy's meaning, whatever its comments and order."""
        return digest("policy/1", canonical(self.document.model_dump(mode="json"))).hex()

    @property
    def manual(self) -> bool:
        """Whether the operator approves each job."""
        return self.document.approval == "manual"

    def permits_disclosure(self, name: str) -> bool:
        """Whether others may learn `name` ("role.what" or "what"), asked again before each egress."""
        rule, plain = self.document.disclosures, name.rsplit(".", 1)[-1]
        if any(rule.denies(n) for n in (name, plain)):
            return False
        if plain in CLEAR:
            return name in rule.allow or plain in rule.allow
        return rule.permits(name)

    def verdict(
        self,
        spec: JobSpec,
        submitter: Card,
        declarations: Mapping[str, Declaration],
        roles: Mapping[str, str],
        rows: int | None,
    ) -> list[Verdict]:
        """Every rule's word. `declarations`: protocol name -> this party's own; `roles`: step -> this party's role;
        `rows`: of the dataset this party brings, None without one."""
        out = [self._submitter(submitter), *self._partners(spec)]
        for name, step in spec.steps.items():
            if name in roles:
                out += self._step(name, step, declarations.get(step.uses), roles[name])
        out.append(_by(self.document.purposes, "purposes", spec.purpose, "The purpose of the job"))
        use = spec.parties.get(self._me)
        if use is not None and use.data is not None:
            out.append(_by(self.document.datasets, "datasets", use.data, f"Dataset {use.data}"))
        if rows is not None:
            enough = rows >= self.document.min_rows
            words = "enough" if enough else f"fewer than {self.document.min_rows}"
            out.append(Verdict("min_rows", enough, f"The dataset has {words} rows."))
        return out

    def require(
        self,
        spec: JobSpec,
        submitter: Card,
        declarations: Mapping[str, Declaration],
        roles: Mapping[str, str],
        rows: int | None,
    ) -> None:
        """ParleyError "policy_denied" naming the rules unless every one allows the job."""
        denied = [v for v in self.verdict(spec, submitter, declarations, roles, rows) if not v.allowed]
        if denied:
            rules = ", ".join(sorted({v.rule for v in denied}))
            raise ParleyError(
                "policy_denied",
                f"The policy of {self._me} denies this job by its rule {rules}: {' '.join(v.why for v in denied)}",
                f"{self._me}'s operator decides that in policy.yaml, under {rules}.",
                party=self._me,
            )

    def _submitter(self, card: Card) -> Verdict:
        known = card.body.kind == "person" and self._peers.person(card.fingerprint) is not None
        wanted = self.document.submitters
        allowed = known and (wanted == "pinned" or card.name in wanted)
        words = "may submit jobs here" if allowed else ("is not on the list" if known else "is not pinned here")
        return Verdict("submitters", allowed, f"{card.name} {words}.")

    def _partners(self, spec: JobSpec) -> list[Verdict]:
        out = []
        for name in sorted(set(spec.parties) - {self._me}):
            believed = self._peers.believed(name) is not None
            wanted = self.document.peers
            if wanted == "pinned":
                allowed = self._peers.is_pinned(name)
            else:
                allowed = believed and (wanted == "believed" or name in wanted)
            words = (
                "is accepted"
                if allowed
                else ("is not on the list" if believed else "is neither pinned nor vouched for")
            )
            out.append(Verdict("peers", allowed, f"{name} {words}."))
        return out

    def _step(self, name: str, step: StepSpec, declared: Declaration | None, role: str) -> list[Verdict]:
        out = [_by(self.document.protocols, "protocols", step.uses, f"Protocol {step.uses}")]
        if declared is None:
            return [*out, Verdict("protocols", False, f"Protocol {step.uses} is not installed here.")]
        strong = declared.security == "malicious" or self.document.security == "semi-honest"
        out.append(Verdict("security", strong, f"{step.uses} is {declared.security}."))
        for learner, disclosures in sorted(declared.learned(step.with_).items()):
            # Only what somebody else learns counts: a role that this party plays alone tells nobody.
            if learner == role and len(step.roles.get(role, ())) <= 1:
                continue
            for disclosure in disclosures:
                allowed = self.permits_disclosure(disclosure)
                words = "may learn" if allowed else "would learn"
                out.append(Verdict("disclosures", allowed, f"In step {name}, {learner} {words} {disclosure}."))
        if probes.probers(step, declared, self._me):
            out.append(
                Verdict("intersections.floor", *probes.floor_word(self.document.intersections, name, step, declared))
            )
        return out


def _by(rule: Rule, key: str, name: str, what: str) -> Verdict:
    allowed = rule.permits(name)
    return Verdict(key, allowed, f"{what} is {'allowed' if allowed else 'not allowed'}.")
