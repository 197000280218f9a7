"""Inner products under encryption: exact, refused where they should be, and answers that say masked sums only."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from classifiers import told_apart
from seeded import Seeded

from parley.crypto.ahe import inner
from parley.crypto.ahe.lattice.plan import LIMITS
from parley.crypto.errors import CryptoError

WORDS = 1 << 64


@pytest.fixture(scope="module")
def key():
    return inner.InnerSecretKey(Seeded("key"))


def products(key, shape, vectors, factors, masks, rng=None, at_once=3):
    sums = inner.InnerSums(key.public, shape, rng)
    for i in range(0, shape.vectors, at_once):
        seed, raw = key.encrypt(vectors[i : i + at_once], shape)
        assert raw.shape == (vectors[i : i + at_once].shape[0] * shape.blocks, inner.POLYNOMIAL)
        sums.add(seed, raw, factors[i : i + at_once])
    return sums.release(masks)


def wanted(vectors, factors, masks):
    total = masks.astype(object)
    for v, f in zip(vectors.astype(object), factors.astype(object), strict=True):
        total = total + v @ f
    return (total % WORDS).astype(np.uint64)


@pytest.mark.parametrize(
    ("rows", "vectors", "columns", "x"),
    [
        (1, 1, 1, None),
        (100, 2, 3, None),
        (33, 5, 40, 128),
        (8192, 1, 2, 1),
        (8193, 2, 1, 1),
        (700, 3, 5, 4),
        (5, 2, 9, 8),
    ],
)
def test_sums_are_exact_for_every_shape(key, rows, vectors, columns, x):
    shape = inner.shape(rows, vectors, columns) if x is None else inner.Shape(rows, vectors, columns, x)
    rng = np.random.default_rng(rows)
    v = rng.integers(0, WORDS, (vectors, rows), dtype=np.uint64)
    f = rng.integers(-(1 << inner.FACTOR_BITS), (1 << inner.FACTOR_BITS) + 1, (vectors, rows, columns))
    masks = rng.integers(0, WORDS, columns, dtype=np.uint64)
    reply = products(key, shape, v, f, masks)
    assert reply.shape == (shape.groups, shape.reply_size)
    assert np.array_equal(key.decrypt(reply, shape), wanted(v, f, masks))


def test_the_largest_factors_and_many_vectors_stay_exact(key):
    """More products than are rounded at once, all factors as large as can be and of one sign."""
    shape = inner.Shape(8192, 70, 1, 1)
    v = np.random.default_rng(0).integers(0, WORDS, (70, 8192), dtype=np.uint64)
    f = np.full((70, 8192, 1), 1 << inner.FACTOR_BITS)
    masks = np.zeros(1, dtype=np.uint64)
    assert np.array_equal(key.decrypt(products(key, shape, v, f, masks, at_once=7), shape), wanted(v, f, masks))


def test_the_shape_is_the_one_with_the_fewest_bytes():
    assert inner.shape(30_000, 1, 1).x == 1
    assert inner.shape(1000, 20, 13).x == 8
    assert inner.shape(30_000, 1, 300).x > 1


def test_the_parameters_are_within_the_table_and_masks_drown_what_factors_leave():
    assert LIMITS[inner.N] >= 16 * inner.LIMBS
    assert inner.shape(1_000_000, 64, 300).distance_bits(1 << 20) > 40
    assert inner.FLOOD < 95, "noise stays below half of what is between plaintexts"


def test_what_does_not_fit_is_refused(key):
    shape = inner.shape(10, 2, 3)
    v, f, masks = np.zeros((2, 10), np.uint64), np.zeros((2, 10, 3), np.int64), np.zeros(3, np.uint64)
    seed, raw = key.encrypt(v, shape)
    sums = inner.InnerSums(key.public, shape)
    for call, code in (
        (lambda: key.encrypt(v[:, :9], shape), "bad_shape"),
        (lambda: inner.InnerSums(key.public[1:], shape), "bad_key"),
        (lambda: inner.shape(0, 1, 1), "bad_range"),
        (lambda: sums.release(masks), "out_of_order"),
        (lambda: sums.add(seed, raw[:1], f), "bad_ciphertext"),
        (lambda: sums.add(seed, raw, f[:, :9]), "bad_shape"),
        (lambda: sums.add(seed, raw, f + (1 << inner.FACTOR_BITS) + 1), "overflow"),
        (lambda: key.decrypt(np.zeros((1, 5), np.uint8), shape), "bad_ciphertext"),
        (lambda: pickle.dumps(key), "secret_key"),
    ):
        with pytest.raises(CryptoError) as e:
            call()
        assert e.value.code == code
    sums.add(seed, raw, f)
    sums.release(masks)
    for again in (lambda: sums.release(masks), lambda: sums.add(seed, raw, f)):
        with pytest.raises(CryptoError):
            again()
    closed = inner.InnerSecretKey()
    closed.close()
    with pytest.raises(CryptoError) as e:
        closed.encrypt(v, shape)
    assert e.value.code == "closed"
    assert repr(closed) == "InnerSecretKey(...)"


def test_ciphertexts_of_equal_vectors_differ_and_a_wrong_key_reads_nothing(key):
    shape = inner.Shape(4, 1, 1, 1)
    v = np.arange(4, dtype=np.uint64)[None]
    (_, one), (_, other) = key.encrypt(v, shape), key.encrypt(v, shape)
    assert (one != other).mean() > 0.98
    reply = products(key, shape, v, np.ones((1, 4, 1), np.int64), np.zeros(1, np.uint64))
    assert int(key.decrypt(reply, shape)[0]) == 6
    assert int(inner.InnerSecretKey(Seeded("other")).decrypt(reply, shape)[0]) != 6


def test_errors_are_as_wide_as_ring_lwe_asks(key):
    """Encryptions of zero: what decryption sees is the error alone, of the stated variance."""
    shape = inner.Shape(8192, 1, 1, 1)
    seed, raw = key.encrypt(np.zeros((1, 8192), np.uint64), shape)
    limbs = inner._limbs(raw).astype(np.int64) - inner._times(inner._uniform(seed.tobytes(), 1), key._secret)
    low = inner._carried(limbs)[0, 0]
    errors = np.where(low >= 1 << 15, low - (1 << 16), low)
    assert errors.var() == pytest.approx(10.5, rel=0.1)
    assert abs(errors).max() <= 21


# ---------------------------------------------------------------- the owner's view of answers

PAIRS, BAR = 4000, 0.545


def views(key, factors, pairs, name, *, flooded=True, masked=True):
    """What the owner of the key sees of answers: masked sums and the noise around them, as bytes."""
    shape = inner.Shape(4, 1, 2, 2)
    v = np.full((1, 4), 1 << 40, dtype=np.uint64)
    out = []
    seed, raw = key.encrypt(v, shape)
    for k in range(pairs):
        rng = Seeded(name, k)
        sums = inner.InnerSums(key.public, shape, rng)
        sums.add(seed, raw, factors)
        masks = rng.words64(2) if masked else np.zeros(2, np.uint64)
        out.append({"seen": seen(key, sums.release(masks), shape, flooded)})
    return out


def seen(key, reply, shape, flooded):
    phases = key._phases(reply, shape, key._secret)
    phases = phases if flooded else phases[:1]
    return np.ascontiguousarray(phases.T.astype("<u2")).view(np.uint8).reshape(1, -1)


def simulated(key, pairs, name, *, flooded=True):
    """From nothing: uniform sums, the noise of the rule, and a first part that is uniform."""
    out, shape = [], inner.Shape(4, 1, 2, 2)
    for k in range(pairs):
        rng = Seeded("simulator", name, k)
        limbs = inner._flood(inner.Keystream(rng.bytes(32), b"sim"), 2)
        limbs[6:] += np.frombuffer(rng.bytes(16), "<u2").reshape(4, 2)
        phases = inner._carried(limbs)
        phases = phases if flooded else phases[:1]
        out.append({"seen": np.ascontiguousarray(phases.T.astype("<u2")).view(np.uint8).reshape(1, -1)})
    assert shape.groups == 1
    return out


FACTORS = np.array([[[1 << 22, 3], [-(1 << 22), 5], [1 << 20, -7], [12345, 1 << 21]]])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_tells_answers_from_uniform_numbers_and_noise(key):
    found = told_apart(views(key, FACTORS, PAIRS, "real"), simulated(key, PAIRS, "real"))
    assert max(found.values()) < BAR, found


def test_an_answer_without_masks_or_without_noise_is_told_apart(key, monkeypatch):
    """The power of the test above: either protection left out is found with few pairs."""
    bare = views(key, FACTORS, 200, "bare", masked=False)
    assert max(told_apart(bare, simulated(key, 200, "bare")).values()) > 0.9
    monkeypatch.setattr(inner, "_flood", lambda stream, k: np.zeros((inner.LIMBS, k), np.int64))
    dry = views(key, FACTORS, 200, "dry")
    monkeypatch.undo()
    assert max(told_apart(dry, simulated(key, 200, "dry")).values()) > 0.9
