"""Correlations between columns of several parties, and the variance inflation of each column beside all others.

Ideal functionality: every two members get the Pearson correlations of each column of the one with each of the other's,
over the common training rows. With `vif` each member also gets the inflation factors of its own columns, given all
columns of all members. The submitter gets, by number, the pairs whose correlation is at least `threshold`, and the
factors. No member is shown another's correlations among its own columns, nor what passes between two others.

Adversary: semi-honest. Columns are hidden by ring learning with errors at 128 bits; answers are re-randomised and
drowned, so that they say nothing but the sums up to a statistical distance of 2^-statistical_bits.

For each two members a before b, in the contract's order, with n rows and p and q columns, once:

    step  from -> to  message     carries                                            bytes
    1     a <-> b     Shape       rows, columns                                       about 40
    2     a -> b      Key         public key                                          163,872
    3     a -> b      Vectors     its standardised columns, encrypted                 163,840 per block + 32, p times
    4     b -> a      Answer      sums over rows of each of them times b's columns    163,840 + 20 x per x of q, p times
    5     a -> b      Opened      the p times q sums                                  8 per pair
    with `vif`, for each target party, from each other member in turn to each that remains:
    6     e -> r      Explained   what e's columns explain of r's products with those of all that remain  8 per pair

A block holds 8192 / x rows. Columns are whole numbers of at most 22 bits: a standardised value lies within the root of
n, so fewer rows leave more bits for fractions, and a correlation's error stays below 2^-(21 - log2(n)/2).

For 6, with correlation matrix C in blocks: to find target t's factors the others eliminate themselves one by one. Who
goes, e, knows the products of its columns with each that remains, r and s, and sends C_re C_ee^-1 C_es, which both take
from what they have. What is left at the target is the inverse of its block of C^-1; the diagonal of that block are its
factors, of which fixed point tells those up to 100,000.

A member learns the correlations of its columns with every other member's (`cross_correlations`), and with `vif` how
much of the products of its columns other members' columns explain together (`explained_correlations`): partial
correlations, which say how others' columns hang together as far as that shows in its own. It learns how many rows and
columns the others have (`row_count`, `column_counts`). Submitter: `correlated_pairs` and with `vif`
`inflation_factors`, columns by number unless `share_names`. Coordinator: sizes.
Not protected: sums are exact, over at least `min_rows` rows and ten for each column of a member; asked again on other
rows, their difference tells of those that changed.
Source: Belsley, Kuh, Welsch, *Regression Diagnostics*, 1980; Huang et al., *Cheetah*, 2022 (products as coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from parley.crypto.ahe import inner
from parley.crypto.prg import Keystream
from parley.protocols.inputs import together, told
from parley.protocols.kit import SEMI_HONEST, Cast, Flow, Message, Protocol, Session, Sizes, Step, array, message
from parley.protocols.prep.columns import Columns, check_columns
from parley.wire.errors import ParleyError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ROWS_PER_COLUMN = 10
MOST = 2.0  # what is explained of a correlation is at most 1, and rounded
CEILING = 1e5  # a factor that fixed point cannot tell from larger ones


@message("stats.correlation.shape/1")
class Shape(Message):
    common: int
    columns: int

    def check(self) -> None:
        if self.common < 1 or self.columns < 1:
            raise ValueError("there are rows and columns")


@message("stats.correlation.key/1")
class Key(Message):
    public: Annotated[NDArray[np.uint8], array(inner.SEED + inner.POLYNOMIAL, dtype="uint8")]


@message("stats.correlation.vectors/1")
class Vectors(Message):
    seed: Annotated[NDArray[np.uint8], array(inner.SEED, dtype="uint8")]
    ciphertexts: Annotated[NDArray[np.uint8], array("n", inner.POLYNOMIAL, dtype="uint8")]


@message("stats.correlation.answer/1")
class Answer(Message):
    sums: Annotated[NDArray[np.uint8], array("groups", "size", dtype="uint8")]


@message("stats.correlation.opened/1")
class Opened(Message):
    sums: Annotated[Ints, array("p", "q", dtype="int64")]


@message("stats.correlation.explained/1")
class Explained(Message):
    blocks: Annotated[Floats, array("own", "all", dtype="float64")]

    def check(self) -> None:
        if not np.isfinite(self.blocks).all():
            raise ValueError("what is explained is a number")


class Params(Columns):
    """`vif`: variance inflation factors as well; `threshold`: pairs that correlate less are not told the submitter."""

    vif: bool = False
    threshold: float = Field(default=0.8, gt=0, le=1)
    min_rows: int = Field(default=50, ge=10, le=1 << 31)
    share_names: bool = False
    statistical_bits: int = Field(default=40, ge=40, le=48)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """As the table, for each two members; 8 bytes for each two columns and target of `vif`."""
    members, flows = cast["member"], []
    n = max(1, min((sizes.rows[p] for p in members if p in sizes.rows), default=1))
    wide = {p: max(1, sizes.columns.get(p, 4096)) for p in members}
    for i, a in enumerate(members):
        for b in members[i + 1 :]:
            shape, p = inner.shape(n, 1, wide[b]), wide[a]
            held = max(shape.vector_bytes, inner.shape(n, 1, 1).vector_bytes)
            flows += [Flow(Shape.TAG, *way, 1, 64) for way in ((a, b), (b, a))]
            flows += [
                Flow(Key.TAG, a, b, 1, inner.POLYNOMIAL + 64),
                Flow(Vectors.TAG, a, b, p + 1, p * (held + 64)),
                Flow(Answer.TAG, b, a, p + 1, p * (shape.groups * shape.reply_size + 64)),
                Flow(Opened.TAG, a, b, 1, 8 * p * wide[b] + 64),
            ]
    if params.vif:
        whole = sum(wide.values())
        ways = [(e, r) for e in members for r in members if e != r]
        flows += [
            Flow(Explained.TAG, *w, len(members) - 1, (len(members) - 1) * (8 * wide[w[1]] * whole + 64)) for w in ways
        ]
    return flows


CORRELATION = Protocol(
    "stats/correlation",
    version=1,
    security=SEMI_HONEST,
    summary="Correlations between columns of several parties, and how far each column is explained by all others.",
    roles={"member": "many"},
    steps=[
        Step("member", "member", Shape, "column_counts"),
        Step("member", "member", Key, "row_count"),
        Step("member", "member", Vectors, "row_count", stream=True),
        Step("member", "member", Answer, "cross_correlations", stream=True),
        Step("member", "member", Opened, "cross_correlations"),
        Step("member", "member", Explained, "explained_correlations", ("target",)),
    ],
    learns={
        "member": ["row_count", "column_counts", "cross_correlations", "explained_correlations"],
        "submitter": ["correlated_pairs", "inflation_factors", "column_names"],
        "coordinator": ["sizes"],
    },
    when={
        "member.explained_correlations": ("vif",),
        "submitter.inflation_factors": ("vif",),
        "submitter.column_names": ("share_names",),
    },
    params=Params,
    cost=cost,
)
CORRELATION.checks.append(check_columns)


@dataclass(frozen=True)
class Found:
    """A member's own correlations (k, k), those with each other member's columns (k, k_r), and its factors (k,)."""

    own: Floats = field(repr=False)
    cross: dict[str, Floats] = field(repr=False)
    inflation: Floats | None = field(default=None, repr=False)


def bits(rows: int) -> int:
    """Fraction bits of a standardised column of so many rows, none of whose values exceeds the root of their number."""
    return inner.FACTOR_BITS - 1 - ((rows - 1).bit_length() + 1) // 2


def standardised(x: Floats) -> Ints:
    """(n, k) columns less their means, over their deviations, as whole numbers; a constant column is 0."""
    spread = x.std(axis=0)
    centred = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.rint(np.ldexp(np.where(spread > 0, centred, 0.0), bits(len(x)))).astype(np.int64)


@CORRELATION.role("member")
async def member(s: Session, x: Floats) -> Found:
    """`x` (n, k), this party's columns of the rows, finite."""
    columns = await s.compute(standardised, x)
    peers = [p for p in s.cast["member"] if p != s.me]
    widths = await _introduce(s, columns, peers)
    # One for each peer, as the work with them goes on at a time.
    rngs = [Keystream(s.rng.bytes(32), b"parley.correlation/1") for _ in peers]
    found = await together(*(_with(s, p, columns, widths[p], rng) for p, rng in zip(peers, rngs, strict=True)))
    cross = {p: _correlations(sums, len(x)) for p, sums in zip(peers, found, strict=True)}
    own = _correlations(columns.T @ columns, len(x))
    np.fill_diagonal(own, 1.0)
    inflation = await _inflation(s, own, cross) if s.params.vif else None
    return Found(own, cross, inflation)


