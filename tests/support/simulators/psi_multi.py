"""What a member of the ring sees, made from its own ids and coins, its output, and the sizes of all sets.

A view is what arrives, and what the member works out from it: the sets with its own key taken off, for the leader which
tokens' shares add up to nothing, for the others where the common tokens are in the set they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from seeded import Seeded
from simulators.psi_ecdh import random_points

from parley.crypto import curve, okvs
from parley.protocols.kit.message import Message
from parley.protocols.psi import multi
from parley.protocols.psi.ids import matches


@dataclass(frozen=True)
class Learnt:
    """`sizes` of all in the ring's order, this member's place, its own common rows (places in its ids, in the agreed
    order; None below the floor), how many are common."""

    sizes: tuple[int, ...]
    at: int
    rows: tuple[int, ...] | None
    count: int
    outcome: str


def is_sent(known: Learnt, salt: bytes, own: Seeded, rng: Seeded) -> list[Message]:
    """The simulator; `own` is the member's source, from which it draws as the role itself would."""
    k, at = len(known.sizes), known.at
    pairs = [own.bytes(okvs.SALT) for _ in range(k - 1 - at)]
    dealt = [multi.Pair(np.frombuffer(rng.bytes(okvs.SALT), np.uint8)) for _ in range(at)]
    pairs = [m.key.tobytes() for m in dealt] + pairs
    key = curve.random_scalar(own)
    orders = [own.permutation(known.sizes[at])]
    lists = [random_points(known.sizes[(at - hop) % k], rng) for hop in range(1, k)]
    orders += [own.permutation(len(points)) for points in lists[:-1]]
    out: list[Message] = [*dealt, *(multi.Ring(points) for points in lists)]
    held = curve.multiply(lists[-1], key)
    places = rng.permutation(len(held))[: known.count]
    if at == 0:
        out += _hints(known, held, places, pairs, salt, rng)
    else:
        own.words64(okvs.shape(len(held)).slots)
        out.append(multi.Closing(known.outcome, known.count if known.outcome == "ok" else 0))
        if known.outcome == "ok":
            out.append(multi.Common(held[places]))
    if known.outcome != "ok":
        return out
    if at == 0:
        own.permutation(known.count)
    for hop in range(1, k - 1):
        out.append(multi.Trace(rng.permutation(orders[k - 1 - hop].size)[: known.count].astype(np.uint32)))
    back = np.argsort(orders[0])[list(known.rows or ())]
    return [*out, multi.Trace(back.astype(np.uint32))]


def _hints(known: Learnt, held, places, pairs, salt: bytes, rng: Seeded) -> list[Message]:
    """Stores of random words, but for the last one, which cancels the others at as many tokens as are common."""
    k = len(known.sizes)
    sizes = [known.sizes[(i + 1) % k] for i in range(1, k)]
    stores = [rng.words64(okvs.shape(n).slots) for n in sizes[:-1]]
    tokens = held[places]
    wanted = multi.sums(tokens, pairs, salt, list(zip(sizes[:-1], stores, strict=True)))
    rest = random_points(sizes[-1] - known.count, rng) if sizes[-1] > known.count else tokens[:0]
    keys = okvs.keys_of(multi.as_ids(np.concatenate([tokens, rest])), salt)
    values = np.concatenate([wanted, rng.words64(len(rest))])
    last = okvs.encode(okvs.shape(sizes[-1]), keys, values, rng.words64(okvs.shape(sizes[-1]).slots))
    return [multi.Hint(slots) for slots in (*stores, last)]


FEW = 6  # words of a store that a view holds


def sees(sent: Sequence[Message], own: Seeded, salt: bytes, at: int, k: int) -> dict[str, np.ndarray]:
    """The same for real and made-up messages."""
    of = {
        kind: [m for m in sent if isinstance(m, kind)] for kind in (multi.Ring, multi.Hint, multi.Common, multi.Trace)
    }
    key = (own.scalars[0] + 1).to_bytes(32, "little")
    lists = [m.points for m in of[multi.Ring]]
    out = {f"ring {i}": points for i, points in enumerate(lists)}
    held = curve.multiply(lists[-1], key)
    if of[multi.Hint]:
        pairs = _pairs(own, k)
        sizes = _sizes(lists, own, k)
        hints = [(sizes[(i + 1) % k], m.slots) for i, m in enumerate(of[multi.Hint], start=1)]
        out["zero"] = (multi.sums(held, pairs, salt, hints) == 0).astype(np.int64)
        keys = okvs.keys_of(multi.as_ids(held), salt)
        for i, (size, slots) in enumerate(hints):
            out[f"hint {i}"] = slots[:FEW].view(np.uint8).reshape(FEW, 8)
            out[f"decoded {i}"] = okvs.decode(okvs.shape(size), keys, slots).view(np.uint8).reshape(len(held), 8)
    for m in of[multi.Common]:
        out |= {"tokens": m.tokens, "held at": matches(m.tokens, held)}
    for i, m in enumerate(of[multi.Trace]):
        order = own.orders[k - 2 - i]
        out |= {f"trace {i}": m.positions.astype(np.int64), f"traced {i}": order[m.positions]}
    for m in sent:
        if isinstance(m, multi.Closing):
            out["closing"] = np.array([m.count, ("ok", "empty", "below_floor").index(m.outcome)])
    return out


def _pairs(own: Seeded, k: int) -> list[bytes]:
    """The leader drew its pair keys first: the same source from its beginning gives them again."""
    again = type(own)(*own.seed)
    return [again.bytes(okvs.SALT) for _ in range(k - 1)]


def _sizes(lists: Sequence[np.ndarray], own: Seeded, k: int) -> list[int]:
    sizes = [own.orders[0].size] * k
    for hop, points in enumerate(lists, start=1):
        sizes[-hop % k] = len(points)
    return sizes
