"""Columns chosen by filters in a row: worth, statistics, correlation, inflation, stability, by hand.

Ideal functionality: every party keeps those of its columns that all filters leave. Statistics, variance inflation,
stability and choices by hand are each party's own affair; where columns are weighed by their information value or by a
model's gain, or one of two that correlate must go, the label party decides, which alone has these measures, and tells
each features party which of its columns stay.
Adversary: semi-honest. A party that lies about its columns spoils its own selection.

    step  from -> to          message    carries                                        bytes
    for each filter by iv, importance or correlation:
    1     features -> label   Standing   which of its columns earlier filters left       1 per column
    2     features -> label   Linked     pairs of its columns, only for correlation      8 per pair
    3     label -> features   Chosen     which of them stay                              1 per column

Label learns how many columns a features party has and which of them, by number, its own filters left
(`columns_left`), and with a filter by correlation which of them correlate above the threshold (`correlated_pairs`).
Features learns which of its columns stay (`chosen_columns`), and so which are worth more than others to the label.
Submitter learns how many columns each filter leaves at each party (`column_counts`). Coordinator: sizes.
Not protected: what the choice says of the label: a column that goes says little about it, one that stays much.
Source: Guyon & Elisseeff, *An introduction to variable and feature selection*, 2003.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parley.components.features.pipeline import Columns
from parley.components.features.selection import apart, at_least_one, best
from parley.components.training.trees import Model
from parley.protocols.frame import Frame, frame_of
from parley.protocols.inputs import ROW, check_parties, kept, need_columns, together, told
from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Message,
    Protocol,
    Session,
    Sizes,
    Step,
    StepInputs,
    StepOutputs,
    array,
    message,
)
from parley.protocols.prep.filters import Correlation, Filter, Manual, Worth, alone, correlated
from parley.wire.errors import ParleyError

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def _check_flags(flags: NDArray[np.uint8]) -> None:
    if flags.max(initial=0) > 1:
        raise ValueError("a column stays or goes")


@message("prep.select.standing/1")
class Standing(Message):
    flags: Annotated[NDArray[np.uint8], array("columns", dtype="uint8")]

    def check(self) -> None:
        _check_flags(self.flags)


@message("prep.select.chosen/1")
class Chosen(Message):
    flags: Annotated[NDArray[np.uint8], array("columns", dtype="uint8")]

    def check(self) -> None:
        _check_flags(self.flags)


@message("prep.select.linked/1")
class Linked(Message):
    pairs: Annotated[NDArray[np.uint32], array("k", 2, dtype="uint32")]

    def check(self) -> None:
        if np.any(self.pairs[:, 0] >= self.pairs[:, 1]):
            raise ValueError("a pair is two columns, the lower one first")


class Params(BaseModel):
    """`filters` in their order. `label`, `id` and `exclude` name columns that are not chosen from and stay as they are.
    `keep_one`: a filter that would leave a party nothing leaves it its best column."""

    model_config = ConfigDict(extra="forbid")
    filters: list[Filter] = Field(min_length=1, max_length=20)
    label: str | None = None
    id: str | dict[str, str] | None = None
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)
    keep_one: bool = True


def _remote(rule: object) -> bool:
    return isinstance(rule, Worth | Correlation)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """For F columns: 2 F bytes for each filter that the label party decides, and 8 for each pair that correlates."""
    (label,) = cast["label"]
    decided = sum(_remote(f) for f in params.filters)
    linked = sum(isinstance(f, Correlation) for f in params.filters)
    flows = []
    for party in cast["features"] if decided else ():
        columns = sizes.columns.get(party, 4096)
        flows.append(Flow(Standing.TAG, party, label, decided, decided * columns))
        flows.append(Flow(Chosen.TAG, label, party, decided, decided * columns))
        if linked:
            flows.append(Flow(Linked.TAG, party, label, linked, linked * 4 * columns * columns))
    return flows


FILTER = ("filter",)
SELECT = Protocol(
    "prep/select",
    version=1,
    security=SEMI_HONEST,
    summary="Columns chosen by filters in a row: worth, statistics, correlation, inflation, stability, by hand.",
    roles={"label": "one", "features": "many"},
    steps=[
        Step("features", "label", Standing, "columns_left", FILTER),
        Step("features", "label", Linked, "correlated_pairs", FILTER),
        Step("label", "features", Chosen, "chosen_columns", FILTER),
    ],
    learns={
        "label": ["columns_left", "correlated_pairs"],
        "features": ["chosen_columns"],
        "submitter": ["column_counts"],
        "coordinator": ["sizes"],
    },
    params=Params,
    cost=cost,
)
SELECT.prepares = True


@dataclass
class Choice:
    """A party's columns as filter after filter leaves them. `numbered` are, for each measure, the columns that the
    measure's numbers stand for."""

    frame: Frame = field(repr=False)
    names: list[str]
    numbered: dict[str, list[str]]
    left: list[int] = field(default_factory=list)

    def universe(self, rule: Worth | Correlation) -> list[str]:
        """The columns a decision of the label party is about, in the order of their numbers."""
        by = "iv" if isinstance(rule, Correlation) else rule.by
        return self.numbered.get(by, [])

    def standing(self, rule: Worth | Correlation) -> Mask:
        return np.array([n in self.names for n in self.universe(rule)], dtype=bool)

    def keep(self, rule: Worth | Correlation, stays: Mask) -> None:
        """Apply a decision; columns that it is not about stay."""
        gone = {n for n, kept_ in zip(self.universe(rule), stays, strict=True) if not kept_}
        self.names = [n for n in self.names if n not in gone]

    def filter_alone(self, rule: object, me: str, keep_one: bool) -> None:
        if self.names:
            mask, worth = alone(rule, self.frame, self.names, me)
            if keep_one:
                mask = at_least_one(mask, np.ones_like(mask), worth)
            self.names = [n for n, m in zip(self.names, mask, strict=True) if m]

    def pairs(self, rule: Correlation) -> NDArray[np.uint32]:
        """Pairs of standing columns, by their numbers."""
        names = self.universe(rule)
        here = [n for n in names if n in self.names]
        places = np.array([names.index(n) for n in here], dtype=np.uint32)
        found = correlated(self.frame, here, rule.threshold)
        return places[found] if found.size else np.empty((0, 2), dtype=np.uint32)


