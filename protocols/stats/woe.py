"""Weight of evidence and information value of columns at several parties, for labels at one of them.

Ideal functionality: each features party brings columns in bins, the label party a label for each row. The label party
gets each bin's rows and events (rows whose label is positive, or of each class), and from them the information value of
each column, and, where bins are to be joined by the label, which. With `transform` each features party gets for its own
bins which are joined (`woe`, `index`) and the weight of evidence of each (`woe`).

Adversary: semi-honest; labels are hidden from features parties by ring learning with errors (lattice), which also
hides, up to the stated statistical distance, what answers would say beyond their sums, or by Paillier's decisional
composite residuosity assumption. Sums that contradict the label party's own totals, or a bin below the agreed size, are
refused by name. n rows, F features with together B bins.

    step  from -> to          message   carries                                            bytes
    1     features -> label   Shape     bins and kind of each feature, rows of each bin    5 F + 4 B
    2     features -> label   Names     column names, only with share_names                names
    3     label -> features   Key       public key, rows, sums it is planned for           modulus, or some 100 kB
    4     label -> features   Labels    labels, encrypted                                  key_bits/4 a row, or blocks
    5     features -> label   Sums      encrypted sums by feature and bin, made fresh      key_bits/4 each, or replies
    6     label -> features   Joined    which bins are joined, with woe or index           2 B
    7     label -> features   Weights   their weights of evidence, only with woe           8 B

Label learns how many features and bins each party has and the rows of each bin (`bin_counts`), the events of each
(`bin_events`), with share_names the columns' names (`feature_names`).
Features learns how many rows there are (`row_count`), with the lattice, up to a power of two, how many sums the party
with the most answers with (`planned_sums`), with `woe` and `index` which of its bins are joined, which follows from
labels (`joined_bins`), and with `woe` each bin's weight of evidence (`bin_woe`): that is the share of events of each of
its own bins, up to the share over all.
Submitter learns the information value of each column (`iv`), and with `report: bins` rows, events and weight of each
bin (`bin_table`). Columns of features parties go by number, and bins of all by number. Coordinator: sizes.

Not protected: the label party knows each row's label, so an exact sum of few rows tells it much of who is in a bin: a
bin has at least min_bin_rows rows, or none, before anything is encrypted; which rows, it does not learn. Sums of
several steps with other bins over the same rows can be subtracted from each other. A bin of which a features party is
told holds at least min_class_rows events and as many others, unless all of its column's rows are one bin.
Source: Siddiqi, *Credit Risk Scorecards*, 2006; the encrypted sums are those of Cheng et al., *SecureBoost*, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe import PublicKey, SecretKey
from parley.protocols import scheme
from parley.protocols.inputs import together, told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Protocol, Session, Sizes, Step
from parley.protocols.pieces import Pieces, cut, pieces_of
from parley.protocols.scheme import LATTICE_SLOTS
from parley.protocols.stats.woe_data import Binned, Judged, judge
from parley.protocols.stats.woe_messages import (
    NAME_BYTES,
    Joined,
    Key,
    Labels,
    Names,
    Params,
    Shape,
    Sums,
    Weights,
    check_params,
    wrong,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
CHUNK = 4096  # rows of a message of single ciphertexts


def planned(params: Params, bins: list[int]) -> int:
    """Sums the key is planned for: a power of two, which says little of the party with the most; 0 without a plan.

    An answer fills whole polynomials of LATTICE_SLOTS, and what is in an empty slot counts as well.
    """
    if not scheme.packs(params.scheme):
        return 0
    slots = -(-max(bins) // LATTICE_SLOTS) * LATTICE_SLOTS
    return 1 << (slots * params.channels - 1).bit_length()


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """n rows and B sums, weighed by the scheme: key_bits/4 a row and a packed group, or blocks and replies."""
    (label,) = cast["label"]
    rows = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    features = {p: sizes.columns.get(p, 4096) for p in cast.get("features", ())}
    bins = {p: n * (params.most_bins + 1) for p, n in features.items()}
    flows = []
    for party, count in features.items():
        with told():
            outputs = planned(params, list(bins.values()))
            weight = scheme.weigh(scheme.Terms(params, max(1, rows), outputs), rows, 1, bins[party], count)
        batches = 1 if scheme.packs(params.scheme) else -(-rows // CHUNK)
        flows += [
            Flow(Shape.TAG, party, label, 1, 5 * count + 4 * bins[party]),
            Flow(Key.TAG, label, party, 1, weight.key),
            Flow(Labels.TAG, label, party, pieces_of(weight.gradients, batches), weight.gradients),
            Flow(Sums.TAG, party, label, pieces_of(weight.answers, 1), weight.answers),
        ]
        if params.share_names:
            flows.append(Flow(Names.TAG, party, label, 1, count * (NAME_BYTES + 16)))
        if params.transform != "none":
            flows.append(Flow(Joined.TAG, label, party, 1, 2 * bins[party]))
        if params.transform == "woe":
            flows.append(Flow(Weights.TAG, label, party, 1, 8 * bins[party]))
    return flows


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """What the lattice's answers may say beyond their sums."""
    if not scheme.packs(params.scheme) or not cast.get("features"):
        return []
    return [
        f"lattice: answers say nothing beyond their sums up to a statistical distance of 2^-{params.statistical_bits}"
    ]


