"""The lattice from outside: exact sums over the edges, and everything hostile or stale refused by name."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from lattice_bench import expected

from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticeKey, LatticePeer, make_plan
from parley.crypto.ahe.lattice.wire import batch_bytes, reply_bytes
from parley.crypto.errors import CryptoError

RNG = np.random.default_rng(21)
BOUND = 1 << 16
HEAD = 8 + 32 + 32 + 32 + 16


class Pair:
    """Both sides of one run."""

    def __init__(self, rows=5_000, channels=2, outputs=1 << 18, context=b"run", **wanted):
        self.plan = make_plan(Layout(channels, BOUND, rows), outputs, **{"floor": 20, **wanted})
        self.key = LatticeKey(self.plan, context)
        self.peer = LatticePeer(self.key.encode(), self.plan, context)

    def through(self, values, bins, counts, rows=None):
        batch = self.peer.receive(self.key.encrypt(values))
        return self.key.decrypt(self.peer.release(self.peer.histogram(batch, bins, counts, rows)))


@pytest.fixture(scope="module")
def pair():
    return Pair()


def some(rows, channels=2):
    v = RNG.integers(-BOUND, BOUND, (rows, channels), endpoint=True)
    v[: rows // 3] = BOUND
    return v


def check(pair, rows, counts, dtype=np.uint8):
    counts = np.array(counts, np.uint32)
    v = some(rows, pair.plan.layout.channels)
    bins = np.stack([RNG.integers(0, c, rows) for c in counts], 1).astype(dtype)
    assert np.array_equal(pair.through(v, bins, counts), expected(v, bins, counts))


@pytest.mark.parametrize(
    "counts", [[1], [2], [16], [31], [32], [33], [64], [255], [256], [3, 32, 1, 33, 2, 2, 2, 255, 7]]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbers_of_bins(pair, counts, dtype):
    check(pair, 700, counts, dtype)


@pytest.mark.parametrize("rows", [0, 1, 2, 127, 128, 129, 255, 256, 257, 511, 512, 513, 4_999])
@pytest.mark.parametrize(
    "wanted", [{"x": 8}, {"x": 16}, {"x": 32}, {"x": 16, "profile": "wide"}, {"x": 32, "profile": "wide"}]
)
def test_numbers_of_rows(rows, wanted):
    check(Pair(**wanted), rows, [32, 5])


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("x", [8, 32])
def test_numbers_of_channels(channels, x):
    check(Pair(channels=channels, x=x), 600, [32, 32, 9, 40])


def test_many_features_share_lanes(pair):
    check(pair, 300, [2] * 90 + [1] * 40 + [3] * 11)


@pytest.mark.parametrize("x", [8, 16, 32])
def test_many_rows_of_features_that_share_lanes(x):
    """x features in one polynomial add x terms a row to each of its words, which must not run over."""
    check(Pair(rows=9_000, x=x, floor=10), 9_000, [1] * (2 * x) + [2] * x)


def test_features_share_no_more_than_the_plan_says():
    pair = Pair(sharing=2)
    batch = pair.peer.receive(pair.key.encrypt(some(3)))
    for counts, fine in (([32, 33, 40], True), ([20, 20, 32], True), ([16, 16, 1], True), ([31, 1, 30, 2], True),
                         ([16, 8, 8], False), ([31, 40, 1, 24, 1], False)):  # fmt: skip
        bins, counts = np.zeros((3, len(counts)), np.uint8), np.array(counts, np.uint32)
        if fine:
            pair.peer.histogram(batch, bins, counts)
        else:
            with pytest.raises(CryptoError, match="overflow"):
                pair.peer.histogram(batch, bins, counts)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("profile", ["standard", "wide"])
def test_the_largest_sums(sign, profile):
    """Every row at the bound in one bin: the sum the layout ends at, either way."""
    pair = Pair(rows=3_000, profile=profile)
    v = np.full((3_000, 2), sign * BOUND)
    bins = np.full((3_000, 2), 31, np.uint8)
    got = pair.through(v, bins, np.array([32, 33], np.uint32))
    assert np.array_equal(got[[31, 63]], np.full((2, 2), sign * BOUND * 3_000))
    assert np.count_nonzero(got) == 4


def test_no_features_no_sums(pair):
    assert pair.through(some(10), np.zeros((10, 0), np.uint8), np.zeros(0, np.uint32)).shape == (0, 2)


def test_rows_pick_their_bins(pair):
    """A batch in the owner's order, one node's rows out of many: row i of the batch is row rows[i] of the bins."""
    bins = RNG.integers(0, 20, (4_000, 3)).astype(np.uint8)
    rows = RNG.permutation(4_000)[:900].astype(np.int64)
    v, counts = some(900), np.full(3, 20, np.uint32)
    assert np.array_equal(pair.through(v, bins, counts, rows), expected(v, bins[rows], counts))


def test_a_batch_serves_many_features_apart(pair):
    v, counts = some(400), np.array([32, 32], np.uint32)
    bins = RNG.integers(0, 32, (400, 2)).astype(np.uint8)
    batch = pair.peer.receive(pair.key.encrypt(v))
    got = [
        pair.key.decrypt(pair.peer.release(pair.peer.histogram(batch, bins[:, f : f + 1], counts[:1])))
        for f in range(2)
    ]
    assert np.array_equal(np.concatenate(got), expected(v, bins, counts))


def test_more_rows_than_one_flush():
    rows = (1 << 20) + 77
    pair = Pair(rows=rows, x=8, floor=10)
    v = RNG.integers(-BOUND, BOUND, (rows, 2), endpoint=True)
    bins = RNG.integers(0, 9, (rows, 1)).astype(np.uint8)
    counts = np.array([9], np.uint32)
    batch = pair.peer.receive(pair.key.encrypt(v))
    sums = pair.peer.histogram(batch, bins, counts)
    assert sums.inner.worst < 0.03  # what 2^18 rows give; without the flushes it grows with all rows
    assert np.array_equal(pair.key.decrypt(pair.peer.release(sums)), expected(v, bins, counts))


def test_what_would_wrap_is_refused(pair):
    for value in (BOUND + 1, -BOUND - 1, np.iinfo(np.int64).min):
        with pytest.raises(CryptoError, match="overflow"):
            pair.key.encrypt(np.array([[value, 0]]))
    with pytest.raises(CryptoError, match="overflow"):
        pair.key.encrypt(np.zeros((5_001, 2), np.int64))
    with pytest.raises(CryptoError, match="bad_shape"):
        pair.key.encrypt(np.zeros((3, 3), np.int64))


def test_bins_out_of_range_are_refused(pair):
    v = some(300)
    batch = pair.peer.receive(pair.key.encrypt(v))
    bins = np.zeros((300, 2), np.uint16)
    counts = np.array([4, 4], np.uint32)

    def refused(code, bins=bins, counts=counts, rows=None):
        with pytest.raises(CryptoError) as error:
            pair.peer.histogram(batch, bins, counts, rows)
        assert error.value.code == code

    for place, value in (((299, 1), 4), ((0, 0), 65_535), ((150, 1), 256)):
        bad = bins.copy()
        bad[place] = value
        refused("bad_bins", bad)
    refused("bad_bins", counts=np.array([4, 0], np.uint32))
    refused("bad_bins", counts=np.array([257, 4], np.uint32))
    refused("bad_bins", counts=np.array([4, 4], np.int64))
    for out in (300, -1, np.iinfo(np.int64).min):
        refused("bad_bins", rows=np.full(300, out))
    refused("bad_shape", bins[:299])
    refused("bad_shape", bins.astype(np.int32))
    refused("bad_shape", counts=counts[:1])
    refused("bad_shape", rows=np.zeros(299, np.int64))


def test_a_batch_is_taken_once(pair):
    raw = pair.key.encrypt(some(10))
    pair.peer.receive(raw)
    with pytest.raises(CryptoError, match="replayed"):
        pair.peer.receive(raw)
    renamed = pair.key.encrypt(some(10))
    renamed[HEAD - 16 : HEAD] = raw[HEAD - 16 : HEAD]  # another batch under the old number
    with pytest.raises(CryptoError, match="replayed"):
        pair.peer.receive(renamed)


def garblings(raw):
    """Messages cut, grown, or changed in their heads; each must be refused by name."""
    yield from (raw[:0], raw[:7], raw[: HEAD - 1], raw[:-1], raw[:-25], np.append(raw, np.uint8(0)))
    for at in (0, 7, 8, 39, 40, 71):
        changed = raw.copy()
        changed[at] ^= 1
        yield changed
    huge = raw.copy()
    huge[HEAD - 8 : HEAD] = 255
    yield huge
    yield raw.reshape(1, -1)
    yield raw.astype(np.uint16)


def test_garbled_batches_and_replies_are_refused(pair):
    batch = pair.key.encrypt(some(200))
    for bad in garblings(batch):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            pair.peer.receive(bad)
    sums = pair.peer.histogram(pair.peer.receive(batch), np.zeros((200, 1), np.uint8), np.array([40], np.uint32))
    reply = pair.peer.release(sums)
    for bad in garblings(reply):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            pair.key.decrypt(bad)


def test_residues_above_their_prime_are_refused(pair):
    raw = pair.key.encrypt(some(200))
    for at in (HEAD, len(raw) - 25):
        bad = pair.key.encrypt(some(200))
        bad[at : at + 25] = 255
        batch = pair.peer.receive(bad)
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            pair.peer.histogram(batch, np.zeros((200, 1), np.uint8), np.array([4], np.uint32))
    sums = pair.peer.histogram(pair.peer.receive(raw), np.zeros((200, 1), np.uint8), np.array([4], np.uint32))
    reply = pair.peer.release(sums)
    reply[-25:] = 255
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        pair.key.decrypt(reply)
    key = bytearray(pair.key.encode())
    key[-25:] = b"\xff" * 25
    with pytest.raises(CryptoError, match="bad_key"):
        LatticePeer(bytes(key), pair.plan, b"run")


def test_changed_ciphertexts_do_not_decrypt(pair):
    """Without a seal a change is noticed only by chance; a polynomial's worth of it leaves none."""
    batch = pair.peer.receive(pair.key.encrypt(some(200)))
    reply = pair.peer.release(pair.peer.histogram(batch, np.zeros((200, 1), np.uint8), np.array([32], np.uint32)))
    reply[88 + 6] ^= 1  # bit 48 of the first coefficient
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        pair.key.decrypt(reply)


