"""k-means over rows whose columns lie with several parties; centres stay with the columns' owners.

Ideal functionality: the members hold columns of the same rows in one order. From rows that the contract's coins choose
as first centres, each training row goes to its nearest centre and each centre to the mean of its rows, until at most a
share `tolerance` of the rows changes its cluster, or for `rounds`. Of several `starts` the one of least inertia (sum of
squared distances to the rows' own centres) counts; at its end every row, training or not, goes to its nearest centre.
Every member is told the cluster of each row and keeps the centres in its own columns.

Adversary: semi-honest, with AES-256 as a pseudo-random generator; the aggregator is a party without data. All is fixed
point: D_p[i, j] is member p's part of the squared distance of row i to centre j, modulo 2^64.

    step  from -> to             message   carries                                                    bytes
    1     Pi -> Pj, i < j        Pair      a key for the masks of these two                           32
    2     P0 -> other members    Order     a key for the order of rows                                32
    in every start and round, over the training rows, then once over all rows from the best centres
    3     member -> aggregator   Masked    D_p and masks that cancel in the sum, secret order    8 per row, centre
    4     aggregator -> member   Nearest   the nearest centre of each row                             1 per row
    5     P0 -> aggregator       Verdict   whether another round follows                              1
    at the end of every start
    6     member -> aggregator   Spread    the member's part of the inertia, masked                   16
    at the end of all
    7     aggregator -> member   Best      which start had the least inertia                          8

P0 adds to the row a number of its own, uniform and fresh in every round, so that only differences between distances are
left in the sum; the order of rows is fresh in every round, too.

Aggregator learns, for each round, the differences between each row's distances to the centres (`distance_differences`),
without knowing which row it is, and from them how many rows each cluster has; the inertia of every start, how many
rounds it took, and the number of rows. It sees nobody's part of a distance.
Member learns the cluster of each row in each round (`assignments`), and which start was best: nothing of another's
columns but what the clusters say. Submitter learns which start was best, its inertia and rounds, and the sizes of the
clusters from `min_cell` rows on. Coordinator: sizes, and from them the rounds.

Not protected: the differences are the rows' places along the lines between centres, so that with more centres than
columns the aggregator sees the shape of the cloud of rows, though no axis and no name; where centres hardly move it can
match the rows of two rounds by their differences. An aggregator and all members but one who pool what they saw learn
that one's differences for each row. A cluster bounds, by a member's own part, the differences of the others' parts: one
bound for each row, centre and round. A party that deviates can send other distances or clusters.

Source: Lloyd, *Least squares quantization in PCM*, 1982; Vaidya and Clifton, *Privacy-preserving k-means clustering
over vertically partitioned data*, 2003; the offsets that leave only differences are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.components.training import kmeans as lloyd
from parley.components.training.kmeans import Ints
from parley.crypto.prg import Keystream
from parley.crypto.sharing.domains import RING_128
from parley.protocols.inputs import together
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Message, Protocol, Session, Sizes, Step, array, message
from parley.protocols.prep.columns import Columns
from parley.wire.errors import ParleyError

KEY = 32
CELLS = 131_072  # of a stream's chunk: one megabyte
ROUND = ("start", "round")
Words = NDArray[np.uint64]
Clusters = NDArray[np.uint8]


@message("kmeans.pair/1")
class Pair(Message):
    key: Annotated[NDArray[np.uint8], array(KEY, dtype="uint8")]


@message("kmeans.order/1")
class Order(Message):
    key: Annotated[NDArray[np.uint8], array(KEY, dtype="uint8")]


@message("kmeans.masked/1")
class Masked(Message):
    distances: Annotated[Words, array("n", "k", dtype="uint64")]


@message("kmeans.nearest/1")
class Nearest(Message):
    centre: Annotated[Clusters, array("n", dtype="uint8")]


@message("kmeans.verdict/1")
class Verdict(Message):
    again: bool


@message("kmeans.spread/1")
class Spread(Message):
    sum: Annotated[Words, array(1, 2, dtype="uint64")]


@message("kmeans.best/1")
class Best(Message):
    start: int

    def check(self) -> None:
        if self.start < 0:
            raise ValueError("a start is not negative")


class Params(Columns):
    """`clusters`: how many; `starts`: how often from other rows; `rounds` of each at most; `tolerance`: a share of the
    rows, of which no more may change cluster in the last round. `columns` and `exclude` choose columns, by party; all
    of numbers by default: exclude ids and labels. Values are rounded to 2^-`fraction_bits`; none is larger than
    `max_value` or smaller than its negative. `min_cell`: smaller clusters have no size for the submitter."""

    clusters: int = Field(default=5, ge=2, le=64)
    starts: int = Field(default=3, ge=1, le=50)
    rounds: int = Field(default=50, ge=1, le=500)
    tolerance: float = Field(default=1e-4, ge=0, lt=1)
    fraction_bits: int = Field(default=16, ge=4, le=24)
    max_value: float = Field(default=256.0, gt=0, le=1e6, allow_inf_nan=False)
    min_cell: int = Field(default=10, ge=1, le=10_000)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """8 bytes per row and centre, up, and 1 per row, down, for each member, start and round; and once more."""
    names, (aggregator,) = cast["member"], cast["aggregator"]
    n, k = min((sizes.rows.get(p, 0) for p in names), default=0), params.clusters
    passes = params.starts * params.rounds + 1
    flows = [Flow(Pair.TAG, p, q, 1, KEY) for i, p in enumerate(names) for q in names[i + 1 :]]
    flows += [Flow(Order.TAG, names[0], p, 1, KEY) for p in names[1:]]
    flows.append(Flow(Verdict.TAG, names[0], aggregator, passes, passes))
    for p in names:
        flows.append(Flow(Masked.TAG, p, aggregator, passes * (-(-n // _chunk(k)) + 1), passes * 8 * n * k))
        flows.append(Flow(Nearest.TAG, aggregator, p, passes, passes * n))
        flows.append(Flow(Spread.TAG, p, aggregator, params.starts, params.starts * 16))
        flows.append(Flow(Best.TAG, aggregator, p, 1, 8))
    return flows


KMEANS = Protocol(
    "kmeans/vertical",
    version=1,
    security=SEMI_HONEST,
    summary="k-means over the columns of several parties; an aggregator without data compares distances.",
    roles={"member": "many", "aggregator": "one"},
    steps=[
        Step("member", "member", Pair, "assignments"),
        Step("member", "member", Order, "assignments"),
        Step("aggregator", "member", Best, "best_start", ("start",)),
        Step("member", "aggregator", Masked, "distance_differences", ROUND, stream=True),
        Step("aggregator", "member", Nearest, "assignments", ROUND),
        Step("member", "aggregator", Verdict, "rounds", ROUND),
        Step("member", "aggregator", Spread, "inertia", ("start",)),
    ],
    learns={
        "member": ["assignments", "best_start"],
        "aggregator": ["distance_differences", "cluster_sizes", "inertia", "rounds", "row_count"],
        "submitter": ["inertia", "cluster_sizes", "rounds", "best_start"],
        "coordinator": ["sizes", "rounds"],
    },
    params=Params,
    cost=cost,
)


@dataclass(frozen=True)
class Held:
    """A member's columns in fixed point (n, d), and which rows train (n,)."""

    rows: Ints = field(repr=False)
    training: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True)
