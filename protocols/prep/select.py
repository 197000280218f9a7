"""Columns chosen by filters, one after the other, at every party; the label party judges where labels count.

Ideal functionality: filters apply in their order, each to the columns that the ones before it left. `iv` keeps columns
by the information value that a `stats/woe` step left with the label party, `importance` by the gain in an earlier
`gbdt/vertical`, over all parties' columns together; `correlation` keeps of a party's own columns that correlate the one
with the higher information value, or importance where there is none; every other filter is a party's own, by figures of
its training rows. Each party keeps the frame with its own columns that are
left; ids, labels and columns that the step is not about stay.

Adversary: semi-honest.

    for each filter by information value, importance or correlation
    step  from -> to          message   carries                                    bytes
    1     features -> label   Left      which of its numbered columns are left     1 per column
    2     features -> label   Linked    pairs that correlate, only for correlation 8 per pair
    3     label -> features   Chosen    which of these stay                        1 per column

Label learns which of a party's numbered columns are left before each such filter (`kept_columns`), and for a filter by
correlation which pairs of them correlate above the line (`correlated_pairs`).
Features learns which of its columns stay (`chosen_columns`), which follows from labels: that an information value or
a gain is above or below a line. Submitter learns how many columns each party has left (`column_counts`).
Coordinator: sizes.
Not protected: what the order of information values says; with top_k, a party's column stays or goes by how others' do.
Source: Siddiqi, *Credit Risk Scorecards*, 2006; Belsley, Kuh, Welsch, *Regression Diagnostics*, 1980, on inflation.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.features.pipeline import Columns
from parley.components.features.selection import (
    Pairs,
    apart,
    correlations,
    not_inflated,
    pairs_above,
    standardised,
    strongest,
)
from parley.components.features.stability import stability
from parley.components.features.summary import figures
from parley.components.features.values import is_number
from parley.protocols.frame import Frame, feature_names, frame_of
from parley.protocols.inputs import check_parties, need_columns, together, told
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
from parley.protocols.prep.columns import same
from parley.wire.errors import ParleyError

Flags = Annotated[NDArray[np.uint8], array("columns", dtype="uint8")]
Mask = NDArray[np.bool_]
Worth = dict[str, NDArray[np.float64]]


def _check_flags(flags: NDArray[np.uint8]) -> None:
    if np.any(flags > 1):
        raise ValueError("a column is left or not")


@message("prep.select.left/1")
class Left(Message):
    flags: Flags

    def check(self) -> None:
        _check_flags(self.flags)


@message("prep.select.chosen/1")
class Chosen(Message):
    flags: Flags

    def check(self) -> None:
        _check_flags(self.flags)


@message("prep.select.linked/1")
class Linked(Message):
    pairs: Annotated[NDArray[np.uint32], array("k", 2, dtype="uint32")]

    def check(self) -> None:
        if np.any(self.pairs[:, 0] >= self.pairs[:, 1]):
            raise ValueError("a pair is two columns, the lower number first")


JUDGED = ("iv", "importance", "correlation")  # by the label party, which has the information values and gains
FALLING = ("psi", "vif")  # the less, the better
BY_THRESHOLD = ("vif", "correlation")


class Filter(BaseModel):
    """Keeps columns whose figure is at least `threshold` (at most, with `take: low`), or the `top_k` highest (lowest),
    or the share `top_share` of them; `manual` keeps those that `columns` names, by party. With `keep_one` the best
    column of a party stays in any case.

    `psi` is the stability index between training rows and those of `part`, over `bins` quantiles, low unless said
    otherwise. `correlation` above the threshold, in size, lets the column with the lower information value go, among a
    party's own numeric columns; by `vif` the one with the largest variance inflation goes until none is above it.
    """

    model_config = ConfigDict(extra="forbid")
    by: Literal[
        "iv",
        "importance",
        "missing_rate",
        "std",
        "variance",
        "cv",
        "distinct",
        "top_share",
        "psi",
        "vif",
        "correlation",
        "manual",
    ]
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=1, le=1_000_000)
    top_share: float | None = Field(default=None, gt=0, le=1)
    take: Literal["high", "low"] = "high"
    keep_one: bool = True
    columns: dict[str, list[str]] | None = None
    part: Literal["validate", "test"] = "test"
    bins: int = Field(default=10, ge=2, le=255)

    @model_validator(mode="after")
    def _together(self) -> Self:
        rules = sum(v is not None for v in (self.threshold, self.top_k, self.top_share))
        if (self.by == "manual") != (self.columns is not None) or rules != (self.by != "manual"):
            raise ValueError("a filter has one of threshold, top_k and top_share, or is manual and has columns")
        if self.by in BY_THRESHOLD and self.threshold is None:
            raise ValueError(f"{self.by} has a threshold")
        if self.by in FALLING and "take" not in self.model_fields_set:
            self.take = "low"
        if self.by == "vif" and self.take == "high":
            raise ValueError("columns with a low variance inflation stay, not those with a high one")
        return self


class Params(BaseModel):
    """`filters` in their order; `exclude` names columns that no filter is about, for all or by party."""

    model_config = ConfigDict(extra="forbid")
    filters: list[Filter] = Field(min_length=1, max_length=50)
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)

    @property
    def judged(self) -> int:
        """Filters that the label party judges."""
        return sum(f.by in JUDGED for f in self.filters)

    @property
    def linked(self) -> int:
        """Filters by correlation."""
        return sum(f.by == "correlation" for f in self.filters)


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """Two bytes a column for each filter by information value, importance or correlation, and 8 a pair of columns at
    most for the latter: 4 by the square of the columns."""
    (label,) = cast["label"]
    flows = []
    for party in cast.get("features", ()):
        count = params.judged * sizes.columns.get(party, 4096)
        if count:
            flows.append(Flow(Left.TAG, party, label, params.judged, count))
            flows.append(Flow(Chosen.TAG, label, party, params.judged, count))
        if params.linked:
            most = params.linked * 4 * sizes.columns.get(party, 4096) ** 2
            flows.append(Flow(Linked.TAG, party, label, params.linked, most))
    return flows


SELECT = Protocol(
    "prep/select",
    version=2,
    security=SEMI_HONEST,
    summary="Columns chosen by filters at every party; the label party judges where labels count.",
    roles={"label": "one", "features": "many"},
    optional_roles=("features",),
    steps=[
        Step("features", "label", Left, "kept_columns", ("filter",)),
        Step("features", "label", Linked, "correlated_pairs", ("filter",)),
        Step("label", "features", Chosen, "chosen_columns", ("filter",)),
    ],
    learns={
        "label": ["kept_columns", "correlated_pairs"],
        "features": ["chosen_columns"],
        "submitter": ["column_counts"],
        "coordinator": ["sizes"],
    },
    when={
        "label.kept_columns": ("filters.by", *JUDGED),
        "label.correlated_pairs": ("filters.by", "correlation"),
        "features.chosen_columns": ("filters.by", *JUDGED),
    },
    params=Params,
    cost=cost,
)


@SELECT.role("label")
async def label(s: Session, frame: Frame, names: list[str], worths: dict[str, Worth]) -> list[str]:
    """The label party's own columns that are left of `names`; `worths` are "iv" and "importance" where they are known,
    by party, in the order of its columns' numbers."""
    peers, mine = s.peers("features"), np.ones(len(names), dtype=bool)
    for k, rule in enumerate(s.params.filters):
        if rule.by not in JUDGED:
            mine = await s.compute(own_choice, rule, frame, s.me, names, mine)
            continue
        at, values = s.at(filter=k), _worth(rule, worths)
        lefts = await together(*(at.recv(p, Left, columns=values[p].size) for p in peers))
        left = {s.me: mine, **{p: m.flags.astype(bool) for p, m in zip(peers, lefts, strict=True)}}
        if rule.by == "correlation":
            pairs = {s.me: await s.compute(own_pairs, rule, frame, names, mine), **await _linked(at, left)}
            chosen = {p: left[p] & apart(pairs[p], np.where(left[p], values[p], -np.inf)) for p in left}
        else:
            chosen = judged(rule, values, left)
        await together(*(at.send(p, Chosen(chosen[p].astype(np.uint8))) for p in peers))
        mine = chosen[s.me]
    return [n for n, kept in zip(names, mine, strict=True) if kept]


