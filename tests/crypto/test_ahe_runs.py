"""One body for every scheme: a run's batches and replies, exact and refused alike."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from lattice_bench import expected

from parley.crypto.ahe import Layout, RunKey, RunPeer, join, start
from parley.crypto.ahe.lattice import make_plan
from parley.crypto.ahe.plain import PlainPublicKey, PlainSecretKey
from parley.crypto.ahe.runs import PerRowKey, PerRowPeer
from parley.crypto.errors import CryptoError

LAYOUT = Layout(channels=2, bound=1 << 16, max_rows=500)
COUNTS = np.array([7, 33, 1, 2], np.uint32)
PLAN = make_plan(LAYOUT, 1 << 16)
RNG = np.random.default_rng(51)


@pytest.fixture(scope="module")
def paillier():
    return start(LAYOUT, b"run", bits=2048)


@pytest.fixture(params=["plain", "paillier", "lattice"])
def pair(request, paillier) -> tuple[RunKey, RunPeer]:
    if request.param == "plain":
        key = PerRowKey(PlainSecretKey(2), LAYOUT)
        return key, PerRowPeer(PlainPublicKey.decode(key.encode()), LAYOUT)
    if request.param == "paillier":
        return paillier, join(paillier.encode(), LAYOUT, b"run")
    key = start(LAYOUT, b"run", plan=PLAN)
    return key, join(key.encode(), LAYOUT, b"run", plan=PLAN)


def bins_of(rows: int) -> np.ndarray:
    return np.stack([RNG.integers(0, c, rows) for c in COUNTS], 1).astype(np.uint8)


def values(rows: int) -> np.ndarray:
    return RNG.integers(-LAYOUT.bound, LAYOUT.bound, (rows, 2), endpoint=True)


@pytest.mark.parametrize("rows", [0, 1, 90])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sums_are_exact(pair, rows, dtype):
    key, peer = pair
    v, bins = values(rows), bins_of(rows).astype(dtype)
    batch = peer.receive(key.encrypt(v))
    assert len(batch) == rows
    assert np.array_equal(key.decrypt(peer.release(peer.histogram(batch, bins, COUNTS))), expected(v, bins, COUNTS))


def test_a_node_has_its_own_order(pair):
    key, peer = pair
    bins, rows, v = bins_of(200), RNG.permutation(200)[:60].astype(np.int64), values(60)
    sums = peer.histogram(peer.receive(key.encrypt(v)), bins, COUNTS, rows)
    assert np.array_equal(key.decrypt(peer.release(sums)), expected(v, bins[rows], COUNTS))


def test_what_does_not_belong_together_is_refused(pair):
    key, peer = pair
    batch, bins = peer.receive(key.encrypt(values(5))), bins_of(5)

    def refused(code, *arguments):
        with pytest.raises(CryptoError) as error:
            peer.histogram(batch, *arguments)
        assert error.value.code == code

    refused("bad_shape", bins[:4], COUNTS)
    refused("bad_shape", bins.astype(np.int64), COUNTS)
    refused("bad_shape", bins, COUNTS[:3])
    refused("bad_bins", bins, COUNTS * 0)
    refused("bad_bins", bins + np.uint8(40), COUNTS)
    for row in (-1, 5):
        refused("bad_bins", bins, COUNTS, np.full(5, row))
    with pytest.raises(CryptoError, match="overflow"):
        key.encrypt(values(501))
    for raw in (key.encrypt(values(2))[:-1], key.encrypt(values(2)).reshape(1, -1)):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            peer.receive(raw)
    reply = peer.release(peer.histogram(batch, bins, COUNTS))
    for raw in (reply[:-1], reply[:3], reply.reshape(1, -1)):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            key.decrypt(raw)


def test_keys_close_and_are_not_copied():
    for key in (PerRowKey(PlainSecretKey(2), LAYOUT), start(LAYOUT, b"run", plan=PLAN)):
        with pytest.raises(CryptoError, match="secret_key"):
            pickle.dumps(key)
        with key:
            assert len(key.encrypt(values(1)))
        with pytest.raises(CryptoError, match="closed"):
            key.encrypt(values(1))


def test_the_door_wants_one_scheme():
    for wanted in ({}, {"plan": PLAN, "bits": 2048}):
        with pytest.raises(CryptoError, match="unknown_scheme"):
            start(LAYOUT, b"run", **wanted)
    other = Layout(2, 1 << 16, 400)
    with pytest.raises(CryptoError, match="bad_plan"):
        start(other, b"run", plan=PLAN)
    raw = start(LAYOUT, b"run", plan=PLAN).encode()
    with pytest.raises(CryptoError, match="bad_plan"):
        join(raw, other, b"run", plan=PLAN)
    with pytest.raises(CryptoError, match="unknown_scheme"):
        join(raw, LAYOUT, b"run")
    with pytest.raises(CryptoError, match="bad_key"):
        join(raw, LAYOUT, b"another", plan=PLAN)
