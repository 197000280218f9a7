"""Real intersections against simulated ones, at each role: nothing told apart, and planted leaks found.

Every pair is one whole run of the product's role functions over four ids against three, with keys and orders of its
own, and one view that a simulator made from what the declaration says is learnt. The inputs are the same in every run,
so that the learner knows them by heart. Sources are seeded: a run of this file is the same each time.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa
import pytest
from classifiers import told_apart
from manyruns import accepted_in_one_run
from seeded import Seeded, Unblinded, Unshuffled
from simulators import psi_ecdh as sim

from parley.protocols.kit import Cast
from parley.protocols.psi import ecdh, vole
from parley.protocols.psi.ecdh import ECDH
from parley.protocols.psi.ids import IdColumn
from parley.protocols.psi.vole import VOLE

PAIRS, BAR = 20_000, 0.52
FEWER, HIGHER = 4_000, 0.545  # the same distance from chance
MINE, THEIRS = ["a", "b", "c", "d"], ["d", "x", "b"]
CAST = Cast({"receiver": "r", "sender": ["s"]})
BELOW_VOLE = "below the floor of psi/vole"
WAYS = {
    "both with a floor": {"id": "id", "floor": 2},
    "below the floor": {"id": "id", "floor": 3},
    BELOW_VOLE: {"id": "id", "floor": 3},
    "one-sided": {"id": "id", "result": "receiver"},
}
SEES = {"r": sim.receiver_sees, "s": sim.sender_sees}
FEW = 400
COMMON = {"r": (1, 3), "s": (0, 2)}  # places of b and d


def column(ids: list[str]) -> IdColumn:
    return IdColumn(pa.array(ids), np.arange(len(ids), dtype=np.int64))


def real(
    way: str, pairs: int, planted: dict[str, type[Seeded]], who: str = "rs"
) -> dict[str, list[dict[str, np.ndarray]]]:
    """What the roles of `who` saw in so many runs."""
    of, page = (VOLE, vole) if way == BELOW_VOLE else (ECDH, ecdh)
    params = of.validate(WAYS[way], CAST)
    roles = {
        "r": lambda s: page.receiver(s, column(MINE)),
        "s": lambda s: page.sender(s, column(THEIRS)),
    }
    out: dict[str, list[dict[str, np.ndarray]]] = {"r": [], "s": []}

    async def many() -> None:
        for k in range(pairs):
            rngs = {p: planted.get(p, Seeded)(way, k, p) for p in roles}
            got = await accepted_in_one_run(CAST, params, roles, rngs)
            for me in who:
                out[me].append(SEES[me](got[me], rngs[me]))

    asyncio.run(many())
    return out


def simulated(way: str, me: str, pairs: int) -> list[dict[str, np.ndarray]]:
    outcome = "below_floor" if way.startswith("below") else "ok"
    own, other = (MINE, THEIRS) if me == "r" else (THEIRS, MINE)
    both = way != "one-sided"
    # A sender of a one-sided run is not told which of its ids are common; nobody is, below the floor but the count.
    known = sim.Learnt(len(own), len(other), COMMON[me], outcome, "floor" in WAYS[way], both)
    if me == "s" and (not both or outcome != "ok"):
        known = sim.Learnt(len(own), len(other), (), outcome, "floor" in WAYS[way], both)
    out = []
    for k in range(pairs):
        mine, rng = Seeded("simulated", way, k, me), Seeded("simulator", way, k, me)
        if me == "r":
            out.append(sim.receiver_sees(sim.receiver_is_sent(own, known, mine, rng), mine))
        else:
            out.append(sim.sender_sees(sim.sender_is_sent(known, mine, rng), mine))
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("way", "pairs", "bar"),
    [
        ("both with a floor", PAIRS, BAR),
        ("below the floor", FEWER, HIGHER),
        (BELOW_VOLE, FEWER, HIGHER),
        ("one-sided", FEWER, HIGHER),
    ],
)
def test_nobody_tells_a_real_intersection_from_a_simulated_one(way, pairs, bar):
    """All messages are in the first way, in runs of twenty thousand; the others send a part of the same messages."""
    views = real(way, pairs, {})
    found = {me: told_apart(views[me], simulated(way, me, pairs)) for me in ("r", "s")}
    print(way, found)
    assert all(a < bar for by_learner in found.values() for a in by_learner.values())


LEAKS = {
    # who leaks how, who sees it, in which way of running
    "the sender's order is its table's": ("s", Unshuffled, "r", "one-sided"),
    "the sender's answer to the probe keeps the order": ("s", Unshuffled, "r", "below the floor"),
    "the sender blinds nothing": ("s", Unblinded, "r", "one-sided"),
    "the receiver blinds nothing": ("r", Unblinded, "s", "one-sided"),
    "the sender's answer to the probe of psi/vole keeps the order": ("s", Unshuffled, "r", BELOW_VOLE),
    "the receiver's probe is not blinded": ("r", Unblinded, "s", "below the floor"),
    "the common records come in the receiver's order": ("r", Unshuffled, "s", "both with a floor"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak):
    who, planted, sees, way = LEAKS[leak]
    views = real(way, FEW, {who: planted}, sees)[sees]
    found = told_apart(views, simulated(way, sees, FEW))
    assert max(found.values()) > 0.7, found


def test_one_bit_of_plaintext_in_one_byte_is_found():
    """The lowest bit of a point's first byte, which is always 0 in a canonical encoding, says whether it is common."""
    views = real("one-sided", FEW, {}, "r")["r"]
    for view in views:
        rows = view["DoubleBlinded"].copy()
        rows[:, 7] = rows[:, 7] & 254 | (np.arange(len(rows)) % 2 == 1)
        view["DoubleBlinded"] = rows
    found = told_apart(views, simulated("one-sided", "r", FEW))
    assert max(found.values()) > 0.7, found


def test_without_a_leak_the_same_number_of_pairs_finds_none():
    """So that the planted ones are not found by chance: 400 pairs, two folds, a standard deviation of 0.02."""
    views = real("one-sided", FEW, {})
    for me in ("r", "s"):
        found = told_apart(views[me], simulated("one-sided", me, FEW))
        assert max(found.values()) < 0.625, found
