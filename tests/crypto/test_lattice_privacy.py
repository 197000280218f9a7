"""What a reply tells its reader: attacks find the bins where protection is left out, and nothing where it is on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from lattice_bench import MESSAGE, Seeded, expected, seeded, unpack50
from scipy import stats

from parley.crypto import _native, _native_testing

ALARM = 1e-9
RNG = np.random.default_rng(31)


def run_of(run: Seeded, rows: int, counts: np.ndarray, bins: np.ndarray, values: np.ndarray | None = None):
    values = np.ones((rows, run.plan.layout.channels), np.int64) if values is None else values
    return run.sums(run.encrypt(values), rows, bins, counts)


def split(run: Seeded, reply: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, N) of D and (k, channels, x) of b, modulo the first prime."""
    words = unpack50(reply)
    n = run.plan.profile.n
    return words[:, :n], words[:, n:].reshape(len(words), run.plan.layout.channels, run.plan.x)


def public_a(run: Seeded, block: int, prime: int) -> np.ndarray:
    """The transformed polynomial a of a block, as anybody expands it."""
    number = block * len(run.plan.profile.primes) + prime
    nonce = (4).to_bytes(4, "little") + number.to_bytes(8, "little")
    return _native_testing.residues(run.plan.profile.n, run.plan.profile.primes[prime], MESSAGE, nonce)


def divided_by_a(run: Seeded, d: np.ndarray, prime: int) -> np.ndarray:
    """d / a modulo one prime: for one block's unprotected sums, the polynomial of the bins itself."""
    n, q = run.plan.profile.n, run.plan.profile.primes[prime]
    inverse = np.array([pow(v, -1, q) for v in public_a(run, 0, prime).tolist()], np.uint64)
    there = _native_testing.transform(n, prime, True, d)
    return _native_testing.transform(n, prime, False, _native_testing.product(n, prime, there, inverse))


def test_unprotected_sums_of_a_block_are_its_bins():
    """The attack that the protection is for: D = P a with public a, so P, every row's bin in clear, is D / a."""
    run, rows, counts = seeded(128), 128, np.array([32], np.uint32)
    bins = RNG.integers(0, 32, (rows, 1)).astype(np.uint8)
    d, _ = _native_testing.parts(run_of(run, rows, counts, bins))
    p = divided_by_a(run, d[0, 0], 0)
    assert set(p.tolist()) == {0, 1}
    places = np.flatnonzero(p)
    found = np.empty(rows, np.int64)
    found[places % 128] = places // 128
    assert np.array_equal(found, bins[:, 0])


@pytest.mark.parametrize("bare", [True, False])
def test_bins_are_found_in_a_reply_without_protection_only(bare):
    """Twelve equal rows in two bins: the sums say how many, the unprotected reply says which.

    The owner computes D for each of the 2^12 ways the rows may lie and looks for the reply's.
    """
    rows, counts = 12, np.array([2], np.uint32)
    run = seeded(rows)
    bins = RNG.integers(0, 2, (rows, 1)).astype(np.uint8)
    reply, _ = run.reply(run_of(run, rows, counts, bins), b"x" * 32, bare)
    seen = split(run, reply)[0][0, :64]
    found = [
        way
        for way in itertools.product((0, 1), repeat=rows)
        if sum(way) == bins.sum()
        and np.array_equal(
            split(run, run.reply(run_of(run, rows, counts, np.array(way, np.uint8)[:, None]), b"y" * 32, True)[0])[0][
                0, :64
            ],
            seen,
        )
    ]
    assert found == ([tuple(bins[:, 0].tolist())] if bare else [])


