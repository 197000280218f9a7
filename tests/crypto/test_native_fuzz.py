"""Every native parser on random and mutated bytes: a result that is right, or one CryptoError; never a crash.

Runs with the ordinary module in the fast tier and again under the sanitizers (`make test-sanitize`), where a read or
write past a buffer ends the process.
"""

from __future__ import annotations

import numpy as np
import pytest
import rbcl

from parley.crypto import _native, curve
from parley.crypto.ahe import Layout, decode_public, generate
from parley.crypto.ahe.paillier import MAGIC
from parley.crypto.curve import ORDER, Ids
from parley.crypto.errors import CryptoError
from parley.crypto.threads import limited

RNG = np.random.default_rng(2024)
LAYOUT = Layout(channels=2, bound=1 << 30, max_rows=5_000)
NOTHING = np.zeros(0, np.uint8)


def mutated(raw: bytes) -> bytes:
    """One of: bits flipped, bytes overwritten, cut, extended, two places swapped, all random."""
    out = bytearray(raw)
    kind = RNG.integers(6)
    if kind == 0 and out:
        for at in RNG.integers(0, len(out), RNG.integers(1, 4)):
            out[at] ^= 1 << int(RNG.integers(8))
    elif kind == 1 and out:
        at = int(RNG.integers(len(out)))
        out[at : at + 8] = bytes([0xFF if RNG.integers(2) else 0] * len(out[at : at + 8]))
    elif kind == 2:
        out = out[: int(RNG.integers(len(out) + 1))]
    elif kind == 3:
        out += RNG.integers(0, 256, int(RNG.integers(1, 40)), dtype=np.uint8).tobytes()
    elif kind == 4 and len(out) > 1:
        a, b = RNG.integers(0, len(out), 2)
        out[a], out[b] = out[b], out[a]
    else:
        out = bytearray(RNG.integers(0, 256, len(out), dtype=np.uint8).tobytes())
    return bytes(out)


def refused(call) -> bool:
    """Whether it ended in the room's one exception; any other exception fails the test."""
    try:
        call()
    except CryptoError:
        return True
    return False


@pytest.fixture(params=["own", "baseline"], autouse=True)
def kernel(request, monkeypatch):
    monkeypatch.delenv("PARLEY_CPU", raising=False)
    if request.param == "baseline":
        monkeypatch.setenv("PARLEY_CPU", "baseline")


def test_points_of_any_bytes_and_any_count():
    valid = curve.hash_to_group(Ids.from_list([b"%d" % i for i in range(64)]), b"t")
    outcomes = set()
    for n in (0, 1, 2, 15, 16, 17, 31, 33, 255, 257):
        rows = RNG.integers(0, 256, (n, 32), dtype=np.uint8)
        rows[::2] = valid[RNG.integers(0, 64, len(rows[::2]))]
        for i in range(0, n, 4):
            rows[i] = np.frombuffer(mutated(rows[i].tobytes()).ljust(32, b"\0")[:32], np.uint8)
        ok = _native.ristretto_check(rows, 2)
        theirs = [rbcl.crypto_core_ristretto255_is_valid_point(r.tobytes()) for r in rows]
        strict = [bool(t) and r[31] < 128 and r.any() for t, r in zip(theirs, rows, strict=True)]
        assert ok[:, 0].tolist() == [int(x) for x in strict]
        outcomes.add(refused(lambda rows=rows: curve.multiply(rows, curve.random_scalar())))
    assert outcomes == {True, False}


def test_points_of_a_wrong_shape_type_or_layout():
    for bad in (
        np.zeros((3, 31), np.uint8),
        np.zeros(32, np.uint8),
        np.zeros((2, 2, 32), np.uint8),
        np.zeros((3, 32), np.int8),
        np.zeros((3, 32), np.uint16),
    ):
        assert refused(lambda bad=bad: curve.check(bad))
    spaced = np.repeat(curve.hash_to_group(Ids.from_list([b"a", b"b", b"c"]), b"t"), 2, axis=1)[:, ::2]
    curve.check(spaced)


def test_scalars_of_any_bytes():
    p = curve.hash_to_group(Ids.from_list([b"a"]), b"t")
    kept = 0
    for _ in range(400):
        raw = mutated(curve.random_scalar())
        good = len(raw) == 32 and 0 < int.from_bytes(raw, "little") < ORDER
        assert refused(lambda raw=raw: curve.multiply(p, raw)) != good
        kept += good
    assert 50 < kept < 350
    for size in (1, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            _native.ristretto_multiply(p, np.zeros(size, np.uint8), 1)


def test_ids_whose_offsets_lie():
    data = np.zeros(10, np.uint8)
    tag = np.frombuffer(b"t", np.uint8)
    for offsets in ([0, 11], [-1, 5], [0, 6, 5], [9, 2], [0, 2**62], []):
        with pytest.raises(ValueError, match=r"offsets|packed"):
            _native.ristretto_hash(data, np.array(offsets, np.int64), tag, NOTHING, 1)
    ids = [RNG.integers(0, 256, int(n), dtype=np.uint8).tobytes() for n in RNG.integers(0, 300, 120)]
    assert len(curve.hash_to_group(Ids.from_list(ids), b"t" * 300)) == 120


@pytest.fixture(scope="module")
def paillier():
    with limited(1):
        key = generate("paillier", 2048)
        return key, key.public, key.encrypt(np.arange(8).reshape(4, 2), LAYOUT)


def test_paillier_keys_of_any_bytes(paillier):
    raw = paillier[1].encode()
    assert decode_public(raw).encode() == raw
    kept = sum(not refused(lambda: decode_public(mutated(raw))) for _ in range(40))
    assert kept <= 12  # a changed modulus is accepted only where no stated check can tell
    for short in (b"", MAGIC, MAGIC + b"\0" * 256, raw[:-1], raw + b"\0"):
        assert refused(lambda short=short: decode_public(short))


def test_paillier_ciphertexts_of_any_bytes(paillier):
    key, public, raw = paillier
    for _ in range(25):
        blob = mutated(raw.tobytes())
        whole = len(blob) // public.size
        rows = np.frombuffer(blob[: whole * public.size], np.uint8).reshape(whole, public.size)
        if len(blob) % public.size:
            flat = np.frombuffer(blob, np.uint8).reshape(1, -1)
            assert refused(lambda flat=flat: public.ciphertexts(flat, len(flat)))
        if not refused(lambda rows=rows: public.ciphertexts(rows, len(rows))) and whole:
            ct = public.ciphertexts(rows, len(rows))
            sums = public.histogram(ct, np.zeros((whole, 1), np.uint16), np.ones(1, np.uint32), None)
            answer = public.release(sums, LAYOUT)
            refused(lambda answer=answer: key.decrypt(key.response(answer.raw, answer.count, LAYOUT), LAYOUT))


def test_native_indices_out_of_range_are_refused(paillier):
    _, public, raw = paillier
    ct = public.ciphertexts(raw, len(raw)).inner
    rows = np.arange(4, dtype=np.int64)
    for bins, chosen in (
        (np.full((4, 1), 3, np.uint16), rows),
        (np.zeros((4, 1), np.uint16), rows + 1),
        (np.zeros((4, 1), np.uint16), rows - 1),
        (np.zeros((3, 1), np.uint16), rows[:3]),
    ):
        with pytest.raises(ValueError, match=r"range|bins"):
            public.field.histogram(ct, bins, chosen, 3, 1)
