"""The aggregator and a member of k-means against simulated views, and planted leaks."""

from __future__ import annotations

import numpy as np
import pytest
from classifiers import told_apart
from seeded import Seeded
from seen import real
from simulators import kmeans as sim

from parley.components.training import kmeans as lloyd
from parley.crypto.prg import Keystream
from parley.protocols.cluster import kmeans
from parley.protocols.cluster.jobs import KMEANS
from parley.protocols.cluster.kmeans import Held, Keys
from parley.wire.canonical import canonical, digest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FEWER, HIGHER, FEW = 4_000, 0.545, 400
CAST = {"member": ["p", "q"], "aggregator": "sums"}
PARAMS = {"clusters": 2, "starts": 1, "rounds": 2, "tolerance": 0}
ROWS = {"p": np.array([[0], [2], [9], [11], [4]]), "q": np.array([[1, 5], [0, 4], [7, 7], [8, 5], [2, 6]])}
TRAINING = np.array([True, True, True, True, False])


def learnt() -> tuple[sim.Learnt, sim.Told]:
    """Worked out in one place from all columns, with the coins of the tiny runs."""
    coins = Keystream(digest("coins/1", bytes(32)), canonical(["step", [["start", 0]]]))
    rows = np.hstack(list(ROWS.values()))
    seen = rows[TRAINING]
    centres = seen[coins.permutation(len(seen))[:2]]
    differences, clusters = [], []
    for number in range(3):
        these = rows if number == 2 else seen
        away = lloyd.squared_distances(these, centres).view(np.uint64)
        differences.append(away - away[:, :1])
        clusters.append(lloyd.nearest(away))
        if number < 2:
            centres = lloyd.means(seen, clusters[-1], centres)
    return sim.Learnt(tuple(differences), lloyd.spread(seen, clusters[1], centres)), sim.Told(tuple(clusters))


def views(me: str, pairs: int, planted=None):
    roles = {p: (lambda s, p=p: kmeans.member(s, Held(ROWS[p], TRAINING))) for p in ROWS}
    look = sim.member_sees if me == "q" else sim.aggregator_sees
    everybody = {**roles, "sums": kmeans.aggregator}
    return real(KMEANS, CAST, PARAMS, everybody, {me: lambda sent, own, done: look(sent)}, pairs, planted, "kmeans")[me]


def simulated(me: str, pairs: int):
    sums, told = learnt()
    out = []
    for number in range(pairs):
        rng = Seeded("simulator", "kmeans", number, me)
        if me == "q":
            out.append(sim.member_sees(sim.member_is_sent(told, rng)))
        else:
            out.append(sim.aggregator_sees(sim.aggregator_is_sent(sums, rng)))
    return out


@pytest.mark.parametrize("me", ["sums", "q"])
def test_nobody_tells_a_real_run_from_a_simulated_one(me):
    found = told_apart(views(me, FEWER), simulated(me, FEWER))
    print(me, found)
    assert max(found.values()) < HIGHER


def without_order(patch) -> None:
    patch.setattr(Keys, "permutation", lambda self, n, *path: np.arange(n))


def without_masks(patch) -> None:
    patch.setattr(Keys, "streams", lambda self, *path: [])


def without_offsets(patch) -> None:
    honest = kmeans._masked
    patch.setattr(kmeans, "_masked", lambda s, rows, centres, streams, first: honest(s, rows, centres, streams, False))


def without_masks_of_the_inertia(patch) -> None:
    honest = Keys.streams
    patch.setattr(Keys, "streams", lambda self, *path: honest(self, *path) if len(path) == 2 else [])


LEAKS = [without_order, without_masks, without_offsets, without_masks_of_the_inertia]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_to_the_aggregator_is_found(leak, monkeypatch):
    leak(monkeypatch)
    found_views = views("sums", FEW)
    monkeypatch.undo()
    found = told_apart(found_views, simulated("sums", FEW))
    print(leak.__name__, found)
    assert max(found.values()) > 0.7, found


class SameKey(Seeded):
    """Planted: the order's key is the pair's key once more."""

    def bytes(self, n: int) -> bytes:
        return type(self)(*self.seed).stream.bytes(n)


def test_a_key_that_serves_twice_is_found():
    found = told_apart(views("q", FEW, {"p": SameKey}), simulated("q", FEW))
    print(found)
    assert max(found.values()) > 0.7, found


@pytest.mark.parametrize("me", ["sums", "q"])
def test_without_a_leak_the_same_number_of_pairs_finds_none(me):
    assert max(told_apart(views(me, FEW), simulated(me, FEW)).values()) < 0.625
