"""Whatever bytes arrive, the readers answer with a CryptoError or a well-formed message."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticeKey, LatticePeer, make_plan
from parley.crypto.errors import CryptoError

PLAN = make_plan(Layout(1, 100, 300), 1 << 14, x=32)
KEY = LatticeKey(PLAN, b"run")
PEER = LatticePeer(KEY.encode(), PLAN, b"run")
BATCH = KEY.encrypt(np.full((200, 1), 100))
COUNTS = np.array([40], np.uint32)
REPLY = PEER.release(
    PEER.histogram(PEER.receive(KEY.encrypt(np.zeros((200, 1), np.int64))), np.zeros((200, 1), np.uint8), COUNTS)
)

edits = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6)
ends = st.one_of(st.none(), st.integers(0, 1 << 20))
numbers = st.one_of(st.integers(0, 1 << 64), st.integers(0, 400)).map(lambda v: v % (1 << 64))


def edited(raw: np.ndarray, changes: list[tuple[int, int]], end: int | None) -> np.ndarray:
    out = raw.copy()
    for at, value in changes:
        out[at % len(out)] = value
    return out if end is None else out[: end % len(out)]


def outcome(work):
    """What it gives, or the code of its refusal."""
    try:
        return work()
    except CryptoError as error:
        return error.code


@settings(max_examples=60, deadline=None)
@given(edits, ends, numbers, numbers)
def test_batches(changes, end, number, rows):
    raw = edited(BATCH, changes, end)
    if len(raw) >= 120:
        raw[104:120] = np.frombuffer(struct.pack("<QQ", number, rows), np.uint8)
    batch = outcome(lambda: PEER.receive(raw))
    if isinstance(batch, str):
        assert batch in ("bad_ciphertext", "replayed")
        return
    assert len(batch) <= 300
    sums = outcome(lambda: PEER.histogram(batch, np.zeros((len(batch), 1), np.uint8), COUNTS))
    assert sums == "bad_ciphertext" or len(sums) == 40


@settings(max_examples=60, deadline=None)
@given(edits, ends, numbers, numbers)
def test_replies(changes, end, number, sums):
    raw = edited(REPLY, changes, end)
    if len(raw) >= 88 and sums % 2:
        raw[72:88] = np.frombuffer(struct.pack("<QQ", number, sums), np.uint8)
    found = outcome(lambda: KEY.decrypt(raw))
    if isinstance(found, str):
        assert found == "bad_ciphertext"
    else:
        assert found.shape[1] == 1
        assert np.abs(found).max(initial=0) <= 200 * 100


@settings(max_examples=25, deadline=None)
@given(edits, ends)
def test_keys(changes, end):
    raw = edited(np.frombuffer(KEY.encode(), np.uint8), changes, end).tobytes()
    got = outcome(lambda: LatticePeer(raw, PLAN, b"run"))
    assert got == "bad_key" or isinstance(got, LatticePeer)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_noise(raw):
    data = np.frombuffer(raw, np.uint8)
    for read, code in ((PEER.receive, "bad_ciphertext"), (KEY.decrypt, "bad_ciphertext")):
        with pytest.raises(CryptoError, match=code):
            read(data)
    with pytest.raises(CryptoError, match="bad_key"):
        LatticePeer(raw, PLAN, b"run")
