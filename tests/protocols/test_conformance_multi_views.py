"""The ring of intersections against simulated views, at the leader and at each other member, and planted leaks."""

from __future__ import annotations

import numpy as np
import pytest
from classifiers import told_apart
from seeded import Seeded, Unblinded, Unshuffled
from seen import ids, real
from simulators import psi_multi as sim

from parley.crypto.okvs import SALT
from parley.protocols.psi import multi
from parley.protocols.psi.multi import MULTI
from parley.wire.canonical import canonical, digest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FEWER, HIGHER, FEW = 4_000, 0.545, 400
NAMES = ("p", "q", "r")
SETS = {"p": ["a", "b", "c", "d"], "q": ["d", "x", "b"], "r": ["b", "q", "d", "c", "z"]}
PLACES = {"p": (1, 3), "q": (2, 0), "r": (0, 2)}  # of b and d
WAYS = {"all": {"id": "id"}, "below the floor": {"id": "id", "floor": 3}}
CAST = {"member": NAMES}


def salt() -> bytes:
    """As the members derive it from the public coins of the tiny runs."""
    from parley.crypto.prg import Keystream

    coins = Keystream(digest("coins/1", bytes(32)), canonical(["step", []]))
    return digest("psi.multi.salt/1", coins.bytes(32))[:SALT]


def look(me: str):
    at = NAMES.index(me)

    def sees(sent, own, done):
        view = sim.sees(sent, own, salt(), at, len(NAMES))
        if done.positions is not None:
            # The agreed order is the output's; what is left to tell is whether it goes with anything else.
            view["rows"] = done.positions
        return view

    return sees


def views(way: str, pairs: int, who: str, planted=None):
    roles = {p: (lambda s, p=p: multi.member(s, ids(SETS[p]))) for p in NAMES}
    return real(MULTI, CAST, WAYS[way], roles, {me: look(me) for me in who}, pairs, planted, way)


def simulated(way: str, me: str, pairs: int):
    outcome = "ok" if way == "all" else "below_floor"
    at, out = NAMES.index(me), []
    sizes = tuple(len(SETS[p]) for p in NAMES)
    for k in range(pairs):
        mine, rng = Seeded("simulated", way, k, me), Seeded("simulator", way, k, me)
        rows = np.array(PLACES[me])[rng.permutation(2)]
        # Below the floor the leader alone learns how many are common.
        count = 2 if outcome == "ok" or at == 0 else 0
        known = sim.Learnt(sizes, at, tuple(rows.tolist()), count, outcome)
        view = sim.sees(sim.is_sent(known, salt(), mine, rng), mine, salt(), at, len(NAMES))
        out.append(view | ({"rows": rows} if outcome == "ok" else {}))
    return out


@pytest.mark.parametrize(("way", "me"), [("all", "p"), ("all", "q"), ("all", "r"), ("below the floor", "p")])
def test_nobody_tells_a_real_ring_from_a_simulated_one(way, me):
    found = told_apart(views(way, FEWER, me)[me], simulated(way, me, FEWER))
    print(way, me, found)
    assert max(found.values()) < HIGHER


LEAKS = {
    # who leaks how, who sees it
    "the owner does not shuffle": ("q", Unshuffled, "r"),
    "the owner blinds nothing": ("p", Unblinded, "q"),
    "a member in between blinds and shuffles nothing": ("q", type("Bare", (Unshuffled, Unblinded), {}), "r"),
    "the leader names the common ones in the order of its set": ("p", Unshuffled, "q"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak):
    who, planted, sees = LEAKS[leak]
    found = told_apart(views("all", FEW, sees, {who: planted})[sees], simulated("all", sees, FEW))
    print(found)
    assert max(found.values()) > 0.7, found


def test_a_leader_that_sees_single_shares_in_clear_is_found(monkeypatch):
    """Planted: without pair keys a store says which tokens two members have though not all do."""
    monkeypatch.setattr(multi, "share", lambda tokens, pairs: np.zeros(len(tokens), np.uint64))
    found_views = views("all", FEW, "p")["p"]
    monkeypatch.undo()
    assert max(told_apart(found_views, simulated("all", "p", FEW)).values()) > 0.7


def test_without_a_leak_the_same_number_of_pairs_finds_none():
    for me in NAMES:
        found = told_apart(views("all", FEW, me)[me], simulated("all", me, FEW))
        assert max(found.values()) < 0.625, (me, found)