class Grouped:
    """The cluster of each row (n,), this member's centres (k, d), the training rows (starts, k) that were the first."""

    clusters: Clusters = field(repr=False)
    centres: Ints = field(repr=False)
    begun: Ints = field(repr=False)


@dataclass(frozen=True)
class Summed:
    """The best start, its inertia in units of 2^-2 fraction_bits, and its rounds."""

    start: int
    inertia: int
    rounds: int


def _chunk(k: int) -> int:
    return max(1, CELLS // k)


# ---------------------------------------------------------------- member


@dataclass(frozen=True)
class Keys:
    """`masks`: for each other member the key shared with it and whether this one adds; `order`: everybody's."""

    masks: list[tuple[bytes, bool]] = field(repr=False)
    order: bytes = field(repr=False)
    first: bool

    def streams(self, *path: int) -> list[tuple[Keystream, bool]]:
        """Fresh masks for one place in the loops."""
        return [(Keystream(key, f"kmeans.mask/1 {path}".encode()), adds) for key, adds in self.masks]

    def permutation(self, n: int, *path: int) -> Ints:
        return Keystream(self.order, f"kmeans.order/1 {path}".encode()).permutation(n)


@KMEANS.role("member")
async def member(s: Session, data: Held) -> Grouped:
    p, rows = s.params, data.rows[data.training]
    keys = await _keys(s)
    ends: list[Ints] = []
    begun = np.empty((p.starts, p.clusters), dtype=np.int64)
    for start in range(p.starts):
        here = s.at(start=start)
        begun[start] = here.coins.permutation(len(rows))[: p.clusters]
        clusters, centres = await _start(here, keys, start, rows, rows[begun[start]])
        ends.append(centres)
        own = await s.compute(lloyd.spread, rows, clusters, centres)
        await here.send(s.peer("aggregator"), Spread(_masked_sum(own, keys, start)))
        s.progress(start + 1, p.starts, "starts")
    here, aggregator = s.at(start=p.starts), s.peer("aggregator")
    best = (await here.recv(aggregator, Best)).start
    if best >= p.starts:
        raise _wrong(aggregator, "named a start that there was not")
    clusters = await _assigned(here.at(round=0), keys, (p.starts, 0), data.rows, ends[best])
    return Grouped(clusters, ends[best], begun)


async def _start(s: Session, keys: Keys, start: int, rows: Ints, centres: Ints) -> tuple[Clusters, Ints]:
    """Rounds until few rows change; all members see the same clusters and so decide alike."""
    p, before = s.params, np.full(len(rows), 255, dtype=np.uint8)
    for number in range(p.rounds):
        here = s.at(round=number)
        clusters = await _assigned(here, keys, (start, number), rows, centres)
        centres = await s.compute(lloyd.means, rows, clusters, centres)
        changed = int((clusters != before).sum())
        again = number + 1 < p.rounds and changed > p.tolerance * len(rows)
        if keys.first:
            await here.send(s.peer("aggregator"), Verdict(again))
        if not again:
            break
        before = clusters
    return clusters, centres


async def _assigned(s: Session, keys: Keys, path: tuple[int, int], rows: Ints, centres: Ints) -> Clusters:
    """(n,) the nearest centre of each row, which the aggregator finds in the sum of all members' parts."""
    aggregator = s.peer("aggregator")
    n, step = len(rows), _chunk(len(centres))
    order, streams = keys.permutation(n, *path), keys.streams(*path)
    flow = s.stream(aggregator, Masked)
    for at in range(0, n, step):
        chunk = await s.compute(_masked, s, rows[order[at : at + step]], centres, streams, keys.first)
        await flow.put(Masked(chunk))
    await flow.close()
    told = (await s.recv(aggregator, Nearest, n=n)).centre
    if n and int(told.max()) >= len(centres):
        raise _wrong(aggregator, "named a centre that there is not")
    out = np.empty(n, dtype=np.uint8)
    out[order] = told
    return out


def _masked(s: Session, rows: Ints, centres: Ints, streams: list[tuple[Keystream, bool]], first: bool) -> Words:
    """(n, k) this member's parts under masks that cancel over all members; the first one moves each row's by chance."""
    out = lloyd.squared_distances(rows, centres).view(np.uint64)
    for stream, adds in streams:
        words = stream.words64(out.size).reshape(out.shape)
        out = out + words if adds else out - words
    return out + s.rng.words64(len(out))[:, None] if first else out


def _masked_sum(own: int, keys: Keys, start: int) -> Words:
    """(1, 2) a number modulo 2^128 under masks that cancel."""
    out = RING_128.encode([own])
    for stream, adds in keys.streams(start):
        words = RING_128.random(stream, (1, 2))
        out = RING_128.add(out, words) if adds else RING_128.subtract(out, words)
    return out


async def _keys(s: Session) -> Keys:
    """Each pair's key comes from the earlier member, who adds its masks; the order's from the first one."""
    names, masks = s.cast["member"], []
    at = names.index(s.me)
    for other in names[at + 1 :]:
        masks.append((s.rng.bytes(KEY), True))
        await s.send(other, Pair(np.frombuffer(masks[-1][0], np.uint8)))
    masks += [((await s.recv(other, Pair)).key.tobytes(), False) for other in names[:at]]
    if at:
        return Keys(masks, (await s.recv(names[0], Order)).key.tobytes(), first=False)
    order = s.rng.bytes(KEY)
    for other in names[1:]:
        await s.send(other, Order(np.frombuffer(order, np.uint8)))
    return Keys(masks, order, first=True)


# ---------------------------------------------------------------- aggregator


@KMEANS.role("aggregator")
async def aggregator(s: Session, nothing: None = None) -> Summed:
    p, names = s.params, s.cast["member"]
    found: list[Summed] = []
    for start in range(p.starts):
        here = s.at(start=start)
        rounds = await _rounds(here)
        parts = [(await here.recv(name, Spread)).sum for name in names]
        total = parts[0]
        for part in parts[1:]:
            total = RING_128.add(total, part)
        found.append(Summed(start, RING_128.decode(total)[0], rounds))
        s.progress(start + 1, p.starts, "starts")
    best = min(found, key=lambda f: f.inertia)
    here = s.at(start=p.starts)
    await together(*(here.send(name, Best(best.start)) for name in names))
    await _compare(here.at(round=0))
    return best


async def _rounds(s: Session) -> int:
    """The rounds of one start, until the first member says that it was the last."""
    first = s.cast["member"][0]
    for number in range(s.params.rounds):
        here = s.at(round=number)
        await _compare(here)
        if not (await here.recv(first, Verdict)).again:
            return number + 1
    raise _wrong(first, "asked for more rounds than agreed")


async def _compare(s: Session) -> None:
    """Sum the members' masked parts and tell all of them where each row is nearest."""
    names = s.cast["member"]
    parts = await together(*(_part(s, name) for name in names))
    for name, part in zip(names, parts, strict=True):
        if part.shape != parts[0].shape:
            raise _wrong(name, f"sent another number of rows than {names[0]}")
    told = await s.compute(_nearest, parts)
    await together(*(s.send(name, Nearest(told)) for name in names))


def _nearest(parts: list[Words]) -> Clusters:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return lloyd.nearest(total)


async def _part(s: Session, peer: str) -> Words:
    k = s.params.clusters
    chunks = [chunk.distances async for chunk in s.stream(peer, Masked, k=k)]
    return np.concatenate([np.empty((0, k), dtype=np.uint64), *chunks])


def _wrong(peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
