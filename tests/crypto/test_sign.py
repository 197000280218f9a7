"""Ed25519 under contexts, short codes, and the two sources of randomness."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from shared import need

from parley.crypto.errors import CryptoError
from parley.crypto.prg import Keystream, Rng
from parley.crypto.sign import SigningKey, VerifyKey, fingerprint, parse_short_code, short_code


def test_the_library_beneath_passes_wycheproof():
    groups = json.loads(need("vectors/wycheproof/ed25519_test.json").read_text())["testGroups"]
    tried = 0
    for group in groups:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        for test in group["tests"]:
            try:
                key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
                accepted = True
            except InvalidSignature:
                accepted = False
            assert accepted == (test["result"] == "valid"), test["tcId"]
            tried += 1
    assert tried > 100


def test_signatures_bind_message_context_and_key():
    key, other = SigningKey.generate(), SigningKey.generate()
    s = key.sign(b"message", "job/1")
    VerifyKey.from_bytes(key.public.to_bytes()).verify(s, b"message", "job/1")
    for public, sig, message, context in (
        (other.public, s, b"message", "job/1"),
        (key.public, s, b"massage", "job/1"),
        (key.public, s, b"message", "job/2"),
        (key.public, s[:-1], b"message", "job/1"),
        (key.public, b"", b"message", "job/1"),
    ):
        with pytest.raises(CryptoError, match="bad_signature"):
            public.verify(sig, message, context)
    assert key.sign(b"bmessage", "a") != key.sign(b"message", "ab")
    again = SigningKey.from_bytes(key.to_bytes())
    assert again.public.to_bytes() == key.public.to_bytes()
    assert key.to_bytes().hex() not in repr(key)


def test_short_codes_survive_people():
    code = short_code(fingerprint(b"keys", "card/1"))
    assert len(code.replace("-", "")) == 16
    want = parse_short_code(code)
    assert parse_short_code(code.lower()) == want
    assert parse_short_code(code.replace("-", " ")) == want
    assert short_code(fingerprint(b"other", "card/1")) != code
    for bad in ("", code[:-1], "U" * 16):
        with pytest.raises(CryptoError):
            parse_short_code(bad)


def test_keystreams_repeat_and_separate():
    a, b = Keystream(b"k" * 32, b"one"), Keystream(b"k" * 32, b"one")
    assert a.bytes(3) + a.bytes(5) == b.bytes(8)
    assert Keystream(b"k" * 32, b"two").bytes(16) != Keystream(b"k" * 32, b"one").bytes(16)
    assert np.array_equal(np.sort(a.permutation(1000)), np.arange(1000))
    draws = a.integers(60_000, 6)
    assert set(np.unique(draws)) == set(range(6))
    expected = 10_000
    chi2 = float(((np.bincount(draws) - expected) ** 2 / expected).sum())
    assert chi2 < 60  # p < 1e-11 for 5 degrees of freedom
    assert a.uniform(1000).min() >= 0
    with pytest.raises(CryptoError):
        Keystream(b"short", b"")


def test_the_operating_system_is_asked_each_time():
    rng = Rng()
    assert rng.bytes(32) != rng.bytes(32)
    with pytest.raises(CryptoError):
        rng.__reduce__()
    assert {rng.scalar_below(3) for _ in range(200)} == {0, 1, 2}
