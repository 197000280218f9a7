"""Columns of several parties binned by what they say of labels at one of them: weight of evidence, information value.

Ideal functionality: the label party gets, for each bin of each column, how many rows it has and how many of them have
the label 1, and from that the columns' information values; with `transform: woe` the features parties get the weight
of evidence of their own bins. Nobody's labels, columns or bin edges are shown to anybody else.

Adversary: semi-honest; each row's label is hidden from the features parties by ring learning with errors, or by
Paillier's decisional composite residuosity assumption; up to the stated statistical distance lattice answers say
nothing beyond their sums. Counts that contradict the labels are refused by name.

    step  from -> to          message  carries                                             bytes
    1     features -> label   Shape    bins of each feature, whether they are ordered,      5 per feature,
                                       rows of each bin                                    4 per bin
    2     features -> label   Names    column names, only with share_names                 names
    3     label -> features   Key      public key, rows, sums it is planned for            modulus
    4     label -> features   Labels   encrypted label of each training row                key_bits/4 per row, or blocks
    5     features -> label   Events   encrypted number of labels 1 in each bin            key_bits/4 per packed sums
    6     label -> features   Merged   the merged bin of each bin, with a merging method   2 per bin
    7     label -> features   Weights  the weight of each bin, only with `transform: woe`   8 per bin

Bins with fewer than `min_bin_rows` rows are joined to others before step 1. Answers are re-randomised.

Label learns how many rows each bin of each feature has (`bin_counts`), how many of them have the label 1
(`bin_events`: it knows each row's label, so of a bin whose rows all have one label it learns which rows are not in the
others; that is what `min_bin_rows` is for), and with share_names the columns' names (`feature_names`). Features learns
how many training rows there are (`row_count`), with the lattice, up to a power of two, how many bins the party with the
most has (`planned_sums`), with `chi_square` and `optimal` which of its bins are alike (`merged_bins`), and with
`transform: woe` the weight of each of its bins, which together with its rows gives the bin's share of labels 1
(`bin_woe`). Submitter learns both counts of each merged bin, and the edges and categories of the label party's own
columns (`bin_table`). Coordinator: sizes.

Not protected: with `bin_woe`, the label itself where a bin has one label only; ask for large bins. Two runs whose bins
differ by few rows give those rows' sum by subtraction: the policies' limits on runs are for that. A features party
that lies about its bins makes its own columns worthless, which nobody can tell.
Source: Siddiqi, *Credit Risk Scorecards*, 2006; Kerber, *ChiMerge*, 1992; Paillier 1999; the lattice as in boosting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.components.features.woe import weigh
from parley.crypto.ahe import PublicKey, SecretKey
from parley.protocols import scheme
from parley.protocols.inputs import together, told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Message, Protocol, Session, Sizes, Step, array, message
from parley.protocols.pieces import Pieces, cut, pieces_of
from parley.protocols.stats.binned import Binned, merged
from parley.protocols.stats.params import Params, check_params
from parley.wire.errors import ParleyError

NAME_BYTES = 256
CHUNK = 4096  # rows that are encrypted at once where each has a ciphertext
Ints = NDArray[np.int64]
Raw = Annotated[NDArray[np.uint8], array("n", "size", dtype="uint8")]


@message("stats.woe.shape/1")
class Shape(Message):
    bins: Annotated[NDArray[np.uint32], array("features", dtype="uint32")]
    ordered: Annotated[NDArray[np.uint8], array("features", dtype="uint8")]
    sizes: Annotated[NDArray[np.uint32], array("bins", dtype="uint32")]

    def check(self) -> None:
        if self.bins.size == 0 or int(self.bins.min()) < 2 or np.any(self.ordered > 1):
            raise ValueError("a features party needs features of at least two bins each")
        if int(self.bins.sum(dtype=np.int64)) != self.sizes.size:
            raise ValueError("every bin has its rows")


@message("stats.woe.names/1")
class Names(Message):
    names: list[str]

    def check(self) -> None:
        if any(type(n) is not str or len(n.encode()) > NAME_BYTES for n in self.names):
            raise ValueError(f"column names are texts of at most {NAME_BYTES} bytes")


@message("stats.woe.key/1")
class Key(Message):
    public: bytes
    count: int
    outputs: int


@message("stats.woe.labels/1")
class Labels(Message):
    ciphertexts: Raw


@message("stats.woe.events/1")
class Events(Message):
    sums: Raw
    count: int


@message("stats.woe.merged/1")
class Merged(Message):
    group: Annotated[NDArray[np.uint16], array("bins", dtype="uint16")]


@message("stats.woe.weights/1")
class Weights(Message):
    woe: Annotated[NDArray[np.float64], array("bins", dtype="float64")]

    def check(self) -> None:
        if not np.isfinite(self.woe).all():
            raise ValueError("a weight is a number")


def _terms(params: Params, cast: Cast, sizes: Sizes) -> tuple[scheme.Terms, dict[str, int]]:
    """What a plan can know of a key, and columns of each features party."""
    rows = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    columns = {p: sizes.columns.get(p, 4096) for p in cast["features"]}
    outputs = scheme.planned(params, [(params.most,) * n for n in columns.values()])
    return scheme.Terms(params, rows, outputs), columns


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For n rows, F features of at most B bins: ciphertexts of n labels and of F B sums, weighed by the scheme;
    5 F + 4 F B of shapes, and 2 F B and 8 F B of what comes back."""
    (label,) = cast["label"]
    terms, columns = _terms(params, cast, sizes)
    flows = []
    for party in cast["features"]:
        bins = columns[party] * params.most
        batches = 1 if scheme.packs(params.scheme) else -(-terms.rows // CHUNK) + 1
        with told():
            weight = scheme.weigh(terms, terms.rows, batches, bins, 1)
        flows += [
            Flow(Shape.TAG, party, label, 1, 5 * columns[party] + 4 * bins),
            Flow(Key.TAG, label, party, 1, weight.key),
            Flow(Labels.TAG, label, party, pieces_of(weight.gradients, batches + 1), weight.gradients),
            Flow(Events.TAG, party, label, pieces_of(weight.answers, 2), weight.answers),
        ]
        if params.share_names:
            flows.append(Flow(Names.TAG, party, label, 1, columns[party] * (NAME_BYTES + 16)))
        if params.merges:
            flows.append(Flow(Merged.TAG, label, party, 1, 2 * bins))
        if params.transform == "woe":
            flows.append(Flow(Weights.TAG, label, party, 1, 8 * bins))
    return flows


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """What the lattice's answers may say beyond their sums."""
    if not scheme.packs(params.scheme):
        return []
    with told():
        plan = _terms(params, cast, sizes)[0].plan()
    return [
        f"lattice, {plan.profile.name} or narrower: answers say nothing beyond their sums up to a statistical "
        f"distance of 2^-{params.statistical_bits}"
    ]


WOE = Protocol(
    "stats/woe",
    version=1,
    security=SEMI_HONEST,
    summary="Columns of several parties binned by labels at one of them: weight of evidence and information value.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("features", "label", Shape, "bin_counts"),
        Step("features", "label", Names, "feature_names"),
        Step("label", "features", Key, "row_count"),
        Step("label", "features", Labels, "row_count", stream=True),
        Step("features", "label", Events, "bin_events", stream=True),
        Step("label", "features", Merged, "merged_bins"),
        Step("label", "features", Weights, "bin_woe"),
    ],
    learns={
        "label": ["bin_counts", "bin_events", "feature_names"],
        "features": ["row_count", "planned_sums", "merged_bins", "bin_woe"],
        "submitter": ["bin_table"],
        "coordinator": ["sizes"],
    },
    when={
        "label.feature_names": ("share_names",),
        "features.planned_sums": ("scheme", "lattice"),
        "features.merged_bins": ("method", "chi_square", "optimal"),
        "features.bin_woe": ("transform", "woe"),
    },
    params=Params,
    cost=cost,
    figures=figures,
)
WOE.checks.append(check_params)
WOE.prepares = True