def test_another_key_context_or_plan_is_refused(pair):
    other = Pair(context=b"another run")
    third = Pair()
    for key, peer in ((pair, other), (pair, third), (other, pair)):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            peer.peer.receive(key.key.encrypt(some(3)))
    for plan, context in ((other.plan, b"run?"), (Pair(x=8).plan, b"run"), (Pair(rows=4_999).plan, b"run")):
        with pytest.raises(CryptoError, match="bad_key"):
            LatticePeer(pair.key.encode(), plan, context)
    for raw in (b"", pair.key.encode()[:-1], pair.key.encode() + b"\x00", b"x" + pair.key.encode()[1:]):
        with pytest.raises(CryptoError, match="bad_key"):
            LatticePeer(raw, pair.plan, b"run")


def test_a_reply_to_no_batch_is_refused():
    pair = Pair()
    batch = pair.peer.receive(pair.key.encrypt(some(3)))
    reply = pair.peer.release(pair.peer.histogram(batch, np.zeros((3, 1), np.uint8), np.array([2], np.uint32)))
    reply[72:80] = np.frombuffer((1).to_bytes(8, "little"), np.uint8)
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        pair.key.decrypt(reply)


def test_the_plans_outputs_are_the_most_that_leaves():
    pair = Pair(outputs=130)  # a polynomial of 32 slots in two channels, twice; slots without a sum count
    batch = pair.peer.receive(pair.key.encrypt(some(3)))
    sums = pair.peer.histogram(batch, np.zeros((3, 1), np.uint8), np.array([24], np.uint32))
    pair.peer.release(sums)
    pair.peer.release(sums)
    with pytest.raises(CryptoError, match="overdrawn"):
        pair.peer.release(sums)


