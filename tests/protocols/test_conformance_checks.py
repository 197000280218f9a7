"""The checks themselves: what they must find, what they must leave alone, and figures of others to compare with."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from cases import CASES
from classifiers import told_apart
from seeded import Inline, Seeded, Unblinded, Unshuffled
from sklearn.metrics import roc_auc_score
from vertical import use_plain

from parley.protocols.kit.checks.dice import Dice
from parley.protocols.kit.checks.indistinguishable import auc, auc_between, features
from parley.protocols.kit.checks.mutants import ADDRESS, ARRAYS, FIELDS, RAW, VALUES, mutant
from parley.protocols.kit.local import gather_roles
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError


def test_the_measure_is_sklearns():
    rng = np.random.default_rng(1)
    for ties in (1000, 3):
        scores, truth = rng.integers(0, ties, 500).astype(float), rng.integers(0, 2, 500)
        assert auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    assert auc(np.zeros(10), np.repeat([0, 1], 5)) == 0.5


def test_its_spread_is_what_the_bar_was_chosen_by():
    """Of coin tosses as scores: variance 1 / (3 n) a fold, half of that for the mean of two."""
    rng = np.random.default_rng(2)
    n, found = 400, []
    for _ in range(400):
        both = rng.uniform(size=(2 * n, 1)).astype(np.float32)
        found.append(auc_between(both, lambda x, truth: lambda unseen: unseen[:, 0]))
    assert np.mean(found) == pytest.approx(0.5, abs=0.005)
    assert np.var(found) * 6 * n == pytest.approx(1, abs=0.3)


def views(n: int, make) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [make(rng) for _ in range(n)]


def random_block(rng):
    return {"a": rng.integers(0, 256, (3, 32), dtype=np.uint8), "b": rng.integers(0, 256, (2, 32), dtype=np.uint8)}


def sorted_rows(rng):
    view = random_block(rng)
    return {**view, "a": view["a"][np.lexsort(view["a"].T[::-1])]}


def one_bit(rng):
    view = random_block(rng)
    view["a"][:, 5] |= 16
    return view


def repeated(rng):
    view = random_block(rng)
    view["b"][0] = view["a"][2]
    return view


@pytest.mark.parametrize("leak", [sorted_rows, one_bit, repeated])
def test_the_features_show_each_kind_of_leak(leak):
    assert max(told_apart(views(300, leak), views(300, random_block)).values()) > 0.7


def test_features_of_other_shapes_do_not_mix():
    with pytest.raises(ValueError):
        features([{"a": np.zeros((2, 32), np.uint8)}, {"a": np.zeros((3, 32), np.uint8)}])


def test_dice_repeat_and_reach_every_side():
    first, again, other = Dice("x"), Dice("x"), Dice("y")
    rolls = [first.below(6) for _ in range(200)]
    assert rolls == [again.below(6) for _ in range(200)] != [other.below(6) for _ in range(200)]
    assert set(rolls) == set(range(6))


def test_mutants_change_something_and_reach_every_way(monkeypatch):
    use_plain(monkeypatch)
    dice, ways, same = Dice("mutants"), set(), 0
    envelopes = CASES["gbdt/vertical"].run().transcript
    for _ in range(6000):
        original = dice.one(envelopes)
        name, raw = mutant(original, dice)
        ways.add(name)
        same += raw == original.encode()
    groups = {"frame": RAW, "address": ADDRESS, "body": RAW, "field": FIELDS, "array": ARRAYS, "value": VALUES}
    assert ways == {f"{group}.{how}" for group, changes in groups.items() for how in changes}
    assert same < 600  # a value may be changed to itself, as an empty list of splits always is


def test_a_replay_ends_as_the_run_did_and_asks_for_no_more():
    case = CASES["psi/ecdh"]
    run = case.run()
    for me, campaign in case.campaigns().items():
        seat = campaign.seat
        out = asyncio.run(seat.play(seat.incoming(), campaign.setting, campaign.rng(), Inline()))
        assert out.keep["rows"].tolist() == run[me].keep["rows"].tolist()
        short = {p: raws[:-1] for p, raws in seat.incoming().items()}
        with pytest.raises(ParleyError) as e:
            asyncio.run(seat.play(short, campaign.setting, campaign.rng(), Inline()))
        assert e.value.code == "recording_over"


def test_seeded_runs_are_the_same_run():
    first, again = (CASES["psi/ecdh"].run() for _ in range(2))
    assert [e.encode() for e in first.transcript] == [e.encode() for e in again.transcript]
    assert Seeded("a").bytes(8) == Seeded("a").bytes(8) != Seeded("b").bytes(8)
    assert Unshuffled("a").permutation(5).tolist() == list(range(5))
    assert Unblinded("a").scalar_below(10) == 0


@pytest.mark.parametrize("field", ["sender", "raw"])
def test_a_peer_that_writes_in_another_name_is_blamed_itself(field):
    """Found by fuzzing: the name on an envelope, or the receiver's own, used to be blamed."""
    case = CASES["psi/ecdh three"]
    seat = case.campaigns()["hospital"].seat
    index = next(k for k, e in enumerate(seat.recorded) if e.address.sender == "lab")
    raw = b"\xff\xff"
    if field == "sender":
        e = seat.recorded[index]
        raw = e.encode().replace(b"lab", b"gym")
        assert Envelope.decode(raw).address.sender == "gym"
    with pytest.raises(ParleyError) as e:
        asyncio.run(seat.deliver(index, raw, case.setting()))
    assert e.value.party == "lab"


def test_every_failed_role_is_asked_for_its_exception():
    """Two roles that fail at once: the first is raised, and the other is not left for the loop to complain about."""
    complaints: list[dict[str, object]] = []

    async def fails(code: str):
        raise ParleyError(code, "It fails.")

    async def both() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        with pytest.raises(ParleyError) as e:
            await gather_roles({"a": fails("first"), "b": fails("second")})
        assert (e.value.code, e.value.party) == ("first", "a")

    asyncio.run(both())
    import gc

    gc.collect()
    assert complaints == []