@dataclass(frozen=True)
class Feature:
    """One column as the label party sees it: which merged bin each countable one is in, and of each merged bin its
    rows, events and weight."""

    party: str
    name: str
    number: int
    merged: Ints
    rows: Ints
    events: Ints
    woe: NDArray[np.float64]
    iv: float

    @classmethod
    def of(cls, params: Params, party: str, name: str, number: int, rows: Ints, events: Ints, ordered: bool) -> Feature:
        groups = merged(params, rows, events, ordered)
        whole, hits = (np.bincount(groups, weights=c).astype(np.int64) for c in (rows, events))
        woe, iv = weigh(whole, hits, params.adjustment)
        return cls(party, name, number, groups, whole, hits, woe, iv)


@dataclass(frozen=True)
class Answer:
    """What a features party is told of its countable bins: the merged bin, and where it was asked for the weight."""

    merged: tuple[Ints, ...]
    woe: tuple[NDArray[np.float64], ...] | None


def wrong(peer: str, what: str) -> ParleyError:
    """What a peer did that the protocol does not allow, by name."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)


# ---------------------------------------------------------------- label


@WOE.role("label")
async def label(s: Session, mine: Binned, y: Ints) -> list[Feature]:
    """`y` (n,) are the labels 0 and 1 of the training rows, `mine` this party's own columns of the same rows."""
    peers = s.peers("features")
    shapes = await together(*(s.recv(p, Shape) for p in peers))
    names = await together(*(s.recv(p, Names) for p in peers)) if s.params.share_names else []
    for p, shape in zip(peers, shapes, strict=True):
        _check_shape(p, shape, s.params, y.size)
    outputs = scheme.planned(s.params, [tuple(shape.bins.tolist()) for shape in shapes])
    with told():
        key = await s.compute(scheme.generate, scheme.terms_of(s, y.size, outputs))
    try:
        await together(*(s.send(p, Key(key.public.encode(), y.size, outputs)) for p in peers))
        await _send_labels(s, key, peers, y)
        events = await together(*(_events(s, key, p, m, y) for p, m in zip(peers, shapes, strict=True)))
    finally:
        key.close()
    out = await s.compute(_own, s.params, s.me, mine, y)
    for k, (p, shape, counts) in enumerate(zip(peers, shapes, events, strict=True)):
        theirs = await s.compute(_features_of, s.params, p, shape, names[k].names if names else None, counts)
        await _tell(s, p, theirs)
        out += theirs
    return out


