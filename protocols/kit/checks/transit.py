"""Sealed messages changed on their way: what a relay or whoever holds the wire could try.

Every channel here is in the state in which a handshake leaves it, with keys drawn for it; the handshake itself is
changed by `handshakes`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

from parley.crypto.errors import CryptoError
from parley.crypto.seal import Channel, CipherState, KKHandshake, StaticKey
from parley.protocols.kit.checks.dice import Dice
from parley.protocols.kit.checks.mutants import flipped

WINDOW = 3  # messages sealed one after the other on each channel
Sealed = list[bytes]
Attack = Callable[[Sealed, int, bytes, Dice], Sealed]


def _at(sealed: Sealed, at: int, changed: bytes) -> Sealed:
    return [*sealed[:at], changed, *sealed[at + 1 :]]


def _swapped(sealed: Sealed, at: int, foreign: bytes, dice: Dice) -> Sealed:
    other = (at + 1) % len(sealed)
    out = list(sealed)
    out[at], out[other] = out[other], out[at]
    return out


ATTACKS: dict[str, Attack] = {
    "flipped": lambda s, at, foreign, dice: _at(s, at, _turned(s[at], dice)),
    "truncated": lambda s, at, foreign, dice: _at(s, at, s[at][: dice.below(len(s[at]))]),
    "extended": lambda s, at, foreign, dice: _at(s, at, s[at] + dice.bytes(1 + dice.below(40))),
    "noise": lambda s, at, foreign, dice: _at(s, at, dice.bytes(len(s[at]))),
    "replayed": lambda s, at, foreign, dice: [*s[: at + 1], s[dice.below(at + 1)], *s[at + 1 :]],
    "dropped": lambda s, at, foreign, dice: [*s[:at], *s[at + 1 :], b""],
    "swapped": _swapped,
    "from another channel": lambda s, at, foreign, dice: _at(s, at, foreign),
    "joined": lambda s, at, foreign, dice: [*s[:at], b"".join(s[at:]), b""],
}


def _turned(raw: bytes, dice: Dice) -> bytes:
    out = flipped(raw, dice)
    return out if out != raw else raw[:-1] + bytes([raw[-1] ^ 1])


def fresh() -> tuple[Channel, Channel]:
    """Both ends of a channel with keys of its own."""
    keys = os.urandom(32), os.urandom(32)
    ends = [[CipherState(k, "ChaChaPoly") for k in keys] for _ in range(2)]
    return Channel(ends[0][0], ends[0][1], b""), Channel(ends[1][1], ends[1][0], b"")


def attacked(messages: Sequence[bytes], count: int, dice: Dice) -> Counter[tuple[str, bool]]:
    """(attack, refused) of `count` attacked channels, each with a few of the messages.

    Refused means: everything before the change opened to what was sealed, and nothing from it on opened at all.
    """
    out: Counter[tuple[str, bool]] = Counter()
    names = list(ATTACKS)
    for k in range(count):
        name = names[k % len(names)]
        plain = [messages[dice.below(len(messages))] for _ in range(WINDOW)]
        (here, there), (stranger, _) = fresh(), fresh()
        sealed = [here.seal(m) for m in plain]
        at = dice.below(WINDOW)
        moved = ATTACKS[name](list(sealed), at, stranger.seal(plain[at]), dice)
        out[name, _refused(there, sealed, moved, plain)] += 1
    return out


def _refused(end: Channel, sealed: Sealed, moved: Sealed, plain: list[bytes]) -> bool:
    same = [a == b for a, b in zip(moved, sealed, strict=False)]
    first = [*same, False].index(False)
    if [end.open(raw) for raw in moved[:first]] != plain[:first]:
        return False
    return not any(_opens(end, raw) for raw in [*moved[first:], *sealed])


def _opens(end: Channel, raw: bytes) -> bool:
    try:
        end.open(raw)
    except CryptoError:
        return False
    return True


def handshakes(count: int, dice: Dice) -> Counter[tuple[str, bool]]:
    """(which message, refused) of handshakes of which one message was changed."""
    a, b = StaticKey.generate(), StaticKey.generate()
    out: Counter[tuple[str, bool]] = Counter()
    for k in range(count):
        which = ("first", "second")[k % 2]
        here, there = KKHandshake(True, a, b.public, b"contract"), KKHandshake(False, b, a.public, b"contract")
        try:
            first = here.write(b"hello")
            there.read(_changed(first, dice) if which == "first" else first)
            here.read(_changed(there.write(b"hello"), dice))
            out[which, False] += 1
        except CryptoError:
            out[which, True] += 1
    return out


def _changed(raw: bytes, dice: Dice) -> bytes:
    how = dice.below(3)
    if how == 0:
        # The top bit of an X25519 public key is masked by the curve, but not by the transcript's hash.
        return _turned(raw, dice)
    return raw[: dice.below(len(raw))] if how == 1 else raw + dice.bytes(1)