@dataclass(frozen=True)
class Measures:
    """What earlier steps left the label party: each party's information values by number, and the gains of a model's
    joined features with the parties in their order; None where there was no such step."""

    iv: dict[str, Floats] | None = None
    gain: Floats | None = None
    order: tuple[str, ...] = ()

    def worth(self, rule: Worth | Correlation, counts: dict[str, int]) -> dict[str, Floats]:
        """(F,) numbers of each party, which has so many columns; by name whoever has another number of them."""
        if isinstance(rule, Worth) and rule.by == "importance":
            if self.gain is None or set(self.order) != set(counts) or sum(counts.values()) != self.gain.size:
                raise ParleyError(
                    "other_model", "The model has other features than the parties.", "Need the training of these."
                )
            ends = np.cumsum([counts[p] for p in self.order])[:-1]
            return dict(zip(self.order, np.split(self.gain, ends), strict=True))
        found = self.iv or {}
        for party, count in counts.items():
            if found.get(party, np.empty(0)).size != count:
                raise wrong(party, "has another number of columns than were binned")
        return {p: found[p] for p in counts}


def wrong(peer: str, what: str) -> ParleyError:
    """What a peer did that the protocol does not allow, by name."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)


@SELECT.role("label")
async def label(s: Session, mine: Choice, measures: Measures) -> None:
    """`measures` are (F,) numbers of every party, under `iv` and `importance`, as far as there are any."""
    for k, rule in enumerate(s.params.filters):
        if isinstance(rule, Worth | Correlation):
            await _decide(s.at(filter=k), mine, rule, measures)
        else:
            with told():
                await s.compute(mine.filter_alone, rule, s.me, s.params.keep_one)
        mine.left.append(len(mine.names))


async def _decide(s: Session, mine: Choice, rule: Worth | Correlation, measures: Measures) -> None:
    peers = s.peers("features")
    said = await together(*(s.recv(p, Standing) for p in peers))
    standing = {s.me: mine.standing(rule)} | {p: m.flags.astype(bool) for p, m in zip(peers, said, strict=True)}
    worth = measures.worth(rule, {p: mask.size for p, mask in standing.items()})
    if isinstance(rule, Correlation):
        linked = await together(*(s.recv(p, Linked) for p in peers))
        with told():
            pairs = {s.me: await s.compute(mine.pairs, rule)} | {p: m.pairs for p, m in zip(peers, linked, strict=True)}
        for p in peers:
            if pairs[p].size and (pairs[p].max() >= worth[p].size or not standing[p][pairs[p]].all()):
                raise wrong(p, "links columns that it does not have")
        stays = {p: apart(pairs[p], np.where(standing[p], worth[p], -1.0)) & standing[p] for p in standing}
    else:
        stays = _worthiest(rule, standing, worth)
    if s.params.keep_one:
        stays = {p: at_least_one(stays[p], standing[p], worth[p]) for p in standing}
    mine.keep(rule, stays[s.me])
    await together(*(s.send(p, Chosen(stays[p].astype(np.uint8))) for p in peers))


def _worthiest(rule: Worth, standing: dict[str, Mask], worth: dict[str, Floats]) -> dict[str, Mask]:
    """The best of all that stand, whoever has them."""
    every = np.concatenate([worth[p][standing[p]] for p in standing])
    found = best(every, threshold=rule.threshold, top_k=rule.top_k, top_percentile=rule.top_percentile)
    out, start = {}, 0
    for p, mask in standing.items():
        stays = mask.copy()
        stays[mask] = found[start : start + int(mask.sum())]
        start += int(mask.sum())
        out[p] = stays
    return out


@SELECT.role("features")
async def features(s: Session, mine: Choice) -> None:
    boss = s.peer("label")
    for k, rule in enumerate(s.params.filters):
        if isinstance(rule, Worth | Correlation):
            at, standing = s.at(filter=k), mine.standing(rule)
            await at.send(boss, Standing(standing.astype(np.uint8)))
            if isinstance(rule, Correlation):
                with told():
                    pairs = await s.compute(mine.pairs, rule)
                await at.send(boss, Linked(pairs))
            chosen = (await at.recv(boss, Chosen, columns=standing.size)).flags.astype(bool)
            if np.any(chosen & ~standing):
                raise wrong(boss, "chose a column that had gone")
            mine.keep(rule, chosen)
        else:
            with told():
                await s.compute(mine.filter_alone, rule, s.me, s.params.keep_one)
        mine.left.append(len(mine.names))


# ---------------------------------------------------------------- jobs


def _read(s: Session, inputs: StepInputs) -> Choice:
    """ParleyError "no_measure" when a filter needs what no earlier step left."""
    p, frame = s.params, frame_of(inputs, s.me)
    out = {ROW, p.label, p.id.get(s.me) if isinstance(p.id, dict) else p.id}
    listed = p.exclude if isinstance(p.exclude, list) else p.exclude.get(s.me, [])
    if isinstance(p.exclude, dict):
        need_columns(listed, frame.table.column_names, s.me)
    names = [c for c in frame.table.column_names if c not in out and c not in listed]
    numbered: dict[str, list[str]] = {}
    evidence, trained = kept(inputs, "iv"), kept(inputs, "binning")
    if evidence is not None:
        numbered["iv"] = json.loads(evidence["iv"])["columns"]
    if trained is not None:
        numbered["importance"] = [c["name"] for c in json.loads(trained["binning"])["columns"]]
    for rule in p.filters:
        by = "iv" if isinstance(rule, Correlation) else rule.by
        if _remote(rule) and by not in numbered:
            need = "stats/woe" if by == "iv" else "gbdt/vertical"
            raise ParleyError(
                "no_measure", f"The filter by {rule.by} needs an earlier {need} step.", "Name it under `needs`."
            )
    return Choice(frame, names, numbered)


def _measures(inputs: StepInputs, cast: Cast) -> Measures:
    evidence, trained = kept(inputs, "iv"), kept(inputs, "model")
    iv = gain = None
    if evidence is not None:
        found = json.loads(evidence["iv"])["features"]
        iv = {p: np.array([f["iv"] for f in found if f["party"] == p], dtype=np.float64) for p in cast.parties()}
    if trained is not None:
        with told():
            gain = Model.from_dict(json.loads(trained["model"])).importance("gain")
    return Measures(iv, gain, tuple(trained["order"]) if trained is not None else ())


def _outputs(mine: Choice, before: list[str], params: Params) -> StepOutputs:
    """The frame with the columns that were left, and those that were never to choose from."""
    stays = [c for c in mine.frame.table.column_names if c != ROW and (c not in before or c in mine.names)]
    with told():
        frame = mine.frame.with_transforms([Columns(tuple(stays))])
    filters = [{"by": f.by, "left": n} for f, n in zip(params.filters, mine.left, strict=True)]
    return StepOutputs(keep=frame.keep(), result={"columns": len(mine.names), "filters": filters})


@SELECT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame with its chosen columns; tells the submitter how many each filter left."""
    mine = await s.compute(_read, s, inputs)
    before = mine.names
    await label(s, mine, await s.compute(_measures, inputs, s.cast))
    return _outputs(mine, before, s.params)


@SELECT.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """The same, where the label party decides on what it alone can weigh."""
    mine = await s.compute(_read, s, inputs)
    before = mine.names
    await features(s, mine)
    return _outputs(mine, before, s.params)


def _check_params(params: Params, cast: Cast) -> None:
    for name in ("id", "exclude"):
        if isinstance(getattr(params, name), dict):
            check_parties(getattr(params, name), cast.parties(), name)
    for rule in params.filters:
        if isinstance(rule, Manual):
            check_parties([*rule.keep, *rule.drop], cast.parties(), "manual")


SELECT.checks.append(_check_params)