WOE = Protocol(
    "stats/woe",
    version=1,
    security=SEMI_HONEST,
    summary="Weight of evidence and information value of columns at several parties, for labels at one of them.",
    roles={"label": "one", "features": "many"},
    optional_roles=("features",),
    steps=[
        Step("features", "label", Shape, "bin_counts"),
        Step("features", "label", Names, "feature_names"),
        Step("label", "features", Key, "row_count"),
        Step("label", "features", Labels, "row_count", stream=True),
        Step("features", "label", Sums, "bin_events", stream=True),
        Step("label", "features", Joined, "joined_bins"),
        Step("label", "features", Weights, "bin_woe"),
    ],
    learns={
        "label": ["bin_counts", "bin_events", "feature_names"],
        "features": ["row_count", "planned_sums", "joined_bins", "bin_woe"],
        "submitter": ["iv", "bin_table"],
        "coordinator": ["sizes"],
    },
    when={
        "label.feature_names": ("share_names",),
        "features.planned_sums": ("scheme", "lattice"),
        "features.joined_bins": ("transform", "woe", "index"),
        "features.bin_woe": ("transform", "woe"),
        "submitter.bin_table": ("report", "bins"),
    },
    params=Params,
    cost=cost,
    figures=figures,
)
WOE.checks.append(check_params)


@dataclass(frozen=True)
class Column:
    """One column as the label party knows it: whose, its number there, its name or `#number`, what was found."""

    party: str
    number: int
    name: str
    found: Judged = field(repr=False)


@dataclass(frozen=True)
class Told:
    """What a features party was told of its bins, feature after feature; None where it was told nothing."""

    groups: NDArray[np.uint16] | None = field(default=None, repr=False)
    woe: Floats | None = field(default=None, repr=False)


# ---------------------------------------------------------------- label


@WOE.role("label")
async def label(s: Session, own: Binned, values: Ints, unit: float = 1.0) -> tuple[list[Column], str]:
    """`values` (n, channels) of the rows' labels; every column, the label party's own first, and the scheme's name."""
    names = s.peers("features")
    mine = await s.compute(_own_sums, own, values)
    columns = await s.compute(_columns, s, s.me, _shape(own), own.names, mine, unit)
    if not names:
        return columns, "none"
    shapes = await together(*(s.recv(p, Shape) for p in names))
    named = await together(*(s.recv(p, Names) for p in names)) if s.params.share_names else []
    for name, shape in zip(names, shapes, strict=True):
        _check_shape(s, name, shape, len(values))
    outputs = planned(s.params, [shape.held.size for shape in shapes])
    with told():
        key = await s.compute(scheme.generate, scheme.terms_of(s, len(values), outputs, LATTICE_SLOTS))
    try:
        await together(*(s.send(p, Key(key.public.encode(), len(values), outputs)) for p in names))
        await _send_labels(s, key, names, values)
        totals = values.sum(axis=0)
        found = await together(*(_sums(s, p, h, key, totals) for p, h in zip(names, shapes, strict=True)))
        for k, (p, h) in enumerate(zip(names, shapes, strict=True)):
            theirs = list(named[k].names) if named else [f"#{i}" for i in range(h.n_bins.size)]
            if len(theirs) != h.n_bins.size:
                raise wrong(p, "named other columns than it has")
            made = await s.compute(_columns, s, p, h, theirs, found[k], unit)
            await _answer(s, p, made)
            columns += made
        return columns, key.describe()
    finally:
        key.close()


def _shape(own: Binned) -> Shape:
    return Shape(own.n_bins, own.categorical, own.rows.astype(np.uint32))


def _own_sums(own: Binned, values: Ints) -> Ints:
    """(B, channels) over the label party's own bins."""
    out = [np.empty((0, values.shape[1]), dtype=np.int64)]
    for f, size in enumerate(own.n_bins):
        sums = np.zeros((int(size), values.shape[1]), dtype=np.int64)
        np.add.at(sums, own.codes[:, f], values)
        out.append(sums)
    return np.concatenate(out)