def _correlations(sums: Ints, rows: int) -> Floats:
    return np.clip(np.ldexp(sums.astype(np.float64), -2 * bits(rows)) / rows, -1.0, 1.0)


async def _introduce(s: Session, columns: Ints, peers: list[str]) -> dict[str, int]:
    """Everybody's number of columns; ParleyError "too_few_rows"."""
    rows, width = columns.shape
    await together(*(s.send(p, Shape(rows, width)) for p in peers))
    widths = {}
    for peer in peers:
        theirs = await s.recv(peer, Shape)
        if theirs.common != rows:
            raise _wrong(peer, "has other rows than were aligned")
        widths[peer] = theirs.columns
    need = max(s.params.min_rows, ROWS_PER_COLUMN * max([width, *widths.values()]))
    if rows < need:
        raise ParleyError(
            "too_few_rows",
            f"Correlations are over {rows} rows, and {need} are needed for so many columns.",
            "Name fewer columns, or lower min_rows.",
        )
    return widths


def _shape(s: Session, rows: int, columns: int, answers: int) -> inner.Shape:
    """Of one product; ParleyError "weak_parameters" where so many answers would say too much together."""
    shape = inner.shape(rows, 1, columns)
    distance = shape.distance_bits(answers * shape.groups * shape.x)
    if distance < s.params.statistical_bits:
        raise ParleyError(
            "weak_parameters",
            f"So many answers stay within 2^-{distance:.1f} of saying nothing more, no closer.",
            "Name fewer columns.",
        )
    return shape