def noise(run: Seeded, reply: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """What decryption rounds away, in steps: (sums, channels)."""
    plan, q = run.plan, run.plan.profile.primes[0]
    n, x = plan.profile.n, plan.x
    d, b = split(run, reply)
    out = []
    for channel, s in enumerate(run.secrets()):
        there = _native_testing.transform(n, 0, True, (s % q).astype(np.uint64))
        for k in range(len(d)):
            ds = _native_testing.product(n, 0, _native_testing.transform(n, 0, True, d[k]), there)
            inner = _native_testing.transform(n, 0, False, ds)[n // x - 1 :: n // x].tolist()
            for r in range(x):
                at = k * x + r
                if at >= len(sums):
                    continue
                phase = (int(b[k, channel, r]) - inner[r]) % q
                phase -= q if phase > q // 2 else 0
                scaled = phase * math.prod(plan.profile.primes[1:])
                out.append((scaled - (int(sums[at, channel]) << plan.delta)) / (1 << plan.delta))
    return np.array(out)


@pytest.mark.parametrize(
    ("profile", "bound"), [("standard", 1 << 16), ("wide", 1 << 16), ("standard", (1 << 39) // 2000)]
)
def test_noise_is_four_uniform_numbers_and_leaves_room(profile, bound):
    rows, counts = 2_000, np.full(120, 32, np.uint32)
    run = seeded(rows, profile=profile, bound=bound)
    values = RNG.integers(-bound, bound, (rows, 2), endpoint=True)
    bins = RNG.integers(0, 32, (rows, 120)).astype(np.uint8)
    reply, _ = run.reply(run_of(run, rows, counts, bins, values), RNG.bytes(32))
    parts = noise(run, reply, expected(values, bins, counts))
    assert len(parts) == 2 * counts.sum()
    assert np.abs(parts).max() < 0.45
    edge = 2.0 ** (run.plan.flood - run.plan.delta)
    if bound == 1 << 16:  # where the step leaves rounding to one prime no weight
        assert np.abs(parts).max() < edge
        assert evenly(parts, edge) > ALARM
        assert evenly(RNG.uniform(-edge, edge, len(parts)), edge) < ALARM  # a single number is told apart
    found, far = run.decrypt(reply)
    assert np.array_equal(found[: len(expected(values, bins, counts))], expected(values, bins, counts))
    assert far / 65_536 == pytest.approx(np.abs(parts).max(), abs=1e-3)


def test_without_flooding_the_noise_is_the_errors():
    """The test of the distribution can fail: unprotected noise is a narrow bell."""
    rows, counts = 2_000, np.full(30, 32, np.uint32)
    run = seeded(rows)
    bins = RNG.integers(0, 32, (rows, 30)).astype(np.uint8)
    reply, _ = run.reply(run_of(run, rows, counts, bins), b"z" * 32, True)
    parts = noise(run, reply, expected(np.ones((rows, 2), np.int64), bins, counts))
    edge = 2.0 ** (run.plan.flood - run.plan.delta)
    assert evenly(parts, edge) < ALARM


def evenly(parts, edge):
    """How likely numbers are to be sums of four uniform ones between them within +-edge: their ranks are even then."""
    seen, _ = np.histogram(stats.irwinhall(4).cdf(2 * (parts / edge + 1)), 64, (0, 1))
    return stats.chisquare(seen).pvalue


@pytest.mark.parametrize("profile", ["standard", "wide"])
def test_two_replies_differ_everywhere_and_look_uniform(profile):
    rows, counts = 50, np.full(8, 32, np.uint32)
    run = seeded(rows, profile=profile)
    sums = run_of(run, rows, counts, RNG.integers(0, 32, (rows, 8)).astype(np.uint8))
    first, second = (unpack50(sums.release(run.public, run.plan.flood, 1)) for _ in range(2))
    assert np.count_nonzero(first == second) == 0
    q = run.plan.profile.primes[0]
    seen, _ = np.histogram(first[:, : run.plan.profile.n].astype(np.float64), 256, (0, q))
    assert stats.chisquare(seen).pvalue > ALARM


def test_empty_sums_do_not_show():
    """Polynomials without a row look like the others: nothing in them repeats, and D is not zero."""
    run = seeded(1)
    sums = run_of(run, 1, np.full(16, 32, np.uint32), np.zeros((1, 16), np.uint8))
    d, b = split(run, sums.release(run.public, run.plan.flood, 1))
    assert len(np.unique(d)) == d.size
    assert len(np.unique(b)) == b.size


@pytest.mark.parametrize("polynomials", [1, 7, 8, 9, 40])
def test_a_pair_of_key_element_and_u_is_used_once(polynomials):
    run = seeded(1)
    sums = run_of(run, 1, np.full(polynomials, 32, np.uint32), np.zeros((1, polynomials), np.uint8))
    pairs = []
    for _ in range(5):
        _, used = run.reply(sums, RNG.bytes(32))
        assert len(used) == polynomials
        pairs += used
    assert len(set(pairs)) == len(pairs)
    per_u = {u: [e for e, v in pairs if v == u] for u in {v for _, v in pairs}}
    assert all(len(set(elements)) == len(elements) <= 8 for elements in per_u.values())
    assert len(per_u) == 5 * -(-polynomials // 8)


def test_the_key_is_an_encryption_of_zero_under_every_secret():
    """p0 - p1 s is small for every element and channel, and no element is another's."""
    run = seeded(1, channels=3)
    n, q = run.plan.profile.n, run.plan.profile.primes[0]
    packed = unpack50(run.owner.public_key().reshape(8 * 3 * 2, -1))[::2]  # the first prime's
    for t in range(8):
        nonce = (2).to_bytes(4, "little") + (2 * t).to_bytes(8, "little")
        p1 = _native_testing.residues(n, q, b"o" * 32, nonce)
        for channel, s in enumerate(run.secrets()):
            there = _native_testing.transform(n, 0, True, (s % q).astype(np.uint64))
            p0 = packed[3 * t + channel]
            rest = (p0.astype(np.int64) - _native_testing.product(n, 0, p1, there).astype(np.int64)) % q
            e = _native_testing.transform(n, 0, False, rest.astype(np.uint64)).astype(np.int64)
            e -= np.where(e > q // 2, q, 0)
            assert np.abs(e).max() <= 21
            assert 9 < e.var() < 12
    assert len({row.tobytes() for row in packed}) == len(packed)
    assert _native.lattice_reply_size(n, 3, 32) == run.plan.profile.n // 4 * 25 + 3 * 32 // 4 * 25


def test_fresh_ciphertexts_of_one_batch_differ_and_errors_have_their_width():
    """b - a s - message is small, and new for every batch, channel and block."""
    run, rows = seeded(256), 256
    n, primes = run.plan.profile.n, run.plan.profile.primes
    first, second = (
        unpack50(run.encrypt(np.zeros((rows, 2), np.int64), noise=k * 32).reshape(-1, n // 4 * 25))
        for k in (b"1", b"2")
    )
    # Of 32,768 places those where two independent errors are equal: 0.087 of them, give or take 51.
    assert 2_500 < np.count_nonzero(first == second) < 3_200
    errors = []
    for block in range(2):
        a = public_a(run, block, 0)
        for channel, s in enumerate(run.secrets()):
            there = _native_testing.transform(n, 0, True, (s % primes[0]).astype(np.uint64))
            product = _native_testing.transform(n, 0, False, _native_testing.product(n, 0, a, there)).astype(np.int64)
            b = first[(block * 2 + channel) * 2].astype(np.int64)
            e = (b - product) % primes[0]
            e -= np.where(e > primes[0] // 2, primes[0], 0)
            assert np.abs(e).max() <= 21
            errors.append(e)
    assert len({e.tobytes() for e in errors}) == 4
    every = np.concatenate(errors)
    assert every.var() == pytest.approx(10.5, rel=0.08)
    assert abs(every.mean()) < 0.2


@pytest.mark.parametrize("bare", [True, False])
def test_noise_does_not_hang_on_the_bins(bare):
    """All rows in one bin of each feature, or spread over 32: protected noise has one distribution, bare noise two."""
    rows, features, counts = 3_000, 160, np.full(160, 32, np.uint32)
    run = seeded(rows)
    one = np.repeat(RNG.integers(0, 32, (1, features)), rows, 0).astype(np.uint8)
    spread = RNG.integers(0, 32, (rows, features)).astype(np.uint8)
    parts = []
    for bins in (one, spread):
        reply, _ = run.reply(run_of(run, rows, counts, bins), RNG.bytes(32), bare)
        parts.append(noise(run, reply, expected(np.ones((rows, 2), np.int64), bins, counts)))
    assert len(parts[0]) == len(parts[1]) > 10_000
    # Where bare, empty bins carry rounding alone; where protected, the largest errors drown with the rest.
    edge = 2.0 ** (run.plan.flood - run.plan.delta)
    found = [np.abs(p) / edge for p in parts] if not bare else [np.abs(p) for p in parts]
    assert (stats.ks_2samp(*found).pvalue < ALARM) == bare
