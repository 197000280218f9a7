"""The policy: default denial of data in clear, every rule on its own, and a strict file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.party.home import PartyHome
from parley.party.policy import Policy
from parley.party.policy.default import DEFAULT
from parley.party.policy.document import MAX_BYTES, parse
from parley.wire.declaration import Condition, Declaration
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.jobspec import JobSpec

SPEC = JobSpec.model_validate(
    {
        "name": "overlap",
        "purpose": "credit risk",
        "parties": {"bank": {"data": "loans"}, "telco": {"data": "calls"}},
        "steps": {"match": {"uses": "psi/ecdh", "roles": {"receiver": "bank", "sender": "telco"}}},
    }
)
ROLES = {"match": "receiver"}


def _issue(kind: str, name: str) -> Card:
    issue = {"party": "party", "person": "person"}[kind]
    return Card.issue(issue, name, SigningKey.generate(), StaticKey.generate().public)  # type: ignore[arg-type]  # literal


def _declared(learns: dict[str, tuple[str, ...]], security: str = "semi-honest") -> dict[str, Declaration]:
    body = {
        "name": "psi/ecdh",
        "version": 1,
        "security": security,
        "summary": "s",
        "roles": {"receiver": "one", "sender": "one"},
        "steps": (),
        "learns": learns,
        "parameters": {},
        "cost": "",
    }
    return {"psi/ecdh": Declaration.model_validate(body)}


USUAL = _declared({"receiver": ("intersection",), "sender": ("receiver.size",), "coordinator": ("sizes",)})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[PartyHome]:
    made = PartyHome.create(tmp_path / "home", "bank")
    yield made
    made.close()


@pytest.fixture
def alice(home: PartyHome) -> Card:
    card = _issue("person", "alice")
    home.peers.pin(card)
    home.peers.pin(_issue("party", "telco"))
    return card


def _with(home: PartyHome, old: str, new: str) -> Policy:
    assert old in DEFAULT
    (home.path / "policy.yaml").write_text(DEFAULT.replace(old, new))
    return home.policy()


def _denied(policy: Policy, card: Card, declared: dict[str, Declaration] = USUAL, rows: int = 1000) -> set[str]:
    return {v.rule for v in policy.verdict(SPEC, card, declared, ROLES, rows) if not v.allowed}


def test_the_default_lets_an_ordinary_job_pass(home: PartyHome, alice: Card) -> None:
    policy = home.policy()
    assert _denied(policy, alice) == set()
    policy.require(SPEC, alice, USUAL, ROLES, 1000)
    assert not policy.manual


@pytest.mark.parametrize("name", ["individual_updates", "rows", "sender.rows", "receiver.individual_updates"])
def test_data_in_clear_is_denied_by_default(home: PartyHome, alice: Card, name: str) -> None:
    declared = _declared({"sender": (name,)})
    assert _denied(home.policy(), alice, declared) == {"disclosures"}
    with pytest.raises(ParleyError) as caught:
        home.policy().require(SPEC, alice, declared, ROLES, 1000)
    assert caught.value.code == "policy_denied"
    assert "disclosures" in caught.value.cause
    # A star does not cover it even when nothing is denied; its own name does.
    assert _denied(_with(home, "deny: [individual_updates, rows]", "deny: []"), alice, declared) == {"disclosures"}
    opened = 'disclosures:\n  allow: ["*", ' + name + "]\n  deny: []"
    named = _with(home, 'disclosures:\n  allow: ["*"]\n  deny: [individual_updates, rows]', opened)
    assert _denied(named, alice, declared) == set()


def test_only_what_others_learn_counts(home: PartyHome, alice: Card) -> None:
    assert _denied(home.policy(), alice, _declared({"receiver": ("rows",)})) == set()
    assert _denied(home.policy(), alice, _declared({"coordinator": ("rows",)})) == {"disclosures"}


def test_each_rule_denies_on_its_own(home: PartyHome, alice: Card) -> None:
    cases = [
        ("submitters: pinned", "submitters: [bob]", "submitters"),
        ("peers: believed", "peers: [other]", "peers"),
        ('protocols:\n  allow: ["*"]', 'protocols:\n  allow: ["gbdt/*"]', "protocols"),
        ("security: semi-honest", "security: malicious", "security"),
        ("deny: [individual_updates, rows]", "deny: [receiver.size]", "disclosures"),
        ('datasets:\n  allow: ["*"]', "datasets:\n  allow: [other]", "datasets"),
        ('purposes:\n  allow: ["*"]', 'purposes:\n  allow: ["health*"]', "purposes"),
        ("min_rows: 100", "min_rows: 1001", "min_rows"),
    ]
    for old, new, rule in cases:
        assert _denied(_with(home, old, new), alice) == {rule}


def test_unpinned_people_and_peers_are_refused(home: PartyHome) -> None:
    mallory = _issue("person", "mallory")
    assert _denied(home.policy(), mallory) == {"submitters", "peers"}
    home.peers.update([mallory, _issue("party", "telco")], [])
    assert _denied(home.policy(), mallory) == {"submitters", "peers"}


def test_a_protocol_that_is_not_installed_is_refused(home: PartyHome, alice: Card) -> None:
    assert _denied(home.policy(), alice, {}) == {"protocols"}


def test_tightening_is_seen_at_the_next_question(home: PartyHome) -> None:
    assert home.policy().permits_disclosure("receiver.size")
    before = home.policy().hash
    tightened = _with(home, "deny: [individual_updates, rows]", "deny: [individual_updates, rows, size]")
    assert not tightened.permits_disclosure("receiver.size")
    assert tightened.hash != before
    (home.path / "policy.yaml").write_text("# another comment\n" + DEFAULT)
    assert home.policy().hash == before


def test_a_remembered_policy_is_dropped_when_its_file_changes(home: PartyHome, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.policy() is not home.policy()  # just written: not remembered yet
    monkeypatch.setattr("parley.party.home.SETTLED_S", -1.0)
    first = home.policy()
    assert home.policy() is first
    tightened = _with(home, "deny: [individual_updates, rows]", "deny: [individual_updates, size]")
    assert not tightened.permits_disclosure("receiver.size")
    (home.path / "policy.yaml").unlink()
    with pytest.raises(ParleyError):
        home.policy()


@pytest.mark.parametrize(
    "text",
    [
        DEFAULT + "min_rows: 0\n",
        DEFAULT.replace("min_rows: 100", "min_rows: -1"),
        DEFAULT.replace("min_rows: 100", ""),
        DEFAULT.replace("version: 1", "version: 2"),
        DEFAULT.replace("deny: [individual_updates, rows]", "deny: &a [rows]") + "x: *a\n",
        "[" * 5000,
        "- a",
        "",
        "!!python/object/apply:os.getcwd []",
        "a: b: c",
    ],
)
def test_a_file_that_is_not_understood_allows_nothing(text: str) -> None:
    with pytest.raises(ParleyError) as caught:
        parse(text)
    assert caught.value.code == "bad_policy"


def test_a_misspelt_key_gets_a_hint_and_a_huge_file_is_refused(home: PartyHome) -> None:
    with pytest.raises(ParleyError) as caught:
        parse(DEFAULT.replace("min_rows", "min_row"))
    assert caught.value.code == "bad_policy"
    with pytest.raises(ParleyError) as caught:
        parse(DEFAULT + "aproval: manual\n")
    assert "approval" in caught.value.hint
    (home.path / "policy.yaml").write_text(DEFAULT + "#" * MAX_BYTES)
    with pytest.raises(ParleyError):
        home.policy()


def test_a_disclosure_under_a_condition_is_judged_by_the_steps_parameters(home):
    declared = USUAL["psi/ecdh"].model_copy(
        update={
            "learns": {"sender": ("intersection",)},
            "conditions": {"sender.intersection": Condition(parameter="result", values=("both",))},
            "parameters": {"properties": {"result": {"default": "both"}}},
        }
    )
    strict = parse(
        DEFAULT.replace("deny: [individual_updates, rows]", "deny: [individual_updates, rows, intersection]")
    )
    policy = Policy(strict, "bank", home.peers)
    for parameters, allowed in (({}, False), ({"result": "both"}, False), ({"result": "receiver"}, True)):
        step = SPEC.steps["match"].model_copy(update={"with_": parameters})
        spec = SPEC.model_copy(update={"steps": {"match": step}})
        said = policy.verdict(spec, _issue("person", "ana"), {"psi/ecdh": declared}, ROLES, None)
        assert all(v.allowed for v in said if v.rule == "disclosures") is allowed
