"""Packed replies: the same sums in far fewer bytes, alike on every path, with room for the switches' noise."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from lattice_bench import expected, seeded, unpack50
from scipy import stats

from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticeKey, LatticePeer, make_plan
from parley.crypto.ahe.lattice.wire import reply_bytes
from parley.crypto.errors import CryptoError

RNG = np.random.default_rng(61)
BOUND = 1 << 16
SHAPES = [("standard", 8), ("standard", 16), ("standard", 32), ("wide", 16), ("wide", 32)]
GOLDEN = {
    ("standard", 8): "83d3982b29751a2b",
    ("standard", 16): "fa5490bd6611d206",
    ("standard", 32): "96cfc7f8dff0581d",
    ("wide", 16): "226c779083c98bb6",
    ("wide", 32): "2d39eb48bb22681f",
}


class Pair:
    def __init__(self, **wanted):
        self.plan = make_plan(Layout(2, BOUND, 2_000), 1 << 20, **{"floor": 10, "packed": True, **wanted})
        self.key = LatticeKey(self.plan, b"run")
        self.peer = LatticePeer(self.key.encode(), self.plan, b"run")

    def reply(self, values, bins, counts):
        return self.peer.release(self.peer.histogram(self.peer.receive(self.key.encrypt(values)), bins, counts))


def problem(counts, rows=400, channels=2):
    counts = np.array(counts, np.uint32)
    values = RNG.integers(-BOUND, BOUND, (rows, channels), endpoint=True)
    return values, np.stack([RNG.integers(0, c, rows) for c in counts], 1).astype(np.uint8), counts


@pytest.fixture(scope="module", params=SHAPES)
def pair(request):
    profile, x = request.param
    return Pair(profile=profile, x=x)


@pytest.mark.parametrize("features", [1, 2, 3, 5, 8, 9, 33])
def test_sums_are_exact(pair, features):
    values, bins, counts = problem([32] * features)
    reply = pair.reply(values, bins, counts)
    assert len(reply) == reply_bytes(pair.plan, int(counts.sum()))
    assert np.array_equal(pair.key.decrypt(reply), expected(values, bins, counts))


def test_odd_numbers_of_bins(pair):
    values, bins, counts = problem([3, 100, 1, 256, 7])
    assert np.array_equal(pair.key.decrypt(pair.reply(values, bins, counts)), expected(values, bins, counts))


def test_more_polynomials_than_one_reply_holds():
    pair = Pair(x=32)
    values, bins, counts = problem([32] * 150, rows=50)
    reply = pair.reply(values, bins, counts)
    assert np.array_equal(pair.key.decrypt(reply), expected(values, bins, counts))
    # 150 polynomials in two replies of three; unpacked they are 150 of one and a little.
    assert len(reply) == 88 + 2 * 3 * 25_600
    assert len(reply) * 20 < reply_bytes(make_plan(pair.plan.layout, 1 << 20, floor=10), int(counts.sum()))


def test_no_sums_no_reply():
    pair = Pair()
    reply = pair.reply(np.zeros((3, 2), np.int64), np.zeros((3, 0), np.uint8), np.zeros(0, np.uint32))
    assert pair.key.decrypt(reply).shape == (0, 2)


@pytest.mark.parametrize("path", ["", "avx2", "baseline"])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("profile", "x"), SHAPES)
def test_golden(monkeypatch, path, threads, profile, x):
    monkeypatch.setenv("PARLEY_CPU", path)
    assert digest(profile, x, threads) == GOLDEN[profile, x]


def digest(profile, x, threads):
    k = np.arange(60, dtype=np.int64)
    values, counts = np.stack([k * 7919 % 131_073 - 65_536, -k], 1), np.full(9, 20, np.uint32)
    bins = np.stack([(k * (f + 1)) % 20 for f in range(9)], 1).astype(np.uint8)
    run = seeded(60, x=x, profile=profile, threads=threads)
    reply = run.packed_reply(run.sums(run.encrypt(values), 60, bins, counts), b"r" * 32)
    found, far = run.decrypt(reply, -(-180 // x))
    assert np.array_equal(found[:180], expected(values, bins, counts))
    assert far < 0.3 * 65_536  # a quarter of flooding; the switches add next to nothing
    return hashlib.sha256(reply.tobytes()).hexdigest()[:16]


def test_two_replies_differ_everywhere_and_look_uniform():
    run = seeded(50)
    values, bins, counts = problem([32] * 8, rows=50)
    sums = run.sums(run.encrypt(values), 50, bins, counts)
    first, second = (unpack50(run.packed_reply(sums, RNG.bytes(32))) for _ in range(2))
    assert np.count_nonzero(first == second) == 0
    seen, _ = np.histogram(first.astype(np.float64), 256, (0, run.plan.profile.primes[0]))
    assert stats.chisquare(seen).pvalue > 1e-9


def test_garbled_keys_and_replies_are_refused():
    pair = Pair()
    key = pair.key.encode()
    plain = make_plan(pair.plan.layout, 1 << 20, floor=10)
    for raw, plan in ((key[:-1], pair.plan), (key, plain), (key[:-25] + b"\xff" * 25, pair.plan)):
        with pytest.raises(CryptoError, match="bad_key"):
            LatticePeer(raw, plan, b"run")
    values, bins, counts = problem([32, 32])
    reply = pair.reply(values, bins, counts)
    for bad in (reply[:-25], np.append(reply, reply[-1:])):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            pair.key.decrypt(bad)
    reply[-25:] = 255
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        pair.key.decrypt(reply)


def test_packing_keys_are_made_once():
    """A second set with the same public halves and other errors would let the errors be averaged away."""
    pair = Pair()
    with pytest.raises(CryptoError) as refused:
        pair.key._native.turn_keys(pair.plan.x, b"T" * 32)
    assert refused.value.code == "used"
