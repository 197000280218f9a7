"""The symmetric kernels on every path: AES and SHA-256 against other libraries, fields and bits against Python."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from parley.crypto import _native

PATHS = ("", "avx2", "baseline")
FIPS_KEY = "000102030405060708090a0b0c0d0e0f"  # FIPS 197, appendix C.1
FIPS_PLAIN, FIPS_CIPHER = "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"
NIST_SHA = {  # FIPS 180-4 examples
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
}


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    monkeypatch.setenv("PARLEY_CPU", request.param)
    return request.param


def raw(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def packed(ids: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    return raw(b"".join(ids)), np.concatenate([[0], np.cumsum([len(i) for i in ids])]).astype(np.int64)


def aes(key: bytes, plain: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(plain)


def test_the_paths_are_different_code_where_the_cpu_has_them(monkeypatch):
    names = []
    for choice in PATHS:
        monkeypatch.setenv("PARLEY_CPU", choice)
        names.append((_native.block_kernel(), _native.sha_kernel()))
    assert names[-1] == ("baseline", "baseline")
    if names[0] != names[-1]:
        assert names[1] != names[-1]


def test_an_unknown_path_is_refused(monkeypatch):
    monkeypatch.setenv("PARLEY_CPU", "quantum")
    for ask in (_native.block_kernel, _native.sha_kernel):
        with pytest.raises(ValueError, match="PARLEY_CPU"):
            ask()


def test_aes_is_fips_197(path):
    got = _native.aes_encrypt(raw(bytes.fromhex(FIPS_KEY)), raw(bytes.fromhex(FIPS_PLAIN)).reshape(1, 16))
    assert got.tobytes().hex() == FIPS_CIPHER


@pytest.mark.parametrize("n", [0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 100])
def test_aes_of_any_number_of_blocks(path, n):
    key, plain = os.urandom(16), os.urandom(16 * n)
    assert _native.aes_encrypt(raw(key), raw(plain).reshape(n, 16)).tobytes() == aes(key, plain)


def test_every_byte_goes_through_the_s_box(path):
    """256 blocks that differ in one byte: a wrong entry of the S-box shows in the first round."""
    plain = b"".join(bytes([v] * 16) for v in range(256))
    assert _native.aes_encrypt(raw(bytes(16)), raw(plain).reshape(-1, 16)).tobytes() == aes(bytes(16), plain)


def test_streams_count_blocks_under_their_domain(path):
    keys = [os.urandom(16) for _ in range(3)]
    got = _native.aes_stream(raw(b"".join(keys)).reshape(3, 16), 5, 2**33 - 1, 4)
    for key, row in zip(keys, got, strict=True):
        counters = b"".join((2**33 - 1 + i).to_bytes(8, "little") + (5).to_bytes(8, "little") for i in range(4))
        assert row.tobytes() == aes(key, counters)


def test_sha256_is_fips_180(path):
    for message, digest in NIST_SHA.items():
        got = _native.sha256_salted(raw(b""), *packed([message]))
        assert got.tobytes().hex() == digest


@pytest.mark.parametrize("salt", [0, 7, 16, 64, 70])
def test_sha256_of_messages_of_any_length(path, salt):
    salt_ = os.urandom(salt)
    ids = [os.urandom(k % 150) for k in range(450)] + [b"", b"x"] * 40 + [os.urandom(1000)]
    got = _native.sha256_salted(raw(salt_), *packed(ids))
    assert [g.tobytes() for g in got] == [hashlib.sha256(salt_ + i).digest() for i in ids]


def test_sha256_of_a_slice_starts_at_its_offset(path):
    data, offsets = packed([b"skipped", b"first", b"second"])
    got = _native.sha256_salted(raw(bytes(16)), data, offsets[1:])
    assert [g.tobytes() for g in got] == [hashlib.sha256(bytes(16) + i).digest() for i in (b"first", b"second")]


@pytest.mark.parametrize("offsets", [[0, 5], [3, 2], [-1, 2], []])
def test_offsets_outside_the_data_are_refused(offsets):
    with pytest.raises(ValueError, match=r"offsets|packed"):
        _native.sha256_salted(raw(bytes(16)), raw(b"abcd"), np.array(offsets, np.int64))


def carryless(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a * (b & -b)
        b &= b - 1
    return product


def field(a: int, b: int, degree: int, low: int) -> int:
    """Multiplication modulo x^degree + low, as on paper."""
    product = carryless(a, b)
    for k in range(2 * degree - 2, degree - 1, -1):
        if product >> k & 1:
            product ^= (1 << degree | low) << (k - degree)
    return product


EDGES = [0, 1, 2, 0x1B, 2**63, 2**64 - 1, 0x8000000000000001, 0xAAAAAAAAAAAAAAAA]


def test_gf64_is_the_field_of_64_bits(path):
    values = np.concatenate([np.array(EDGES, np.uint64), np.frombuffer(os.urandom(8 * 24), np.uint64)])
    a, b = (x.reshape(-1) for x in np.meshgrid(values, values))
    got = _native.gf64_multiply(np.ascontiguousarray(a), np.ascontiguousarray(b))
    assert [int(g) for g in got] == [field(int(x), int(y), 64, 0x1B) for x, y in zip(a, b, strict=True)]


def test_gf128_is_the_field_of_128_bits(path):
    words = np.frombuffer(os.urandom(16 * 200), np.uint64).reshape(-1, 2).copy()
    words[:4] = [[0, 0], [1, 0], [2**64 - 1, 2**64 - 1], [0, 2**63]]
    other = words[::-1].copy()
    got = _native.gf128_multiply(words, other)
    for x, y, z in zip(words, other, got, strict=True):
        a, b, c = (int(v[0]) | int(v[1]) << 64 for v in (x, y, z))
        assert c == field(a, b, 128, 0x87)


@pytest.mark.parametrize("words", [1, 2, 5])
def test_transposition_moves_every_bit(path, words):
    rows = np.frombuffer(os.urandom(128 * 8 * words), np.uint64).reshape(128, words)
    bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")
    got = np.unpackbits(_native.bit_transpose(rows), axis=1, bitorder="little")
    assert np.array_equal(got, bits.T)


def test_weighing_sums_powers_of_x():
    streams = np.frombuffer(os.urandom(128 * 8 * 3), np.uint64).reshape(128, 3)
    got = _native.gf64_weigh(streams)
    for i in range(3):
        for c in range(2):
            want = 0
            for j in range(64):
                want ^= field(1 << j, int(streams[64 * c + j, i]), 64, 0x1B)
            assert int(got[i, c]) == want


def test_shuffles_are_permutations_of_one_stream_on_every_path(monkeypatch):
    key = raw(os.urandom(16))
    found = []
    for choice in PATHS:
        monkeypatch.setenv("PARLEY_CPU", choice)
        found.append(_native.shuffled(key, 5000))
    assert np.array_equal(np.sort(found[0]), np.arange(5000))
    assert all(np.array_equal(f, found[0]) for f in found)
    assert _native.shuffled(key, 0).size == 0


def biased(key: np.ndarray, n: int) -> np.ndarray:
    """A planted mistake: swap with any place, not with the places that are left."""
    words = _native.aes_stream(key.reshape(1, 16), 0, 0, n).view(np.uint32).reshape(-1)
    order = np.arange(n)
    for i in range(n):
        j = int(words[i]) * n >> 32
        order[i], order[j] = order[j], order[i]
    return order


def test_every_order_of_four_is_equally_likely():
    """24 orders, 12,000 draws; the naive shuffle is noticed by the same statistic."""
    draws = 12_000
    keys = np.frombuffer(np.random.default_rng(3).bytes(16 * draws), np.uint8).reshape(draws, 16)

    def statistic(shuffle) -> float:
        counts: dict[tuple[int, ...], int] = {}
        for key in keys:
            order = tuple(int(x) for x in shuffle(key, 4))
            counts[order] = counts.get(order, 0) + 1
        return sum((c - draws / 24) ** 2 / (draws / 24) for c in [*counts.values(), *[0] * (24 - len(counts))])

    alarm = 90.0  # chi-square with 23 degrees of freedom: p < 1e-9
    assert statistic(_native.shuffled) < alarm
    assert statistic(biased) > alarm


def test_wiping_overwrites_what_is_given():
    data = raw(os.urandom(64)).copy()
    _native.wipe(data)
    assert not data.any()
