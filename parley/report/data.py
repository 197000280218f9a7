"""What a report shows, gathered from a finished job; every result was opened under the verified contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parley.report.figures import Figures, find_figures, find_parts

if TYPE_CHECKING:
    from parley.client import Job


@dataclass(frozen=True)
class PartyLine:
    """A party as the contract names it; `believed` says against which card its signature was checked."""

    name: str
    fingerprint: str
    believed: str
    rows: int | None
    version: str


@dataclass(frozen=True)
class ReportData:
    """The page's content. `metrics` and `central` are evaluations as `components.training.metrics` makes them."""

    title: str
    purpose: str
    job: str
    state: str
    reason: str
    contract: str
    submitter: str
    seconds: float | None
    steps: list[dict[str, Any]]
    parties: list[PartyLine]
    egress: list[dict[str, Any]]
    metrics: dict[str, Any] | None = None
    metrics_of: str = ""
    central: dict[str, Any] | None = None
    importance: list[tuple[str, str, float]] = field(default_factory=list)  # (party, feature, gain)
    sizes: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)  # evaluations by part
    figures: Figures = field(default_factory=Figures)


def report_data(job: Job, *, central: Mapping[str, Any] | None = None, title: str = "") -> ReportData:
    """Everything the page needs, for a job in any final state."""
    from parley.wire.errors import ParleyError

    view = job.status()
    signed = job.contract if view.get("contract") else None
    results = job.results() if signed is not None else {}
    rows_of = {n: o.dataset.rows if o.dataset else None for n, o in signed.contract.offers.items()} if signed else {}
    parties = [
        PartyLine(n, signed.fingerprints[n], signed.cards[n], rows_of[n], signed.contract.offers[n].version)
        for n in sorted(signed.cards)
    ] if signed else []  # fmt: skip
    reason = str(ParleyError.from_dict(view["reason"])) if view.get("reason") else ""
    which, metrics = find_metrics(results)
    return ReportData(
        title=title or str(view["name"]),
        purpose=str(view["purpose"]),
        job=job.id,
        state=str(view["state"]),
        reason=reason,
        contract=str(view.get("contract") or ""),
        submitter=str(view.get("submitter") or ""),
        seconds=_seconds(view),
        steps=list(view["steps"]),
        parties=parties,
        egress=job.egress(),
        metrics=metrics,
        metrics_of=which,
        central=dict(central) if central is not None else None,
        importance=find_importance(results),
        sizes=find_sizes(results),
        parts=find_parts(results),
        figures=find_figures(results),
    )


def find_metrics(results: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any] | None]:
    """The evaluation among a job's results and the rows it is of: held-out rows before all rows before training."""
    return next(iter(find_parts(results).items()), ("", None))


def find_importance(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, float]]:
    """(party, feature, gain) from a training's result, greatest first."""
    found: list[tuple[str, str, float]] = []
    for by_party in results.values():
        for result in by_party.values():
            for entry in result.get("importance", []) if isinstance(result, dict) else []:
                found.append((str(entry["party"]), str(entry["feature"]), float(entry["gain"])))
    return sorted(found, key=lambda e: -e[2])


def find_sizes(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The number of aligned records, where an alignment told it."""
    for by_party in results.values():
        for result in by_party.values():
            for key in ("intersection", "count", "size"):
                if isinstance(result, dict) and isinstance(result.get(key), int):
                    return {"aligned": result[key]}
    return {}


def _seconds(view: Mapping[str, Any]) -> float | None:
    try:
        return float(view["ended"]) - float(view["submitted"])
    except (KeyError, TypeError, ValueError):
        return None
