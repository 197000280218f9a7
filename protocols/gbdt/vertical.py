"""Boosted trees over columns of several parties, with labels at one of them (SecureBoost).

Ideal functionality: the label party gets the structure and leaves of the trees that `components.training.gbdt` would
grow on all columns joined; each features party gets its own splits (which of its columns, which bins go left). Nobody's
labels, derivatives, columns or bin edges are shown to anybody else.

Adversary: semi-honest; each row's derivatives are hidden from the features parties by Paillier's decisional composite
residuosity assumption, or by ring learning with errors, which also hides, up to the stated statistical distance, what
lattice answers would say beyond their sums. A histogram or direction that contradicts the label party's own sums is
refused by name.

    step  from -> to          message      carries                                          bytes
    1     features -> label   Shape        bins of each feature, and which are categories   5 per feature
    2     features -> label   Names        column names, only with share_names              names
    3     label -> features   Key          public key, rows, sums it is planned for          modulus
    for each tree (a round of K classes has K trees):
    4     label -> features   Gradients    encrypted (g, h) of each sampled row             key_bits/4 per row
      for each level:
    5     label -> features   Level        each row's open node; which nodes to sum up      2 per row
    5a    label -> features   NodeGradients  (g, h) of the rows of each such node, encrypted  by scheme
    6     features -> label   Histograms   encrypted sums by feature and bin                key_bits/4 per packed sums
    7     label -> features   Chosen       this party's winning splits                      10 + bins per split
    8     features -> label   Directions   which rows at these nodes go left                1/8 per row
    9     label -> features   TreeDone     whether another tree comes, rounds kept          9

Of two sibling nodes only the smaller is summed; the label party subtracts. Answers are re-randomised. A scheme whose
ciphertexts can be summed over any subset of rows sends them once a tree, in step 4; one that packs rows sends each
node's apart, in step 5a, and skips 4.

Label learns, for every node it asks about, the sums of its derivatives by feature and bin (`histograms`: it knows each
row's derivative, so in small nodes it can tell which row lies in which bin), the sides of a winning split
(`directions`), the number of features and bins (`feature_shapes`), their names with share_names (`feature_names`).
Features learns how many rows are aligned (`row_count`), which rows sit together in the nodes of each tree
(`node_membership`: rows with like labels tend to sit together), its own winning splits (`own_splits`), the number of
trees (`trees`), and with the lattice, up to a power of two, how many sums the party with the most answers with
(`planned_sums`). Coordinator: sizes.

Not protected: what the trees' structure says about the label, against a features party that studies it; and anything
against parties that pool what they hold.
Source: Cheng, Fan, Jin, Liu, Chen, Papadopoulos, Yang, *SecureBoost*, 2019; Chen & Guestrin, *XGBoost*, 2016.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from parley.components.features.spec import BinSpec
from parley.components.training.split import Split
from parley.components.training.trees import Model, Tree
from parley.crypto.ahe import Ciphertexts, Layout, PublicKey, SecretKey
from parley.protocols.gbdt import scheme
from parley.protocols.gbdt.course import Course, Splits
from parley.protocols.gbdt.data import (
    LabelData,
    PartData,
    allowed_features,
    asked,
    sampled_rows,
    spread,
    training_rows,
)
from parley.protocols.gbdt.grow import CLOSED, Growing
from parley.protocols.gbdt.messages import (
    NAME_BYTES,
    Chosen,
    Directions,
    Gradients,
    Histograms,
    Key,
    Level,
    Names,
    NodeGradients,
    Shape,
    TreeDone,
)
from parley.protocols.gbdt.params import Params, check_params
from parley.protocols.gbdt.pieces import Pieces, cut, pieces_of
from parley.protocols.inputs import together, told
from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Protocol,
    Session,
    Sizes,
    Step,
)
from parley.wire.errors import ParleyError

CHUNK = 4096
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For n rows, T trees times classes, depth D, B = bins + 1, F features: levels T D 2n and up; directions T D n/8;
    splits T 2^D B; and ciphertexts of T n rows at once, or of at most T n (D+1)/2 by node, and of T 2^(D-1) F B sums,
    weighed by the scheme: key_bits/4 a row and a packed group of sums, or blocks and reply polynomials.
    """
    (label,) = cast["label"]
    terms, columns = _expected(params, cast, sizes)
    n = terms.rows
    trees, nodes, levels = params.trees * params.outputs, 2**params.depth, params.trees * params.outputs * params.depth
    by_node = scheme.packs(params.scheme)
    batches = trees * nodes // 2
    rows = trees * n * (params.depth + 1) // 2 if by_node else trees * n
    flows = []
    for party in cast["features"]:
        kinds = 1 if by_node else min(columns[party], params.bins + 1)
        with told():
            sums = batches * columns[party] * (params.bins + 1)
            weight = scheme.weigh(terms, rows, batches, sums, batches * kinds)
        gradients = NodeGradients if by_node else Gradients
        flows += [
            Flow(Key.TAG, label, party, 1, weight.key),
            Flow(Shape.TAG, party, label, 1, 5 * columns[party]),
            Flow(
                gradients.TAG,
                label,
                party,
                -(-n // CHUNK) * trees + pieces_of(weight.gradients, batches + levels + trees),
                weight.gradients,
            ),
            Flow(Level.TAG, label, party, levels, levels * 2 * n + trees * 2 * nodes),
            Flow(Histograms.TAG, party, label, pieces_of(weight.answers, batches * kinds + levels), weight.answers),
            Flow(Chosen.TAG, label, party, levels, trees * nodes * (11 + params.bins)),
            Flow(Directions.TAG, party, label, levels, levels * (n // 8 + 1)),
            Flow(TreeDone.TAG, label, party, trees, trees * 16),
        ]
        if params.share_names:
            flows.append(Flow(Names.TAG, party, label, 1, columns[party] * (NAME_BYTES + 16)))
    return flows


def _expected(params: Params, cast: Cast, sizes: Sizes) -> tuple[scheme.Terms, dict[str, int]]:
    """What a plan can know of a key: terms of at most so many rows and sums; and columns of each features party."""
    rows = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    columns = {p: sizes.columns.get(p, 4096) for p in cast["features"]}
    return scheme.Terms(params, rows, _planned(params, [(params.bins + 1,) * n for n in columns.values()])), columns


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """What the lattice's answers may say beyond their sums; the parameters follow once the parties' shapes are told."""
    if not scheme.packs(params.scheme):
        return []
    with told():
        plan = _expected(params, cast, sizes)[0].plan()
    return [
        f"lattice, {plan.profile.name} or narrower: over the whole training, answers say nothing beyond their sums "
        f"up to a statistical distance of 2^-{params.statistical_bits}"
    ]


def _planned(params: Params, shapes: list[tuple[int, ...]]) -> int:
    """Sums the key is planned for: a power of two, which says little of the party with the most; 0 without a plan."""
    if not scheme.packs(params.scheme):
        return 0
    return 1 << (max(params.released_sums(n) for n in shapes) - 1).bit_length()


TREE, LEVEL = ("tree",), ("tree", "level")
VERTICAL = Protocol(
    "gbdt/vertical",
    version=2,
    security=SEMI_HONEST,
    summary="Boosted trees over columns of several parties, labels at one of them.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("features", "label", Shape, "feature_shapes"),
        Step("features", "label", Names, "feature_names"),
        Step("label", "features", Key, "row_count"),
        Step("label", "features", Gradients, "row_count", TREE, stream=True),
        Step("label", "features", Level, "node_membership", LEVEL),
        Step("label", "features", NodeGradients, "row_count", LEVEL, stream=True),
        Step("features", "label", Histograms, "histograms", LEVEL, stream=True),
        Step("label", "features", Chosen, "own_splits", LEVEL),
        Step("features", "label", Directions, "directions", LEVEL),
        Step("label", "features", TreeDone, "trees", TREE),
    ],
    learns={
        "label": ["model", "histograms", "directions", "feature_shapes", "feature_names"],
        "features": ["row_count", "node_membership", "own_splits", "trees", "planned_sums"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
    figures=figures,
)
VERTICAL.checks.append(check_params)


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


@dataclass(frozen=True)
class Trained:
    """The label party's outcome: the model over joined features, who they belong to, the course, held-in rows (n,),
    and the scheme with its figures."""

    model: Model
    peers: tuple[Peer, ...]
    course: Course
    training: Mask = field(repr=False)
    encryption: str


# ---------------------------------------------------------------- label


@VERTICAL.role("label")
async def label(s: Session, data: LabelData) -> Trained:
    training = training_rows(s, data.y.size)
    with told():
        course = Course.begin(s.params.loss(), data.y, training, s.params.early_stopping)
        if s.resumed is not None:
            course.resume(s.resumed[1])
    team = await _introduce(s, data)
    last = False
    try:
        while not last:
            last = await _round(s, team, data, course, training)
            s.progress(len(course.rounds), s.params.trees, "growing trees")
            if not last:
                await s.checkpoint(len(course.rounds), course.state(team.spec))
    finally:
        team.key.close()
    return Trained(course.model(team.spec), team.peers, course, training, team.key.describe())


async def _introduce(s: Session, data: LabelData) -> Team:
    names = s.peers("features")
    shapes = await together(*(s.recv(p, Shape) for p in names))
    told_names = await together(*(s.recv(p, Names) for p in names)) if s.params.share_names else []
    n_bins, categorical = list(data.part.n_bins), [c.kind == "categorical" for c in data.part.binning.columns]
    peers = []
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        theirs = tuple(told_names[i].names) if told_names else tuple(map(str, range(shape.n_bins.size)))
        if int(shape.n_bins.max()) > s.params.bins + 1 or len(theirs) != shape.n_bins.size:
            raise _wrong(name, "described its features in a way that was not agreed")
        bins, kinds = tuple(shape.n_bins.tolist()), tuple(bool(c) for c in shape.categorical)
        peers.append(Peer(name, bins, kinds, theirs, len(n_bins)))
        n_bins += bins
        categorical += kinds
    outputs = _planned(s.params, [p.n_bins for p in peers])
    with told():
        key = await s.compute(scheme.generate, _terms(s, int(data.y.size), outputs))
    await together(*(s.send(p, Key(key.public.encode(), int(data.y.size), outputs)) for p in names))
    return Team(key, tuple(peers), BinSpec(tuple(n_bins), tuple(categorical)))


def _terms(s: Session, rows: int, outputs: int) -> scheme.Terms:
    return scheme.Terms(s.params, rows, outputs, s.at(key=0).coins.bytes(scheme.CONTEXT_BYTES))


async def _round(s: Session, team: Team, data: LabelData, course: Course, training: Mask) -> bool:
    """Grow one tree for each output from the same scores; True when it was the last round."""
    index, start = len(course.rounds), course.raw.copy()
    sample = sampled_rows(s, training, index)
    counts = [(s.me, data.part.bins.shape[1]), *((p.name, len(p.n_bins)) for p in team.peers)]
    allowed = np.concatenate([allowed_features(s, name, count, index) for name, count in counts])
    trees: list[Tree] = []
    last = False
    for k in range(s.params.outputs):
        at = s.at(tree=index * s.params.outputs + k)
        with told():
            sent, shift = course.channels(data.y, k, start, sample, s.params.scale_bits)
        channels = np.zeros((data.y.size, 2), dtype=np.int64)
        channels[sample] = sent << np.array([shift, 0])
        growing = Growing(channels, sample, data.part.bins, team.spec, s.params.growth(), allowed)
        await _tree(at, team, growing, sent, shift)
        course.raw[:, k] += growing.scores()
        trees.append(growing.tree())
        if k + 1 == s.params.outputs:
            with told():
                last = course.end_round(tuple(trees), data.y, training, s.params.trees)
        done = TreeDone(not last, course.kept)
        await together(*(at.send(p.name, done) for p in team.peers))
    return last


async def _tree(s: Session, team: Team, growing: Growing, sent: Ints, shift: int) -> None:
    layout = s.params.layout(len(sent))
    if team.key.public.any_rows:
        await _send_gradients(s, team, sent, layout)
    for depth in range(s.params.depth):
        at = s.at(level=depth)
        build = growing.to_build() if growing.level else np.empty(0, dtype=np.uint16)
        await together(*(at.send(p.name, Level(growing.slots(), build)) for p in team.peers))
        if not growing.level:
            return
        if not team.key.public.any_rows:
            await _send_nodes(at, team, growing, build, sent, layout)
        built = await s.compute(growing.own_histograms, build)
        await together(*(_receive(at, team.key, p, growing, build, built, layout, shift) for p in team.peers))
        splits = await s.compute(growing.find_splits, built)
        sides = {slot: _own_side(growing, slot, split) for slot, split in splits if split.feature < _own(growing)}
        for answer in await together(*(_ask(at, p, growing, splits) for p in team.peers)):
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
    """Each wanted node's rows by themselves, in the order of the sample."""
    streams = [s.stream(p.name, NodeGradients) for p in team.peers]
    slots = growing.slots()[growing.sample]
    for slot in build:
        with told():
            whole = await s.compute(team.key.encrypt, np.ascontiguousarray(sent[slots == slot]), layout)
        for piece in cut(whole):
            await together(*(out.put(NodeGradients(piece)) for out in streams))
    await together(*(out.close() for out in streams))


async def _receive(
    s: Session,
    key: SecretKey,
    peer: Peer,
    growing: Growing,
    build: NDArray[np.uint16],
    built: Ints,
    layout: Layout,
    shift: int,
) -> None:
    """Decrypt one party's histograms into `built` (b, F, B, 2), and compare each feature's total with the node's."""
    allowed = growing.allowed[peer.start : peer.start + len(peer.n_bins)]
    answers = Pieces(s.stream(peer.name, Histograms), lambda m: m.sums, partial(_wrong, peer.name))
    for at, slot in enumerate(build):
        for counts, features in asked(peer.n_bins, allowed, key.public.any_rows):
            total = int(counts.sum())
            raw = await answers.take(key.reply_shape(total, layout), partial(_holds, total))
            with told(peer.name):
                response = await s.compute(key.response, raw, total, layout)
                sums = await s.compute(key.decrypt, response, layout)
            hist = spread(sums, counts) << np.array([shift, 0])
            if np.any(hist.sum(axis=1) != growing.sums[growing.level[slot]]):
                raise _wrong(peer.name, "sent histograms that do not add up")
            built[at, peer.start + features, : hist.shape[1]] = hist
    await answers.end()


def _holds(total: int, answer: Histograms) -> bool:
    return answer.count == total


def _own(growing: Growing) -> int:
    return int(growing.own.shape[1])


def _own_side(growing: Growing, slot: int, split: Split) -> Mask:
    left: Mask = growing.left_table(split)[growing.own[growing.rows_at(slot), split.feature]]
    return left


async def _ask(s: Session, peer: Peer, growing: Growing, splits: list[tuple[int, Split]]) -> dict[int, Mask]:
    """Tell a party its winning splits and learn which rows go left; also when there is none, so that all look alike."""
    mine = [(a, b) for a, b in splits if peer.start <= b.feature < peer.start + len(peer.n_bins)]
    width = max(peer.n_bins)
    left = np.array([growing.left_table(b)[:width] for _, b in mine], dtype=np.uint8).reshape(len(mine), width)
    slots = np.array([a for a, _ in mine], dtype=np.uint16)
    nodes = np.array([growing.level[a] for a, _ in mine], dtype=np.uint32)
    features = np.array([b.feature - peer.start for _, b in mine], dtype=np.uint32)
    await s.send(peer.name, Chosen(slots, nodes, features, left))
    rows = [growing.rows_at(a) for a, _ in mine]
    total = sum(map(len, rows))
    bits = (await s.recv(peer.name, Directions, bytes=-(-total // 8))).bits
    flags = np.unpackbits(bits).astype(bool)
    if flags[total:].any():
        raise _wrong(peer.name, "sent more directions than there are rows")
    out = {}
    for (slot, split), here in zip(mine, rows, strict=True):
        side, flags = flags[: here.size], flags[here.size :]
        if growing.channels[here[side]].sum(axis=0).tolist() != [split.g, split.h]:
            raise _wrong(peer.name, "sent directions that contradict its histogram")
        out[slot] = side
    return out


# ---------------------------------------------------------------- features


@VERTICAL.role("features")
async def features(s: Session, data: PartData) -> Splits:
    boss = s.peer("label")
    key = await _meet_label(s, boss, data)
    rounds, splits = 0, Splits()
    if s.resumed is not None:
        rounds, splits = s.resumed[0], Splits.of(s.resumed[1])
    training = training_rows(s, data.rows.size)
    done = TreeDone(True, 0)
    while done.more:
        sample = sampled_rows(s, training, rounds)
        allowed = allowed_features(s, s.me, len(data.n_bins), rounds)
        for k in range(s.params.outputs):
            tree = rounds * s.params.outputs + k
            work = await s.compute(Work.of, data, key, sample, allowed, s.params.layout(sample.size))
            await _grow(s.at(tree=tree), boss, work, splits, tree)
            done = await s.at(tree=tree).recv(boss, TreeDone)
        rounds += 1
        s.progress(rounds, s.params.trees, "growing trees")
        if done.more:
            await s.checkpoint(rounds, splits.state(max(data.n_bins)))
    return Splits.of(splits.state(max(data.n_bins), done.kept * s.params.outputs))


async def _meet_label(s: Session, boss: str, data: PartData) -> PublicKey:
    kinds = np.array([c.kind == "categorical" for c in data.binning.columns], dtype=np.uint8)
    await s.send(boss, Shape(np.array(data.n_bins, dtype=np.uint32), kinds))
    if s.params.share_names:
        await s.send(boss, Names([c.name for c in data.binning.columns]))
    hello = await s.recv(boss, Key)
    if hello.count != data.rows.size:
        raise _wrong(boss, "has another number of aligned rows")
    if hello.outputs < _planned(s.params, [data.n_bins]):
        raise _wrong(boss, "planned its key for fewer sums than it will ask for")
    try:
        with told(boss):
            return await s.compute(scheme.decode_public, hello.public, _terms(s, hello.count, hello.outputs))
    except ValueError as e:
        raise _wrong(boss, f"sent a bad key: {e}") from None


@dataclass(frozen=True)
class Work:
    """What one tree needs at a features party: the sampled rows' bins, with their counts, for each answer."""

    data: PartData
    key: PublicKey
    sample: Ints = field(repr=False)
    allowed: Mask
    layout: Layout
    grouped: tuple[tuple[NDArray[np.uint32], NDArray[np.uint16]], ...] = field(repr=False)

    @classmethod
    def of(cls, data: PartData, key: PublicKey, sample: Ints, allowed: Mask, layout: Layout) -> Work:
        mine = data.bins[sample]
        kinds = asked(data.n_bins, allowed, key.any_rows)
        grouped = tuple((counts, np.ascontiguousarray(mine[:, f])) for counts, f in kinds)
        return cls(data, key, sample, allowed, layout, grouped)


async def _grow(s: Session, boss: str, work: Work, splits: Splits, tree: int) -> None:
    everything = await _gradients(s, boss, work) if work.key.any_rows else None
    for depth in range(s.params.depth):
        at = s.at(level=depth)
        level = await at.recv(boss, Level, n=work.data.rows.size)
        if level.build.size == 0:
            return
        await _answer(at, boss, work, everything, level)
        chosen = await at.recv(boss, Chosen, bins=max(work.data.n_bins))
        await at.send(boss, await s.compute(_directions, boss, work, level, chosen))
        splits.add(tree, chosen.node, chosen.feature, chosen.left)


async def _gradients(s: Session, boss: str, work: Work) -> Ciphertexts:
    received = [chunk.ciphertexts async for chunk in s.stream(boss, Gradients, size=work.key.shape(1)[1])]
    if sum(map(len, received)) != work.sample.size:
        raise _wrong(boss, "sent another number of gradients than there are sampled rows")
    with told(boss):
        return await s.compute(work.key.ciphertexts, np.concatenate(received), work.sample.size)


async def _answer(s: Session, boss: str, work: Work, everything: Ciphertexts | None, level: Level) -> None:
    """Sum up each wanted node by feature and bin, and release the sums re-randomised."""
    out = s.stream(boss, Histograms)
    nodes = Pieces(s.stream(boss, NodeGradients), lambda m: m.ciphertexts, partial(_wrong, boss))
    sampled = level.slot[work.sample]
    for slot in level.build:
        rows = np.flatnonzero(sampled == slot)
        if rows.size == 0:
            raise _wrong(boss, "asks for a node without sampled rows")
        ct = everything
        if ct is None:
            raw = await nodes.take(work.key.shape(rows.size))
            with told(boss):
                ct = await s.compute(work.key.ciphertexts, raw, rows.size)
        for counts, bins in work.grouped:
            here = bins if everything is not None else np.ascontiguousarray(bins[rows])
            with told():
                sums = await s.compute(work.key.histogram, ct, here, counts, rows if everything is not None else None)
                response = await s.compute(work.key.release, sums, work.layout)
            for piece in cut(response.raw):
                await out.put(Histograms(piece, response.count))
        await asyncio.sleep(0)
    if everything is None:
        await nodes.end()
    await out.close()


def _directions(boss: str, work: Work, level: Level, chosen: Chosen) -> Directions:
    flags = [np.empty(0, dtype=bool)]
    for slot, feature, left in zip(chosen.slot, chosen.feature, chosen.left, strict=True):
        if slot == CLOSED or feature >= work.allowed.size or not work.allowed[feature]:
            raise _wrong(boss, "chose a feature or a node that it may not")
        flags.append(left[work.data.bins[level.slot == slot, feature]].astype(bool))
    return Directions(np.packbits(np.concatenate(flags)))


def _wrong(peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
