"""Scores of aligned rows by a model that vertical boosting trained, without showing which way any row goes.

Ideal functionality: the label party gets the raw scores of every aligned row, rounded to fixed point, and nothing of
the sides that rows take at other parties' splits. The score of a row is a sum of terms (`predict_terms`): the label
party encrypts each row's coefficients under its own key, features parties one after the other let through those whose
conditions hold for the row, and the last one adds up what is left. No partial sum of any party is ever decrypted, so
there is no mask that could fall short.

Adversary: semi-honest; coefficients are hidden by Paillier's decisional composite residuosity assumption, or by ring
learning with errors, which also hides, up to the stated statistical distance, what answers say beyond their sums.

    step  from -> to            message     carries                                        bytes
    1     features -> label     Held        which splits of which trees it holds            8 per split
    2     label -> features     Key         public key; rows, terms, outputs of a row       modulus
    3     label -> features     Conditions  each term's output, its conditions of this party  2 per term, 13 each
    for each block of rows:
    4     label -> first        Entries     encrypted coefficients, row by row              key_bits/4 per row and term
    5     features -> next      Passed      the same, made anew; nothing where not kept     key_bits/4 per row and term
    6     last -> label         Sums        encrypted sums of each row and output           key_bits/4 per packed sums

With the lattice, entries are packed by rows, one features party sums them, and tells beside a block's sums that of all
entries it did not keep: the label party knows what all add up to, so it learns nothing by it and refuses a difference.

Label learns each row's raw `scores` in steps of 2^-`scale_bits` of the largest coefficient, and who holds which split
(`split_owners`, which it chose in training). Features learns how many rows are aligned (`row_count`), and of each term
its output and its own conditions (`own_paths`: which of its splits lie above which, and how many splits others have);
neither leaves, nor coefficients, nor which way a row goes at anybody else's split. Coordinator: sizes.

Not protected: what a score says by itself. The label party knows the model, and can go through all that another party's
columns may be: where few trees are summed, or finely, one way through them alone fits a score. Of models trained on
3,000 rows of default_credit (10 columns at the features party, 16 bins, depth 3), scores of 20 trees gave away the ways
of every row that was tried with 24 bits, of half of them with 16 and of none with 12; of 12 trees those of half with 12
bits; of 4 trees nearly all with 8. A label party that deviates can encrypt other coefficients and read sides from the
sums. Parties that pool what they hold: the label party and one features party can open what the one before it passed
on.
Source: Chen, Zhou, Liu, Wang, Xu, Sun, Zhang, *EINI*, 2021, for the round; its masks of leaf weights are not used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.crypto.ahe import Ciphertexts, Layout, PublicKey, RowPublicKey, SecretKey
from parley.protocols import scheme
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.predict import Scorer
from parley.protocols.gbdt.predict_messages import MAX_OUTPUTS, Conditions, Entries, Held, Key, Passed, Sums
from parley.protocols.gbdt.predict_terms import Split, Terms, terms_of
from parley.protocols.inputs import together, told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Protocol, Session, Sizes, Step
from parley.protocols.pieces import Pieces, cut, pieces_of
from parley.wire.errors import ParleyError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
# Rows times outputs, and entries, of a block at most: with the lattice one histogram holds 255 sums and a rest, and few
# entries keep sums and noise small enough for its narrow ring; else what keeps memory small.
SUMS, ENTRIES = {True: 255, False: 512}, {True: 8192, False: 65_536}
SLOTS = (8, 16)  # entries weigh more than sums here, and take the less room the fewer sums a polynomial holds


class Params(BaseModel):
    """`label` names a column of labels to keep beside the scores, where there is one; `positive` as in training.

    `trees` and `depth` bound the model: what it was trained with, at most (classes count as trees). `scale_bits`: a
    score's steps are 2^-scale_bits of the largest coefficient; each tree's leaves are rounded to them, and coarse steps
    keep a score from telling the ways that a row took.
    `exposure` is a column of the label party's, as in training: scores are for each row's own, and without it for one
    unit. `group` is its column of groups, to keep with the labels of a ranking.
    `statistical_bits` and `packed` as in training, for the lattice.
    """

    model_config = ConfigDict(extra="forbid")
    label: str | None = None
    positive: str | int | None = None
    exposure: str | None = None
    group: str | None = None
    trees: int = Field(default=100, ge=1, le=200_000)
    depth: int = Field(default=6, ge=1, le=10)
    scheme: Literal["paillier", "lattice"] = "paillier"
    key_bits: Literal[2048, 3072] = 2048
    scale_bits: int = Field(default=12, ge=4, le=32)
    statistical_bits: int = Field(default=40, ge=40, le=80)
    packed: bool = False

    def layout(self, rows: int) -> Layout:
        """Plaintexts of one coefficient each, which add up over `rows` terms; CryptoError "overflow"."""
        return Layout(channels=1, bound=1 << self.scale_bits, max_rows=max(1, rows))


@dataclass(frozen=True)
class Size:
    """What all parties know alike once the label party has told it: from it follow blocks and the key's terms."""

    params: Params
    rows: int
    terms: int
    outputs: int

    @property
    def both(self) -> bool:
        """Whether the sum of all that was not kept is told as well."""
        return scheme.packs(self.params.scheme)

    @property
    def block(self) -> int:
        """Rows in a block: what one histogram of a packed batch can hold, or so many that memory stays small."""
        return max(1, min(SUMS[self.both] // self.outputs, ENTRIES[self.both] // max(1, self.terms)))

    def blocks(self) -> Iterator[tuple[int, slice, int]]:
        """Number, rows and count of each."""
        for number, start in enumerate(range(0, self.rows, self.block)):
            end = min(start + self.block, self.rows)
            yield number, slice(start, end), end - start

    def sums(self, rows: int) -> int:
        """How many a block of so many rows is answered with."""
        return rows * self.outputs + self.both

    @property
    def most(self) -> int:
        """Coefficients that one sum may have; the lattice counts all of a batch."""
        return self.terms * (self.block if self.both else 1)

    @property
    def layout(self) -> Layout:
        return self.params.layout(self.most)

    def key_terms(self, context: bytes = b"") -> scheme.Terms:
        full, rest = divmod(self.rows, self.block)
        slots = [-(-self.sums(n) // SLOTS[-1]) * SLOTS[-1] for n in (self.block, rest)]
        return scheme.Terms(self.params, self.most, full * slots[0] + slots[1], context, SLOTS, sharing=1)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For n rows and at most S = trees (2^depth - 1) terms: n S ciphertexts to the first features party and from each
    to the next, n sums back, all weighed by the scheme; 13 bytes a condition, of which a term has at most `depth`.
    """
    (label,) = cast["label"]
    order = cast["features"]
    n = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    most = params.trees * (2**params.depth - 1)
    size = Size(params, n, most, min(params.trees, MAX_OUTPUTS))
    blocks = -(-n // size.block)
    with told():
        weight = scheme.weigh(size.key_terms(), n * most, blocks, size.sums(n), blocks)
    pieces = pieces_of(weight.gradients, 2 * blocks + 1)
    flows = [
        Flow(Entries.TAG, label, order[0], pieces, weight.gradients),
        Flow(Sums.TAG, order[-1], label, pieces_of(weight.answers, 2 * blocks + 1), weight.answers),
    ]
    for party in order:
        flows += [
            Flow(Held.TAG, party, label, 1, 8 * most),
            Flow(Key.TAG, label, party, 1, weight.key),
            Flow(Conditions.TAG, label, party, 1, most * (2 + 13 * params.depth)),
        ]
    for sender, receiver in pairwise(order):
        flows.append(Flow(Passed.TAG, sender, receiver, pieces, weight.gradients))
    return flows


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """What the lattice's answers may say beyond their sums."""
    if not scheme.packs(params.scheme):
        return []
    return [
        f"lattice: over all scores of the step, answers say nothing beyond their sums up to a statistical distance of "
        f"2^-{params.statistical_bits}"
    ]


BLOCK = ("block",)
SCORE = Protocol(
    "gbdt/score",
    version=1,
    security=SEMI_HONEST,
    summary="Scores by a model of vertical boosting, without the ways that rows take.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("features", "label", Held, "split_owners"),
        Step("label", "features", Key, "row_count"),
        Step("label", "features", Conditions, "own_paths"),
        Step("label", "features", Entries, "row_count", BLOCK, stream=True),
        Step("features", "features", Passed, "row_count", BLOCK, stream=True),
        Step("features", "label", Sums, "scores", BLOCK, stream=True),
    ],
    learns={
        "label": ["scores", "split_owners"],
        "features": ["row_count", "own_paths"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
    figures=figures,
)


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for several features parties on the lattice, whose entries cannot be passed on."""
    if scheme.packs(params.scheme) and len(cast["features"]) > 1:
        raise ParleyError(
            "bad_parameters", "scheme lattice scores with one features party.", "Take paillier for several."
        )


SCORE.checks.append(check_params)


# ---------------------------------------------------------------- label


@dataclass(frozen=True)
class Scores:
    """(n, K) raw scores, the step between two neighbouring ones, and the scheme with its figures."""

    raw: NDArray[np.float64] = field(repr=False)
    step: float
    encryption: str


@dataclass
class Scoring:
    """The label party's side while blocks are under way; `owed[block]` is what all entries of a block add up to."""

    terms: Terms
    own: NDArray[np.uint16] = field(repr=False)
    size: Size
    key: SecretKey
    total: Ints = field(repr=False)
    owed: dict[int, int] = field(default_factory=dict, repr=False)

    def encrypted(self, number: int, rows: slice) -> NDArray[np.uint8]:
        """The block's coefficients, row by row; what the label party adds itself goes into `total`."""
        coefficients, self.total[rows] = self.terms.coefficients(self.own[rows])
        if self.size.both:
            self.owed[number] = int(coefficients.sum())
        return self.key.encrypt(np.ascontiguousarray(coefficients.reshape(-1, 1)), self.size.layout)

    def add(self, number: int, rows: slice, sums: Ints) -> None:
        """ValueError when what was kept and what was not are no parts of what was sent."""
        if self.size.both:
            if number not in self.owed or int(sums.sum()) != self.owed.pop(number):
                raise ValueError
            sums = sums[:-1]
        self.total[rows] += sums.reshape(-1, self.size.outputs)


@SCORE.role("label")
async def label(s: Session, scorer: Scorer) -> Scores:
    names, model = s.cast["features"], scorer.model
    held = await together(*(s.recv(p, Held) for p in names))
    owners = _owners(dict(zip(names, held, strict=True)))
    try:
        terms = await s.compute(terms_of, model, scorer.own.shape[1], owners, s.params.scale_bits)
    except KeyError:
        raise ParleyError(
            "model_mismatch", "A party lacks splits of this model.", "Train again, or use its step."
        ) from None
    size = Size(s.params, scorer.own.shape[0], len(terms), terms.outputs)
    with told():
        key = await s.compute(scheme.generate, _key_terms(s, size))
    try:
        hello = Key(key.public.encode(), size.rows, size.terms, size.outputs)
        await together(*(s.send(p, hello) for p in names))
        await together(*(s.send(p, _conditions(terms, p)) for p in names))
        work = Scoring(terms, scorer.own, size, key, np.zeros((size.rows, size.outputs), dtype=np.int64))
        if size.terms:
            await together(_send(s, names[0], work), _receive(s, names[-1], work))
        else:
            work.total = (await s.compute(terms.coefficients, scorer.own))[1]
    finally:
        key.close()
    raw = scorer.start() + np.ldexp(work.total.astype(np.float64), -terms.shift)
    return Scores(raw, float(np.ldexp(1.0, -terms.shift)), key.describe())


def _key_terms(s: Session, size: Size) -> scheme.Terms:
    return size.key_terms(s.at(key=0).coins.bytes(scheme.CONTEXT_BYTES))


def _owners(held: dict[str, Held]) -> dict[Split, str]:
    owners: dict[Split, str] = {}
    for party, message_ in held.items():
        for split in zip(message_.tree.tolist(), message_.node.tolist(), strict=True):
            if split in owners:
                raise _wrong(party, "holds a split that somebody already holds")
            owners[split] = party
    return owners


def _conditions(terms: Terms, party: str) -> Conditions:
    """Each term's conditions on the sides of this party's splits."""
    mine = [(t, *c.split, c.left) for t, cs in enumerate(terms.conditions) for c in cs if c.party == party]
    term, tree, node, left = np.ascontiguousarray(np.array(mine, dtype=np.uint32).reshape(-1, 4).T)
    return Conditions(terms.output, term, tree, node, left.astype(np.uint8))


async def _send(s: Session, first: str, work: Scoring) -> None:
    for number, rows, _ in work.size.blocks():
        out = s.at(block=number).stream(first, Entries)
        with told():
            raw = await s.compute(work.encrypted, number, rows)
        for piece in cut(raw):
            await out.put(Entries(piece))
        await out.close()


async def _receive(s: Session, last: str, work: Scoring) -> None:
    key, layout = work.key, work.size.layout
    for number, rows, count in work.size.blocks():
        total = work.size.sums(count)
        answers = Pieces(s.at(block=number).stream(last, Sums), lambda m: m.sums, partial(_wrong, last))
        raw = await answers.take(key.reply_shape(total, layout), partial(_holds, total))
        await answers.end()
        with told(last):
            response = await s.compute(key.response, raw, total, layout)
            sums = await s.compute(key.decrypt, response, layout)
        try:
            work.add(number, rows, sums)
        except ValueError:
            raise _wrong(last, "sent sums that do not add up") from None
        s.progress(rows.stop, work.size.rows, "scoring")


def _holds(total: int, answer: Sums) -> bool:
    return answer.count == total


# ---------------------------------------------------------------- features


@dataclass(frozen=True)
class Part:
    """A features party's part of the work: each condition's term, feature, bins (c, B) that go left, and wanted side;
    its bins (n, F) of the rows, and each term's output."""

    key: PublicKey
    size: Size
    bins: NDArray[np.uint16] = field(repr=False)
    output: NDArray[np.uint16]
    term: Ints = field(repr=False)
    feature: Ints = field(repr=False)
    left: NDArray[np.uint8] = field(repr=False)
    wanted: NDArray[np.uint8] = field(repr=False)

    def keep(self, rows: slice) -> Mask:
        """(m, terms) whose own conditions all hold; a term without any is kept."""
        bins = self.bins[rows][:, self.feature]
        holds = self.left[np.arange(self.term.size), bins] == self.wanted
        out = np.ones((len(holds), self.size.terms), dtype=bool)
        mine, starts = np.unique(self.term, return_index=True)
        if mine.size:
            out[:, mine] = np.logical_and.reduceat(holds, starts, axis=1)
        return out

    def passed(self, ct: Ciphertexts, rows: slice) -> NDArray[np.uint8]:
        assert isinstance(self.key, RowPublicKey)  # check_params: several parties have no lattice
        return self.key.refresh(ct, self.keep(rows).reshape(-1))

    def summed(self, ct: Ciphertexts, rows: slice) -> tuple[NDArray[np.uint8], int]:
        """The released sums by row and output, and how many there are."""
        keep = self.keep(rows)
        bins = np.arange(len(keep), dtype=np.int64)[:, None] * self.size.outputs + self.output
        chosen = np.flatnonzero(keep)
        counts = np.array([self.size.sums(len(keep))], dtype=np.uint32)
        if self.size.both:
            bins[~keep] = counts[0] - 1
        column = np.ascontiguousarray(bins.reshape(-1, 1).astype(np.uint16))
        sums = self.key.histogram(ct, column, counts, None if self.size.both else chosen)
        response = self.key.release(sums, self.size.layout)
        return response.raw, response.count


@SCORE.role("features")
async def features(s: Session, splits: Splits, bins: NDArray[np.uint16]) -> None:
    order, boss = s.cast["features"], s.peer("label")
    mine = {split: i for i, split in enumerate(zip(splits.tree, splits.node, strict=True))}
    await s.send(boss, Held(np.array(splits.tree, dtype=np.uint32), np.array(splits.node, dtype=np.uint32)))
    hello = await s.recv(boss, Key)
    told_ = await s.recv(boss, Conditions, terms=hello.terms)
    part = await _part(s, boss, hello, told_, mine, splits, bins)
    at = order.index(s.me)
    if not hello.terms:
        return
    for number, rows, count in part.size.blocks():
        here = s.at(block=number)
        ct = await _entries(here, boss if at == 0 else order[at - 1], part, count, first=at == 0)
        if at + 1 < len(order):
            out = here.stream(order[at + 1], Passed)
            for piece in cut(await s.compute(part.passed, ct, rows)):
                await out.put(Passed(piece))
            await out.close()
        else:
            answer = here.stream(boss, Sums)
            with told():
                raw, total = await s.compute(part.summed, ct, rows)
            for piece in cut(raw):
                await answer.put(Sums(piece, total))
            await answer.close()
        s.progress(rows.stop, part.size.rows, "scoring")


async def _part(
    s: Session,
    boss: str,
    hello: Key,
    conditions: Conditions,
    mine: dict[Split, int],
    splits: Splits,
    bins: NDArray[np.uint16],
) -> Part:
    if hello.count != bins.shape[0]:
        raise _wrong(boss, "has another number of aligned rows")
    if hello.terms > s.params.trees * (2**s.params.depth - 1) or np.any(conditions.output >= hello.outputs):
        raise _wrong(boss, "has a larger model than was agreed")
    wanted = list(zip(conditions.tree.tolist(), conditions.node.tolist(), strict=True))
    if any(split not in mine for split in wanted):
        raise _wrong(boss, "asks about splits that this party does not hold")
    size = Size(s.params, hello.count, hello.terms, hello.outputs)
    try:
        with told(boss):
            key = await s.compute(scheme.decode_public, hello.public, _key_terms(s, size))
    except ValueError as e:
        raise _wrong(boss, f"sent a bad key: {e}") from None
    which = np.array([mine[split] for split in wanted], dtype=np.int64)
    feature = np.array(splits.feature, dtype=np.int64)[which]
    width = len(splits.left[0]) if splits.left else 1
    left = np.array(splits.left, dtype=np.uint8).reshape(len(mine), width)[which]
    return Part(key, size, bins, conditions.output, conditions.term.astype(np.int64), feature, left, conditions.left)


async def _entries(s: Session, sender: str, part: Part, rows: int, *, first: bool) -> Ciphertexts:
    wrong = partial(_wrong, sender)
    shape = part.key.shape(rows * part.size.terms)
    if first:
        entries = Pieces(s.stream(sender, Entries), lambda m: m.ciphertexts, wrong)
        raw = await entries.take(shape)
        await entries.end()
    else:
        passed = Pieces(s.stream(sender, Passed), lambda m: m.ciphertexts, wrong)
        raw = await passed.take(shape)
        await passed.end()
    with told(sender):
        return await s.compute(part.key.ciphertexts, raw, rows * part.size.terms)


def _wrong(peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
