"""A features party's part of vertical boosting: sums of what it cannot read, and the sides of its own splits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from parley.components.training.growing import CLOSED
from parley.crypto.ahe import Ciphertexts, Layout, PublicKey, RowPublicKey, Sums
from parley.protocols import scheme
from parley.protocols.gbdt import planning
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.data import PartData, asked, directions
from parley.protocols.gbdt.far import Far, FarGradients
from parley.protocols.gbdt.messages import (
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
from parley.protocols.gbdt.sampling import allowed_features, sampled_rows
from parley.protocols.gbdt.tiles import Tiles
from parley.protocols.gbdt.vertical import VERTICAL
from parley.protocols.inputs import told
from parley.protocols.kit import Session
from parley.protocols.pieces import Pieces, cut
from parley.protocols.scheme import LATTICE_SLOTS

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Grown:
    """A features party's outcome, and what it goes on from: its splits of so many rounds."""

    splits: Splits
    rounds: int = 0


@VERTICAL.role("features")
async def features(s: Session, data: PartData, before: Grown | None = None) -> Grown:
    boss, apart = s.peer("label"), s.params.apart
    key = await _meet_label(s, boss, data)
    first = before.rounds if before is not None else 0
    rounds, splits = first, before.splits if before is not None else Splits()
    if s.resumed is not None:
        rounds, splits = s.resumed[0], Splits.of(s.resumed[1])
    done = TreeDone(True, 0)
    while done.more:
        alone = rounds - first < s.params.own_trees
        sample = np.empty(0, np.int64) if alone else await _sample(s, boss, data, rounds)
        allowed = allowed_features(s, s.me, len(data.n_bins), rounds)
        for k in range(apart):
            tree = rounds * apart + k
            if not alone:
                work = await s.compute(Work.of, data, key, sample, allowed, s.params.layout(sample.size))
                await _grow(s.at(tree=tree), boss, work, splits, tree)
            done = await s.at(tree=tree).recv(boss, TreeDone)
        rounds += 1
        s.progress(rounds - first, s.params.trees, "growing trees")
        if done.more:
            await s.checkpoint(rounds, splits.state(max(data.n_bins)))
    return Grown(Splits.of(splits.state(max(data.n_bins), done.kept * apart)), done.kept)


