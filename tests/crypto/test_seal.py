"""Noise KK against published vectors, and everything a relay may try."""

from __future__ import annotations

import json

import pytest
from shared import need

from parley.crypto import box, kem
from parley.crypto.errors import CryptoError
from parley.crypto.seal import KKHandshake, StaticKey


class Fixed(KKHandshake):
    """A handshake with the vector's ephemeral key; only a test has such a thing."""

    def __init__(self, ephemeral: bytes, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # passed through
        self._fixed = ephemeral

    def _new_ephemeral(self) -> StaticKey:
        return StaticKey.from_bytes(self._fixed)


def vectors() -> list[dict]:
    every = json.loads(need("vectors/noise/cacophony_25519.json").read_text())["vectors"]
    # IK, XX and KKpsk2 are in the file too and are not patterns of ours.
    names = ("Noise_KK_25519_ChaChaPoly_SHA256", "Noise_KK_25519_AESGCM_SHA256", "Noise_KKpsk0_25519_ChaChaPoly_SHA256")
    return [v for v in every if v["protocol_name"] in names]


def test_published_vectors():
    found = vectors()
    assert len(found) == 3
    for v in found:
        raw = {k: bytes.fromhex(x) for k, x in v.items() if isinstance(x, str) and k != "protocol_name"}
        cipher = v["protocol_name"].split("_")[3]
        i_static, r_static = StaticKey.from_bytes(raw["init_static"]), StaticKey.from_bytes(raw["resp_static"])
        psks = [bytes.fromhex(v[k][0]) if k in v else None for k in ("init_psks", "resp_psks")]
        assert (psks[0] is not None) == ("psk0" in v["protocol_name"])
        a = Fixed(raw["init_ephemeral"], True, i_static, r_static.public, raw["init_prologue"], cipher, psks[0])
        b = Fixed(raw["resp_ephemeral"], False, r_static, i_static.public, raw["resp_prologue"], cipher, psks[1])
        messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in v["messages"]]
        assert a.write(messages[0][0]) == messages[0][1]
        assert b.read(messages[0][1]) == messages[0][0]
        assert b.write(messages[1][0]) == messages[1][1]
        assert a.read(messages[1][1]) == messages[1][0]
        if "handshake_hash" in raw:
            assert a._h == raw["handshake_hash"]
        ends = (a.channel(), b.channel())
        for k, (payload, ciphertext) in enumerate(messages[2:]):
            # a chunk's flag is associated data of ours, so the bytes are compared one Noise layer below
            sender = ends[k % 2]._send
            assert sender.encrypt(b"", payload) == ciphertext


@pytest.fixture(params=["ChaChaPoly", "AESGCM"])
def ends(request):
    return pair(request.param)


def pair(
    cipher: str = "AESGCM",
    prologues: tuple[bytes, bytes] = (b"contract", b"contract"),
    stranger: bool = False,
    psks: tuple[bytes | None, bytes | None] = (None, None),
):
    i, r, other = StaticKey.generate(), StaticKey.generate(), StaticKey.generate()
    a = KKHandshake(True, i, r.public, prologues[0], cipher, psks[0])  # type: ignore[arg-type]  # a parameter
    known = (other if stranger else i).public
    b = KKHandshake(False, r, known, prologues[1], cipher, psks[1])  # type: ignore[arg-type]  # a parameter
    b.read(a.write())
    a.read(b.write())
    return a.channel(), b.channel()


def test_payloads_of_any_size_travel(ends):
    a, b = ends
    for size in (0, 1, 65_518, 65_519, 65_520, 1 << 20):
        assert b.open(a.seal(bytes(size))) == bytes(size)
        assert a.open(b.seal(b"x" * size, b"ad"), b"ad") == b"x" * size


@pytest.mark.parametrize("harm", ["flip", "drop", "replay", "truncate", "cut_at_chunk", "ad", "empty"])
def test_a_relay_changes_nothing(ends, harm):
    a, b = ends
    first = a.seal(b"y" * 70_000)
    bad, ad = first, b""
    if harm == "flip":
        bad = bytes([first[0] ^ 1]) + first[1:]
    elif harm == "drop":
        bad = a.seal(b"second")
    elif harm == "replay":
        b.open(first)
    elif harm == "truncate":
        bad = first[:-1]
    elif harm == "cut_at_chunk":
        bad = first[:65_535]
    elif harm == "ad":
        ad = b"other"
    else:
        bad = b""
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        b.open(bad, ad)
    with pytest.raises(CryptoError):
        b.open(a.seal(b"nothing opens after a failure"))


@pytest.mark.parametrize("kw", [{"prologues": (b"contract", b"other")}, {"stranger": True}])
def test_another_contract_or_another_key_ends_the_handshake(kw):
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        pair(**kw)


@pytest.mark.parametrize("psks", [(b"p" * 32, None), (None, b"p" * 32), (b"p" * 32, b"q" * 32)])
def test_a_secret_at_one_end_only_or_another_one_ends_the_handshake(psks):
    with pytest.raises(CryptoError, match="bad_ciphertext"):
        pair(psks=psks)


@pytest.mark.parametrize("cipher", ["ChaChaPoly", "AESGCM"])
def test_a_post_quantum_secret_is_mixed_in(cipher):
    key = kem.HybridKey()
    secret, message = kem.encapsulate(key.public, b"contract")
    a, b = pair(cipher, psks=(secret, key.decapsulate(message, b"contract")))
    assert b.open(a.seal(b"to b")) == b"to b"
    assert a.open(b.seal(b"to a")) == b"to a"
    for size in (0, 31, 33):
        with pytest.raises(CryptoError, match="bad_key"):
            pair(psks=(bytes(size), bytes(32)))


def test_handshakes_are_used_in_order_and_once():
    i, r = StaticKey.generate(), StaticKey.generate()
    a = KKHandshake(True, i, r.public, b"")
    with pytest.raises(CryptoError, match="bad_state"):
        a.read(bytes(48))
    with pytest.raises(CryptoError, match="bad_state"):
        a.channel()
    first = a.write()
    with pytest.raises(CryptoError, match="bad_state"):
        a.write()
    assert first != KKHandshake(True, i, r.public, b"").write()


def test_small_order_keys_are_refused():
    with pytest.raises(CryptoError, match="bad_key"):
        KKHandshake(True, StaticKey.generate(), bytes(32), b"").write()


def test_nothing_secret_is_shown_or_serialised(ends):
    key = StaticKey.generate()
    for thing in (key, ends[0], KKHandshake(True, key, key.public, b"")):
        assert key.to_bytes().hex() not in repr(thing)
        with pytest.raises(CryptoError, match="secret_key"):
            thing.__reduce__()


def test_boxes_open_for_their_reader_alone():
    reader, other = StaticKey.generate(), StaticKey.generate()
    sealed = box.seal_to(reader.public, b"result", b"contract")
    assert box.open_box(reader, sealed, b"contract") == b"result"
    assert sealed != box.seal_to(reader.public, b"result", b"contract")
    for key, blob, info in (
        (other, sealed, b"contract"),
        (reader, sealed, b"other"),
        (reader, sealed[:-1], b"contract"),
    ):
        with pytest.raises(CryptoError):
            box.open_box(key, blob, info)