async def _with(s: Session, peer: str, columns: Ints, width: int, rng: Keystream) -> Ints:
    """(k, width) sums over the rows of this party's columns times the peer's."""
    names = s.cast["member"]
    if names.index(s.me) < names.index(peer):
        return await _lend(s, peer, columns, width, rng)
    return await _answer(s, peer, columns, width, rng)


async def _lend(s: Session, peer: str, columns: Ints, width: int, rng: Keystream) -> Ints:
    rows, mine = columns.shape
    shape = _shape(s, rows, width, mine)
    secret = await s.compute(inner.InnerSecretKey, rng)
    try:
        await s.send(peer, Key(np.frombuffer(secret.public, np.uint8)))
        answers: list[Ints] = []

        async def send() -> None:
            out = s.stream(peer, Vectors)
            for k in range(mine):
                vector = np.ascontiguousarray(columns[:, k]).view(np.uint64)[None]
                await out.put(Vectors(*await s.compute(secret.encrypt, vector, shape, rng)))
            await out.close()

        async def read() -> None:
            async for answer in s.stream(peer, Answer, groups=shape.groups, size=shape.reply_size):
                if len(answers) == mine:
                    raise _wrong(peer, "answered more columns than it was sent")
                with told(peer):
                    answers.append((await s.compute(secret.decrypt, answer.sums, shape)).view(np.int64))

        await together(send(), read())
    finally:
        secret.close()
    if len(answers) != mine:
        raise _wrong(peer, "answered fewer columns than it was sent")
    sums = np.stack(answers)
    _check_sums(peer, sums, rows)
    await s.send(peer, Opened(sums))
    return sums


