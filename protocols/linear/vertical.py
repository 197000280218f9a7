"""Generalised linear models over columns of several parties, with labels at one of them and no helper.

Ideal functionality: every party gets, for each batch, the sums over the batch's rows of its own columns times the
derivative of the loss (its own gradient), moves its own weights by it, and ends with its own weights; the label party
also gets the loss. Nobody is shown another's columns, weights, part of the scores, residuals or gradient, or the label.

Adversary: semi-honest, and no two parties pool what they hold. Values are hidden by ring learning with errors at 128
bits; sums leave a party with masks uniform over the whole plaintext ring, and answers are re-randomised, so that all
answers of an attempt say nothing but uniform numbers up to a statistical distance of 2^-statistical_bits.

A score is the sum of the parties' parts. For each owner of columns there are two parts of the score: its own, u, and
that of its partner, v, which is the label party's, or for the label party the first features party's. Every other party
splits its part into two shares, uniform modulo 2^64, one for each of the two. A function of the score is a sum of
waves c cos(kw(u + v) + d), each a sum of two products of a function of u and a function of v; the functions have the
ring as their period. The partner encrypts its functions, the owner multiplies them by its own and by its columns, sums
up, masks the sums and sends them back to be opened. A linear model's derivative needs no waves: u + v less the label.

    step  from -> to             message   carries                                        bytes
    1     all, label <-> features  Shape   rows; number of columns                        about 60
    2     label -> features      Key       public key; also first features -> label       163,872
    for each epoch, each batch (the validation rows are the last one) of n rows, and each output:
    3     features -> others     Share     a uniform share of its part, from third parties  8 per row and pair
    4     partner -> owner       Vectors   encrypted functions of the partner's part      163,840 per block and function
    5     owner -> partner       Answer    sums over the rows, masked, encrypted          163,840 + 20 x per x columns
    6     partner -> owner       Opened    the masked sums                                8 per column
    7     label -> features      EpochDone  whether another epoch comes; best so far      about 40

A block holds 8192 / x rows, with the x, a power of two, that makes steps 4 and 5 smallest. There are 2 * frequencies
functions, and one more with the label (twice as many for tweedie).

Label learns its own weights and gradients (`own_weights`, `own_gradients`), the losses (`losses`), how many rows and
columns the others have (`row_count`, `column_counts`). Features learns its own weights and gradients, how many rows
and columns the label party has, and the number of epochs and which was best (`epochs`). Coordinator: sizes.

Not protected: what a party's own gradients say about the others. A gradient is one equation a column about a batch's
residuals, hence about labels and scores; a batch has at least 10 rows for each column of a party, which bounds one
step, and every further epoch adds equations on new residuals, of the same labels. Fewer, larger batches and fewer
epochs say less. Rows whose score leaves the functions' range count with a wrong derivative, and nobody can see which.
Equality with a central run: with two parties bit by bit, with more up to the rounding of shares (linear: bit by bit).
Source: Hardy et al. 2017 (weights at their owners); Chen et al., *When Homomorphic Encryption Marries Secret Sharing*,
2021 (encryption and shares in place of a helper); Huang et al., *Cheetah*, 2022 (products as coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parley.components.training.linear import Fixed, Floats, Ints, Mover, Words
from parley.components.training.linear_sides import Owner, Partner
from parley.crypto.ahe import inner
from parley.crypto.prg import Keystream
from parley.protocols.inputs import together, told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Protocol, Session, Sizes, Step
from parley.protocols.linear.course import Course
from parley.protocols.linear.messages import Answer, EpochDone, Key, Opened, Shape, Share, Vectors
from parley.protocols.linear.params import ROWS_PER_COLUMN, Params, check_params
from parley.wire.errors import ParleyError

AT_ONCE = 16  # ciphertexts in a message, where a function has fewer


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For n rows a batch and F columns: 163,840 bytes for each of ceil(n x / 8192) blocks of each encrypted function,
    163,840 + 20 x for each x columns answered, for the x with the least in all; 8n a share. All for each batch, output
    and epoch.
    """
    (label,) = cast["label"]
    total = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=1)
    rows = max(1, min(total, params.batch or total))
    rounds = params.epochs * params.outputs * (params.batches(max(1, total)) + 1)
    flows = []
    for party in cast["features"]:
        others = len(cast["features"]) - 1
        ways = [(label, party, sizes.columns.get(party, 4096), False)]
        if party == cast["features"][0]:
            ways.append((party, label, sizes.columns.get(label, 4096) + 1, True))
        for partner, owner, columns, labels_here in ways:
            shape = params.product(max(rows, 1), max(1, columns), labels_here=labels_here)
            most = shape.vectors * shape.vector_bytes + shape.groups * shape.reply_size
            held = params.product(max(total, 1), 1, labels_here=True) if labels_here else shape
            most = max(most, held.vectors * held.vector_bytes + held.groups * held.reply_size)
            flows += [
                Flow(Key.TAG, partner, owner, 1, inner.POLYNOMIAL + 512),
                Flow(Vectors.TAG, partner, owner, rounds * shape.vectors, rounds * (most + 256 * shape.vectors)),
                Flow(Answer.TAG, owner, partner, rounds, rounds * (most + 256)),
                Flow(Opened.TAG, partner, owner, rounds, rounds * (8 * (columns + 1) + 256)),
            ]
        shared = rounds * (8 * total + 256)
        flows += [Flow(Share.TAG, party, other, 2 * rounds, 2 * shared) for other in cast["features"] if other != party]
        if others:
            flows.append(Flow(Share.TAG, party, label, (others + 1) * rounds, (others + 1) * shared))
        flows += [Flow(Shape.TAG, *way, 1, 256) for way in ((label, party), (party, label))]
        flows.append(Flow(EpochDone.TAG, label, party, params.epochs, 128 * params.epochs))
    return flows


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """What the answers may say beyond masked sums, and what a party's own gradients say by their number."""
    return [
        f"ring learning with errors, N = {inner.N}, log q = {16 * inner.LIMBS}: 128 bits; answers of an attempt say "
        f"nothing but uniform numbers up to a statistical distance of 2^-{params.statistical_bits}",
        f"each party learns up to {params.epochs * params.outputs} gradients a batch of its own columns",
    ]


