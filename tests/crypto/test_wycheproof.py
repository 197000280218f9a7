"""Wycheproof's vectors through our own doors. What has no door is named here with its reason, and counted."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.exceptions import InvalidSignature
from shared import need

from parley.crypto import prg, seal
from parley.crypto.ahe import paillier
from parley.crypto.errors import CryptoError
from parley.crypto.seal import CipherState, StaticKey
from parley.crypto.sign import VerifyKey

THROUGH_A_DOOR = {
    "x25519": "seal.StaticKey",
    "aes_gcm": "seal.CipherState",
    "chacha20_poly1305": "seal.CipherState",
    "hkdf_sha256": "prg.derive, seal's key schedule",
    "hmac_sha256": "seal's key schedule",
    "ed25519": "sign.VerifyKey",
    "primality": "paillier.probably_prime",
}
NO_DOOR = {
    "ecdh_secp256r1_ecpoint": "no key agreement of ours is on P-256",
    "rsa_oaep_2048_sha256_mgf1sha256": "nothing of ours is encrypted with RSA",
}


def cases(name: str) -> list[tuple[dict, dict]]:
    data = json.loads(need(f"vectors/wycheproof/{name}_test.json").read_text())
    found = [(group, test) for group in data["testGroups"] for test in group["tests"]]
    assert len(found) == data["numberOfTests"]
    return found


def test_no_file_is_left_out():
    there = {p.name.removesuffix("_test.json") for p in need("vectors/wycheproof").glob("*.json")}
    assert there == THROUGH_A_DOOR.keys() | NO_DOOR.keys()


def test_what_has_no_door_is_not_used():
    root = need(seal.__file__).parent
    for path in root.rglob("*.py"):
        text = path.read_text()
        assert "asymmetric.rsa" not in text
        assert "asymmetric.ec" not in text
        assert "import rsa" not in text


def test_x25519():
    """Points of small order are refused, every other public value, on the twist or not canonical, is multiplied."""
    refused = 0
    for _, test in cases("x25519"):
        public, shared = bytes.fromhex(test["public"]), bytes.fromhex(test["shared"])
        key = StaticKey.from_bytes(bytes.fromhex(test["private"]))
        if any(shared):
            assert key.exchange(public) == shared, test["tcId"]
        else:
            assert test["result"] == "acceptable"
            refused += 1
            with pytest.raises(CryptoError, match="bad_key"):
                key.exchange(public)
    assert refused >= 10


class At(CipherState):
    """A cipher state whose next nonce is the vector's; only a test has such a thing."""

    def __init__(self, key: bytes, cipher: seal.Cipher, nonce: bytes) -> None:
        super().__init__(key, cipher)
        self._nonce = nonce

    def _next(self):
        return super()._next()[0], self._nonce


@pytest.mark.parametrize(
    ("name", "cipher", "foreign_keys", "foreign_nonces"),
    [("aes_gcm", "AESGCM", 211, 39), ("chacha20_poly1305", "ChaChaPoly", 0, 9)],
)
def test_aeads(name, cipher, foreign_keys, foreign_nonces):
    """Keys of 128 and 192 bits are refused; nonces of other than 96 bits cannot be said (counted here)."""
    other_keys = other_nonces = invalid = 0
    for group, test in cases(name):
        raw = {k: bytes.fromhex(test[k]) for k in ("key", "iv", "aad", "msg", "ct", "tag")}
        if group["keySize"] != 256:
            other_keys += 1
            with pytest.raises(CryptoError, match="bad_key"):
                CipherState(raw["key"], cipher)
        elif group["ivSize"] != 96:
            other_nonces += 1
        elif test["result"] == "valid":
            sealed = At(raw["key"], cipher, raw["iv"]).encrypt(raw["aad"], raw["msg"])
            assert sealed == raw["ct"] + raw["tag"], test["tcId"]
            assert At(raw["key"], cipher, raw["iv"]).decrypt(raw["aad"], sealed) == raw["msg"]
        else:
            invalid += 1
            state = At(raw["key"], cipher, raw["iv"])
            for attempt in (raw["ct"] + raw["tag"], raw["ct"] + raw["tag"]):
                with pytest.raises(CryptoError, match="bad_ciphertext"):
                    state.decrypt(raw["aad"], attempt)
    assert (other_keys, other_nonces) == (foreign_keys, foreign_nonces)
    assert invalid >= 20


def test_hkdf():
    too_long = bare = 0
    for _, test in cases("hkdf_sha256"):
        ikm, salt, info = (bytes.fromhex(test[k]) for k in ("ikm", "salt", "info"))
        if test["result"] == "invalid":
            too_long += 1
            with pytest.raises(CryptoError, match="bad_range"):
                prg.derive(ikm, info, test["size"], salt)
            continue
        okm = bytes.fromhex(test["okm"])
        assert prg.derive(ikm, info, test["size"], salt) == okm, test["tcId"]
        if not info:
            bare += 1
            assert b"".join(seal._hkdf3(salt or bytes(32), ikm))[: len(okm)] == okm[:96]
            assert b"".join(seal._hkdf2(salt or bytes(32), ikm))[: len(okm)] == okm[:64]
    assert too_long >= 1
    assert bare >= 5


def by_definition(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 of RFC 2104 for keys of at most a block."""
    block = key.ljust(64, b"\x00")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()


def test_hmac():
    """The key schedule's first secret is the vector's tag; a shortened tag is compared with the same call's start."""
    for group, test in cases("hmac_sha256"):
        key, message, tag = (bytes.fromhex(test[k]) for k in ("key", "msg", "tag"))
        good = test["result"] == "valid"
        if group["tagSize"] == 256:
            assert (seal._hkdf2(key, message)[0] == by_definition(tag, b"\x01")) == good, test["tcId"]
        assert (hmac.digest(key, message, "sha256")[: len(tag)] == tag) == good, test["tcId"]


def test_ed25519():
    """Keys are read by our door; a signature is over a framed message there, so the vector's goes one layer below."""
    for group, test in cases("ed25519"):
        key = VerifyKey.from_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
        try:
            key._key.verify(signature, message)
            good = True
        except InvalidSignature:
            good = False
        assert good == (test["result"] == "valid"), test["tcId"]
        with pytest.raises(CryptoError, match="bad_signature"):
            key.verify(signature, message, "wycheproof")


def test_primality():
    """Signed numbers: what is negative is no prime to us, which the vectors leave open."""
    tried = dict.fromkeys(("valid", "invalid", "acceptable"), 0)
    for _, test in cases("primality"):
        raw = bytes.fromhex(test["value"])
        value = int.from_bytes(raw, "big", signed=True)
        tried[test["result"]] += 1
        if test["result"] == "acceptable":
            assert value < 0
        assert paillier.probably_prime(value) == (test["result"] == "valid"), test["tcId"]
        if value.bit_length() in paillier.SIZES:
            with pytest.raises(CryptoError, match="bad_key"):
                prime_as_a_modulus(value)
    assert min(tried.values()) > 0


def prime_as_a_modulus(value: int) -> None:
    paillier.PaillierPublicKey.decode(paillier.MAGIC + value.to_bytes(value.bit_length() // 8, "big"))


def test_a_prime_is_no_modulus():
    """The check of a peer's key at the size it has: a prime, a prime's square, and a product that is fine."""
    p, q = paillier._prime(1024), paillier._prime(1024)
    for bad in (paillier._prime(2048), p * p):
        with pytest.raises(CryptoError, match="bad_key"):
            prime_as_a_modulus(bad)
    prime_as_a_modulus(p * q)