async def _answer(s: Session, peer: str, columns: Ints, width: int, rng: Keystream) -> Ints:
    rows, mine = columns.shape
    shape = _shape(s, rows, mine, width)
    key = (await s.recv(peer, Key)).public.tobytes()
    out, got = s.stream(peer, Answer), 0
    factors = np.ascontiguousarray(columns)[None]
    async for chunk in s.stream(peer, Vectors):
        got += 1
        if got > width or len(chunk.ciphertexts) != shape.blocks:
            raise _wrong(peer, "sent more or less than its columns")
        with told(peer):
            sums = inner.InnerSums(key, shape, rng)
            await s.compute(sums.add, chunk.seed, chunk.ciphertexts, factors)
        # Both are to learn the sum itself: it goes without a mask, and noise drowns the rest.
        await out.put(Answer(await s.compute(sums.release, np.zeros(mine, dtype=np.uint64))))
    await out.close()
    if got != width:
        raise _wrong(peer, "sent fewer columns than it had announced")
    opened = (await s.recv(peer, Opened, p=width, q=mine)).sums
    _check_sums(peer, opened, rows)
    return np.ascontiguousarray(opened.T)


def _check_sums(peer: str, sums: Ints, rows: int) -> None:
    """No sum is larger than the columns' lengths allow, but for their rounding."""
    if np.any(np.abs(np.ldexp(sums.astype(np.float64), -2 * bits(rows))) > 1.01 * rows + 1):
        raise _wrong(peer, "gave sums that no columns have")


def _wrong(peer: str, what: str) -> ParleyError:
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)


# ---------------------------------------------------------------- inflation


async def _inflation(s: Session, own: Floats, cross: dict[str, Floats]) -> Floats:
    """(k,) this party's factors, and its part in finding everybody else's."""
    names = s.cast["member"]
    found = await together(*(_eliminated(s.at(target=i), t, own.copy(), cross) for i, t in enumerate(names)))
    left = found[names.index(s.me)]
    assert left is not None
    return np.clip(np.diag(_inverse(left)), 1.0, CEILING)


async def _eliminated(s: Session, target: str, own: Floats, cross: dict[str, Floats]) -> Floats | None:
    """(k, k) what is left of the target's block once all others are gone; None at those who went."""
    cross = {p: block.copy() for p, block in cross.items()}
    goes = [p for p in s.cast["member"] if p != target]
    for at, e in enumerate(goes):
        remain = [*goes[at + 1 :], target]
        if e == s.me:
            inverse = _inverse(own)
            every = np.concatenate([cross[r] for r in remain], axis=1)
            await together(*(s.send(r, Explained(cross[r].T @ inverse @ every)) for r in remain))
            return None
        theirs = (await s.recv(e, Explained, own=len(own), all=_width(own, cross, remain, s.me))).blocks
        if np.abs(theirs).max() > MOST:
            raise _wrong(e, "explains more than there is")
        start = 0
        for r in remain:
            wide = len(own) if r == s.me else cross[r].shape[1]
            block = own if r == s.me else cross[r]
            block -= theirs[:, start : start + wide]
            start += wide
    return own


def _inverse(block: Floats) -> Floats:
    """(k, k) the inverse of a symmetric block, of which directions that are nearly nothing count as 1 / CEILING."""
    values, vectors = np.linalg.eigh(block)
    return np.asarray(vectors / np.maximum(values, 1 / CEILING) @ vectors.T)


def _width(own: Floats, cross: dict[str, Floats], remain: list[str], me: str) -> int:
    return sum(len(own) if r == me else cross[r].shape[1] for r in remain)


# ---------------------------------------------------------------- what is told


def pairs(me: str, found: Found, names: list[str], params: Params, members: tuple[str, ...]) -> list[dict[str, Any]]:
    """Of this party's columns with each other and with later members', those at or above the threshold."""
    out: list[dict[str, Any]] = []
    blocks = {
        me: np.triu(found.own, 1),
        **{p: b for p, b in found.cross.items() if members.index(p) > members.index(me)},
    }
    for peer, block in blocks.items():
        for i, j in np.argwhere(np.abs(block) >= params.threshold).tolist():
            other = names[j] if peer == me and params.share_names else f"#{j}"
            out.append(
                {
                    "column": names[i] if params.share_names else f"#{i}",
                    "party": peer,
                    "other": other,
                    "r": float(block[i, j]),
                }
            )
    return sorted(out, key=lambda d: (-abs(d["r"]), d["column"], d["party"], d["other"]))