def _check_shape(peer: str, shape: Shape, params: Params, n: int) -> None:
    if int(shape.bins.max()) > params.most:
        raise wrong(peer, "has more bins than were agreed")
    totals = np.add.reduceat(shape.sizes.astype(np.int64), _starts(shape.bins))
    if np.any(totals != n):
        raise wrong(peer, "counts another number of training rows")


def _starts(bins: NDArray[np.uint32]) -> Ints:
    found: Ints = np.cumsum(bins, dtype=np.int64) - bins
    return found


async def _send_labels(s: Session, key: SecretKey, peers: tuple[str, ...], y: Ints) -> None:
    layout = s.params.layout(y.size)
    streams = [s.stream(p, Labels) for p in peers]
    step = CHUNK if key.public.any_rows else max(1, y.size)
    for start in range(0, y.size, step):
        with told():
            some = await s.compute(key.encrypt, np.ascontiguousarray(y[start : start + step, None]), layout)
        for piece in cut(some):
            await together(*(out.put(Labels(piece)) for out in streams))
    await together(*(out.close() for out in streams))


async def _events(s: Session, key: SecretKey, peer: str, shape: Shape, y: Ints) -> Ints:
    """(bins,) how many rows of each bin have the label 1."""
    total, layout = shape.sizes.size, s.params.layout(y.size)
    answers = Pieces(s.stream(peer, Events), lambda m: m.sums, partial(wrong, peer))
    raw = await answers.take(key.reply_shape(total, layout), lambda m: m.count == total)
    await answers.end()
    with told(peer):
        response = await s.compute(key.response, raw, total, layout)
        counts: Ints = (await s.compute(key.decrypt, response, layout))[:, 0]
    if np.any(counts < 0) or np.any(counts > shape.sizes):
        raise wrong(peer, "counts more labels in a bin than rows")
    if np.any(np.add.reduceat(counts, _starts(shape.bins)) != y.sum()):
        raise wrong(peer, "counts another number of labels than there are")
    return counts


def _own(params: Params, me: str, mine: Binned, y: Ints) -> list[Feature]:
    out = []
    for k, (column, rows) in enumerate(zip(mine.binning.columns, mine.rows, strict=True)):
        events = np.bincount(mine.bins[:, k], weights=y, minlength=rows.size).astype(np.int64)
        out.append(Feature.of(params, me, column.name, k, rows, events, column.kind == "numeric"))
    return out


