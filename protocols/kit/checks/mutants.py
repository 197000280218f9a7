"""Changed messages: how an envelope, its address, its fields and their values can be wrong before they are sealed.

Each way has a name. Some leave a message that is well formed and says something else, as those of `VALUES` mean to;
those of `NEVER_ACCEPTED` break the form of whatever they are applied to.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from parley.protocols.kit.checks.dice import Dice
from parley.wire.codec import DTYPES
from parley.wire.envelope import Envelope
from parley.wire.pb import parley_pb2 as pb

Change = Callable[[pb.Envelope, pb.ValueMap, Dice], None]  # in place; an emptied map means "keep the body"
HUGE = (1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
EXTREMES = (-1, 0, 1, 2, 255, 65_535, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))
TEXTS = ("", "x", "ok", "empty", "below_floor", "\0", "é" * 300, "a" * 10_000)


def flipped(raw: bytes, dice: Dice) -> bytes:
    """One to three bits turned."""
    out = bytearray(raw)
    for _ in range(1 + dice.below(3)):
        if out:
            out[dice.below(len(out))] ^= 1 << dice.below(8)
    return bytes(out)


def _noise(raw: bytes, dice: Dice) -> bytes:
    return dice.bytes(dice.below(2 * len(raw) + 2))


def _inserted(raw: bytes, dice: Dice) -> bytes:
    at = dice.below(len(raw) + 1)
    return raw[:at] + dice.bytes(1 + dice.below(8)) + raw[at:]


def _announced(raw: bytes, dice: Dice) -> bytes:
    """A field of the outermost map that claims far more bytes than follow."""
    return b"\x0a" + dice.one((b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x7f")) + raw


def _nested(raw: bytes, dice: Dice) -> bytes:
    """Lists and maps within each other, by hand: the library itself writes no more than a hundred levels."""
    value = pb.Value(boolean=True).SerializeToString()
    for _ in range(1 + dice.below(200)):
        if dice.below(2):
            value = _field(8, _field(1, value))
        else:
            value = _field(9, _field(1, _field(1, b"x") + _field(2, value)))
    return _field(1, _field(1, b"x") + _field(2, value))


def _field(number: int, body: bytes) -> bytes:
    size, length = b"", len(body)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + body


RAW: dict[str, Callable[[bytes, Dice], bytes]] = {
    "truncated": lambda raw, dice: raw[: dice.below(max(1, len(raw)))],
    "flipped": flipped,
    "noise": _noise,
    "empty": lambda raw, dice: b"",
    "inserted": _inserted,
    "appended": lambda raw, dice: raw + dice.bytes(1 + dice.below(16)),
    "doubled": lambda raw, dice: raw + raw,
    "announced": _announced,
    "nested": _nested,
}

# ---------------------------------------------------------------- address


def _path(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    how = dice.below(4)
    if how == 0 or not e.address.path:
        e.address.path.add(name=dice.one(("tree", "level", "")), value=dice.below(5))
    elif how == 1:
        del e.address.path[-1]
    elif how == 2:
        e.address.path[-1].value = dice.one((e.address.path[-1].value + 1, 1 << 40, (1 << 64) - 1))
    else:
        e.address.path[-1].name = "level" if e.address.path[-1].name == "tree" else "tree"


def _text_of_address(name: str) -> Change:
    def change(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
        choices = ("", "x", "a" * 70_000, e.address.sender, e.address.receiver, "psi.ecdh.closing/1", "evaluate/1")
        wrong = [c for c in choices if c != getattr(e.address, name)]
        setattr(e.address, name, dice.one(wrong))

    return change


def _attempt(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    e.address.attempt = dice.one([n for n in (0, 2, 1 << 31) if n != e.address.attempt])


def _seq(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    e.address.seq = dice.one((e.address.seq + 1, max(0, e.address.seq - 1) or 5, 1 << 40, (1 << 63) - 1))


def _stream(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    e.stream = not e.stream


def _version(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    e.version = dice.one((0, 2, 99, (1 << 32) - 1))


ADDRESS: dict[str, Change] = {
    "path": _path,
    "attempt": _attempt,
    "seq": _seq,
    "stream": _stream,
    "version": _version,
    **{name: _text_of_address(name) for name in ("job", "step", "tag", "sender", "receiver")},
}

# ---------------------------------------------------------------- fields


def _entry(fields: pb.ValueMap, dice: Dice) -> pb.Entry:
    return fields.entries[dice.below(len(fields.entries))]


def _removed(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    del fields.entries[dice.below(len(fields.entries))]


def _repeated(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    fields.entries.add().CopyFrom(_entry(fields, dice))


def _renamed(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    _entry(fields, dice).key = dice.one(("", "self", "TAG", "__class__", "points\0", "z" * 5000))


def _added(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    fields.entries.add(key=dice.one(("zz", "aa", "__init__")), value=pb.Value(integer=1))


def _turned(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    kept = [pb.Entry.FromString(x.SerializeToString()) for x in fields.entries]
    del fields.entries[:]
    fields.entries.extend([*kept[::-1], *([pb.Entry(key="", value=pb.Value(none=True))] if len(kept) == 1 else [])])


def _retyped(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    others = (
        pb.Value(),
        pb.Value(none=True),
        pb.Value(boolean=True),
        pb.Value(integer=dice.one(EXTREMES)),
        pb.Value(real=dice.one((0.5, math.nan, math.inf, -math.inf, 1e308))),
        pb.Value(text=dice.one(TEXTS)),
        pb.Value(raw=dice.bytes(dice.below(64))),
        pb.Value(array=pb.Array(dtype="int64", shape=[2], data=bytes(16))),
        pb.Value(list=pb.ValueList(items=[pb.Value(integer=1), pb.Value(text="x")])),
        pb.Value(map=pb.ValueMap(entries=[pb.Entry(key="x", value=pb.Value(integer=1))])),
        pb.Value(table=dice.bytes(dice.below(200))),
        pb.Value(table=b"\xff\xff\xff\xff\x10\x00\x00\x00" + dice.bytes(64)),
    )
    _entry(fields, dice).value.CopyFrom(dice.one(others))


FIELDS: dict[str, Change] = {
    "removed": _removed,
    "repeated": _repeated,
    "renamed": _renamed,
    "added": _added,
    "turned": _turned,
    "retyped": _retyped,
}

# ---------------------------------------------------------------- arrays


def _arrays(fields: pb.ValueMap) -> list[pb.Array]:
    return [x.value.array for x in fields.entries if x.value.WhichOneof("kind") == "array"]


def _on_array(change: Callable[[pb.Array, Dice], None]) -> Change:
    def apply(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
        change(dice.one(_arrays(fields)), dice)

    return apply


def _dtype(a: pb.Array, dice: Dice) -> None:
    a.dtype = dice.one([d for d in (*DTYPES, "object", "O", "U4", "complex64", "") if d != a.dtype])


def _converted(a: pb.Array, dice: Dice) -> None:
    values = np.frombuffer(a.data, dtype=a.dtype)
    a.dtype = dice.one([d for d in DTYPES if d != a.dtype])
    with np.errstate(all="ignore"):
        a.data = values.astype(a.dtype).tobytes()


def _shape(a: pb.Array, dice: Dice) -> None:
    how = dice.below(5)
    if how == 0 or not a.shape:
        a.shape.append(dice.one((0, 1, 2)))
    elif how == 1:
        del a.shape[dice.below(len(a.shape))]
    elif how == 2:
        a.shape[dice.below(len(a.shape))] += 1 + dice.below(3)
    elif how == 3:
        a.shape.extend([1] * (1 + dice.below(20)))
    else:
        turned = list(a.shape)[::-1]
        del a.shape[:]
        a.shape.extend(turned)


def _huge(a: pb.Array, dice: Dice) -> None:
    if a.shape:
        a.shape[dice.below(len(a.shape))] = dice.one(HUGE)
    if dice.below(2):
        a.shape.append(0)
        a.data = b""


def _void(a: pb.Array, dice: Dice) -> None:
    if a.shape:
        a.shape[dice.below(len(a.shape))] = 0
    a.data = b""


def _short(a: pb.Array, dice: Dice) -> None:
    a.data = a.data[: dice.below(max(1, len(a.data)))]


def _rows(a: pb.Array, dice: Dice) -> None:
    """Fewer or more rows, with bytes that agree."""
    if not a.shape or not a.shape[0]:
        _shape(a, dice)
        return
    row, wanted = len(a.data) // a.shape[0], dice.one((0, 1, a.shape[0] - 1, a.shape[0] + 1, 300))
    a.data = (a.data * (wanted // a.shape[0] + 1))[: wanted * row]
    a.shape[0] = wanted


ARRAYS: dict[str, Change] = {
    "dtype": _on_array(_dtype),
    "converted": _on_array(_converted),
    "shape": _on_array(_shape),
    "huge": _on_array(_huge),
    "void": _on_array(_void),
    "short": _on_array(_short),
    "rows": _on_array(_rows),
}

# ---------------------------------------------------------------- values


def _value(e: pb.Envelope, fields: pb.ValueMap, dice: Dice) -> None:
    value = _entry(fields, dice).value
    kind = value.WhichOneof("kind")
    if kind == "integer":
        value.integer = dice.one((*EXTREMES, value.integer ^ 1))
    elif kind == "boolean":
        value.boolean = not value.boolean
    elif kind == "text":
        value.text = dice.one(TEXTS)
    elif kind == "raw":
        value.raw = dice.one((flipped(value.raw, dice), dice.bytes(len(value.raw)), b""))
    elif kind == "list" and value.list.items:
        value.list.items[0].CopyFrom(pb.Value(text=dice.one(TEXTS)))
    elif kind == "array":
        value.array.data = _other_data(value.array.data, int(np.dtype(value.array.dtype).itemsize), dice)


def _other_data(data: bytes, item: int, dice: Dice) -> bytes:
    how = dice.below(5)
    if how == 0:
        return dice.one((b"\0", b"\xff", b"\x01")) * len(data)
    if how == 1:
        return dice.bytes(len(data))
    if how == 2 and data:
        at = dice.below(len(data) // item) * item
        return data[:at] + dice.one((b"\0", b"\xff", b"\x7f")) * item + data[at + item :]
    if how == 3:
        half = len(data) // 2 // item * item
        return data[half:] + data[:half]
    return flipped(data, dice)


VALUES: dict[str, Change] = {"value": _value}
GROUPS: tuple[tuple[str, int], ...] = (
    ("frame", 1),
    ("address", 2),
    ("body", 2),
    ("field", 2),
    ("array", 3),
    ("value", 4),
)
WHICH = tuple(name for name, weight in GROUPS for _ in range(weight))


NEVER_ACCEPTED = frozenset(
    {
        *(f"address.{how}" for how in ADDRESS),
        *(f"field.{how}" for how in FIELDS if how != "retyped"),  # another kind may be the right one
        *(f"array.{how}" for how in ("dtype", "converted", "huge")),
    }
)


def mutant(envelope: Envelope, dice: Dice) -> tuple[str, bytes]:
    """A name such as "array.huge" and the bytes of the changed envelope."""
    group = dice.one(WHICH)
    raw = envelope.encode()
    if group == "frame":
        how = dice.one(list(RAW))
        return f"frame.{how}", RAW[how](raw, dice)
    whole = pb.Envelope.FromString(raw)
    if group == "body":
        how = dice.one(list(RAW))
        whole.body = RAW[how](whole.body, dice)
        return f"body.{how}", whole.SerializeToString()
    fields = pb.ValueMap.FromString(whole.body)
    if group == "array" and not _arrays(fields):
        group = "field"
    changes = {"address": ADDRESS, "field": FIELDS, "array": ARRAYS, "value": VALUES}[group]
    how = dice.one(list(changes))
    changes[how](whole, fields, dice)
    if group != "address":
        whole.body = fields.SerializeToString(deterministic=True)
    return f"{group}.{how}", whole.SerializeToString()
