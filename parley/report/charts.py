"""Charts as inline SVG text: no script, no request, readable by a screen reader through title and description."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

W, H, PAD = 420, 360, 44


def roc(curves: Sequence[tuple[str, str, Sequence[float], Sequence[float]]]) -> str:
    """ROC curves as (label, css class, fpr, tpr), all within 0..1."""
    x0, y0, w, h = PAD, 12, W - PAD - 12, H - PAD - 12
    names = escape(", ".join(c[0] for c in curves))
    parts = [
        f'<svg viewBox="0 0 {W} {H}" role="img" aria-labelledby="roc-t roc-d" class="chart">',
        '<title id="roc-t">ROC curve</title>',
        f'<desc id="roc-d">True positive rate over false positive rate: {names}.</desc>',
        f'<rect x="{x0}" y="{y0}" width="{w}" height="{h}" class="frame"/>',
        f'<line x1="{x0}" y1="{y0 + h}" x2="{x0 + w}" y2="{y0}" class="chance"/>',
    ]
    for k in range(0, 11, 2):
        x, y = x0 + w * k / 10, y0 + h - h * k / 10
        parts.append(f'<text x="{x:.1f}" y="{y0 + h + 16}" class="tick" text-anchor="middle">{k / 10:.1f}</text>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" class="tick" text-anchor="end">{k / 10:.1f}</text>')
    for n, (label, css, fpr, tpr) in enumerate(curves):
        points = " ".join(f"{x0 + w * a:.1f},{y0 + h - h * b:.1f}" for a, b in zip(fpr, tpr, strict=True))
        parts.append(f'<polyline points="{points}" class="{css}"/>')
        y = y0 + h - 18 - 18 * (len(curves) - 1 - n)
        parts.append(f'<line x1="{x0 + w - 190}" y1="{y - 4}" x2="{x0 + w - 166}" y2="{y - 4}" class="{css}"/>')
        parts.append(f'<text x="{x0 + w - 160}" y="{y}" class="label">{escape(label)}</text>')
    parts.append(f'<text x="{x0 + w / 2}" y="{H - 8}" class="label" text-anchor="middle">false positive rate</text>')
    parts.append(
        f'<text x="12" y="{y0 + h / 2}" class="label" text-anchor="middle" '
        f'transform="rotate(-90 12 {y0 + h / 2})">true positive rate</text></svg>'
    )
    return "".join(parts)


def bars(rows: Sequence[tuple[str, str, float]], classes: dict[str, str]) -> str:
    """Horizontal bars as (party, label, value >= 0), coloured by party through `classes`."""
    top = max((v for _, _, v in rows), default=0.0) or 1.0
    height = 26 * len(rows) + 8
    parts = [
        f'<svg viewBox="0 0 640 {height}" role="img" aria-labelledby="imp-t imp-d" class="chart wide">',
        '<title id="imp-t">Feature importance</title>',
        '<desc id="imp-d">Gain of each feature as a share of all gain, by the party that holds it.</desc>',
    ]
    total = sum(v for _, _, v in rows) or 1.0
    for n, (party, label, value) in enumerate(rows):
        y = 26 * n + 4
        width = 280 * value / top
        parts.append(f'<text x="220" y="{y + 14}" class="label" text-anchor="end">{escape(label[:34])}</text>')
        parts.append(
            f'<rect x="228" y="{y}" width="{max(width, 1):.1f}" height="18" rx="2" class="{classes.get(party, "p0")}"/>'
        )
        text = f"{100 * value / total:.1f}%  {party}"
        parts.append(f'<text x="{234 + width:.1f}" y="{y + 14}" class="tick">{escape(text)}</text>')
    return "".join(parts) + "</svg>"
