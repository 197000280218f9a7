"""A batch made and summed part by part is the batch made and summed whole, and refused for the same reasons."""

from __future__ import annotations

import numpy as np
import pytest
from lattice_bench import expected

from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticeKey, LatticePeer, make_plan, wire
from parley.crypto.errors import CryptoError

BOUND = 1 << 16
COUNTS = np.array([3, 32, 1, 33, 255], np.uint32)


class Pair:
    def __init__(self, rows=3_000, **wanted):
        self.plan = make_plan(Layout(2, BOUND, rows), 1 << 18, **{"floor": 20, **wanted})
        self.key = LatticeKey(self.plan, b"run")
        self.peer = LatticePeer(self.key.encode(), self.plan, b"run")

    def summed(self, parts, bins, at_once, size):
        """Fed in pieces of `size` bytes, whatever the parts were."""
        raw = np.concatenate(list(parts))
        running = self.peer.running(len(bins), COUNTS, at_once)
        for start in range(0, raw.size, size):
            running.take(raw[start : start + size], lambda a, b: bins[a:b])
        return self.key.decrypt(self.peer.release(running.sums()))


def some(rows, seed=3):
    rng = np.random.default_rng(seed)
    values = rng.integers(-BOUND, BOUND, (rows, 2), endpoint=True)
    return values, np.stack([rng.integers(0, c, rows) for c in COUNTS], 1).astype(np.uint8)


@pytest.mark.parametrize("wanted", [{}, {"packed": True}, {"profile": "wide"}])
@pytest.mark.parametrize("rows", [1, 127, 128, 129, 1_000, 2_999])
def test_in_parts_it_is_the_same(rows, wanted):
    pair = Pair(**wanted)
    values, bins = some(rows)
    true = expected(values, bins, COUNTS)
    block = wire.block_size(pair.plan)
    for encrypting, summing, size in ((1, 1, 1 << 30), (3 * block, 2 * block, 70_001), (0, 1 << 30, 999_983)):
        assert np.array_equal(pair.summed(pair.key.encrypted(values, encrypting), bins, summing, size), true)
    whole = pair.peer.receive(np.concatenate(list(pair.key.encrypted(values, block))))
    assert np.array_equal(pair.key.decrypt(pair.peer.release(pair.peer.histogram(whole, bins, COUNTS))), true)


def test_no_two_blocks_share_their_public_half():
    """Equal values in each block: were a block's polynomial used again, only small errors would tell two apart."""
    pair = Pair()
    values = np.ones((1_024, 2), np.int64)
    raw = np.concatenate(list(pair.key.encrypted(values, 1)))[wire.HEAD :].reshape(-1, wire.block_size(pair.plan))
    assert len(raw) > 4
    for a in range(len(raw)):
        for b in range(a):
            assert np.mean(raw[a] == raw[b]) < 0.02


def test_one_batch_is_taken_once_and_whole():
    pair = Pair()
    values, bins = some(500)
    raw = pair.key.encrypt(values)

    def code(act):
        with pytest.raises(CryptoError) as caught:
            act()
        return caught.value.code

    def run(data, rows=500, held=bins, counts=COUNTS, at_once=1):
        running = pair.peer.running(rows, counts, at_once)
        running.take(data, lambda a, b: held[a:b])
        return running.sums()

    assert code(lambda: run(raw[:-1])) == "bad_ciphertext"  # cut short
    assert code(lambda: run(raw)) == "replayed"  # though it was never whole
    assert code(lambda: run(np.append(pair.key.encrypt(values), np.uint8(0)))) == "bad_ciphertext"
    assert code(lambda: run(pair.key.encrypt(values[:499]))) == "bad_ciphertext"  # fewer rows, as many blocks
    assert code(lambda: run(pair.key.encrypt(values), held=bins + np.uint8(250))) == "bad_bins"
    assert code(lambda: run(pair.key.encrypt(values), held=bins[:, :2])) == "bad_shape"
    assert code(lambda: run(pair.key.encrypt(values), counts=COUNTS * 2)) == "bad_bins"
    broken = pair.key.encrypt(values)
    broken[wire.HEAD + 8 * 25 :] = 255
    assert code(lambda: run(broken)) == "bad_ciphertext"
    other = Pair().key.encrypt(values)
    assert code(lambda: run(other)) == "bad_ciphertext"


def test_a_closed_key_ends_a_batch_half_way():
    pair = Pair()
    parts = pair.key.encrypted(some(1_000)[0], 1)
    next(parts)
    pair.key.close()
    with pytest.raises(CryptoError) as caught:
        next(parts)
    assert caught.value.code == "closed"
