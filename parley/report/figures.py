"""The figures among a job's results, read with care: what is not of the shape that a chart needs is left out.

Results are signed by the parties that made them, and yet a page must not fall over one that a newer or a wrong version
wrote: the tables of results stay readable without the chart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
Results = Mapping[str, Mapping[str, Any]]
PARTS = ("validation", "test", "all", "training")


@dataclass(frozen=True)
class Bin:
    label: str
    rows: float
    events: float
    woe: float


@dataclass(frozen=True)
class Binned:
    """One feature's bins with weight of evidence, and its information value."""

    party: str
    feature: str
    iv: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Figures:
    """Everything a page draws; empty where no step told it."""

    losses: tuple[float, ...] = ()
    watched: str = ""
    drift: tuple[dict[str, Any], ...] = ()  # as components.training.metrics_drift makes them
    binning: tuple[Binned, ...] = ()
    correlation: tuple[tuple[str, ...], tuple[tuple[float, ...], ...]] | None = None
    leakage: dict[str, float] = field(default_factory=dict)
    attribution: tuple[tuple[str, str, float], ...] = ()  # (party, feature or "" for all of its own, mean size)
    points: tuple[dict[str, Any], ...] = ()  # bands as components.training.metrics_points makes them


def find_figures(results: Results) -> Figures:
    """The figures of a job's results by step and party."""
    losses, watched = next(iter(_read(results, _losses)), ((), ""))
    binning = [b for found in _read(results, _binning) for b in found]
    leakage: dict[str, float] = {}
    for found in _read(results, _leakage):
        leakage |= found
    return Figures(
        losses=losses,
        watched=watched,
        drift=next(iter(_read(results, _drift)), ()),
        binning=tuple(sorted(binning, key=lambda b: -b.iv)),
        correlation=next(iter(_read(results, _correlation)), None),
        leakage=leakage,
        attribution=next(iter(_read(results, _attribution)), ()),
        points=next(iter(_read(results, _points)), ()),
    )


def find_parts(results: Results) -> dict[str, dict[str, Any]]:
    """The evaluations among a job's results by part, the part that says most about new rows first."""
    for _, result in each(results):
        parts = result.get("metrics")
        if isinstance(parts, dict):
            found = {p: dict(parts[p]) for p in PARTS if isinstance(parts.get(p), dict)}
            if found:
                return found
    return {}


def each(results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    """(party, result) of every step."""
    for by_party in results.values():
        for party, result in by_party.items():
            if isinstance(result, dict):
                yield party, result


def curve(table: object, *names: str) -> list[list[float]] | None:
    """The named lists of numbers of one length >= 2, or None."""
    if not isinstance(table, Mapping):
        return None
    try:
        found = [[number(v) for v in table[name]] for name in names]
    except (KeyError, TypeError, ValueError):
        return None
    return found if len(found[0]) >= 2 and len({len(f) for f in found}) == 1 else None


def column(table: object, *names: str) -> list[list[float]] | None:
    """The named fields of a list of records as lists of numbers, or None."""
    if not isinstance(table, list):
        return None
    try:
        found = [[number(record[name]) for record in table] for name in names]
    except (KeyError, TypeError, ValueError):
        return None
    return found if found[0] else None


def number(value: object) -> float:
    """A finite number; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a finite number")
    return float(value)


def _read(results: Results, reader: Callable[[str, dict[str, Any]], T | None]) -> Iterator[T]:
    for party, result in each(results):
        try:
            found = reader(party, result)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        if found is not None:
            yield found


def _losses(party: str, result: dict[str, Any]) -> tuple[tuple[float, ...], str] | None:
    found = tuple(number(v) for v in result["losses"])
    return (found, str(result.get("watched", ""))) if len(found) >= 2 else None


def _drift(party: str, result: dict[str, Any]) -> tuple[dict[str, Any], ...] | None:
    found = result["drift"]
    tables = found.get("by_class", [found])
    for table in tables:
        number(table["psi"])
        for entry in table["bins"]:
            for name in ("reference", "actual", "psi"):
                number(entry[name])
    return tuple(tables)


def _binning(party: str, result: dict[str, Any]) -> list[Binned]:
    """Bins of a binary label; with more classes there is one information value and no weight of evidence to draw."""
    return [
        Binned(str(f.get("party", party)), str(f["feature"]), number(f["iv"]), tuple(_bins(f["bins"])))
        for f in result["binning"]
    ]


def _bins(found: list[dict[str, Any]]) -> Iterator[Bin]:
    for b in found:
        if b["woe"] is not None:
            yield Bin(str(b["label"]), number(b["rows"]), number(b["events"]), number(b["woe"]))


def _correlation(party: str, result: dict[str, Any]) -> tuple[tuple[str, ...], tuple[tuple[float, ...], ...]] | None:
    found = result["correlation"]
    names = tuple(map(str, found["features"]))
    matrix = tuple(tuple(number(v) for v in row) for row in found["matrix"])
    whole = bool(names) and len(matrix) == len(names) and all(len(row) == len(names) for row in matrix)
    return (names, matrix) if whole else None


ATTACKS = {
    "auc": "labels from where rows sat in the trees, AUC (0.5 finds none)",
    "nmi": "groups of rows that sat together against labels, NMI (0 finds none)",
    "splits_auc": "labels from the sides of its own winning splits, AUC",
    "splits_nmi": "groups of rows by its own winning splits against labels, NMI",
}


def _leakage(party: str, result: dict[str, Any]) -> dict[str, float]:
    """Figures by attack; those of a training stand by features party, beside how many rows and trees they are of."""
    out: dict[str, float] = {}
    for name, found in result["leakage"].items():
        if isinstance(found, dict):
            out |= {f"{name}: {words}": number(found[key]) for key, words in ATTACKS.items() if key in found}
        else:
            out[str(name)] = number(found)
    return out


def _points(party: str, result: dict[str, Any]) -> tuple[dict[str, Any], ...] | None:
    bands = tuple(result["points"])
    for band in bands:
        for name in ("from", "to", "rows", "share", "share_above"):
            number(band[name])
        for name in ("bad_rate", "bad_rate_above"):
            if band[name] is not None:
                number(band[name])
    return bands or None


def _attribution(party: str, result: dict[str, Any]) -> tuple[tuple[str, str, float], ...] | None:
    found = [(str(e["party"]), str(e["feature"]), number(e["mean"])) for e in result["attribution"]]
    return tuple(sorted(found, key=lambda e: -e[2])) or None