def _check_shape(s: Session, peer: str, shape: Shape, count: int) -> None:
    """Each feature's bins hold all rows, and none too few; names it otherwise."""
    first = np.cumsum(shape.n_bins, dtype=np.int64) - shape.n_bins
    if int(shape.n_bins.max()) > s.params.most_bins + 1:
        raise wrong(peer, "has more bins than were agreed")
    if np.any(np.add.reduceat(shape.held.astype(np.int64), first) != count):
        raise wrong(peer, "has another number of rows in its bins")
    if np.any((shape.held > 0) & (shape.held < s.params.min_bin_rows)):
        raise wrong(peer, "has a bin of fewer rows than was agreed")


async def _send_labels(s: Session, key: SecretKey, names: tuple[str, ...], values: Ints) -> None:
    streams = [s.stream(p, Labels) for p in names]
    step = CHUNK if key.public.any_rows else len(values)
    for start in range(0, len(values), step):
        with told():
            some = await s.compute(
                key.encrypt, np.ascontiguousarray(values[start : start + step]), s.params.layout(len(values))
            )
        for piece in cut(some):
            await together(*(out.put(Labels(piece)) for out in streams))
        s.progress(min(start + step, len(values)), len(values), "encrypting labels")
    await together(*(out.close() for out in streams))


async def _sums(s: Session, peer: str, shape: Shape, key: SecretKey, totals: Ints) -> Ints:
    """(B, channels) decrypted, and checked against what the label party knows."""
    count = shape.held.size
    layout = s.params.layout(int(shape.held[: shape.n_bins[0]].sum()))
    answers = Pieces(s.stream(peer, Sums), lambda m: m.sums, partial(wrong, peer))
    raw = await answers.take(key.reply_shape(count, layout))
    await answers.end()
    with told(peer):
        response = await s.compute(key.response, raw, count, layout)
        sums = await s.compute(key.decrypt, response, layout)
    first = np.cumsum(shape.n_bins, dtype=np.int64) - shape.n_bins
    plain = sums[:, :1] if s.params.weight is not None else sums
    if np.any(np.add.reduceat(sums, first) != totals) or plain.min() < 0 or np.any(plain > shape.held[:, None]):
        raise wrong(peer, "sent sums that do not add up")
    return sums


def _columns(s: Session, party: str, shape: Shape, names: list[str], sums: Ints, unit: float) -> list[Column]:
    out, first = [], 0
    for number, (size, kind, name) in enumerate(zip(shape.n_bins.tolist(), shape.categorical, names, strict=True)):
        rows = shape.held[first : first + size].astype(np.int64)
        out.append(Column(party, number, name, judge(s.params, rows, sums[first : first + size], bool(kind), unit)))
        first += size
    return out


async def _answer(s: Session, peer: str, columns: list[Column]) -> None:
    if s.params.transform == "none":
        return
    await s.send(peer, Joined(np.concatenate([c.found.groups for c in columns]).astype(np.uint16)))
    if s.params.transform == "woe":
        await s.send(peer, Weights(np.concatenate([c.found.woe for c in columns])))


# ---------------------------------------------------------------- features


@WOE.role("features")
async def features(s: Session, data: Binned) -> Told:
    boss = s.peer("label")
    await s.send(boss, _shape(data))
    if s.params.share_names:
        await s.send(boss, Names(data.names))
    count = len(data.codes)
    key = await _key(s, boss, count, data.rows.size)
    got = Pieces(s.stream(boss, Labels), lambda m: m.ciphertexts, partial(wrong, boss))
    raw = await got.take(key.shape(count))
    await got.end()
    with told(boss):
        labels = await s.compute(key.ciphertexts, raw, count)
    with told():
        sums = await s.compute(key.histogram, labels, np.ascontiguousarray(data.codes), data.n_bins, None)
        response = await s.compute(key.release, sums, s.params.layout(count))
    out = s.stream(boss, Sums)
    for piece in cut(response.raw):
        await out.put(Sums(piece))
    await out.close()
    if s.params.transform == "none":
        return Told()
    joined = (await s.recv(boss, Joined, bins=data.rows.size)).groups
    if np.any(joined >= np.repeat(data.n_bins, data.n_bins)):
        raise wrong(boss, "joined bins into more than there are")
    if s.params.transform == "index":
        return Told(joined)
    return Told(joined, (await s.recv(boss, Weights, bins=data.rows.size)).woe)


async def _key(s: Session, boss: str, count: int, bins: int) -> PublicKey:
    hello = await s.recv(boss, Key)
    if hello.count != count:
        raise wrong(boss, "has another number of rows")
    if hello.outputs < planned(s.params, [bins]):
        raise wrong(boss, "planned its key for fewer sums than it will ask for")
    try:
        with told(boss):
            terms = scheme.terms_of(s, count, hello.outputs, LATTICE_SLOTS)
            return await s.compute(scheme.decode_public, hello.public, terms)
    except ValueError as e:
        raise wrong(boss, f"sent a bad key: {e}") from None
