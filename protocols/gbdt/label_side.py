"""The label party's part of vertical boosting: it grows the trees from answers that only it can open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from parley.components.features.spec import BinSpec
from parley.components.training.growing import Growing
from parley.components.training.objectives import fitted
from parley.components.training.split import Split
from parley.components.training.trees import Model, Tree
from parley.crypto.ahe import Layout, SecretKey
from parley.protocols import scheme
from parley.protocols.gbdt import planning
from parley.protocols.gbdt.course import Begun, Course
from parley.protocols.gbdt.data import LabelData, asked, directions, spread
from parley.protocols.gbdt.leakage import Seen
from parley.protocols.gbdt.messages import (
    CHUNK,
    Asked,
    Chosen,
    Directions,
    Gradients,
    Histograms,
    Key,
    Level,
    Names,
    NodeGradients,
    Sampled,
    Shape,
    Sides,
    TreeDone,
    wrong,
)
from parley.protocols.gbdt.sampling import allowed_features, by_gradient, level_features, sampled_rows
from parley.protocols.gbdt.vertical import VERTICAL
from parley.protocols.inputs import together, told
from parley.protocols.kit import Session, Stream
from parley.protocols.pieces import Cutting, Pieces, cut
from parley.wire.errors import ParleyError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Peer:
    """A features party as the label party sees it; its features are `start` .. `start + len(n_bins)` of the joined."""

    name: str
    n_bins: tuple[int, ...]
    categorical: tuple[bool, ...]
    names: tuple[str, ...]
    start: int


@dataclass(frozen=True)
class Team:
    key: SecretKey
    peers: tuple[Peer, ...]
    spec: BinSpec
    monotone: Ints | None
    seen: Seen
    at_once: int

    def counts(self, me: str) -> list[tuple[str, int]]:
        """Every party with how many features it has, in their order."""
        others = [(p.name, len(p.n_bins)) for p in self.peers]
        return [(me, self.spec.features - sum(n for _, n in others)), *others]


@dataclass(frozen=True)
class Trained:
    """The label party's outcome: the model over joined features, who they belong to, the course, the scheme with its
    figures, and what features parties saw of the rows."""

    model: Model
    peers: tuple[Peer, ...]
    course: Course
    encryption: str
    seen: Seen


@VERTICAL.role("label")
async def label(s: Session, data: LabelData, before: Begun | None = None) -> Trained:
    if s.params.own_trees and not data.part.n_bins:
        raise ParleyError("no_features", f"{s.me} has no feature column for own_trees.", "Name some under `columns`.")
    with told():
        course = Course.begin(s.params.loss(), data, s.params.early_stopping, before)
        if s.resumed is not None:
            course.resume(s.resumed[1])
    team = await _introduce(s, data)
    if before is not None and before.model.spec != team.spec:
        raise ParleyError("other_model", "The earlier model has other features.", "Name the same columns.")
    if s.resumed is not None:
        team.seen.resume(s.resumed[1])
    last = False
    try:
        while not last:
            last = await _round(s, team, data, course)
            s.progress(len(course.rounds) - course.first, s.params.trees, "growing trees")
            if not last:
                await s.checkpoint(len(course.rounds), course.state(team.spec) | team.seen.state())
    finally:
        team.key.close()
    return Trained(course.model(team.spec), team.peers, course, team.key.describe(), team.seen)


async def _introduce(s: Session, data: LabelData) -> Team:
    names = s.peers("features")
    shapes = await together(*(s.recv(p, Shape) for p in names))
    told_names = await together(*(s.recv(p, Names) for p in names)) if s.params.share_names else []
    n_bins, categorical = list(data.part.n_bins), [c.kind == "categorical" for c in data.part.binning.columns]
    ways = [directions(s.params, s.me, data.part.binning), *(shape.monotone for shape in shapes)]
    peers = []
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        theirs = tuple(told_names[i].names) if told_names else tuple(f"#{k}" for k in range(shape.n_bins.size))
        if int(shape.n_bins.max()) > s.params.bins + 1 or len(theirs) != shape.n_bins.size:
            raise wrong(name, "described its features in a way that was not agreed")
        bins, kinds = tuple(shape.n_bins.tolist()), tuple(bool(c) for c in shape.categorical)
        peers.append(Peer(name, bins, kinds, theirs, len(n_bins)))
        n_bins += bins
        categorical += kinds
    shown, rows = [p.n_bins for p in peers], int(data.y.size)
    outputs, sharing = planning.planned(s.params, shown), planning.shared(s.params, shown)
    with told():
        key = await s.compute(scheme.generate, scheme.terms_of(s, rows, outputs, sharing))
    await together(*(s.send(p, Key(key.public.encode(), rows, outputs, sharing)) for p in names))
    monotone = np.concatenate(ways).astype(np.int64) if s.params.monotone else None
    seen = Seen(data.y.size, names)
    return Team(key, tuple(peers), BinSpec(tuple(n_bins), tuple(categorical)), monotone, seen, data.part.at_once)


async def _round(s: Session, team: Team, data: LabelData, course: Course) -> bool:
    """Grow the trees of one round from the same scores; True when it was the last round."""
    index, apart = len(course.rounds), s.params.apart
    alone = index - course.first < s.params.own_trees
    allowed = np.concatenate([allowed_features(s, name, count, index) for name, count in team.counts(s.me)])
    if alone:
        allowed[data.part.bins.shape[1] :] = False
    g, h = course.derivatives()
    sample, factor = await _sample(s, index, team, data, g, alone)
    trees: list[Tree] = []
    last = False
    for k in range(apart):
        at = s.at(tree=index * apart + k)
        columns = slice(k, k + s.params.channels // 2)
        with told():
            sent, shifts = fitted(g[sample, columns] * factor, h[sample, columns] * factor, s.params.scale_bits)
        channels = np.zeros((data.y.size, s.params.channels), dtype=np.int64)
        channels[sample] = sent << shifts
        growing = Growing(channels, sample, data.part.bins, team.spec, s.params.rules(), allowed, team.monotone)
        await (s.compute(growing.alone) if alone else _tree(at, team, growing, sent, shifts))
        if not alone:
            team.seen.next_tree()
        course.raw[:, columns] += growing.scores()
        trees.append(growing.tree())
        if k + 1 == apart:
            with told():
                last = course.end_round(tuple(trees), s.params.trees)
        done = TreeDone(not last, course.kept)
        await together(*(at.send(p.name, done) for p in team.peers))
    return last


async def _sample(s: Session, index: int, team: Team, data: LabelData, g: Floats, alone: bool) -> tuple[Ints, Floats]:
    """(m,) the rows of a round, and how much each counts (m, 1); features parties are told rows they cannot draw."""
    training = data.part.training
    if s.params.goss is None:
        rows = sampled_rows(s, training, index)
        return rows, np.ones((rows.size, 1))
    rows, factor = by_gradient(s.params.goss, g, training, s.rng)
    if not alone:
        flags = np.zeros(training.size, dtype=bool)
        flags[rows] = True
        team.seen.sampled(flags)
        at = s.at(tree=index * s.params.apart)
        await together(*(at.send(p.name, Sampled(np.packbits(flags))) for p in team.peers))
    return rows, factor[:, None]


async def _tree(s: Session, team: Team, growing: Growing, sent: Ints, shifts: Ints) -> None:
    layout = s.params.layout(len(sent))
    at_once = team.key.public.any_rows and not s.params.strict
    if at_once:
        await _send_gradients(s, team, sent, layout)
    for depth in range(s.params.steps):
        at = s.at(level=depth)
        build = growing.to_build() if growing.more else np.empty(0, dtype=np.uint16)
        question = Asked(int(build.size)) if s.params.strict else Level(growing.slots(), build)
        await together(*(at.send(p.name, question) for p in team.peers))
        if not s.params.strict:
            await s.compute(team.seen.told_all, growing.slots())
        if not growing.more:
            return
        if not at_once:
            await _send_nodes(at, team, growing, build, sent, layout)
        built = await s.compute(growing.own_histograms, build)
        await together(*(_receive(at, team.key, p, growing, build, built, layout, shifts) for p in team.peers))
        usable = level_features(at, [count for _, count in team.counts(s.me)])
        splits = await s.compute(growing.find_splits, built, usable)
        sides = {slot: growing.own_side(slot, split) for slot, split in splits if split.feature < _own(growing)}
        for answer in await together(*(_ask(at, p, growing, splits, team.seen) for p in team.peers)):
            sides.update(answer)
        growing.apply(splits, sides)


async def _send_gradients(s: Session, team: Team, sent: Ints, layout: Layout) -> None:
    streams = [s.stream(p.name, Gradients) for p in team.peers]
    for start in range(0, len(sent), CHUNK):
        with told():
            chunk = await s.compute(team.key.encrypt, np.ascontiguousarray(sent[start : start + CHUNK]), layout)
        await together(*(out.put(Gradients(chunk)) for out in streams))
    await together(*(out.close() for out in streams))


async def _send_nodes(
    s: Session, team: Team, growing: Growing, build: NDArray[np.uint16], sent: Ints, layout: Layout
) -> None:
    """Each wanted node's rows by themselves, in the order of the sample; strict, all rows, zero outside of the node."""
    streams = [s.stream(p.name, NodeGradients) for p in team.peers]
    slots = growing.slots()[growing.sample]
    for slot in build:
        here = slots == slot
        values = np.where(here[:, None], sent, 0) if s.params.strict else np.ascontiguousarray(sent[here])
        if not team.key.public.any_rows:
            await _send_node(s, streams, team.key.encrypted(values, layout, team.at_once))
            continue
        for start in range(0, len(values), CHUNK):
            with told():
                some = await s.compute(team.key.encrypt, values[start : start + CHUNK], layout)
            for piece in cut(some):
                await together(*(out.put(NodeGradients(piece)) for out in streams))
    await together(*(out.close() for out in streams))


