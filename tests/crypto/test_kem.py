"""The hybrid secret: against HPKE written out step by step, and everything that must not open."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from parley.crypto import kem
from parley.crypto.errors import CryptoError
from parley.crypto.prg import derive

_spec = importlib.util.spec_from_file_location(
    "hpke_oracle", Path(__file__).resolve().parents[1] / "oracles" / "hpke_oracle.py"
)
assert _spec
assert _spec.loader
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)


def known() -> tuple[kem.HybridKey, MLKEM768PrivateKey, X25519PrivateKey]:
    """A key whose halves the test holds."""
    lattice, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    key = kem.HybridKey()
    key._key = hpke.MLKEM768X25519PrivateKey(lattice, curve)
    key.public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return key, lattice, curve


def test_the_construction_is_the_published_one():
    key, lattice, curve = known()
    secret, message = kem.encapsulate(key.public, b"context")
    assert (len(key.public), len(message)) == (kem.PUBLIC_SIZE, kem.MESSAGE_SIZE)
    seed = oracle.opened(lattice, curve, message, b"parley.kem/1\x00context")
    assert secret == derive(seed, b"parley.kem/1\x00context", 32, salt=key.public + message)


def test_both_ends_agree_and_each_time_anew():
    key = kem.HybridKey()
    first, second = (kem.encapsulate(key.public, b"c") for _ in range(2))
    assert key.decapsulate(first[1], b"c") == first[0]
    assert key.decapsulate(second[1], b"c") == second[0]
    assert first[0] != second[0]


@pytest.mark.parametrize("at", [0, 500, 1087, 1088, 1100, 1120, 1150, 1167])
def test_a_changed_message_does_not_open(at):
    """One place in each part: the lattice's, the curve's, the sealed seed, its tag."""
    key = kem.HybridKey()
    _, message = kem.encapsulate(key.public, b"c")
    bad = bytearray(message)
    bad[at] ^= 1
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        key.decapsulate(bytes(bad), b"c")


def test_another_key_context_or_size_does_not_open():
    key = kem.HybridKey()
    _, message = kem.encapsulate(key.public, b"c")
    for who, what, context in (
        (kem.HybridKey(), message, b"c"),
        (key, message, b"d"),
        (key, message[:-1], b"c"),
        (key, message + b"\x00", b"c"),
        (key, b"", b"c"),
    ):
        with pytest.raises(CryptoError, match="bad_ciphertext"):
            who.decapsulate(what, context)


def test_bad_public_keys_are_refused():
    key = kem.HybridKey()
    for bad in (b"", key.public[:-1], b"\xff" * 1184 + key.public[1184:], key.public[:1184] + bytes(32)):
        with pytest.raises(CryptoError, match="bad_key"):
            kem.encapsulate(bad, b"c")


def test_the_key_is_not_shown_or_serialised():
    key = kem.HybridKey()
    assert repr(key) == "HybridKey(secret)"
    with pytest.raises(CryptoError, match="secret_key"):
        key.__reduce__()
