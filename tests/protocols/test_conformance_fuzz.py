"""Changed messages into every role of every protocol: typed errors that name the peer, never a crash or a blow-up."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cases import BY_TREES, CASES
from vertical import use_plain

from parley.protocols import registry
from parley.protocols.kit.checks import transit
from parley.protocols.kit.checks.dice import Dice
from parley.protocols.kit.checks.fuzz import Coverage
from parley.protocols.kit.checks.mutants import ADDRESS, ARRAYS, FIELDS, NEVER_ACCEPTED, RAW, VALUES, mutant
from parley.wire.errors import ParleyError

TALKING = [
    name for name, case in CASES.items() if case.of.steps and ("column" in case.params or not name.startswith("prep/"))
]
LONG = {p: 100_000 for p in registry.names() if registry.load(p).steps and p != "psi/vole"}
LONG |= {"nn/split": 40_000}  # a whole role is a whole training
LONG |= {"psi/vole": 50_000, BY_TREES: 50_000}  # by halves: the messages of one hold what is empty in the other
MEMORY = 512 << 20  # bytes


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


@contextmanager
def little_memory() -> Iterator[None]:
    """Inside, the process may ask for MEMORY more than it has; what asks for more ends with a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def fuzz(name: str, count: int, deep: int) -> Coverage:
    """`count` changed messages over all parties that are sent any; `deep` of them through whole roles."""
    coverage, campaigns = Coverage(), CASES[name].campaigns()
    for me, campaign in campaigns.items():
        dice = Dice(f"{name} {me}")
        try:
            with little_memory():
                asyncio.run(campaign.run(count // len(campaigns), deep // len(campaigns), dice, coverage))
        except Exception as e:
            tag, how, raw = coverage.now
            raise AssertionError(f"{how} of {tag} at {me} ended with {e!r}: {raw[:400].hex()}") from e
    return coverage


def judge(coverage: Coverage) -> None:
    print(coverage.report())
    assert coverage.blamed_wrongly == []
    for (tag, how, end), count in coverage.shallow.items():
        # What is wrong by its place or its form may not be accepted as if nothing were.
        if how in NEVER_ACCEPTED:
            assert end.startswith("refused"), (tag, how, end, count)
    ends = coverage.ends(coverage.shallow)
    assert {e.removeprefix("refused: ") for e in ends if e.startswith("refused")} <= {
        "malformed", "undeclared_message", "protocol_violation", "version_mismatch", "egress_cap"
    }  # fmt: skip
    assert ends["refused: malformed"] > 0
    assert coverage.ends(coverage.deep)


@pytest.mark.parametrize("name", TALKING)
def test_two_thousand_changed_messages(name):
    judge(fuzz(name, 2000, 200))


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize(
    "share", [pytest.param(5, marks=pytest.mark.slow, id="a fifth"), pytest.param(1, marks=pytest.mark.long, id="all")]
)
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_changed_messages(name, share):
    coverage = fuzz(name, LONG[name] // share, 6_000 * LONG[name] // 100_000 // share)
    judge(coverage)
    ways = {how for _, how, _ in coverage.shallow}
    assert ways >= {f"frame.{n}" for n in RAW} | {f"address.{n}" for n in ADDRESS} | {f"field.{n}" for n in FIELDS}
    assert ways >= {f"array.{n}" for n in ARRAYS} | {f"value.{n}" for n in VALUES}


def test_an_unchanged_message_is_accepted():
    """The door is not simply closed: what was recorded passes it, and the whole role ends as it did."""
    for name in TALKING:
        for campaign in CASES[name].campaigns().values():
            seat = campaign.seat
            for index, e in enumerate(seat.recorded):
                accepted = asyncio.run(seat.deliver(index, e.encode(), campaign.setting))
                assert accepted == (b"" if e.last else e.body)
            asyncio.run(campaign._play(-1, b""))


def test_a_campaign_finds_a_planted_crash(monkeypatch):
    """A role that trips over a value is found, by the way in which the message was changed."""
    from parley.protocols.psi import ecdh

    def trusting(self):
        if self.outcome not in ("ok", "empty", "below_floor"):
            raise KeyError(self.outcome)

    monkeypatch.setattr(ecdh.Closing, "check", trusting)
    with pytest.raises(AssertionError, match=r"value.value of psi.ecdh.closing/1 at lab ended with KeyError"):
        fuzz("psi/ecdh one-sided", 2000, 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.paillier
def test_changed_messages_on_real_ciphertexts(monkeypatch):
    """The same with Paillier-2048 under one key: what the plain fake accepts, its ciphertexts may refuse."""
    from parley.crypto import ahe
    from parley.protocols import scheme

    monkeypatch.undo()
    key = ahe.generate("paillier", 2048)
    monkeypatch.setattr(scheme, "generate", lambda terms: key)
    coverage = fuzz("gbdt/vertical regression", 4000, 400)
    judge(coverage)
    assert coverage.ends(coverage.deep)["error: bad_ciphertext"] > 0


def test_a_campaign_finds_a_planted_allocation(monkeypatch):
    """A role that makes room for whatever number it is told is found."""
    from parley.protocols.psi import ecdh

    def trusting(self):
        if self.outcome not in ("ok", "empty", "below_floor") or self.count < 0:
            raise ValueError("wrong")
        np.empty(min(self.count, 1 << 40), dtype=np.uint8)

    monkeypatch.setattr(ecdh.Closing, "check", trusting)
    with pytest.raises(AssertionError, match=r"of psi.ecdh.closing/1 at lab ended with .*MemoryError"):
        fuzz("psi/ecdh one-sided", 4000, 0)


# ---------------------------------------------------------------- in transit


def sealed_campaign(name: str, count: int) -> Counter[tuple[str, bool]]:
    messages = [e.encode() for e in CASES[name].run().transcript]
    return transit.attacked(messages, count, Dice(name))


@pytest.mark.parametrize("name", TALKING)
def test_sealed_messages_changed_in_transit_are_refused(name):
    found = sealed_campaign(name, 2000)
    assert {refused for _, refused in found} == {True}
    assert {attack for attack, _ in found} == set(transit.ATTACKS)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LONG)
def test_a_hundred_thousand_sealed_messages_changed_in_transit_are_refused(name):
    found = sealed_campaign(name, LONG[name])
    assert {refused for _, refused in found} == {True}
    assert found.total() == LONG[name]


def test_changed_handshakes_end():
    found = transit.handshakes(400, Dice("handshakes"))
    assert set(found) == {("first", True), ("second", True)}


def test_the_attacks_succeed_on_a_channel_that_checks_nothing(monkeypatch):
    """The same attacks on plain framing: each of them gets something through."""
    monkeypatch.setattr(transit, "fresh", lambda: (Bare(), Bare()))
    messages = [e.encode() for e in CASES["psi/ecdh"].run().transcript]
    found = transit.attacked(messages, 400, Dice("bare"))
    assert {attack for attack, refused in found if not refused} == set(transit.ATTACKS)


class Bare:
    def seal(self, plaintext):
        return plaintext

    def open(self, sealed):
        return sealed


# ---------------------------------------------------------------- a protocol without messages


def strangers(count: int) -> Counter[str]:
    """Changed and unchanged messages of the other protocols at the door of `evaluate`, which expects none."""
    case = CASES["evaluate"]
    inputs, cast = case.build(), case.cast
    from parley.protocols.kit import Cast
    from parley.protocols.kit.checks.replay import Seat
    from parley.protocols.kit.exchange import admitted

    params = case.of.validate(case.params, Cast(cast))
    seat = Seat(case.of, Cast(cast), "bank", params, inputs["bank"], [], ())
    gate, dice, out = seat.gate(case.setting()), Dice("evaluate"), Counter()
    envelopes = [e for name in TALKING for e in CASES[name].run().transcript]
    for k in range(count):
        original = dice.one(envelopes)
        raw = original.encode() if k % 10 == 0 else mutant(original, dice)[1]
        try:
            admitted(raw, original.address.sender, gate)
            out["accepted"] += 1
        except ParleyError as e:
            out[e.code if e.party == original.address.sender else "blamed wrongly"] += 1
    return out


def test_evaluate_takes_no_message():
    found = strangers(2000)
    assert not found["accepted"] + found["blamed wrongly"]
    assert found["undeclared_message"] > 500


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_evaluate_takes_none_of_a_hundred_thousand_messages():
    found = strangers(100_000)
    assert not found["accepted"] + found["blamed wrongly"]
    assert found.total() == 100_000