async def _send_node(s: Session, streams: list[Stream[NodeGradients]], parts: Iterator[NDArray[np.uint8]]) -> None:
    """One batch, sent while it is encrypted."""
    cutting = Cutting()
    while True:
        with told():
            some = await s.compute(next, parts, None)
        for piece in cutting.rest() if some is None else cutting.add(some):
            await together(*(out.put(NodeGradients(piece)) for out in streams))
        if some is None:
            return


async def _receive(
    s: Session,
    key: SecretKey,
    peer: Peer,
    growing: Growing,
    build: NDArray[np.uint16],
    built: Ints,
    layout: Layout,
    shifts: Ints,
) -> None:
    """Decrypt one party's histograms into `built` (b, F, B, 2), and compare each feature's total with the node's."""
    allowed = growing.allowed[peer.start : peer.start + len(peer.n_bins)]
    answers = Pieces(s.stream(peer.name, Histograms), lambda m: m.sums, partial(wrong, peer.name))
    for at, slot in enumerate(build):
        for counts, features in asked(peer.n_bins, allowed, key.public.any_rows):
            total = int(counts.sum())
            raw = await answers.take(key.reply_shape(total, layout), partial(_holds, total))
            with told(peer.name):
                response = await s.compute(key.response, raw, total, layout)
                sums = await s.compute(key.decrypt, response, layout)
            hist = spread(sums, counts) << shifts
            if np.any(hist.sum(axis=1) != growing.sums[growing.level[slot]]):
                raise wrong(peer.name, "sent histograms that do not add up")
            built[at, peer.start + features, : hist.shape[1]] = hist
    await answers.end()


