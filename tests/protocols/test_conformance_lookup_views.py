"""Lookups against simulated views at both roles, and planted leaks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from classifiers import told_apart
from seeded import Seeded, Unblinded, Unshuffled
from seen import ids, real
from simulators import psi_lookup as sim
from simulators.psi_ecdh import random_points

from parley.crypto import curve
from parley.protocols.kit import StepInputs
from parley.protocols.psi import lookup
from parley.protocols.psi.lookup import LOOKUP, Opening, Query

FEWER, HIGHER, FEW = 4_000, 0.545, 400
CAST = {"receiver": "r", "sender": "s"}
MINE, THEIRS, VALUES = ["a", "b", "c", "d"], ["d", "x", "b"], [1_000_000, -2, 7]
TABLE = pa.table({"id": THEIRS, "v": VALUES, "_row": [0, 1, 2]})
FOUND = {k: b"\x01" + VALUES[THEIRS.index(MINE[k])].to_bytes(8, "little", signed=True) for k in (1, 3)}
SEES = {"r": sim.receiver_sees, "s": sim.sender_sees}


def views(me: str, pairs: int, planted=None):
    roles = {
        "r": lambda s: lookup.receiver(s, ids(MINE), None),
        "s": lambda s: lookup.sender(s, lookup.Source(StepInputs(TABLE)), None),
    }
    look = {me: lambda sent, own, done: SEES[me](sent, own)}
    return real(LOOKUP, CAST, {"id": "id", "columns": ["v"]}, roles, look, pairs, planted, "lookup")[me]


def simulated(me: str, pairs: int):
    out = []
    for k in range(pairs):
        own, rng = Seeded("simulated", k, me), Seeded("simulator", k, me)
        if me == "r":
            out.append(sim.receiver_sees(sim.receiver_is_sent(len(MINE), len(THEIRS), FOUND, 9, own, rng), own))
        else:
            curve.random_scalar(own)
            sent = [Opening(lookup.NO_TABLE), Query(random_points(len(MINE), rng))]
            out.append(sim.sender_sees(sent, own))
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("me", ["r", "s"])
def test_nobody_tells_a_real_lookup_from_a_simulated_one(me):
    found = told_apart(views(me, FEWER), simulated(me, FEWER))
    print(me, found)
    assert max(found.values()) < HIGHER


LEAKS = {
    # who leaks how, who sees it
    "the table keeps the dataset's order": ("s", Unshuffled, "r"),
    "the sender has no key": ("s", Unblinded, "r"),
    "the receiver blinds nothing": ("r", Unblinded, "s"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak):
    who, planted, me = LEAKS[leak]
    found = told_apart(views(me, FEW, {who: planted}), simulated(me, FEW))
    assert max(found.values()) > 0.7, found


def test_values_under_no_pad_are_found(monkeypatch):
    """Planted: the sender masks with zeros; the receiver's own pads are the real ones."""
    pads = lookup.pads_of
    monkeypatch.setattr(lookup, "pads_of", lambda points, width: np.zeros((len(points), width), np.uint8))
    plain = views("r", FEW)
    monkeypatch.setattr(lookup, "pads_of", pads)
    assert max(told_apart(plain, simulated("r", FEW)).values()) > 0.7


def test_without_a_leak_the_same_number_of_pairs_finds_none():
    for me in ("r", "s"):
        found = told_apart(views(me, FEW), simulated(me, FEW))
        assert max(found.values()) < 0.625, (me, found)