def _features_of(params: Params, peer: str, shape: Shape, names: list[str] | None, events: Ints) -> list[Feature]:
    if names is not None and len(names) != shape.bins.size:
        raise wrong(peer, "named another number of features than it has")
    each = zip(_by_feature(shape.sizes.astype(np.int64), shape.bins), _by_feature(events, shape.bins), strict=True)
    return [
        Feature.of(params, peer, names[k] if names else f"#{k}", k, rows, hits, bool(shape.ordered[k]))
        for k, (rows, hits) in enumerate(each)
    ]


def _by_feature(values: Ints, bins: NDArray[np.uint32]) -> list[Ints]:
    return np.split(values, np.cumsum(bins, dtype=np.int64)[:-1])


async def _tell(s: Session, peer: str, theirs: list[Feature]) -> None:
    if s.params.merges:
        await s.send(peer, Merged(np.concatenate([f.merged for f in theirs]).astype(np.uint16)))
    if s.params.transform == "woe":
        await s.send(peer, Weights(np.concatenate([f.woe[f.merged] for f in theirs])))


# ---------------------------------------------------------------- features


@WOE.role("features")
async def features(s: Session, mine: Binned) -> Answer:
    boss, n, counts = s.peer("label"), len(mine.bins), mine.counts
    await s.send(boss, Shape(counts, mine.ordered, np.concatenate(mine.rows).astype(np.uint32)))
    if s.params.share_names:
        await s.send(boss, Names([c.name for c in mine.binning.columns]))
    key = await _key(s, boss, n, counts)
    labels = Pieces(s.stream(boss, Labels), lambda m: m.ciphertexts, partial(wrong, boss))
    raw = await labels.take(key.shape(n))
    await labels.end()
    layout, out = s.params.layout(n), s.stream(boss, Events)
    with told(boss):
        ct = await s.compute(key.ciphertexts, raw, n)
    with told():
        sums = await s.compute(key.histogram, ct, mine.bins, counts, None)
        response = await s.compute(key.release, sums, layout)
    for piece in cut(response.raw):
        await out.put(Events(piece, response.count))
    await out.close()
    return await _told(s, boss, mine)


async def _key(s: Session, boss: str, n: int, counts: NDArray[np.uint32]) -> PublicKey:
    hello = await s.recv(boss, Key)
    if hello.count != n:
        raise wrong(boss, "has another number of training rows")
    if hello.outputs < scheme.planned(s.params, [tuple(counts.tolist())]):
        raise wrong(boss, "planned its key for fewer sums than it asks for")
    try:
        with told(boss):
            return await s.compute(scheme.decode_public, hello.public, scheme.terms_of(s, n, hello.outputs))
    except ValueError as e:
        raise wrong(boss, f"sent a bad key: {e}") from None


async def _told(s: Session, boss: str, mine: Binned) -> Answer:
    total = int(mine.counts.sum())
    groups = tuple(np.arange(r.size) for r in mine.rows)
    if s.params.merges:
        sent = (await s.recv(boss, Merged, bins=total)).group.astype(np.int64)
        groups = tuple(np.split(sent, np.cumsum(mine.counts, dtype=np.int64)[:-1]))
        for group, ordered in zip(groups, mine.ordered, strict=True):
            _check_merged(boss, group, bool(ordered), s.params.bins)
    if s.params.transform != "woe":
        return Answer(groups, None)
    sent_woe = (await s.recv(boss, Weights, bins=total)).woe
    woe = tuple(np.split(sent_woe, np.cumsum(mine.counts, dtype=np.int64)[:-1]))
    for group, weights in zip(groups, woe, strict=True):
        if np.any(weights != weights[np.unique(group, return_index=True)[1]][group]):
            raise wrong(boss, "weighs bins differently that it merged")
    return Answer(groups, woe)


def _check_merged(boss: str, group: Ints, ordered: bool, most: int) -> None:
    """Numbers by first appearance, neighbours where there is an order, missing values by themselves."""
    highest = np.maximum.accumulate(group)
    steps = np.diff(highest, prepend=-1)
    counted_up = bool(np.all((steps == 0) | (steps == 1)))
    alone = bool(group[-1] == group[:-1].max() + 1)
    if not counted_up or not alone or group[-1] > most or (ordered and np.any(np.diff(group) < 0)):
        raise wrong(boss, "merged bins in a way that was not agreed")