def _holds(total: int, answer: Histograms) -> bool:
    return answer.count == total


def _own(growing: Growing) -> int:
    return int(growing.own.shape[1])


async def _ask(
    s: Session, peer: Peer, growing: Growing, splits: list[tuple[int, Split]], seen: Seen
) -> dict[int, Mask]:
    """Tell a party its winning splits and learn which rows go left; also when there is none, so that all look alike."""
    mine = [(a, b) for a, b in splits if peer.start <= b.feature < peer.start + len(peer.n_bins)]
    width = max(peer.n_bins)
    left = np.array([growing.left_table(b)[:width] for _, b in mine], dtype=np.uint8).reshape(len(mine), width)
    # Strict, the place of a node among the open ones is nobody else's to know.
    slots = np.array([i if s.params.strict else a for i, (a, _) in enumerate(mine)], dtype=np.uint16)
    nodes = np.array([growing.level[a] for a, _ in mine], dtype=np.uint32)
    features = np.array([b.feature - peer.start for _, b in mine], dtype=np.uint32)
    await s.send(peer.name, Chosen(slots, nodes, features, left))
    rows = [growing.rows_at(a) for a, _ in mine]
    answered = _all_sides if s.params.strict else _node_sides
    sides = await answered(s, peer, growing, mine, rows, seen)
    for (_, split), here, side in zip(mine, rows, sides, strict=True):
        if growing.channels[here[side]].sum(axis=0).tolist() != list(split.sums):
            raise wrong(peer.name, "sent directions that contradict its histogram")
    return {slot: side for (slot, _), side in zip(mine, sides, strict=True)}


async def _node_sides(
    s: Session, peer: Peer, growing: Growing, mine: list[tuple[int, Split]], rows: list[Ints], seen: Seen
) -> list[Mask]:
    """Of each node's rows, which go left."""
    total = sum(map(len, rows))
    bits = (await s.recv(peer.name, Directions, bytes=-(-total // 8))).bits
    flags = np.unpackbits(bits).astype(bool)
    if flags[total:].any():
        raise wrong(peer.name, "sent more directions than there are rows")
    sides = np.split(flags[:total], np.cumsum([len(r) for r in rows])[:-1]) if rows else []
    parted = np.zeros(growing.position.size, dtype=np.int64)
    for (slot, _), here, side in zip(mine, rows, sides, strict=True):
        parted[here] = 2 * slot + 1 + side
    await s.compute(seen.told, peer.name, parted)
    return list(sides)


async def _all_sides(
    s: Session, peer: Peer, growing: Growing, mine: list[tuple[int, Split]], rows: list[Ints], seen: Seen
) -> list[Mask]:
    """The same, of an answer about all rows, so that the party need not know which are at the node."""
    count = growing.position.size
    bits = (await s.recv(peer.name, Sides, splits=len(mine), bytes=-(-count // 8))).bits
    flags = np.unpackbits(bits, axis=1).astype(bool)
    if flags[:, count:].any():
        raise wrong(peer.name, "sent more directions than there are rows")
    for every in flags[:, :count]:
        await s.compute(seen.split, peer.name, every)
    return [every[here] for every, here in zip(flags[:, :count], rows, strict=True)]