def test_a_handle_is_neither_copied_nor_kept(pair):
    for thing in (
        pair.key,
        pair.peer.histogram(
            pair.peer.receive(pair.key.encrypt(some(1))), np.zeros((1, 1), np.uint8), np.array([1], np.uint32)
        ),
    ):
        with pytest.raises(CryptoError):
            pickle.dumps(thing)
    with pytest.raises(TypeError):
        pickle.dumps(pair.key._native)
    assert repr(pair.key) == "LatticeKey(...)"
    with Pair().key as key:
        raw = key.encrypt(np.zeros((1, 2), np.int64))
    assert len(raw) > 0
    for work in (lambda: key.encrypt(np.zeros((1, 2), np.int64)), key._usable):
        with pytest.raises(CryptoError, match="closed"):
            work()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_cannot_encrypt(pair):
    """Both halves would otherwise go on counting from the same number."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pair.key.encrypt(np.zeros((1, 2), np.int64))
            os.write(write, b"encrypted")
        except CryptoError as error:
            os.write(write, error.code.encode())
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"forked"
    os.waitpid(child, 0)
    os.close(read)


def test_no_two_batches_share_a_seed_or_a_number():
    pair = Pair()
    heads = [bytes(pair.key.encrypt(np.zeros((1, 2), np.int64))[72:HEAD]) for _ in range(50)]
    assert len({h[:32] for h in heads}) == 50
    assert [int.from_bytes(h[32:40], "little") for h in heads] == list(range(50))


def test_a_number_is_spent_when_encryption_fails(monkeypatch):
    pair = Pair()
    before = len(pair.key._rows)

    class Broken:
        closed = False

        def encrypt(self, *_):
            raise CryptoError("no_randomness", "nothing")

    native, pair.key._native = pair.key._native, Broken()
    with pytest.raises(CryptoError, match="no_randomness"):
        pair.key.encrypt(np.zeros((1, 2), np.int64))
    pair.key._native = native
    pair.key.encrypt(np.zeros((1, 2), np.int64))
    assert len(pair.key._rows) == before + 2


def test_sizes_say_rows_and_bins_and_nothing_else(pair):
    sizes = set()
    for v, bins in (
        (np.zeros((300, 2), np.int64), np.zeros((300, 2), np.uint8)),
        (some(300), np.full((300, 2), 39, np.uint8)),
    ):
        raw = pair.key.encrypt(v)
        reply = pair.peer.release(pair.peer.histogram(pair.peer.receive(raw), bins, np.array([40, 40], np.uint32)))
        sizes.add((len(raw), len(reply)))
    assert sizes == {(batch_bytes(pair.plan, 300), reply_bytes(pair.plan, 80))}
