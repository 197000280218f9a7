"""Counts and sums against simulated views at both roles, and planted leaks."""

from __future__ import annotations

import numpy as np
import pytest
from classifiers import told_apart
from seeded import Seeded, Unblinded, Unshuffled
from seen import ids, real
from simulators import psi_counts as sim
from simulators.psi_ecdh import random_points
from vertical import use_plain

from parley.crypto import curve
from parley.protocols.psi import cardinality
from parley.protocols.psi import sum as psi_sum

FEWER, HIGHER, FEW = 4_000, 0.545, 400
CAST = {"receiver": "r", "sender": "s"}
MINE, THEIRS, VALUES = ["a", "b", "c", "d"], ["d", "x", "b"], np.array([125, -350, 10_000])
SUM_OF_COMMON = 10_125
KINDS = {
    "count": (cardinality.CARDINALITY, cardinality.Blinded, cardinality.Double, cardinality.Theirs, {"id": "id"}),
    "sum": (psi_sum.SUM, psi_sum.Blinded, psi_sum.Double, psi_sum.Pairs, {"id": "id", "value": "v"}),
}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def sees(what: str, me: str):
    _, blinded, double, theirs, _ = KINDS[what]

    def at_receiver(sent, own, done):
        view = sim.receiver_view(sim.of(sent, double, "points"), sim.of(sent, theirs, "points"), own)
        return view | ({"units": np.array([done.units])} if what == "sum" else {})

    return at_receiver if me == "r" else lambda sent, own, done: sim.sender_view(sent, blinded)


def views(what: str, me: str, pairs: int, planted=None):
    protocol, _, _, _, params = KINDS[what]
    module = cardinality if what == "count" else psi_sum
    extra = () if what == "count" else (VALUES,)
    roles = {"r": lambda s: module.receiver(s, ids(MINE)), "s": lambda s: module.sender(s, ids(THEIRS), *extra)}
    return real(protocol, CAST, params, roles, {me: sees(what, me)}, pairs, planted, what)[me]


def simulated(what: str, me: str, pairs: int):
    out = []
    for k in range(pairs):
        own, rng = Seeded("simulated", what, k, me), Seeded("simulator", what, k, me)
        if me == "r":
            curve.random_scalar(own)
            double, theirs = sim.receiver_is_sent(len(MINE), len(THEIRS), 2, own, rng)
            view = sim.receiver_view(double, theirs, own)
            out.append(view | ({"units": np.array([SUM_OF_COMMON])} if what == "sum" else {}))
        else:
            view = {"blinded": random_points(len(MINE), rng)}
            if what == "sum":
                view["sum"] = psi_sum._mask(rng).view(np.uint8).reshape(2, 8)
            out.append(view)
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("what", "me"), [("count", "r"), ("count", "s"), ("sum", "r"), ("sum", "s")])
def test_nobody_tells_a_real_run_from_a_simulated_one(what, me):
    found = told_apart(views(what, me, FEWER), simulated(what, me, FEWER))
    print(what, me, found)
    assert max(found.values()) < HIGHER


LEAKS = {
    # who leaks how, who sees it, in what
    "the answers keep the order": ("s", Unshuffled, "r", "count"),
    "the sender blinds nothing": ("s", Unblinded, "r", "count"),
    "the receiver blinds nothing": ("r", Unblinded, "s", "count"),
    "the pairs keep the order": ("s", Unshuffled, "r", "sum"),
    "the receiver blinds nothing of a sum": ("r", Unblinded, "s", "sum"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak):
    who, planted, me, what = LEAKS[leak]
    found = told_apart(views(what, me, FEW, {who: planted}), simulated(what, me, FEW))
    assert max(found.values()) > 0.7, found


def test_an_unmasked_sum_is_found(monkeypatch):
    monkeypatch.setattr(psi_sum, "_mask", lambda rng: np.array([rng.scalar_below(1 << 20), 0]))
    found_views = views("sum", "s", FEW)
    monkeypatch.undo()
    assert max(told_apart(found_views, simulated("sum", "s", FEW)).values()) > 0.7


def test_without_a_leak_the_same_number_of_pairs_finds_none():
    for what, me in (("count", "r"), ("sum", "s")):
        found = told_apart(views(what, me, FEW), simulated(what, me, FEW))
        assert max(found.values()) < 0.625, (what, me, found)