@SELECT.role("features")
async def features(s: Session, frame: Frame, names: list[str]) -> list[str]:
    """This party's columns that are left of `names`, which stand in the order of their numbers."""
    boss, mine = s.peer("label"), np.ones(len(names), dtype=bool)
    for k, rule in enumerate(s.params.filters):
        if rule.by not in JUDGED:
            mine = await s.compute(own_choice, rule, frame, s.me, names, mine)
            continue
        at = s.at(filter=k)
        await at.send(boss, Left(mine.astype(np.uint8)))
        if rule.by == "correlation":
            await at.send(boss, Linked(await s.compute(own_pairs, rule, frame, names, mine)))
        chosen = (await at.recv(boss, Chosen, columns=len(names))).flags.astype(bool)
        if np.any(chosen & ~mine):
            raise ParleyError(
                "protocol_violation", f"{boss} chose a column that is gone.", "Compare software versions.", party=boss
            )
        mine = chosen
    return [n for n, kept in zip(names, mine, strict=True) if kept]


def _worth(rule: Filter, worths: dict[str, Worth]) -> Worth:
    """What a filter judges by; ParleyError "no_iv", "no_importance"."""
    wanted = ("iv", "importance") if rule.by == "correlation" else (rule.by,)
    for name in wanted:
        if name in worths:
            return worths[name]
    step = {"iv": "a stats/woe", "importance": "a gbdt/vertical"}[wanted[0]]
    code = "no_iv" if wanted[0] == "iv" else "no_importance"
    raise ParleyError(code, f"No earlier step left what `{rule.by}` judges by.", f"Let it need {step} step.")