LOOP = ("epoch", "batch", "output")
VERTICAL = Protocol(
    "linear/vertical",
    version=1,
    security=SEMI_HONEST,
    summary="Logistic, linear, Poisson, gamma and Tweedie regression over columns of several parties.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("label", "features", Shape, "column_counts"),
        Step("features", "label", Shape, "column_counts"),
        Step("label", "features", Key, "row_count"),
        Step("features", "label", Key, "row_count"),
        Step("features", "features", Share, "row_count", LOOP, many=True),
        Step("features", "label", Share, "row_count", LOOP, many=True),
        Step("label", "features", Vectors, "row_count", LOOP, stream=True),
        Step("features", "label", Vectors, "row_count", LOOP, stream=True),
        Step("features", "label", Answer, "column_counts", LOOP),
        Step("label", "features", Answer, "column_counts", LOOP),
        Step("label", "features", Opened, "own_gradients", LOOP),
        Step("features", "label", Opened, "own_gradients", LOOP),
        Step("label", "features", EpochDone, "epochs", ("epoch",)),
    ],
    learns={
        "label": ["own_weights", "own_gradients", "losses", "row_count", "column_counts"],
        "features": ["own_weights", "own_gradients", "row_count", "column_counts", "epochs"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
    figures=figures,
)
VERTICAL.checks.append(check_params)


@dataclass(frozen=True)
class Part:
    """One party's columns (n, F) in fixed point, the positions it trains and watches on, where its weights (K, F) start
    and which of them (F,) no penalty pulls."""

    columns: Ints = field(repr=False)
    training: Ints = field(repr=False)
    validation: Ints = field(repr=False)
    start: Floats = field(repr=False)
    free: Any = field(repr=False)


@dataclass(frozen=True)
class Trained:
    """A party's weights (K, F); the label party's course."""

    weights: Floats = field(repr=False)
    fixed: Fixed
    course: Course | None = None


class Desk:
    """What a party has at hand for a whole training: its keys, its weights, and the way to its peers' columns."""

    def __init__(self, s: Session, part: Part, labels: Floats | None) -> None:
        self.s, self.part, self.labels = s, part, labels
        self.features: tuple[str, ...] = s.cast["features"]
        (self.label,) = s.cast["label"]
        self.first = self.features[0]
        with told():
            self.fixed: Fixed = s.params.fixed(part.training.size, part.validation.size)
            self.fixed.check()
        self.mover = Mover(s.params.rule, part.start, part.free)
        self.best = self.mover.weights
        self.keys: dict[str, bytes] = {}
        self.widths: dict[str, int] = {}
        self.secret: inner.InnerSecretKey | None = None

    async def introduce(self) -> None:
        """Compare rows, tell the number of columns, and hand out the keys that this party encrypts with."""
        s, part = self.s, self.part
        peers = self.features if s.me == self.label else (self.label,)
        mine = Shape(part.training.size, part.validation.size, part.columns.shape[1])
        await together(*(s.send(p, mine) for p in peers))
        for peer in peers:
            theirs = await s.recv(peer, Shape)
            if (theirs.training, theirs.validation) != (mine.training, mine.validation):
                raise _wrong(peer, "has other rows than were aligned")
            self.widths[peer] = theirs.columns
        self._check_privacy(max((mine.columns, *self.widths.values())))
        if s.me in (self.label, self.first):
            self.secret = await s.compute(inner.InnerSecretKey, s.rng)
            key = Key(np.frombuffer(self.secret.public, np.uint8))
            await together(*(s.send(p, key) for p in peers))
        for peer in [p for p in peers if p in (self.label, self.first)]:
            self.keys[peer] = (await s.recv(peer, Key)).public.tobytes()

    def _check_privacy(self, widest: int) -> None:
        """ParleyError where a gradient would be over few rows, or where answers would say too much."""
        params, rows = self.s.params, self.part.training.size
        fewest = rows // params.batches(rows)
        if fewest < ROWS_PER_COLUMN * widest:
            raise ParleyError(
                "too_few_rows",
                f"A batch has {fewest} rows, and {ROWS_PER_COLUMN} are needed for each of {widest} columns.",
                "Use larger batches, or fewer columns.",
            )
        mine = self.part.columns.shape[1]
        if mine + (self.labels is not None) == 0:
            return
        shape = params.product(self.fixed.rows, max(1, mine), labels_here=self.labels is not None)
        outputs = params.epochs * params.outputs * (params.batches(rows) + 1) * shape.groups * shape.x
        if shape.distance_bits(outputs) < params.statistical_bits:
            raise ParleyError(
                "weak_parameters",
                f"So many answers stay within 2^-{shape.distance_bits(outputs):.1f} of saying nothing, no closer.",
                "Use fewer epochs, rows or columns.",
            )

    def close(self) -> None:
        if self.secret is not None:
            self.secret.close()


def _wrong(peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)


# ---------------------------------------------------------------- one product


def _fork(s: Session) -> Keystream:
    """Secret randomness for one of several pieces of work that go on at a time."""
    return Keystream(s.rng.bytes(32), b"parley.linear/1")


async def _lend(s: Session, desk: Desk, owner: str, partner: Partner, shape: inner.Shape, rng: Keystream) -> None:
    """Send the encrypted functions of this party's part."""
    assert desk.secret is not None
    out, vectors = s.stream(owner, Vectors), await s.compute(partner.vectors)
    step = max(1, AT_ONCE // shape.blocks)
    for i in range(0, len(vectors), step):
        await out.put(Vectors(*await s.compute(desk.secret.encrypt, vectors[i : i + step], shape, rng)))
    await out.close()


async def _multiply(
    s: Session, desk: Desk, partner: str, owner: Owner, shape: inner.Shape, rng: Keystream
) -> tuple[Answer, Words]:
    """Read the partner's functions; the answer and its masks (width,)."""
    sums, got = inner.InnerSums(desk.keys[partner], shape, rng), 0
    async for chunk in s.stream(partner, Vectors):
        count, rest = divmod(chunk.ciphertexts.shape[0], shape.blocks)
        if rest or not 0 < count <= shape.vectors - got:
            raise _wrong(partner, "sent more or less than was asked for")
        start, got = got, got + count
        with told(partner):
            factors = await s.compute(owner.factors, start, got)
            await s.compute(sums.add, chunk.seed, chunk.ciphertexts, factors)
    if got != shape.vectors:
        raise _wrong(partner, "sent less than was asked for")
    masks = rng.words64(shape.columns)
    return Answer(await s.compute(sums.release, masks)), masks


async def _open(s: Session, desk: Desk, owner: str, shape: inner.Shape) -> None:
    """Decrypt the owner's masked sums and send them back."""
    assert desk.secret is not None
    answer = await s.recv(owner, Answer, groups=shape.groups, size=shape.reply_size)
    await s.send(owner, Opened(await s.compute(desk.secret.decrypt, answer.sums, shape)))


def _read(owner: Owner, opened: Opened, masks: Words) -> tuple[Floats, float]:
    return owner.read(opened.sums - masks + owner.alone())


# ---------------------------------------------------------------- one batch


async def _split(s: Session, part: Words, one: str, other: str) -> None:
    """Share a part of the scores between two parties."""
    mask = s.rng.words64(part.size)
    await s.send(one, Share(mask))
    await s.send(other, Share(part - mask))


async def _shares(s: Session, senders: list[str], rows: int) -> Words:
    """(rows,) what third parties add to this party's part."""
    total = np.zeros(rows, dtype=np.uint64)
    for sender in senders:
        total += (await s.recv(sender, Share, n=rows)).words
    return total


def _product(desk: Desk, owner: str, rows: int, *, gradients: bool) -> inner.Shape | None:
    """What the owner computes in this batch; None when nothing."""
    width = (desk.part.columns.shape[1] if owner == desk.s.me else desk.widths[owner]) if gradients else 0
    if owner != desk.label and width == 0:
        return None
    shape: inner.Shape = desk.s.params.product(rows, width, labels_here=owner == desk.label)
    return shape


async def _at_label(s: Session, desk: Desk, rows: Ints, k: int, *, gradients: bool) -> tuple[Floats, float]:
    """The label party's gradient (F,) and loss over the rows, while it is everybody else's partner."""
    assert desk.labels is not None
    columns, y, fixed = desk.part.columns[rows], desk.labels[rows, k], desk.fixed
    with told():
        part = fixed.scores(columns, desk.mover.weights[k]).view(np.uint64)
    lent = {p: part.copy() for p in desk.features}
    for p in desk.features if gradients else ():
        lent[p] += await _shares(s, [t for t in desk.features if t != p], rows.size)
    mine = part + await _shares(s, [t for t in desk.features if t != desk.first], rows.size)
    owner = await s.compute(Owner, fixed, columns if gradients else columns[:, :0], mine, y)

    forks = {p: (_fork(s), _fork(s)) for p in desk.features}

    async def with_peer(p: str) -> tuple[Floats, float] | None:
        theirs = _product(desk, p, rows.size, gradients=gradients)
        work: list[Any] = [_lend(s, desk, p, Partner(fixed, lent[p], y), theirs, forks[p][0])] if theirs else []
        if p == desk.first:
            ours = _needed(_product(desk, s.me, rows.size, gradients=gradients))
            work.append(_multiply(s, desk, p, owner, ours, forks[p][1]))
        done = await together(*work)
        if p == desk.first:
            await s.send(p, done[-1][0])
        if theirs:
            await _open(s, desk, p, theirs)
        if p != desk.first:
            return None
        return _read(owner, await s.recv(p, Opened, columns=owner.width), done[-1][1])

    found = await together(*(with_peer(p) for p in desk.features))
    (result,) = [f for f in found if f is not None]
    return result


def _needed(shape: inner.Shape | None) -> inner.Shape:
    assert shape is not None  # the label party always has the loss to compute
    return shape


async def _at_features(s: Session, desk: Desk, rows: Ints, k: int, *, gradients: bool) -> Floats:
    """A features party's gradient (F,) over the rows, while the first of them is the label party's partner."""
    columns, fixed, label, first = desk.part.columns[rows], desk.fixed, desk.label, desk.first
    with told():
        part = fixed.scores(columns, desk.mover.weights[k]).view(np.uint64)
    for p in desk.features if gradients else ():
        if p != s.me:
            await _split(s, part, p, label)
    if s.me != first:
        await _split(s, part, first, label)
    thirds = [t for t in desk.features if t != s.me]
    mine = part + await _shares(s, thirds if gradients else [], rows.size)
    shape = _product(desk, s.me, rows.size, gradients=gradients)
    work: list[Any] = []
    if s.me == first:
        lent = part + await _shares(s, thirds, rows.size)
        theirs = _needed(_product(desk, label, rows.size, gradients=gradients))
        work.append(_lend(s, desk, label, Partner(fixed, lent, None), theirs, _fork(s)))
    if shape is not None:
        owner = await s.compute(Owner, fixed, columns, mine, None)
        work.append(_multiply(s, desk, label, owner, shape, _fork(s)))
    done = await together(*work)
    if shape is not None:
        await s.send(label, done[-1][0])
    if s.me == first:
        await _open(s, desk, label, theirs)
    if shape is None:
        return np.zeros(columns.shape[1])
    return _read(owner, await s.recv(label, Opened, columns=owner.width), done[-1][1])[0]


# ---------------------------------------------------------------- roles


def _batches(s: Session, part: Part, epoch: int) -> list[Ints]:
    """Positions of each batch's rows: public, drawn anew for each epoch where there are several."""
    count = s.params.batches(part.training.size)
    if count == 1:
        return [part.training]
    order = s.at(epoch=epoch).coins.permutation(part.training.size)
    return [part.training[np.sort(b)] for b in np.array_split(order, count)]


@VERTICAL.role("label")
async def label(s: Session, part: Part, labels: Floats) -> Trained:
    """`labels` (n, K) in the model's scale."""
    desk = Desk(s, part, labels)
    course = Course(s.params.early_stopping, s.params.tolerance, bool(part.validation.size))
    begin = _resume(s, desk, course)
    try:
        await desk.introduce()
        for epoch in range(begin, s.params.epochs):
            loss = 0.0
            batches = _batches(s, part, epoch)
            for b, rows in enumerate(batches):
                found = [
                    await _at_label(s.at(epoch=epoch, batch=b, output=k), desk, rows, k, gradients=True)
                    for k in range(s.params.outputs)
                ]
                loss += sum(one for _, one in found) / part.training.size
                desk.mover.move(np.stack([g for g, _ in found]) / rows.size)
            if part.validation.size:
                loss = 0.0
                for k in range(s.params.outputs):
                    at = s.at(epoch=epoch, batch=len(batches), output=k)
                    loss += (await _at_label(at, desk, part.validation, k, gradients=False))[1] / part.validation.size
            with told():
                best, more = course.end(loss, last=epoch + 1 == s.params.epochs)
            await together(*(s.at(epoch=epoch).send(p, EpochDone(more, best)) for p in desk.features))
            await _end(s, desk, course, epoch, best, more)
            if not more:
                break
    finally:
        desk.close()
    return Trained(desk.best, desk.fixed, course)


@VERTICAL.role("features")
async def features(s: Session, part: Part) -> Trained:
    desk = Desk(s, part, None)
    begin = _resume(s, desk, None)
    try:
        await desk.introduce()
        for epoch in range(begin, s.params.epochs):
            batches = _batches(s, part, epoch)
            for b, rows in enumerate(batches):
                found = [
                    await _at_features(s.at(epoch=epoch, batch=b, output=k), desk, rows, k, gradients=True)
                    for k in range(s.params.outputs)
                ]
                desk.mover.move(np.stack(found) / rows.size)
            for k in range(s.params.outputs if part.validation.size else 0):
                at = s.at(epoch=epoch, batch=len(batches), output=k)
                await _at_features(at, desk, part.validation, k, gradients=False)
            done = await s.at(epoch=epoch).recv(desk.label, EpochDone)
            await _end(s, desk, None, epoch, done.best, done.more)
            if not done.more:
                break
    finally:
        desk.close()
    return Trained(desk.best, desk.fixed)


def _resume(s: Session, desk: Desk, course: Course | None) -> int:
    """The epoch to begin with."""
    if s.resumed is None:
        return 0
    boundary, state = s.resumed
    desk.mover.resume(state)
    desk.best = np.array(state["best"], dtype=np.float64)
    if course is not None:
        course.resume(state)
    return boundary


async def _end(s: Session, desk: Desk, course: Course | None, epoch: int, best: bool, more: bool) -> None:
    """Keep the best weights, tell how far it is, and make a checkpoint where another epoch follows."""
    if best:
        desk.best = desk.mover.weights
    s.progress(epoch + 1, s.params.epochs, "epochs")
    if more:
        state: dict[str, Any] = {**desk.mover.state(), "best": desk.best}
        await s.checkpoint(epoch + 1, {**state, **(course.state() if course else {})})