async def _sample(s: Session, boss: str, data: PartData, round_index: int) -> Ints:
    """(m,) the rows of a round: drawn from the coins, or as the label party chose them by gradient."""
    if s.params.goss is None:
        return sampled_rows(s, data.training, round_index)
    message = await s.at(tree=round_index * s.params.apart).recv(boss, Sampled, bytes=-(-data.rows.size // 8))
    flags = np.unpackbits(message.bits).astype(bool)
    rows = np.flatnonzero(flags)
    wanted = sum(s.params.goss.counts(int(data.training.sum())))
    if flags[data.rows.size :].any() or rows.size != wanted or not data.training[rows].all():
        raise wrong(boss, "chose other rows, or another number, than were agreed")
    return rows


async def _meet_label(s: Session, boss: str, data: PartData) -> PublicKey:
    kinds = np.array([c.kind == "categorical" for c in data.binning.columns], dtype=np.uint8)
    ways = directions(s.params, s.me, data.binning)
    await s.send(boss, Shape(np.array(data.n_bins, dtype=np.uint32), kinds, ways))
    if s.params.share_names:
        await s.send(boss, Names([c.name for c in data.binning.columns]))
    hello = await s.recv(boss, Key)
    if hello.count != data.rows.size:
        raise wrong(boss, "has another number of aligned rows")
    if hello.outputs < planning.planned(s.params, [data.n_bins]):
        raise wrong(boss, "planned its key for fewer sums than it will ask for")
    if not planning.shared(s.params, [data.n_bins]) <= hello.sharing <= LATTICE_SLOTS:
        raise wrong(boss, "planned its key for fewer features in a polynomial than there are")
    agreed = (hello.count, hello.outputs, hello.sharing)
    try:
        with told(boss):
            return await s.compute(scheme.decode_public, hello.public, scheme.terms_of(s, *agreed))
    except ValueError as e:
        raise wrong(boss, f"sent a bad key: {e}") from None


@dataclass(frozen=True)
class Work:
    """What one tree needs at a features party: the sampled rows' bins, with their counts, for each answer."""

    data: PartData
    key: PublicKey
    sample: Ints = field(repr=False)
    allowed: Mask
    layout: Layout
    grouped: tuple[tuple[NDArray[np.uint32], NDArray[np.uint16] | Far], ...] = field(repr=False)

    @classmethod
    def of(cls, data: PartData, key: PublicKey, sample: Ints, allowed: Mask, layout: Layout) -> Work:
        kinds = asked(data.n_bins, allowed, key.any_rows)
        if isinstance(data.bins, Tiles):
            return cls(data, key, sample, allowed, layout, tuple((c, Far(data.bins, sample, f)) for c, f in kinds))
        mine = data.bins[sample]
        grouped = tuple((counts, np.ascontiguousarray(mine[:, f])) for counts, f in kinds)
        return cls(data, key, sample, allowed, layout, grouped)

    def at_nodes(self, level: Level) -> list[Ints]:
        """Places in the sample of the rows at each node that is asked about."""
        sampled = level.slot[self.sample]
        return [np.flatnonzero(sampled == slot) for slot in level.build]


async def _grow(s: Session, boss: str, work: Work, splits: Splits, tree: int) -> None:
    strict = s.params.strict
    everything = await _gradients(s, boss, work) if work.key.any_rows and not strict else None
    for depth in range(s.params.steps):
        at = s.at(level=depth)
        level = None if strict else await at.recv(boss, Level, n=work.data.rows.size)
        nodes = await _all_rows(at, boss, work) if level is None else work.at_nodes(level)
        if not nodes:
            return
        await _answer(at, boss, work, everything, nodes)
        chosen = await at.recv(boss, Chosen, bins=max(work.data.n_bins))
        if any(f >= work.allowed.size or not work.allowed[f] for f in chosen.feature):
            raise wrong(boss, "chose a feature that it may not")
        answer = _sides(work, chosen) if level is None else _directions(boss, work, level, chosen)
        await at.send(boss, answer)
        splits.add(tree, chosen.node, chosen.feature, chosen.left)


async def _all_rows(s: Session, boss: str, work: Work) -> list[Ints]:
    """All sampled rows, for each node that is asked about: which of them are there stays with the label party."""
    nodes = (await s.recv(boss, Asked)).nodes
    if not 0 <= nodes <= s.params.builds:
        raise wrong(boss, "asks about more nodes than a tree has")
    return [np.arange(work.sample.size)] * nodes


async def _gradients(s: Session, boss: str, work: Work) -> Ciphertexts | FarGradients:
    stream = s.stream(boss, Gradients, size=work.key.shape(1)[1])
    if isinstance(work.data.bins, Tiles) and isinstance(work.key, RowPublicKey):
        far = FarGradients(work.key, work.data.bins.scratch, work.data.bins.end)
        async for chunk in stream:
            await s.compute(far.append, chunk.ciphertexts)
        if far.rows != work.sample.size:
            raise wrong(boss, "sent another number of gradients than there are sampled rows")
        return far
    received = [chunk.ciphertexts async for chunk in stream]
    if sum(map(len, received)) != work.sample.size:
        raise wrong(boss, "sent another number of gradients than there are sampled rows")
    with told(boss):
        return await s.compute(work.key.ciphertexts, np.concatenate(received), work.sample.size)


async def _answer(
    s: Session, boss: str, work: Work, everything: Ciphertexts | FarGradients | None, wanted: list[Ints]
) -> None:
    """Sum up each wanted node, given as places in the sample, by feature and bin; release the sums re-randomised."""
    out = s.stream(boss, Histograms)
    nodes = Pieces(s.stream(boss, NodeGradients), lambda m: m.ciphertexts, partial(wrong, boss))
    for rows in wanted:
        if rows.size == 0:
            raise wrong(boss, "asks for a node without sampled rows")
        summed = _held(s, work, everything, rows) if everything is not None else _coming(s, boss, work, nodes, rows)
        async for sums in summed:
            with told():
                response = await s.compute(work.key.release, sums, work.layout)
            for piece in cut(response.raw):
                await out.put(Histograms(piece, response.count))
        await asyncio.sleep(0)
    if everything is None:
        await nodes.end()
    await out.close()


async def _held(s: Session, work: Work, everything: Ciphertexts | FarGradients, rows: Ints) -> AsyncIterator[Sums]:
    """A node's sums, one group of features after the other, of gradients that all came before the tree."""
    for counts, bins in work.grouped:
        with told():
            if isinstance(everything, FarGradients) and isinstance(bins, Far):
                yield await s.compute(everything.histogram, bins, counts, rows)
            else:
                assert isinstance(everything, Ciphertexts)
                assert not isinstance(bins, Far)
                yield await s.compute(work.key.histogram, everything, bins, counts, rows)


async def _coming(s: Session, boss: str, work: Work, nodes: Pieces[NodeGradients], rows: Ints) -> AsyncIterator[Sums]:
    """A node's sums, of its own rows' gradients as they come: summed piece by piece where not all is held in memory."""
    shape = work.key.shape(rows.size)
    at_once = work.data.at_once
    running = work.key.running(rows.size, work.grouped[0][0], at_once) if at_once and len(work.grouped) == 1 else None
    if running is not None:
        bins = work.grouped[0][1]
        async for part in nodes.parts(shape):
            with told(boss):
                await s.compute(running.take, part, lambda a, b: np.ascontiguousarray(bins[rows[a:b]]))
        with told(boss):
            yield running.sums()
        return
    raw = await nodes.take(shape)
    with told(boss):
        ct = await s.compute(work.key.ciphertexts, raw, rows.size)
    for counts, bins in work.grouped:
        with told():
            yield await s.compute(work.key.histogram, ct, np.ascontiguousarray(bins[rows]), counts, None)


def _directions(boss: str, work: Work, level: Level, chosen: Chosen) -> Directions:
    flags = [np.empty(0, dtype=bool)]
    for slot, feature, left in zip(chosen.slot, chosen.feature, chosen.left, strict=True):
        if slot == CLOSED:
            raise wrong(boss, "chose a node that it may not")
        flags.append(left[work.data.bins[level.slot == slot, feature]].astype(bool))
    return Directions(np.packbits(np.concatenate(flags)))


def _sides(work: Work, chosen: Chosen) -> Sides:
    """Which of all rows go left, for each split."""
    flags = [left[work.data.bins[:, feature]] for feature, left in zip(chosen.feature, chosen.left, strict=True)]
    whole = np.array(flags, dtype=np.uint8).reshape(len(flags), work.data.rows.size)
    return Sides(np.packbits(whole, axis=1))