async def _linked(s: Session, left: dict[str, Mask]) -> dict[str, Pairs]:
    """Each other party's pairs; by name whoever links columns that it does not have."""
    peers = s.peers("features")
    sent = await together(*(s.recv(p, Linked) for p in peers))
    for p, m in zip(peers, sent, strict=True):
        if m.pairs.size and (int(m.pairs.max()) >= left[p].size or not left[p][m.pairs].all()):
            raise ParleyError(
                "protocol_violation", f"{p} links columns that are gone.", "Compare software versions.", party=p
            )
    return {p: m.pairs for p, m in zip(peers, sent, strict=True)}


def _matrix(frame: Frame, names: list[str], left: Mask) -> tuple[Pairs, NDArray[np.float64]]:
    """(k,) places of the numeric columns that are left, and their correlations over training rows."""
    schema = frame.table.schema
    found = [k for k, n in enumerate(names) if left[k] and is_number(schema.field(n).type)]
    seen = frame.table.take(frame.of_part("train"))
    with told():
        return np.array(found, dtype=np.uint32), correlations(standardised(seen, [names[k] for k in found]))


def own_pairs(rule: Filter, frame: Frame, names: list[str], left: Mask) -> Pairs:
    """(k, 2) numbers of a party's columns that correlate above the threshold."""
    places, matrix = _matrix(frame, names, left)
    found: Pairs = places[pairs_above(matrix, rule.threshold or 0.0)].reshape(-1, 2)
    return found


def judged(rule: Filter, values: dict[str, NDArray[np.float64]], left: dict[str, Mask]) -> dict[str, Mask]:
    """What stays of each party's columns, judged over all parties' together."""
    joined = np.concatenate([values[p] for p in left])
    kept = strongest(
        joined, np.concatenate(list(left.values())), rule.threshold, rule.top_k, rule.top_share, low=rule.take == "low"
    )
    parts = np.split(kept, np.cumsum([m.size for m in left.values()])[:-1])
    return {p: _one(rule, values[p], left[p], mask) for (p, mask) in zip(left, parts, strict=True)}


def own_choice(rule: Filter, frame: Frame, me: str, names: list[str], left: Mask) -> Mask:
    """A party's own filter, over the figures of its training rows; a figure that there is not counts as the worst."""
    if rule.columns is not None:
        if me not in rule.columns:
            return left
        need_columns(rule.columns[me], frame.table.column_names, me)
        return left & np.isin(names, rule.columns[me])
    if rule.by == "vif":
        places, matrix = _matrix(frame, names, left)
        stays = left.copy()
        stays[places] = not_inflated(matrix, rule.threshold or np.inf)
        return stays
    seen = frame.table.take(frame.of_part("train"))
    with told():
        found = _figures(rule, frame, seen, names, left)
    worst = np.inf if rule.take == "low" else -np.inf
    values = np.array([worst if v is None else v for v in found], dtype=np.float64)
    kept = strongest(values, left, rule.threshold, rule.top_k, rule.top_share, low=rule.take == "low")
    return _one(rule, values, left, kept)


