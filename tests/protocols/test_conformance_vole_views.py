"""Real fast intersections against simulated ones, at each role: nothing told apart, and planted leaks found.

Every pair is one whole run of the product's role functions over four ids against three, with sources of its own, and
one view that a simulator made from what the declaration says is learnt; the learner also knows both sides' ids, which
are the same in every run. Two things are smaller than in the product, so that twenty thousand runs take seconds: a
store of 50 slots (a run may have any shape that is a function of the counts), and noise for so many. The base transfers
inside are dealt, and looked at on their own, as they are, in as many pairs. Sources are seeded.
"""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from classifiers import told_apart
from manyruns import Quick, accepted_in_one_run
from seeded import Seeded, Unblinded, Unshuffled
from simulators import psi_vole as sim

from parley.crypto import okvs
from parley.crypto.ot import base
from parley.crypto.ot.extension import ExtensionSender
from parley.crypto.vole import correlation, evaluation, profile
from parley.protocols.kit import Cast
from parley.protocols.kit.session import Context
from parley.protocols.psi import vole
from parley.protocols.psi.ids import IdColumn
from parley.protocols.psi.vole import VOLE

PAIRS, BAR = 20_000, 0.52
FEWER, HIGHER = 4_000, 0.545  # the same distance from chance
FEW = 400
IDS = {"r": ("a", "b", "c", "d"), "s": ("d", "x", "b")}
CAST = Cast({"receiver": "r", "sender": "s"})
TREES, DIRECT = "by trees, told to both", "each element by transfers, one-sided"
WAYS = {TREES: {"id": "id", "profile": "fast"}, DIRECT: {"id": "id", "result": "receiver"}}
SEES = {"r": sim.receiver_sees, "s": sim.sender_sees}
IS_SENT = {"r": sim.receiver_is_sent, "s": sim.sender_is_sent}
COMMON = {"r": (1, 3), "s": (0, 2)}  # places of b and d
ROLES = {
    "r": lambda s: vole.receiver(s, column("r")),
    "s": lambda s: vole.sender(s, column("s")),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A store of 3 * 16 + 2 slots, 25 trees of 4 leaves for it, and base transfers that are dealt."""
    noise = profile.Profile("fast", profile.FAST.code, profile.FAST.weight, profile.FAST.taps, 16, 0.0)
    monkeypatch.setitem(profile.PROFILES, "fast", noise)
    monkeypatch.setattr(profile, "plan", small_plan(profile.plan))
    monkeypatch.setattr(okvs, "shape", lambda n: okvs.Shape(n, 16, 2))
    monkeypatch.setattr(correlation, "BaseSender", sim.DealtSender)
    monkeypatch.setattr(correlation, "BaseChooser", sim.DealtChooser)


def small_plan(ours):
    def plan(code, count):
        with pytest.MonkeyPatch.context() as m:
            if code.name == "fast":
                m.setattr(profile, "DIRECT", 0)
            return ours(code, count)

    return plan


def column(me: str) -> IdColumn:
    return IdColumn(pa.array(IDS[me]), np.arange(len(IDS[me]), dtype=np.int64))


def learnt(way: str, me: str) -> sim.Learnt:
    params = VOLE.validate(WAYS[way], CAST)
    session = Quick(Context("local", "step", 1, me, CAST, params, bytes(32), None, None))
    told = me == "r" or params.result == "both"
    other = len(IDS["s" if me == "r" else "r"])
    return sim.Learnt(IDS[me], other, COMMON[me] if told else (), told, partial(vole._agreed, session))


def real(way: str, pairs: int, planted: dict[str, type[Seeded]], who: str = "rs") -> dict[str, list]:
    """What the roles of `who` saw in so many runs."""
    params = VOLE.validate(WAYS[way], CAST)
    known = {me: learnt(way, me) for me in "rs"}
    out: dict[str, list[dict[str, np.ndarray]]] = {"r": [], "s": []}

    async def many() -> None:
        for k in range(pairs):
            coins = {p: partial(planted.get(p, Seeded), way, k, p) for p in ROLES}
            got = await accepted_in_one_run(CAST, params, ROLES, {p: c() for p, c in coins.items()})
            for me in who:
                out[me].append(SEES[me](got[me], known[me], coins[me], IDS["s" if me == "r" else "r"]))

    asyncio.run(many())
    return out


def simulated(way: str, me: str, pairs: int) -> list[dict[str, np.ndarray]]:
    known, out = learnt(way, me), []
    for k in range(pairs):
        coins, rng = partial(Seeded, "simulated", way, k, me), Seeded("simulator", way, k, me)
        messages = IS_SENT[me](known, coins, rng)
        out.append(SEES[me](messages, known, coins, IDS["s" if me == "r" else "r"]))
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("way", "pairs", "bar"), [(TREES, PAIRS, BAR), (DIRECT, FEWER, HIGHER)])
def test_nobody_tells_a_real_intersection_from_a_simulated_one(way, pairs, bar):
    """All messages are in the first way; the second sends some of them, from a store that is masked by noise itself."""
    views = real(way, pairs, {})
    found = {me: told_apart(views[me], simulated(way, me, pairs)) for me in ("r", "s")}
    print(way, found)
    assert all(a < bar for by_learner in found.values() for a in by_learner.values())


@pytest.mark.parametrize("way", WAYS)
def test_without_a_leak_few_pairs_show_nothing(way):
    """So that the planted ones are not found by chance: 400 pairs, two folds, a standard deviation of 0.02."""
    views = real(way, FEW, {})
    assert np.mean([v["where"][[1, 3]].min() >= 0 for v in views["r"]]) == 1  # the view's own arithmetic is right
    for me in ("r", "s"):
        found = told_apart(views[me], simulated(way, me, FEW))
        assert max(found.values()) < 0.625, found


class NoDelta(Seeded):
    """Planted: the sender's secret factor is zero, so that anybody works out the tags of any id."""

    def __init__(self, *seed: object) -> None:
        super().__init__(*seed)
        self.drawn = False

    def bytes(self, n: int) -> bytes:
        if n == 16 and not self.drawn:  # the first of this size is the factor
            self.drawn = True
            return bytes(16)
        return super().bytes(n)


class OneRoot(Seeded):
    """Planted: all trees of the sender grow from one root."""

    def bytes(self, n: int) -> bytes:
        return super().bytes(16) * (n // 16) if n > 32 else super().bytes(n)


def its_order(monkeypatch):
    monkeypatch.setattr(evaluation, "secret_order", lambda n, rng: np.arange(n, dtype=np.uint32))


def no_noise(monkeypatch):
    """What the receiver's store is masked with is zero."""
    monkeypatch.setattr(correlation, "_nonzero", lambda rng, n: np.zeros(n, np.uint64))


def masked_where_used(monkeypatch):
    """Only slots that some key uses are masked, which is all that the answer needs."""
    ours = evaluation.masked

    def some(form, table, a):
        used = table != 0
        return np.where(used, ours(form, table, a), np.uint64(0))

    monkeypatch.setattr(evaluation, "masked", some)


def no_keystream(monkeypatch):
    monkeypatch.setattr(correlation, "_elements", lambda keys, trees: np.zeros((128, trees), np.uint64))


def no_choice_stream(monkeypatch):
    def zeros(self, keys, first, words):
        return np.zeros((128, words), np.uint64)

    monkeypatch.setattr(ExtensionSender.__mro__[1], "_stream", zeros)


def low_bit_in_tags(monkeypatch):
    """The lowest bit of each tag says whether its id is the sender's first."""
    ours = evaluation.tags

    def marked(form, keys, table, delta, order, context, size):
        out = ours(form, keys, table, delta, order, context, size).copy()
        out[:, -1] = out[:, -1] & 254 | (order == 1)
        return out

    monkeypatch.setattr(evaluation, "tags", marked)


def nothing(monkeypatch):
    pass


LEAKS = {
    # who leaks how, or what is planted in both; who sees it; in which way of running
    "the sender's order is its table's": ({}, its_order, "r", DIRECT),
    "the sender's factor is zero": ({"s": NoDelta}, nothing, "r", DIRECT),
    "the sender's trees have one root": ({"s": OneRoot}, nothing, "r", TREES),
    "a tag's lowest bit marks an id": ({}, low_bit_in_tags, "r", DIRECT),
    "the receiver's store has no mask": ({}, no_noise, "s", TREES),
    "the receiver's free slots have no mask": ({}, masked_where_used, "s", DIRECT),
    "the receiver's elements have no keystream": ({}, no_keystream, "s", DIRECT),
    "the receiver's choices have no keystream": ({}, no_choice_stream, "s", TREES),
    "the common records come in the receiver's order": ({"r": Unshuffled}, nothing, "s", TREES),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak, monkeypatch):
    planted, plant, sees, way = LEAKS[leak]
    others = simulated(way, sees, FEW)
    plant(monkeypatch)
    found = told_apart(real(way, FEW, planted, sees)[sees], others)
    assert max(found.values()) > 0.7, found


# ---------------------------------------------------------------- base transfers


def transfers(pairs: int, sender: type[Seeded] = Seeded, chooser: type[Seeded] = Seeded):
    """Real and simulated views of the sender and of the chooser."""
    out: dict[str, tuple[list, list]] = {"sender": ([], []), "chooser": ([], [])}
    for k in range(pairs):
        found = sim.Transfer(sender("s", k), chooser("c", k)).real()
        made = sim.Transfer(Seeded("s'", k), Seeded("c'", k)).simulated(Seeded("simulator", k))
        for side, a, b in zip(out.values(), found, made, strict=True):
            side[0].append(a)
            side[1].append(b)
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_tells_a_real_base_transfer_from_a_simulated_one():
    found = {side: told_apart(*views) for side, views in transfers(PAIRS).items()}
    print(found)
    assert all(a < BAR for by_learner in found.values() for a in by_learner.values())


def one_key_for_both(monkeypatch):
    ours = base._derive
    monkeypatch.setattr(base, "_derive", lambda context, offer, replies, shared: ours(context, offer, replies, replies))


TRANSFER_LEAKS = {
    "the chooser's scalar is one": ("sender", {"chooser": Unblinded}, nothing),
    "the sender's scalar is one": ("chooser", {"sender": Unblinded}, nothing),
    "both keys are one": ("chooser", {}, one_key_for_both),
}


@pytest.mark.parametrize("leak", TRANSFER_LEAKS)
def test_a_leak_planted_in_a_base_transfer_is_found(leak, monkeypatch):
    sees, planted, plant = TRANSFER_LEAKS[leak]
    plant(monkeypatch)
    found = told_apart(*transfers(FEW, **planted)[sees])
    assert max(found.values()) > 0.7, found


def test_few_base_transfers_show_nothing():
    for views in transfers(FEW).values():
        assert max(told_apart(*views).values()) < 0.625
