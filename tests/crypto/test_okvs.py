"""The key-value store: what it holds, the cores that do not peel, and what is refused."""

from __future__ import annotations

import hashlib
import os
from statistics import NormalDist

import numpy as np
import pytest

from parley.crypto import okvs
from parley.crypto.curve import Ids
from parley.crypto.errors import CryptoError
from parley.crypto.okvs import Shape, decode, encode, shape

PATHS = ("", "avx2", "baseline")
ALARM = 416.0  # chi-square with 255 degrees of freedom: p < 1e-9


def keys(n: int, rng: np.random.Generator | None = None) -> np.ndarray:
    raw = rng.bytes(32 * n) if rng else os.urandom(32 * n)
    return np.frombuffer(raw, np.uint64).reshape(n, 4).copy()


def words(n: int) -> np.ndarray:
    return np.frombuffer(os.urandom(8 * n), np.uint64).copy()


def holds(form: Shape, k: np.ndarray, values: np.ndarray) -> bool:
    return np.array_equal(decode(form, k, encode(form, k, values)), values)


def row_of(form: Shape, key: np.ndarray) -> tuple[list[int], int]:
    """The three slots and the dense element of a key, from the definition."""
    w = [int(x) for x in key]
    parts = [w[0] >> 24, w[1] >> 24, (w[0] & 0xFFFFFF) << 16 | w[1] & 0xFFFF]
    return [k * form.segment + (p * form.segment >> 40) for k, p in enumerate(parts)], w[2]


def times(a: int, b: int) -> int:
    product = 0
    for k in range(64):
        product ^= (a << k) * (b >> k & 1)
    for k in range(126, 63, -1):
        product ^= (1 << 64 | 0x1B) << (k - 64) if product >> k & 1 else 0
    return product


@pytest.mark.parametrize("choice", PATHS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 257, 5000, 70_000])
def test_what_is_encoded_is_decoded(monkeypatch, choice, n):
    monkeypatch.setenv("PARLEY_CPU", choice)
    assert holds(shape(n), keys(n), words(n))


def test_decoding_is_its_definition():
    form, k, values = shape(50), keys(50), words(50)
    table = encode(form, k, values)
    for key, value in zip(k, values, strict=True):
        slots, r = row_of(form, key)
        got, power = 0, 1
        for s in slots:
            got ^= int(table[s])
        for j in range(form.dense):
            power = times(power, r)
            got ^= times(power, int(table[3 * form.segment + j]))
        assert got == int(value)


def test_every_path_makes_the_same_table(monkeypatch):
    form, k, values, free = shape(3000), keys(3000), words(3000), words(shape(3000).slots)
    k[1:6, :2], k[7, :2] = k[0, :2], k[8, :2]  # and the same core
    tables = []
    for choice in PATHS:
        monkeypatch.setenv("PARLEY_CPU", choice)
        tables.append(encode(form, k[3:], values[3:], free))
    assert all(np.array_equal(t, tables[0]) for t in tables)


