"""Scratch blocks: what was written comes back, nothing of it lies in the file in clear, and changes are refused."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from parley.crypto.errors import CryptoError
from parley.crypto.scratch import TAG, Scratch


@pytest.fixture
def fd(tmp_path):
    held = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    yield held
    os.close(held)


def text(k, size=1000):
    return np.full(size, k, np.uint8)


def test_blocks_come_back_in_any_order_and_from_any_thread(fd):
    scratch = Scratch(fd)
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda k: scratch.put(text(k, 100 + k)), range(200)))
        assert sorted(numbers) == list(range(200))
        back = list(pool.map(scratch.get, reversed(numbers)))
    for k, found in zip(reversed(range(200)), back, strict=True):
        assert np.array_equal(found, text(k, 100 + k))


def test_the_file_holds_no_clear_byte_and_two_files_have_two_keys(fd, tmp_path):
    scratch = Scratch(fd)
    scratch.put(text(65))
    raw = os.pread(fd, 2000, 0)
    assert len(raw) == 1000 + TAG
    assert b"AAAA" not in raw
    other = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    Scratch(other).put(text(65))
    assert os.pread(other, 2000, 0) != raw
    os.close(other)


def test_a_changed_moved_or_lost_block_is_refused(fd):
    scratch = Scratch(fd)
    one, two = scratch.put(text(1)), scratch.put(text(2))
    raw = os.pread(fd, 1 << 20, 0)
    half = 1000 + TAG
    for bad in (raw[half:] + raw[:half], bytes([raw[0] ^ 1]) + raw[1:]):
        os.pwrite(fd, bad, 0)
        with pytest.raises(CryptoError) as caught:
            scratch.get(one)
        assert caught.value.code == "bad_block"
    os.pwrite(fd, raw, 0)
    assert np.array_equal(scratch.get(two), text(2))
    os.ftruncate(fd, half + 10)
    with pytest.raises(CryptoError):
        scratch.get(two)


def test_forgotten_space_is_used_again_under_new_numbers(fd):
    scratch = Scratch(fd)
    kept, gone = scratch.put(text(1)), scratch.put(text(2))
    before = os.pread(fd, 1 << 20, 1000 + TAG)
    scratch.forget(gone)
    assert os.fstat(fd).st_size == 1000 + TAG
    with pytest.raises(CryptoError):
        scratch.get(gone)
    again = scratch.put(text(2))
    assert again > gone
    # The same bytes at the same place, under another nonce.
    assert os.pread(fd, 1 << 20, 1000 + TAG) != before
    assert np.array_equal(scratch.get(kept), text(1))
    assert np.array_equal(scratch.get(again), text(2))


def test_what_is_no_block_and_what_is_no_file_is_refused(fd):
    scratch = Scratch(fd)
    for bad in (np.zeros(3), np.zeros((2, 2), np.uint8)):
        with pytest.raises(CryptoError):
            scratch.put(bad)
    with pytest.raises(CryptoError):
        pickle.dumps(scratch)
    assert "blocks" in repr(scratch)
