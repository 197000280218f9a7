"""The oblivious evaluation of a set: the intersection it gives, and what either side sees on the way."""

from __future__ import annotations

import os

import numpy as np
import pytest

from parley.crypto import okvs
from parley.crypto.curve import Ids
from parley.crypto.errors import CryptoError
from parley.crypto.prg import Rng
from parley.crypto.vole import evaluation as ev
from parley.crypto.vole import profile
from parley.crypto.vole.correlation import VoleReceiver, VoleSender

ALARM = 416.0  # chi-square with 255 degrees of freedom: p < 1e-9


def ids(prefix: str, *ranges: range) -> list[bytes]:
    return [f"{prefix}{i}".encode() for r in ranges for i in r]


class Seeded(Rng):
    """Fixed randomness, so that a statistic is the same every time."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def bytes(self, n):
        return self._generator.bytes(n)


class Run:
    """Both roles up to the tags, with everything that either side sees."""

    def __init__(
        self, x: list[bytes], y: list[bytes], code: profile.Profile = profile.FAST, broken: str = "", seed: int = 1
    ) -> None:
        rng = Seeded(seed)
        self.salt, self.context = rng.bytes(16), rng.bytes(32)
        self.ours, self.theirs = (okvs.keys_of(Ids.from_list(s), self.salt) for s in (x, y))
        self.form = okvs.shape(len(x))
        self.plan = profile.plan(code, self.form.slots)
        receiver, sender = VoleReceiver(self.plan, self.context, rng), VoleSender(self.plan, self.context, rng)
        if broken == "delta":
            sender.delta[:] = 0
        receiver.finish(sender.sums(receiver.correct(sender.reply(receiver.offer))))
        sender.finish()
        if broken == "mask":
            receiver.a[:] = 0
        self.size = ev.tag_bytes(len(x), len(y))
        self.masked = ev.masked(self.form, ev.store(self.form, self.ours), receiver.a)
        self.table = ev.evaluator(self.form, sender.b, self.masked, sender.delta)
        self.order = ev.secret_order(len(y), rng)
        self.told = ev.tags(self.form, self.theirs, self.table, sender.delta, self.order, self.context, self.size)
        self.receiver = receiver

    def own(self, keys: np.ndarray) -> np.ndarray:
        """What the receiver can compute for any key from its C."""
        return ev.own_tags(self.form, keys, self.receiver.c, self.context, self.size)

    def common(self) -> list[int]:
        """For each of the receiver's keys its place in the sender's list, or -1."""
        found = ev.matches(self.own(self.ours), self.told)
        return [int(self.order[k]) if k >= 0 else -1 for k in found]


SETS = {
    "some": (ids("a", range(100)), ids("a", range(50, 130))),
    "none": (ids("a", range(40)), ids("b", range(40))),
    "all": (ids("a", range(64)), ids("a", range(63, -1, -1))),
    "one": ([b"x"], [b"x"]),
    "empty receiver": ([], ids("a", range(3))),
    "empty sender": (ids("a", range(3)), []),
    "two": ([b"x", b"y"], [b"y"]),
    "three": ([b"x", b"y", b""], [b"", b"z", b"y"]),
    "few against many": (ids("a", range(5)), ids("a", range(4, 5000))),
    "many against few": (ids("a", range(5000)), ids("a", range(4998, 5003))),
    "long ids": ([b"k" * 3000 + bytes([i]) for i in range(9)], [b"k" * 3000 + bytes([i]) for i in range(4, 20)]),
    "trees": (ids("a", range(9000)), ids("a", range(4000, 12_000))),
}


@pytest.mark.parametrize("name", SETS)
def test_the_intersection_is_the_sets(name):
    x, y = SETS[name]
    place = {v: i for i, v in enumerate(y)}
    assert Run(x, y).common() == [place.get(v, -1) for v in x]


def test_the_default_profile_gives_the_same():
    x, y = SETS["trees"]
    place = {v: i for i, v in enumerate(y)}
    assert Run(x, y, profile.CONSERVATIVE).common() == [place.get(v, -1) for v in x]


def test_the_paths_tag_alike(monkeypatch):
    run = Run(*SETS["some"])
    want = run.own(run.ours)
    for path in ("avx2", "baseline"):
        monkeypatch.setenv("PARLEY_CPU", path)
        assert np.array_equal(run.own(run.ours), want)
        told = ev.tags(run.form, run.theirs, run.table, np.array([5, 7], np.uint64), run.order, run.context, run.size)
        monkeypatch.setenv("PARLEY_CPU", "")
        assert np.array_equal(
            told,
            ev.tags(run.form, run.theirs, run.table, np.array([5, 7], np.uint64), run.order, run.context, run.size),
        )


def chi_square(data: np.ndarray) -> float:
    counts = np.bincount(np.ascontiguousarray(data).view(np.uint8).reshape(-1), minlength=256)
    return float(np.sum((counts - counts.mean()) ** 2) / counts.mean())


def test_what_the_sender_sees_is_uniform_and_a_missing_mask_would_show():
    x, y = SETS["trees"]
    assert chi_square(Run(x, y).masked) < ALARM
    assert chi_square(Run(x, y, broken="mask").masked) > ALARM


def test_what_the_sender_sees_is_as_uniform_for_any_set():
    """Two sets of one size: the difference of what is sent is uniform, unless one mask serves both."""
    x, other = ids("a", range(9000)), ids("b", range(9000))
    runs = [Run(s, [b"q"], seed=k) for k, s in enumerate((x, other))]
    assert runs[0].plan == runs[1].plan
    assert chi_square(runs[0].masked ^ runs[1].masked) < ALARM
    store = ev.store(runs[0].form, okvs.keys_of(Ids.from_list(other), runs[0].salt))
    again = ev.masked(runs[0].form, store, runs[0].receiver.a)
    assert chi_square(runs[0].masked ^ again) > ALARM


def test_a_dictionary_does_not_help_the_receiver_unless_delta_is_missing():
    """The receiver tries every id there could be against the tags it got; it may learn its own common ids only."""
    x, y = ids("id", range(200)), ids("id", range(150, 1000))
    dictionary = ids("id", range(1000))
    found = {}
    for broken in ("", "delta"):
        run = Run(x, y, broken=broken)
        guesses = run.own(okvs.keys_of(Ids.from_list(dictionary), run.salt))
        found[broken] = int(np.count_nonzero(ev.matches(guesses, run.told) >= 0))
    assert found["delta"] == len(y)
    assert found[""] == 50


def test_tags_arrive_in_an_order_that_says_nothing():
    x = ids("a", range(300))
    first, again = Run(x, x), Run(x, x, seed=2)
    places = [ev.matches(r.own(r.ours), r.told) for r in (first, again)]
    assert all(np.array_equal(np.sort(p), np.arange(300)) for p in places)
    assert np.count_nonzero(places[0] == np.arange(300)) < 20  # one is expected; p < 1e-18 for 20
    assert not np.array_equal(places[0], places[1])


def test_tags_are_bound_to_their_run():
    x = ids("a", range(50))
    one, other = Run(x, x), Run(x, x, seed=2)
    assert np.all(ev.matches(one.own(one.ours), other.told) < 0)
    context = ev.own_tags(one.form, one.ours, one.receiver.c, os.urandom(32), one.size)
    assert np.all(ev.matches(context, one.told) < 0)


def test_short_tags_would_collide_as_often_as_theory_says():
    """Cut to 24 bits, 3000 x 3000 unequal pairs collide about 0.54 times; 40 runs give about 21."""
    hits = 0
    x, y = ids("a", range(3000)), ids("b", range(3000))
    for k in range(40):
        run = Run(x, y, seed=k)
        assert np.all(ev.matches(run.own(run.ours), run.told) < 0)
        short = [set(map(bytes, t[:, :3])) for t in (run.own(run.ours), run.told)]
        hits += len(short[0] & short[1])
    assert 0 < hits < 60  # Poisson of mean 21.5: p < 1e-9 on either side


def test_tag_length_follows_the_sizes():
    assert ev.tag_bytes(1 << 20, 1 << 20) == 11
    assert ev.tag_bytes(1 << 24, 1 << 24) == 12
    assert ev.tag_bytes(0, 1) == ev.tag_bytes(200, 100) == 8
    with pytest.raises(CryptoError, match="set_too_large"):
        ev.tag_bytes((1 << 24) + 1, 1)


def test_duplicates_end_the_run():
    form = okvs.shape(3)
    keys = okvs.keys_of(Ids.from_list([b"a", b"b", b"a"]), bytes(16))
    with pytest.raises(CryptoError) as e:
        ev.store(form, keys)
    assert e.value.code == "duplicate_key"


def test_matching_is_exact_for_every_length():
    rng = np.random.default_rng(2)
    for size in range(8, 13):
        own = rng.integers(0, 256, (500, size), dtype=np.uint8)
        theirs = np.concatenate([own[100:300][::-1], rng.integers(0, 256, (50, size), dtype=np.uint8)])
        close = own[400:450].copy()
        close[:, -1] ^= 1
        found = ev.matches(own, np.concatenate([theirs, close]))
        want = np.full(500, -1)
        want[100:300] = np.arange(200)[::-1]
        assert np.array_equal(found, want)
    same_start = np.zeros((60, 9), np.uint8)
    same_start[:, 8] = np.arange(60)
    assert np.array_equal(ev.matches(same_start, same_start[::-1].copy()), np.arange(60)[::-1])


def test_wrong_shapes_are_refused():
    run = Run(*SETS["some"])
    for bad in (
        lambda: ev.masked(run.form, run.masked, run.receiver.a[1:]),
        lambda: ev.evaluator(run.form, run.receiver.c, run.masked[1:], np.zeros(2, np.uint64)),
        lambda: ev.tags(run.form, run.theirs, run.table, np.zeros(2, np.uint64), run.order[1:], run.context, 8),
        lambda: ev.own_tags(run.form, run.ours, run.receiver.c, run.context, 7),
        lambda: ev.matches(np.zeros((1, 8), np.uint8), np.zeros((1, 9), np.uint8)),
        lambda: ev.matches(np.zeros((1, 7), np.uint8), np.zeros((1, 7), np.uint8)),
    ):
        with pytest.raises(CryptoError, match="bad_shape"):
            bad()
