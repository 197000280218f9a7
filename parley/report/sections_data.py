"""What happened on the way to a model, and beside it: training, binning, correlation, drift, measured leakage."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from parley.report.charts import Curve, bars, columns, heat, lines
from parley.report.data import ReportData
from parley.report.figures import Binned, number
from parley.report.sections import ROWS
from parley.report.tables import grid, table


def training(d: ReportData) -> str:
    """The loss round by round, and importance by party."""
    made = []
    if d.figures.losses:
        made.append(_losses(d))
    if d.importance:
        total = sum(v for _, _, v in d.importance) or 1.0
        rows = [(p, label, v, f"{100 * v / total:.1f}%, {p}") for p, label, v in d.importance[:15]]
        words = "Gain of each feature as a share of all gain, by the party that holds it."
        more = len(d.importance) - len(rows)
        note = f'<p class="dim">{more} features with less gain are not shown.</p>' if more > 0 else ""
        made.append(bars("importance", "Feature importance by party", words, rows, party_classes(d)) + note)
    if d.figures.attribution:
        most = d.figures.attribution[:15]
        rows = [(p, f or f"all of {p}", v, f"{v:.4f}, {p}") for p, f, v in most]
        words = "Mean size of what a column adds to the raw score; other parties' columns together, by party."
        made.append(bars("attribution", "What columns add to a score", words, rows, party_classes(d)))
    return "<h2>Training</h2>" + grid(made) if made else ""


def _losses(d: ReportData) -> str:
    losses = d.figures.losses
    low, high = min(losses), max(losses)
    margin = 0.05 * (high - low) or 1.0
    rows = ROWS.get(d.figures.watched, "the watched rows")
    words = f"Loss after each round on {rows}: from {losses[0]:.4g} to {losses[-1]:.4g}."
    found: list[Curve] = [("loss", "fed", [float(n + 1) for n in range(len(losses))], losses)]
    x, y = (1.0, float(len(losses))), (low - margin, high + margin)
    return lines("loss", "Loss by round", words, found, ("round", "loss"), x=x, y=y, legend="none")


def party_classes(d: ReportData) -> dict[str, str]:
    """A colour class for each party, in their order on the page."""
    names = [p.name for p in d.parties] or sorted({b.party for b in d.figures.binning})
    return {n: f"p{i % 4}" for i, n in enumerate(names)}


def binning(d: ReportData) -> str:
    """Information value by feature, then each strong feature's bins."""
    found = d.figures.binning
    if not found:
        return ""
    classes = party_classes(d)
    rows = [(b.party, b.feature, b.iv, f"{b.iv:.3f}, {b.party}") for b in found[:20]]
    words = "Information value of each binned feature, by the party that holds it."
    made = [bars("iv", "Information value", words, rows, classes)]
    made += [_woe(n, b, classes) for n, b in enumerate(found[:8]) if b.bins]
    more = max(0, len(found) - 20)
    note = f'<p class="dim">{more} features with less information are not shown.</p>' if more else ""
    return "<h2>Binning</h2>" + grid(made) + note


def _woe(n: int, b: Binned, classes: Mapping[str, str]) -> str:
    rows = [
        (b.party, k.label, k.woe, f"{k.woe:+.2f}: {100 * k.events / k.rows if k.rows else 0:.1f}% of {k.rows:,.0f}")
        for k in b.bins[:40]
    ]
    words = "Weight of evidence of each bin, the rate of 1 in it, and its rows."
    return bars(f"woe-{n}", f"{b.feature} ({b.party}): weight of evidence", words, rows, dict(classes))


def drift(d: ReportData) -> str:
    """The stability index with its bins, as bars and as a table."""
    made = []
    for n, found in enumerate(d.figures.drift[:10]):
        psi, bins = number(found["psi"]), found["bins"]
        reading = "stable" if psi < 0.1 else "moved" if psi < 0.25 else "another population"
        labels = [str(k + 1) for k in range(len(bins))]
        before, now, parts = ([number(b[key]) for b in bins] for key in ("reference", "actual", "psi"))
        words = f"Share of rows by bin of the reference scores; population stability index {psi:.4f}, {reading}."
        title, axes = f"Score drift: PSI {psi:.4f}, {reading}", ("bin of the reference score", "share of rows")
        made.append(
            columns(f"drift-{n}", title, words, labels, [("reference", "b1", before), ("now", "b0", now)], axes)
        )
        rows = [
            (k, f"{100 * e:.1f}%", f"{100 * a:.1f}%", f"{p:.4f}")
            for k, e, a, p in zip(labels, before, now, parts, strict=True)
        ]
        made.append(table(f"drift-table-{n}", ("bin", "reference", "now", "PSI"), rows, 3))
    return "<h2>Score drift</h2>" + grid(made) if made else ""


def points(d: ReportData) -> str:
    """Rows by band of scorecard points, and what a cut-off at each band lets pass."""
    bands = d.figures.points
    if not bands:
        return ""
    rising = bands[::-1]
    labels = [f"{b['from']:g}" for b in rising]
    series = [("rows", "b0", [float(b["rows"]) for b in rising])]
    words = "Rows by band of points, the band's lowest points below it."
    chart = columns("points", "Points", words, labels, series, ("points from", "rows"))

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}%"

    rows = [
        (f"{b['from']:g}", f"{b['rows']:,}", *(share(b[k]) for k in ("bad_rate", "share_above", "bad_rate_above")))
        for b in bands
    ]
    head = ("points from", "rows", "bad", "share passing", "bad among them")
    return "<h2>Scorecard</h2>" + grid([chart, table("points-table", head, rows, 4)])


def correlation(d: ReportData) -> str:
    """The matrix as squares, at most 40 features of it."""
    if d.figures.correlation is None:
        return ""
    names, matrix = d.figures.correlation
    shown = names[:40]
    values = [row[:40] for row in matrix[:40]]
    words = "Correlation of each pair of features; the second colour is for those that fall together."
    note = f'<p class="dim">The first 40 of {len(names)} features.</p>' if len(names) > 40 else ""
    made = heat("correlation", "Correlation", words, (shown, shown), values, lambda v: f"{v:.2f}")
    return "<h2>Correlation</h2>" + grid([made]) + note


def leakage(d: ReportData) -> str:
    """Measured attacks: what somebody could infer who tried."""
    if not d.figures.leakage:
        return ""
    rows = [(escape(k.replace("_", " ")), f"{v:.4f}") for k, v in sorted(d.figures.leakage.items())]
    intro = '<p class="dim">How well the known attacks did against what this job disclosed.</p>'
    return f"<h2>Measured leakage</h2>{intro}" + table("leakage", ("attack", "figure"), rows, 1)