def _figures(rule: Filter, frame: Frame, seen: Any, names: list[str], left: Mask) -> list[Any]:
    if rule.by == "psi":
        other = frame.table.take(frame.of_part(rule.part))
        return [stability(seen, other, n, rule.bins) if here else None for n, here in zip(names, left, strict=True)]
    return [figures(seen, n, [rule.by])[rule.by] if here else None for n, here in zip(names, left, strict=True)]


def _one(rule: Filter, values: NDArray[np.float64], left: Mask, kept: Mask) -> Mask:
    if kept.any() or not left.any() or not rule.keep_one:
        return kept
    return strongest(values, left, None, 1, None, low=rule.take == "low")


# ---------------------------------------------------------------- binding to data


def _facts(inputs: StepInputs) -> dict[str, Any] | None:
    found = [kept["facts"] for kept in inputs.needs.values() if "facts" in kept]
    if len(found) > 1:
        raise ParleyError("ambiguous_facts", "More than one step left information values.", "Need one stats/woe step.")
    return dict(json.loads(found[0])) if found else None


def _gains(inputs: StepInputs) -> dict[str, Any] | None:
    """What a training by boosting left here: its columns, and at the label party everybody's gains."""
    found = [kept for kept in inputs.needs.values() if {"binning", "rounds"} <= set(kept)]
    if len(found) > 1:
        raise ParleyError("ambiguous_model", "More than one step left a boosted model.", "Need one of them.")
    return found[0] if found else None


def _begin(s: Session, inputs: StepInputs) -> tuple[Frame, list[str], dict[str, Worth]]:
    """The frame, the columns it is about in the order of their numbers, and what the label party judges them by."""
    frame, facts = frame_of(inputs, s.me), _facts(inputs)
    by = {f.by for f in s.params.filters}
    model = _gains(inputs) if "importance" in by or (facts is None and "correlation" in by) else None
    if facts is None and model is None and s.params.judged:
        raise ParleyError("no_iv", "No earlier step found information values.", "Let it need a stats/woe step.")
    if facts is None and model is None:
        without = s.params.exclude if isinstance(s.params.exclude, list) else s.params.exclude.get(s.me, [])
        return frame, feature_names(frame, *without), {}
    boosted = [] if model is None else [str(c["name"]) for c in json.loads(model["binning"])["columns"]]
    names = boosted if facts is None else list(facts["columns"])
    if model is not None and boosted != names:
        raise ParleyError(
            "other_columns", "Information values and importances are about other columns.", "Let both name the same."
        )
    need_columns(names, frame.table.column_names, s.me)
    return frame, names, _worths(s, facts, model)


def _worths(s: Session, facts: dict[str, Any] | None, model: dict[str, Any] | None) -> dict[str, Worth]:
    parties, out = (s.me, *s.peers("features")) if s.me in s.cast["label"] else (), {}
    if facts is not None and parties:
        ivs = {p: [float(e["iv"]) for e in facts.get("iv", []) if e["party"] == p] for p in parties}
        out["iv"] = {p: np.array(v, dtype=np.float64) for p, v in ivs.items()}
    if model is not None and "gains" in model:
        known = {p: np.asarray(g, dtype=np.float64) for p, g in model["gains"].items()}
        out["importance"] = {p: known.get(p, np.zeros(0)) for p in parties}
    return out


def _outputs(frame: Frame, names: list[str], kept: list[str]) -> StepOutputs:
    gone = set(names) - set(kept)
    stay = tuple(c for c in feature_names(frame) if c not in gone)
    with told():
        made = frame.with_transforms([Columns(stay)])
    return StepOutputs(keep=made.keep(), result={"columns": len(names), "kept": len(kept)})


@SELECT.job("label")
async def label_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """Keeps the frame with its own columns that are left; tells how many."""
    frame, names, worths = await s.compute(_begin, s, inputs)
    return _outputs(frame, names, await label(s, frame, names, worths))


@SELECT.job("features")
async def features_job(s: Session, inputs: StepInputs) -> StepOutputs:
    """The same of its own."""
    frame, names, _ = await s.compute(_begin, s, inputs)
    return _outputs(frame, names, await features(s, frame, names))


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for a party without a role."""
    if isinstance(params.exclude, dict):
        check_parties(params.exclude, cast.parties(), "exclude")
    for rule in params.filters:
        check_parties(rule.columns or {}, cast.parties(), "columns")


SELECT.checks.append(check_params)
SELECT.reshapes = same
