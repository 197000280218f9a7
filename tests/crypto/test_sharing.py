"""Shares: exact in every domain, refused where they contradict, independent of the secret below the threshold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from parley.crypto.errors import CryptoError
from parley.crypto.prg import Keystream, Rng
from parley.crypto.sharing import BYTES, FIELD_61, RING_32, RING_64, RING_128, additive, replicated, shamir

P = (1 << 61) - 1
ALARM = 1e-9
DOMAINS = [RING_32, RING_64, RING_128, FIELD_61, BYTES]
MODULI = {"Z/2^32": 1 << 32, "Z/2^64": 1 << 64, "Z/2^128": 1 << 128, "GF(2^61 - 1)": P}


def seeded(context: bytes = b"sharing") -> Keystream:
    return Keystream(bytes(32), context)


def ints(domain, a) -> list[int]:
    return domain.decode(a) if domain is RING_128 else [int(x) for x in a.reshape(-1)]


def elements(domain, values: list[int]):
    return RING_128.encode(values) if domain is RING_128 else np.array(values, domain.dtype)


def carryless(a: int, b: int) -> int:
    """The product in GF(2^8) by the definition: polynomials, then the remainder."""
    out = 0
    for bit in range(8):
        if b >> bit & 1:
            out ^= a << bit
    for bit in range(14, 7, -1):
        if out >> bit & 1:
            out ^= 0x11B << (bit - 8)
    return out


@pytest.mark.parametrize("domain", DOMAINS[:4], ids=repr)
@given(data=st.data())
def test_arithmetic_is_that_of_integers(domain, data):
    q = MODULI[domain.name]
    edges = st.sampled_from([0, 1, 2, q - 1, q - 2, q // 2, (1 << 32) - 1])
    pairs = data.draw(st.lists(st.tuples(edges | st.integers(0, q - 1), edges | st.integers(0, q - 1)), min_size=1))
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    a, b = elements(domain, left), elements(domain, right)
    for mine, theirs in (
        (domain.add, lambda x, y: x + y),
        (domain.subtract, lambda x, y: x - y),
        (domain.multiply, lambda x, y: x * y),
    ):
        assert ints(domain, mine(a, b)) == [theirs(x, y) % q for x, y in pairs]


def test_bytes_are_the_field_of_fips_197():
    a, b = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    want = np.array([[carryless(x, y) for x in range(256)] for y in range(256)])
    assert np.array_equal(BYTES.multiply(a, b), want)
    assert int(BYTES.multiply(BYTES.of(0x57), BYTES.of(0x83))) == 0xC1, "FIPS 197, section 4.2"
    for x in range(1, 256):
        assert carryless(x, BYTES.invert(x)) == 1


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
@pytest.mark.parametrize("members", [2, 3, 7])
def test_additive_shares(domain, members):
    rng = seeded()
    shape = (5, 4, 2) if domain is RING_128 else (5, 4)
    x, y, factor = (domain.random(rng, shape) for _ in range(3))
    a, b = additive.share(domain, x, members), additive.share(domain, y, members)
    assert np.array_equal(additive.reconstruct(domain, a), x)
    pairs = list(zip(a, b, strict=True))
    opened = additive.reconstruct(domain, [additive.add(domain, s, t) for s, t in pairs])
    assert np.array_equal(opened, domain.add(x, y))
    opened = additive.reconstruct(domain, [additive.subtract(domain, s, t) for s, t in pairs])
    assert np.array_equal(opened, domain.subtract(x, y))
    opened = additive.reconstruct(domain, [additive.scale(domain, s, factor) for s in a])
    assert np.array_equal(opened, domain.multiply(x, factor))
    opened = additive.reconstruct(domain, [additive.add_public(domain, s, y, i) for i, s in enumerate(a)])
    assert np.array_equal(opened, domain.add(x, y))
    for bad in (a[:1], [a[0], a[1][:2]], [a[0], a[1].astype(np.float64)]):
        with pytest.raises(CryptoError):
            additive.reconstruct(domain, bad)


@pytest.mark.parametrize("domain", [FIELD_61, BYTES], ids=repr)
def test_any_threshold_of_shamirs_shares_suffice(domain):
    secret, other = domain.random(seeded(), (3, 32)), domain.random(seeded(b"other"), (3, 32))
    ids = [1, 2, 5, 77, 254]
    for threshold in (2, 3, 5):
        shares = shamir.share(domain, secret, threshold, ids)
        for some in itertools.combinations(shares, threshold):
            assert np.array_equal(shamir.reconstruct(domain, some, threshold), secret)
        assert np.array_equal(shamir.reconstruct(domain, shares[::-1], threshold), secret)
        with pytest.raises(CryptoError, match="too_few"):
            shamir.reconstruct(domain, shares[: threshold - 1], threshold)
        more = shamir.share(domain, other, threshold, ids)
        pairs = list(zip(shares, more, strict=True))
        for made, want in (
            ([shamir.add(domain, a, b) for a, b in pairs], domain.add(secret, other)),
            ([shamir.subtract(domain, a, b) for a, b in pairs], domain.subtract(secret, other)),
            ([shamir.scale(domain, a, other) for a in shares], domain.multiply(secret, other)),
            ([shamir.add_public(domain, a, other) for a in shares], domain.add(secret, other)),
        ):
            assert np.array_equal(shamir.reconstruct(domain, made, threshold), want)


def test_a_key_is_shared_byte_by_byte():
    key = Rng().bytes(32)
    shares = shamir.share(BYTES, np.frombuffer(key, np.uint8), 3, range(1, 6))
    assert shamir.reconstruct(BYTES, shares[1:4], 3).tobytes() == key
    assert all(s.values.tobytes() != key for s in shares)


@pytest.mark.parametrize("domain", [FIELD_61, BYTES], ids=repr)
def test_a_wrong_share_is_noticed_where_there_is_one_too_many(domain):
    secret = domain.random(seeded(), (10,))
    shares = shamir.share(domain, secret, 3, [1, 2, 3, 4])
    for at in range(4):
        values = shares[at].values.copy()
        values[7] ^= domain.dtype.type(1)
        bad = [*shares[:at], shamir.Share(shares[at].id, values), *shares[at + 1 :]]
        with pytest.raises(CryptoError, match="inconsistent_shares"):
            shamir.reconstruct(domain, bad, 3)
    moved = [shamir.Share(9, shares[0].values), *shares[1:]]
    with pytest.raises(CryptoError, match="inconsistent_shares"):
        shamir.reconstruct(domain, moved, 3)


@pytest.mark.parametrize("domain", [FIELD_61, BYTES], ids=repr)
def test_ids_and_thresholds_are_refused(domain):
    secret = domain.random(seeded(), (4,))
    for ids in ([0, 1, 2], [1, 1, 2], [1, 2, domain.order], [-1, 1, 2]):
        with pytest.raises(CryptoError, match="bad_ids"):
            shamir.share(domain, secret, 2, ids)
    for threshold in (0, 1, 4):
        with pytest.raises(CryptoError, match="bad_range"):
            shamir.share(domain, secret, threshold, [1, 2, 3])
    one, two = shamir.share(domain, secret, 2, [1, 2])
    for bad in ([one, one], [shamir.Share(0, one.values), two]):
        with pytest.raises(CryptoError, match="bad_ids"):
            shamir.reconstruct(domain, bad, 2)
    with pytest.raises(CryptoError, match="bad_ids"):
        shamir.add(domain, one, two)
    with pytest.raises(CryptoError, match="bad_shape"):
        shamir.reconstruct(domain, [one, shamir.Share(2, two.values[:2])], 2)


def test_field_elements_are_below_the_prime():
    with pytest.raises(CryptoError, match="bad_range"):
        additive.share(FIELD_61, np.array([P], np.uint64), 2)
    with pytest.raises(CryptoError, match="bad_shape"):
        additive.share(RING_128, np.zeros(3, np.uint64), 2)
    with pytest.raises(CryptoError, match="bad_range"):
        FIELD_61.invert(0)


def test_replicated_shares_and_their_local_operations():
    rng = seeded()
    x, y = rng.words64(50).reshape(5, 10), rng.words64(50).reshape(5, 10)
    a, b = replicated.share(x), replicated.share(y)
    for some in (*itertools.combinations(a, 2), a):
        assert np.array_equal(replicated.reconstruct(list(some)), x)
    pairs = list(zip(a, b, strict=True))
    assert np.array_equal(replicated.reconstruct([replicated.add(s, t) for s, t in pairs]), x + y)
    assert np.array_equal(replicated.reconstruct([replicated.subtract(s, t) for s, t in pairs]), x - y)
    assert np.array_equal(replicated.reconstruct([replicated.scale(s, y) for s in a]), x * y)
    assert np.array_equal(replicated.reconstruct([replicated.add_public(s, y) for s in a]), x + y)


def test_replicated_products():
    rng = seeded()
    x, y = rng.words64(64), rng.words64(64)
    pairs = list(zip(replicated.share(x), replicated.share(y), strict=True))
    keys = [Rng().bytes(32) for _ in range(3)]
    masks = [
        replicated.zero(Keystream(keys[i], b"zero"), Keystream(keys[(i + 1) % 3], b"zero"), x.shape) for i in range(3)
    ]
    assert not np.any(masks[0] + masks[1] + masks[2])
    z = [replicated.product(s, t, m) for (s, t), m in zip(pairs, masks, strict=True)]
    shares = [replicated.Share(i, z[i], z[(i + 1) % 3]) for i in range(3)]
    assert np.array_equal(replicated.reconstruct(shares), x * y)


def test_contradicting_replicas_are_noticed():
    a = replicated.share(seeded().words64(10))
    harmed = a[1].own.copy()
    harmed[3] += np.uint64(1)
    bad = replicated.Share(1, harmed, a[1].next)
    for some in ([a[0], bad], [a[0], bad, a[2]]):
        with pytest.raises(CryptoError, match="inconsistent_shares"):
            replicated.reconstruct(some)
    for code, call in {
        "too_few": lambda: replicated.reconstruct(a[:1]),
        "bad_ids": lambda: replicated.reconstruct([a[0], a[0]]),
        "bad_shape": lambda: replicated.Share(0, a[0].own, a[0].next[:4]),
    }.items():
        with pytest.raises(CryptoError, match=code):
            call()
    with pytest.raises(CryptoError, match="bad_ids"):
        replicated.Share(3, a[0].own, a[0].next)
    with pytest.raises(CryptoError, match="bad_ids"):
        replicated.add(a[0], a[1])


def depends(view, rows: int = 1 << 18) -> float:
    """p of the hypothesis that what `view` shows (bytes, one or two of them a row) is distributed alike for two
    secrets."""
    counts = []
    for secret, context in ((0x00, b"zero"), (0xA7, b"other")):
        shown = view(np.full(rows, secret, np.uint8), seeded(context))
        counts.append(np.bincount(shown, minlength=int(shown.max()) + 1))
    size = max(len(c) for c in counts)
    table = np.stack([np.pad(c, (0, size - len(c))) for c in counts])
    return float(stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue)


def test_shares_below_the_threshold_tell_nothing():
    """Every single byte share of 2 of 3, and every pair of 3 of 3, jointly."""
    for at in range(3):
        assert depends(lambda s, r, at=at: shamir.share(BYTES, s, 2, [1, 2, 3], r)[at].values.astype(np.int64)) > ALARM
    for i, j in itertools.combinations(range(3), 2):

        def pair(s, r, i=i, j=j):
            shares = shamir.share(BYTES, s, 3, [1, 2, 3], r)
            return shares[i].values.astype(np.int64) << 8 | shares[j].values

        assert depends(pair) > ALARM


class NeverZero(Keystream):
    """A planted mistake that real libraries have made: the leading coefficient is never zero."""

    def bytes(self, n: int) -> bytes:
        raw = np.frombuffer(super().bytes(n), np.uint8)
        return np.where(raw == 0, np.uint8(1), raw).tobytes()


def test_the_test_of_secrecy_sees_a_planted_leak():
    def leak(s, r):
        return shamir.share(BYTES, s, 2, [1, 2, 3], NeverZero(bytes(32), b"leak"))[0].values.astype(np.int64)

    assert depends(leak) < ALARM


def test_masked_terms_tell_nothing_about_additive_and_replicated_secrets():
    def low(shares):
        return (shares & np.uint64(255)).astype(np.int64)

    for at in range(2):
        assert depends(lambda s, r, at=at: low(additive.share(RING_64, s.astype(np.uint64), 2, r)[at])) > ALARM
        assert depends(lambda s, r, at=at: low(additive.share(FIELD_61, s.astype(np.uint64), 2, r)[at])) > ALARM
    for at in range(3):

        def pair(s, r, at=at):
            one = replicated.share(s.astype(np.uint64), r)[at]
            return low(one.own) << 8 | low(one.next)

        assert depends(pair) > ALARM