def alike(k: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """The same keys with equal slots within each group."""
    for group in groups:
        k[group, :2] = k[group[0], :2]
    return k


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_pairs_with_the_same_slots_take_a_dense_column_each(pairs):
    k = alike(keys(20_000), [[2 * p, 2 * p + 1] for p in range(pairs)])
    values = words(20_000)
    form = shape(20_000)
    assert form.dense == 3
    assert holds(form, k, values)
    with pytest.raises(CryptoError, match="overload"):  # peeling alone, which is what the columns are for
        encode(Shape(form.keys, form.segment, 0), k, values)
    with pytest.raises(CryptoError, match="overload"):
        encode(Shape(form.keys, form.segment, pairs - 1), k, values)
    assert holds(Shape(form.keys, form.segment, pairs), k, values)


def test_larger_cores_are_solved():
    form = shape(3000)
    k = alike(keys(3000), [[0, 1, 2, 3]])  # three dependent rows
    assert holds(form, k, words(3000))
    core = keys(3000)
    core[0, 1] = core[1, 1]
    core[0, 0] = core[1, 0] ^ np.uint64(1 << 60)  # another first slot, the second shared, the third close by
    assert holds(form, core, words(3000))


def test_equal_keys_are_refused_whatever_their_values():
    for n, copies in ((2, 2), (3000, 2), (3000, 700)):
        k = keys(n)
        k[:copies] = k[0]
        for values in (words(n), np.zeros(n, np.uint64)):
            with pytest.raises(CryptoError) as e:
                encode(shape(n), k, values)
            assert e.value.code == "duplicate_key"


def test_more_keys_than_the_shape_is_for_are_refused():
    with pytest.raises(CryptoError, match="overload"):
        encode(shape(10), keys(11), words(11))
    tight = Shape(3000, 700, 2)  # beyond the threshold of peeling
    with pytest.raises(CryptoError, match="overload"):
        encode(tight, keys(3000), words(3000))
    small = Shape(100, 25, 2)
    with pytest.raises(CryptoError, match="overload"):
        encode(small, keys(100), words(100))
    with pytest.raises(CryptoError, match="set_too_large"):
        shape((1 << 24) + 1)


def test_shapes_are_functions_of_the_count_alone():
    assert shape(5) == Shape(5, shape(0).segment, shape(0).dense)
    assert shape(1 << 20).slots < 1.2501 * (1 << 20)
    assert [shape(n).dense for n in (0, 4096, 1 << 17, 1 << 20, 1 << 24)] == [5, 4, 3, 2, 2]
    previous = 0
    for n in (256, 300, 1000, 4000, 10_000, 65_536, 10**6):
        assert previous < shape(n).slots < 2.5 * n
        previous = shape(n).slots


def runs(count: int, sizes: tuple[int, ...], dense: bool) -> int:
    """How many of `count` small random sets do not fit."""
    rng, failed = np.random.default_rng(17), 0
    forms = [shape(n) if dense else Shape(n, shape(n).segment, 0) for n in sizes]
    for i in range(count):
        form = forms[i % len(forms)]
        k = keys(form.keys, rng)
        try:
            table = encode(form, k, k[:, 3].copy(), np.zeros(form.slots, np.uint64))
        except CryptoError:
            failed += 1
        else:
            assert np.array_equal(decode(form, k, table), k[:, 3])
    return failed


def test_small_sets_always_fit_and_would_not_by_peeling_alone():
    assert runs(3000, (3, 100, 200, 256), True) == 0
    assert runs(4000, (256,), False) > 3  # about 37 are expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_thousand_small_sets_fit():
    assert runs(50_000, (2, 17, 100, 180, 256, 300), True) == 0


def large_cores(n: int, gap: float, count: int) -> float:
    """The part of `count` random sets that keep a core of more than 512 at a load of 0.8184 - gap / sqrt(n)."""
    rng, form = np.random.default_rng(29), Shape(n, round(n / (0.8184 - gap / n**0.5) / 3), 16)
    failed = 0
    for _ in range(count):
        k = keys(n, rng)
        try:
            encode(form, k, k[:, 3].copy(), np.zeros(form.slots, np.uint64))
        except CryptoError:
            failed += 1
    return failed / count


@pytest.mark.slow
@pytest.mark.parametrize("n", [1500, 4096])
def test_tables_are_far_enough_from_where_peeling_stops(n):
    """The chance of a large core falls like a normal variable's tail; at the distance of `shape` it is below 2^-40."""
    near, far = (NormalDist().inv_cdf(large_cores(n, gap, 1500)) for gap in (0.3, 0.9))
    slope = (far - near) / 0.6
    used = (0.8184 - n / (3 * shape(n).segment)) * n**0.5
    assert used > 4.05
    assert NormalDist().cdf(far + slope * (used - 0.9)) < 2.0**-40


def test_a_table_of_random_values_is_uniform_where_free_slots_are_random():
    def chi(table: np.ndarray) -> float:
        counts = np.bincount(table.view(np.uint8), minlength=256)
        return float(np.sum((counts - counts.mean()) ** 2) / counts.mean())

    rng, form = np.random.default_rng(23), shape(4000)
    k, values, free = keys(4000, rng), keys(1000, rng).reshape(-1), np.frombuffer(rng.bytes(8 * form.slots), np.uint64)
    assert chi(encode(form, k, values, free)) < ALARM
    assert chi(encode(form, k, values, np.zeros(form.slots, np.uint64))) > ALARM
    assert not np.array_equal(encode(form, k, values), encode(form, k, values))  # unless given they are drawn


def test_keys_are_the_salted_hash():
    ids, salt = [b"a", b"", b"x" * 100], os.urandom(16)
    got = okvs.keys_of(Ids.from_list(ids), salt)
    assert got.shape == (3, 4)
    assert [g.tobytes() for g in got] == [hashlib.sha256(salt + i).digest() for i in ids]
    with pytest.raises(CryptoError, match="bad_salt"):
        okvs.keys_of(Ids.from_list(ids), b"short")


def test_wrong_shapes_are_refused():
    form, k = shape(10), keys(10)
    for bad in (
        lambda: encode(form, k[:, :3], words(10)),
        lambda: encode(form, k, words(9)),
        lambda: encode(form, k, words(10).astype(np.int64)),
        lambda: encode(form, k, words(10), words(3)),
        lambda: decode(form, k, words(3)),
        lambda: decode(form, k.astype(np.int64), words(form.slots)),
    ):
        with pytest.raises(CryptoError, match="bad_shape"):
            bad()
