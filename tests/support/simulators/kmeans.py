"""What the parties of k-means see, made from what they learn: differences and inertia, or clusters.

The aggregator's view holds each member's words, the sums it works out from them and the differences in the order that
they came; a member's holds its keys and the places it was told, in the aggregator's order and in its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from seeded import Seeded

from parley.crypto.sharing.domains import RING_128
from parley.protocols.cluster import kmeans as k
from parley.protocols.kit.message import Message

MEMBERS = 2


@dataclass(frozen=True)
class Learnt:
    """`differences`: for each pass (n, k) uint64, to the first centre, in any order; `inertia` in units."""

    differences: tuple[np.ndarray, ...]
    inertia: int


@dataclass(frozen=True)
class Told:
    """`clusters`: for each pass (n,), in the rows' order."""

    clusters: tuple[np.ndarray, ...]


def aggregator_is_sent(known: Learnt, rng: Seeded) -> list[Message]:
    """By sender: each one's words, its verdicts where it leads, its part of the inertia."""
    words: list[list[np.ndarray]] = [[] for _ in range(MEMBERS)]
    for differences in known.differences:
        n, width = differences.shape
        total = differences[rng.permutation(n)] + rng.words64(n)[:, None]
        free = [rng.words64(n * width).reshape(n, width) for _ in range(MEMBERS - 1)]
        for own, part in zip(words, [*free, total - np.sum(free, axis=0, dtype=np.uint64)], strict=True):
            own.append(part)
    first = RING_128.random(rng, (1, 2))
    sums = [first, RING_128.subtract(RING_128.encode([known.inertia]), first)]
    out: list[Message] = []
    for member in range(MEMBERS):
        rounds = words[member][:-1]
        for number, part in enumerate(rounds):
            out.append(k.Masked(part))
            out += [k.Verdict(number + 1 < len(rounds))] if member == 0 else []
        out += [k.Spread(sums[member]), k.Masked(words[member][-1])]
    return out


def aggregator_sees(sent: Sequence[Message]) -> dict[str, np.ndarray]:
    """The same for real and made-up messages."""
    parts = [m.distances for m in sent if isinstance(m, k.Masked)]
    passes = len(parts) // MEMBERS
    out = {f"words {i}": part.reshape(-1, 1).view(np.uint8) for i, part in enumerate(parts)}
    for number in range(passes):
        total = np.sum([parts[number + member * passes] for member in range(MEMBERS)], axis=0, dtype=np.uint64)
        out[f"sum {number}"] = np.ascontiguousarray(total).reshape(-1, 1).view(np.uint8)
        against = (total[:, 1:] - total[:, :1]).view(np.int64)
        out[f"differences {number}"] = against.reshape(-1).astype(np.float64)
    for i, m in enumerate(m for m in sent if isinstance(m, k.Spread)):
        out[f"spread {i}"] = m.sum.view(np.uint8)
    out["verdicts"] = np.array([m.again for m in sent if isinstance(m, k.Verdict)], dtype=np.int64)
    return out


def member_is_sent(known: Told, rng: Seeded) -> list[Message]:
    """The later of two members: its keys, then what the aggregator tells, in the order that its key gives."""
    keys = [np.frombuffer(rng.bytes(k.KEY), np.uint8) for _ in range(2)]
    out: list[Message] = []
    for number, clusters in enumerate(known.clusters):
        last = number + 1 == len(known.clusters)
        out += [k.Best(0)] if last else []
        out.append(k.Nearest(clusters[_order(keys[1], clusters.size, *_path(number, last))]))
    return [*out, k.Pair(keys[0]), k.Order(keys[1])]


def member_sees(sent: Sequence[Message]) -> dict[str, np.ndarray]:
    (pair,), (order,) = ([m for m in sent if isinstance(m, kind)] for kind in (k.Pair, k.Order))
    out = {"pair": pair.key.reshape(4, 8), "order": order.key.reshape(4, 8)}
    told = [m for m in sent if isinstance(m, k.Nearest)]
    for number, m in enumerate(told):
        back = np.empty(m.centre.size, np.int64)
        back[_order(order.key, m.centre.size, *_path(number, number + 1 == len(told)))] = m.centre
        out |= {f"nearest {number}": m.centre.astype(np.int64), f"clusters {number}": back}
    out["best"] = np.array([m.start for m in sent if isinstance(m, k.Best)])
    return out


def _path(number: int, last: bool) -> tuple[int, int]:
    """Of one start: its rounds, then the pass over all rows."""
    return (1, 0) if last else (0, number)


def _order(key: np.ndarray, n: int, *path: int) -> np.ndarray:
    return k.Keys([], key.tobytes(), first=False).permutation(n, *path)
