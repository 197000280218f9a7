"""Oblivious transfer: what each side gets, what it does not, and what is refused."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest

from parley.crypto import curve
from parley.crypto.errors import CryptoError
from parley.crypto.ot import extension as ext
from parley.crypto.ot.base import BaseChooser, BaseSender

CONTEXT = bytes(range(32))


def bits(n: int) -> np.ndarray:
    return np.frombuffer(os.urandom(n), np.uint8) & np.uint8(1)


def base(choices: np.ndarray, context: bytes = CONTEXT) -> tuple[np.ndarray, np.ndarray]:
    sender, chooser = BaseSender(len(choices), CONTEXT), BaseChooser(choices, context)
    replies, keys = chooser.reply(sender.offer)
    return sender.keys(replies), keys


def extended(context: bytes = CONTEXT) -> tuple[ext.ExtensionSender, ext.ExtensionReceiver, np.ndarray]:
    delta = np.frombuffer(os.urandom(16), np.uint64).copy()
    pairs, keys = base(ext.bits_of(delta))
    return ext.ExtensionSender(delta, keys, context), ext.ExtensionReceiver(pairs, context), delta


def test_the_chooser_gets_the_chosen_key_of_each_pair_and_not_the_other():
    choices = bits(24)
    pairs, keys = base(choices)
    at = np.arange(24)
    assert np.array_equal(pairs[at, choices], keys)
    assert not np.any(np.all(pairs[at, 1 - choices] == keys, axis=1))
    assert len({k.tobytes() for k in pairs.reshape(-1, 16)}) == 48


def test_another_context_gives_other_keys():
    choices = bits(4)
    pairs, keys = base(choices, bytes(32))
    assert not np.any(np.all(pairs[np.arange(4), choices] == keys, axis=1))


def test_replies_say_nothing_of_the_choices_where_the_blinding_is_fresh():
    """With one scalar for all replies, which is the planted mistake, equal choices show as equal replies."""
    choices = np.array([0, 1] * 8, np.uint8)

    class Stuck(curve.Rng):
        def bytes(self, n):
            return b"\x07" * n

    offer = BaseSender(16, CONTEXT).offer
    fresh, _ = BaseChooser(choices, CONTEXT).reply(offer)
    stuck, _ = BaseChooser(choices, CONTEXT, Stuck()).reply(offer)
    assert len({r.tobytes() for r in fresh}) == 16
    assert len({r.tobytes() for r in stuck}) == 2


def test_points_that_are_not_elements_are_refused():
    sender = BaseSender(2, CONTEXT)
    good, _ = BaseChooser(bits(2), CONTEXT).reply(sender.offer)
    for bad in (bytes(32), b"\xff" * 32, sender.offer):
        replies = good.copy()
        replies[1] = np.frombuffer(bad, np.uint8)
        with pytest.raises(CryptoError) as e:
            BaseSender.keys(sender, replies)
        assert (e.value.code, e.value.index) == ("bad_point", 1)
    for bad in (bytes(32), b"\xff" * 32):
        with pytest.raises(CryptoError) as e:
            BaseChooser(bits(2), CONTEXT).reply(bad)
        assert e.value.code == "bad_point"


def test_shapes_are_checked_and_objects_serve_once():
    sender = BaseSender(2, CONTEXT)
    chooser = BaseChooser(bits(2), CONTEXT)
    with pytest.raises(CryptoError, match="bad_shape"):
        sender.keys(np.zeros((3, 32), np.uint8))
    replies, _ = chooser.reply(sender.offer)
    sender.keys(replies)
    for again in (lambda: sender.keys(replies), lambda: chooser.reply(sender.offer)):
        with pytest.raises(CryptoError, match="closed"):
            again()
    for wrong in (np.array([2], np.uint8), np.zeros(0, np.uint8), np.zeros(3, np.int64)):
        with pytest.raises(CryptoError, match="bad_range"):
            BaseChooser(wrong, CONTEXT)
    with pytest.raises(CryptoError, match="bad_context"):
        BaseSender(1, b"short")


def test_sum_and_difference_of_points_agree_with_multiplication():
    g = curve.multiply(curve.hash_to_group(curve.Ids.from_list([b"p"]), b"t"), (1).to_bytes(32, "little"))
    two, three = (curve.multiply(g, k.to_bytes(32, "little")) for k in (2, 3))
    assert np.array_equal(curve.add(two, g), three)
    assert np.array_equal(curve.subtract(three, g), two)
    assert np.array_equal(curve.add(g, g), two)
    with pytest.raises(CryptoError) as e:
        curve.subtract(np.concatenate([two, g]), g)
    assert (e.value.code, e.value.index) == ("bad_point", 1)
    with pytest.raises(CryptoError, match="bad_shape"):
        curve.add(np.concatenate([g, two]), np.zeros((3, 32), np.uint8))


@pytest.mark.parametrize("n", [1, 63, 64, 65, 500])
def test_correlated_rows_differ_by_delta_where_one_was_chosen(n):
    sender, receiver, delta = extended()
    choices = bits(n)
    for _ in range(2):  # an extension again takes fresh rows
        corrections, rows = receiver.correlated(choices)
        assert corrections.shape == (128, ext.words_for(n))
        q = sender.correlated(corrections, n)
        assert np.array_equal(rows ^ q, choices[:, None] * delta.view(np.uint8))
    other, _ = receiver.correlated(choices)
    assert not np.array_equal(other, corrections)


def test_random_transfers_give_one_pad_of_each_pair():
    sender, receiver, _ = extended()
    seen = set()
    for n in (100, 1, 130):
        choices = bits(n)
        corrections, pads = receiver.random(choices)
        pairs = sender.random(corrections, n)
        assert np.array_equal(pairs[np.arange(n), choices], pads)
        seen |= {p.tobytes() for p in pairs.reshape(-1, 16)}
    assert len(seen) == 2 * 231


def test_chosen_transfers_carry_messages():
    sender, receiver, _ = extended()
    choices, messages = bits(70), np.frombuffer(os.urandom(70 * 32), np.uint8).reshape(70, 2, 16)
    corrections, pads = receiver.random(choices)
    masked = ext.mask(sender.random(corrections, 70), messages)
    assert np.array_equal(ext.unmask(pads, choices, masked), messages[np.arange(70), choices])
    with pytest.raises(CryptoError, match="bad_shape"):
        ext.mask(pads, messages)
    with pytest.raises(CryptoError, match="bad_range"):
        ext.unmask(pads, choices + np.uint8(2), masked)


def test_pads_are_bound_to_context():
    sender, receiver, _ = extended()
    sender._salt = ext.ExtensionSender(sender._delta, sender._keys, bytes(32))._salt
    corrections, pads = receiver.random(bits(8))
    pairs = sender.random(corrections, 8)
    assert not set(map(bytes, pads)) & {p.tobytes() for p in pairs.reshape(-1, 16)}


def test_corrections_hide_the_choices_unless_a_stretch_of_keystream_is_used_twice():
    """Two extensions over one stretch, the planted mistake, show which choices differ."""
    _, receiver, _ = extended()
    one, other = bits(640), bits(640)
    first, _ = receiver.correlated(one)
    kept = receiver._block
    second, _ = receiver.correlated(other)
    receiver._block = 0
    again, _ = receiver.correlated(other)
    assert kept > 0
    differ = np.packbits(one ^ other, bitorder="little").view(np.uint64)
    assert np.array_equal(first ^ again, np.broadcast_to(differ, first.shape))
    assert not np.any((first ^ second) == differ)


def test_extension_refuses_wrong_shapes():
    sender, receiver, delta = extended()
    corrections, _ = receiver.correlated(bits(64))
    with pytest.raises(CryptoError, match="bad_shape"):
        sender.correlated(corrections, 65)
    with pytest.raises(CryptoError, match="bad_range"):
        receiver.correlated(np.full(3, 2, np.uint8))
    with pytest.raises(CryptoError, match="bad_shape"):
        ext.ExtensionSender(delta, np.zeros((127, 16), np.uint8), CONTEXT)
    with pytest.raises(CryptoError, match="bad_shape"):
        ext.ExtensionReceiver(np.zeros((128, 16), np.uint8), CONTEXT)


def test_closed_objects_hold_nothing_and_none_is_serialised():
    sender, receiver, _ = extended()
    for handle in (sender, receiver, BaseSender(1, CONTEXT), BaseChooser(bits(1), CONTEXT)):
        assert "secret" in repr(handle)
        for attempt in (copy.copy, copy.deepcopy):
            with pytest.raises(CryptoError, match="secret_key"):
                attempt(handle)
    secrets = [*sender._secrets, *receiver._secrets]
    assert all(s.any() for s in secrets)
    with sender, receiver:
        pass
    assert not any(s.any() for s in secrets)
    with pytest.raises(CryptoError, match="closed"):
        receiver.correlated(bits(1))
