"""Keystreams against published vectors; what is drawn from them is uniform; a forked child repeats nothing."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from parley.crypto import prg
from parley.crypto.errors import CryptoError
from parley.crypto.prg import Keystream, Rng

ALARM = 1e-9
KEY = bytes(range(32))


@pytest.fixture(params=["AES-256-CTR", "ChaCha20"])
def stream(request) -> Keystream:
    return Keystream(KEY, b"test", request.param)


def test_chacha20_is_rfc_8439s():
    """Appendix A.1, vectors 1 and 2 (zero key and nonce, blocks 0 and 1), and section 2.4.2's keystream start."""
    want = bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )
    assert prg._stream("ChaCha20", bytes(32), bytes(16)).update(bytes(128)) == want
    block = (1).to_bytes(4, "little") + bytes.fromhex("000000000000004a00000000")
    text = b"Ladies and Gentlemen of the class of '99"
    sealed = bytes.fromhex("6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab")
    assert prg._stream("ChaCha20", KEY, block).update(text) == sealed


def test_aes_is_sp_800_38as():
    """F.5.5, CTR-AES256.Encrypt."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    assert prg._stream("AES-256-CTR", key, counter).update(plain) == cipher


def test_hkdf_is_rfc_5869s():
    """Appendix A.1."""
    okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    got = prg.derive(b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42, bytes(range(13)))
    assert got.hex() == okm


def test_a_stream_is_golden():
    """Public coins are part of contracts: another value here is another protocol version."""
    assert Keystream(KEY, b"golden").bytes(16).hex() == "cf350b4843a3e534fa965a487e112472"
    assert Keystream(KEY, b"golden", "ChaCha20").bytes(16).hex() == "e9d7b5e53c4d26b23ad45fc017b6430d"


def test_streams_go_on_and_separate():
    for cipher, other in (("AES-256-CTR", "ChaCha20"), ("ChaCha20", "AES-256-CTR")):
        stream = Keystream(KEY, b"test", cipher)
        whole = Keystream(KEY, b"test", cipher).bytes(8)
        assert stream.bytes(3) + stream.bytes(5) == whole
        assert Keystream(KEY, b"test", other).bytes(8) != whole
        assert Keystream(KEY, b"next", cipher).bytes(8) != whole
    assert Keystream.fresh(b"x").bytes(32) != Keystream.fresh(b"x").bytes(32)


def chi_square(values, cells: int) -> float:
    return float(stats.chisquare(np.bincount(values, minlength=cells)).pvalue)


def test_what_is_drawn_is_uniform(stream):
    assert chi_square(stream.words32(200_000) >> np.uint32(24), 256) > ALARM
    assert chi_square((stream.words64(200_000) & np.uint64(255)).astype(np.int64), 256) > ALARM
    assert chi_square(stream.bits(200_001).astype(np.int64), 2) > ALARM
    assert chi_square((stream.field61(200_000) >> np.uint64(53)).astype(np.int64), 256) > ALARM
    for modulus in (1, 2, 3, 10, 255, 257, (1 << 63) + 1, 1 << 64):
        drawn = stream.below(100_000, modulus)
        assert int(drawn.max()) < modulus
        if 1 < modulus < 300:
            assert chi_square(drawn.astype(np.int64), modulus) > ALARM
    third = (1 << 64) // 3 * 2
    high = stream.below(100_000, third) >= np.uint64(third // 2)
    assert chi_square(high.astype(np.int64), 2) > ALARM


def test_the_chi_square_sees_a_remainder_taken_for_uniform(stream):
    """The bias that rejection avoids: 3 * 2^62 values by remainder hit the lower third twice as often."""
    biased = stream.words64(100_000) % np.uint64(3 << 62)
    assert chi_square((biased >= np.uint64(3 << 61)).astype(np.int64), 2) < ALARM


def test_permutations_are_uniform(stream):
    orders = [tuple(stream.permutation(4)) for _ in range(12_000)]
    codes = {order: k for k, order in enumerate(sorted(set(orders)))}
    assert len(codes) == 24
    assert chi_square([codes[o] for o in orders], 24) > ALARM


def test_wide_scalars_are_below(stream):
    q = 2**252 + 27742317777372353535851937790883648493
    drawn = [stream.scalar_wide(q) for _ in range(500)]
    assert max(drawn) < q
    assert max(drawn) > q * 0.97
    assert chi_square([stream.scalar_wide(7) for _ in range(7000)], 7) > ALARM


def in_child(work) -> bytes:
    """What `work` gives in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, work())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read()


def asked(source) -> bytes:
    try:
        return source.bytes(16)
    except CryptoError as e:
        return e.code.encode()


def test_a_forked_child_repeats_nothing(stream):
    stream.bytes(5)
    assert in_child(lambda: asked(stream)) == b"forked"
    assert in_child(lambda: in_child(lambda: asked(stream))) == b"forked"
    assert len(asked(stream)) == 16, "the parent goes on"
    made_there = in_child(lambda: asked(Keystream(KEY, b"golden")))
    assert made_there == Keystream(KEY, b"golden").bytes(16)
    rng = Rng()
    assert in_child(lambda: asked(rng)) != asked(rng)


def test_without_the_check_a_child_would_repeat():
    bare = prg._stream("AES-256-CTR", KEY, bytes(16))
    assert in_child(lambda: bare.update(bytes(16))) == bare.update(bytes(16))


def test_ends_and_ranges_are_refused(stream):
    for code, call in {
        "bad_key": lambda: Keystream(b"short", b""),
        "bad_cipher": lambda: Keystream(KEY, b"", "RC4"),
        "bad_range": lambda: stream.bytes(-1),
    }.items():
        with pytest.raises(CryptoError, match=code):
            call()
    for call in (
        lambda: stream.below(1, 0),
        lambda: stream.below(1, (1 << 64) + 1),
        lambda: stream.integers(1, (1 << 63) + 1),
        lambda: stream.scalar_wide(0),
        lambda: prg.derive(KEY, b"", 8161),
    ):
        with pytest.raises(CryptoError, match="bad_range"):
            call()
    stream._left = 7
    assert len(stream.bytes(7)) == 7
    with pytest.raises(CryptoError, match="exhausted"):
        stream.bytes(1)
