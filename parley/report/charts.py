"""Charts as inline SVG text: no script, no request, readable by a screen reader through title and description.

Every chart has an id of its own, and its colours are the page's variables, so that it follows light and dark mode;
what colours tell is told by dashes or words as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

W, H, LEFT, BELOW, TOP, RIGHT = 420, 340, 52, 44, 12, 14
Curve = tuple[str, str, Sequence[float], Sequence[float]]  # label, css class, x, y
Range = tuple[float, float]


def svg(name: str, title: str, text: str, size: tuple[float, float], body: Iterable[str], css: str = "") -> str:
    """The element, with what a screen reader says first."""
    return (
        f'<svg id="{name}" viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-labelledby="{name}-t {name}-d" '
        f'class="chart {css}"><title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(text)}</desc>'
        f"{''.join(body)}</svg>"
    )


def word(x: float, y: float, text: str, css: str = "tick", anchor: str = "start", turn: float = 0.0) -> str:
    """Text at a point, turned by degrees around it."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'


def lines(
    name: str,
    title: str,
    text: str,
    curves: Sequence[Curve],
    axes: tuple[str, str],
    *,
    x: Range = (0.0, 1.0),
    y: Range = (0.0, 1.0),
    diagonal: bool = False,
    dots: bool = False,
    legend: str = "low",
) -> str:
    """Curves over two numeric axes; `diagonal` draws y = x, `legend` is low, high or none."""
    w, h = W - LEFT - RIGHT, H - TOP - BELOW

    def at(a: float, b: float) -> tuple[float, float]:
        left = LEFT + w * (a - x[0]) / (x[1] - x[0])
        return left, TOP + h - h * (min(max(b, y[0]), y[1]) - y[0]) / (y[1] - y[0])

    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{w}" height="{h}" class="frame"/>', *_axes(at, x, y, axes, w, h)]
    if diagonal:
        (ax, ay), (bx, by) = at(x[0], x[0]), at(x[1], x[1])
        parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" class="chance"/>')
    for label, css, xs, ys in curves:
        points = [at(a, b) for a, b in zip(xs, ys, strict=True)]
        joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{joined}" class="{css}"><title>{escape(label)}</title></polyline>')
        if dots:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.4" class="{css} dot"/>' for a, b in points]
    if legend != "none":
        parts += _legend([(label, css) for label, css, _, _ in curves], legend)
    return svg(name, title, text, (W, H), parts)


def _axes(
    at: Callable[[float, float], tuple[float, float]], x: Range, y: Range, axes: tuple[str, str], w: float, h: float
) -> list[str]:
    out = []
    for value in ticks(*x):
        out.append(word(at(value, y[0])[0], TOP + h + 16, f"{value:g}", anchor="middle"))
    for value in ticks(*y):
        out.append(_level(at(x[0], value)[1], w, value))
    return [*out, *_named(axes, TOP + h / 2)]


def _level(y: float, w: float, value: float) -> str:
    """A line across the chart, with its value."""
    across = f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + w}" y2="{y:.1f}" class="grid"/>'
    return across + word(LEFT - 6, y + 4, f"{value:g}", anchor="end")


def _named(axes: tuple[str, str], middle: float) -> list[str]:
    """What the axes count; the upright one is named at height `middle`."""
    return [
        word((LEFT + W - RIGHT) / 2, H - 8, axes[0], "label", "middle"),
        word(13, middle, axes[1], "label", "middle", turn=-90),
    ]


def _legend(entries: Sequence[tuple[str, str]], where: str) -> list[str]:
    wide = 6.6 * max((len(label) for label, _ in entries), default=0)
    left = W - RIGHT - 44 - wide
    first = TOP + 18 if where == "high" else H - BELOW - 18 * len(entries)
    tall = 18 * len(entries) + 6
    out = [f'<rect x="{left - 8:.1f}" y="{first - 15}" width="{wide + 48:.1f}" height="{tall}" class="plate"/>']
    for n, (label, css) in enumerate(entries):
        y = first + 18 * n
        out.append(f'<line x1="{left:.1f}" y1="{y - 4}" x2="{left + 24:.1f}" y2="{y - 4}" class="{css}"/>')
        out.append(word(left + 30, y, label, "label"))
    return out


def columns(
    name: str,
    title: str,
    text: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, str, Sequence[float]]],
    axes: tuple[str, str],
    *,
    line: float | None = None,
) -> str:
    """Upright bars side by side for each label, values >= 0; `line` draws a dashed level."""
    w, h = W - LEFT - RIGHT, H - TOP - BELOW - 20
    top = nice(max([v for _, _, values in series for v in values] + ([line] if line else []), default=1.0) or 1.0)
    floor = TOP + 20 + h
    parts = [f'<rect x="{LEFT}" y="{TOP + 20}" width="{w}" height="{h}" class="frame"/>']
    parts += [_level(floor - h * value / top, w, value) for value in ticks(0, top)]
    step = w / max(1, len(labels))
    wide = 0.8 * step / max(1, len(series))
    for k, (_, css, values) in enumerate(series):
        for n, value in enumerate(values):
            tall, left = h * value / top, LEFT + step * (n + 0.1) + wide * k
            size = f'width="{wide:.1f}" height="{tall:.1f}"'
            parts.append(f'<rect x="{left:.1f}" y="{floor - tall:.1f}" {size} class="{css}"/>')
    for n in range(0, len(labels), -(-len(labels) // 10)):
        parts.append(word(LEFT + step * (n + 0.5), H - BELOW + 16, labels[n], anchor="middle"))
    if line is not None:
        b = floor - h * line / top
        parts.append(f'<line x1="{LEFT}" y1="{b:.1f}" x2="{LEFT + w}" y2="{b:.1f}" class="chance"/>')
    left = float(LEFT)
    for label, css, _ in series:
        parts.append(f'<rect x="{left:.1f}" y="{TOP}" width="11" height="11" rx="2" class="{css}"/>')
        parts.append(word(left + 16, TOP + 10, label, "label"))
        left += 34 + 6.8 * len(label)
    return svg(name, title, text, (W, H), [*parts, *_named(axes, TOP + 20 + h / 2)])


def bars(name: str, title: str, text: str, rows: Sequence[tuple[str, str, float, str]], classes: dict[str, str]) -> str:
    """Horizontal bars as (party, label, value, words); negative values go left; coloured by party through `classes`."""
    top = max((abs(v) for _, _, v, _ in rows), default=0.0) or 1.0
    signed = any(v < 0 for _, _, v, _ in rows)
    zero, room = (390.0, 140.0) if signed else (228.0, 260.0)
    parts = [f'<line x1="{zero}" y1="0" x2="{zero}" y2="{26 * len(rows) + 8}" class="grid"/>'] if signed else []
    for n, (party, label, value, words) in enumerate(rows):
        y, width = 26 * n + 4, max(1.0, room * abs(value) / top)
        left = zero if value >= 0 else zero - width
        css = classes.get(party, "p0")
        parts.append(word(220, y + 14, shortened(label, 34), "label", "end"))
        parts.append(f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="18" rx="2" class="{css}"/>')
        parts.append(word(zero + (width if value >= 0 else 0) + 6, y + 14, words))
    return svg(name, title, text, (700, 26 * len(rows) + 8), parts, "wide")


def heat(
    name: str,
    title: str,
    text: str,
    labels: tuple[Sequence[str], Sequence[str]],
    values: Sequence[Sequence[float]],
    words: Callable[[float], str],
) -> str:
    """A matrix of squares, rows by columns: stronger for larger values, in a second colour for negative ones."""
    down, across = labels
    top = max((abs(v) for row in values for v in row), default=0.0) or 1.0
    size = max(16.0, min(64.0, 420.0 / max(1, len(across))))
    left = 30.0 + 7.0 * max((len(shortened(d, 22)) for d in down), default=0)
    head = 20.0 + (6.2 * max((len(shortened(a, 22)) for a in across), default=0) if len(across) > 6 else 14.0)
    parts = _heads(across, left, head, size)
    for i, row in enumerate(values):
        y = head + size * i
        parts.append(word(left - 6, y + size / 2 + 4, shortened(down[i], 22), anchor="end"))
        for j, value in enumerate(row):
            x, strength, css = left + size * j, 0.04 + 0.51 * abs(value) / top, "s0" if value >= 0 else "s1"
            told = escape(f"{down[i]}, {across[j]}: {words(value)}")
            place = f'x="{x:.1f}" y="{y:.1f}" width="{size - 1:.1f}" height="{size - 1:.1f}"'
            parts.append(f'<rect {place} class="{css}" fill-opacity="{strength:.2f}"><title>{told}</title></rect>')
            if size >= 30:
                parts.append(word(x + size / 2, y + size / 2 + 4, words(value), "cell", "middle"))
    wide = "wide" if len(across) > 5 else ""
    return svg(
        name, title, text, (max(left + size * len(across) + 60, 420.0), head + size * len(down) + 6), parts, wide
    )


def _heads(across: Sequence[str], left: float, head: float, size: float) -> list[str]:
    """The columns' names, slanted where there are many."""
    at = [left + size * (j + 0.5) for j in range(len(across))]
    if len(across) <= 6:
        return [word(x, head - 5, shortened(a, 22), anchor="middle") for x, a in zip(at, across, strict=True)]
    return [word(x, head - 5, shortened(a, 22), turn=-60) for x, a in zip(at, across, strict=True)]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values within low .. high, about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 12) for k in range(first, first + 2 * count + 2) if step * k <= high + step * 1e-9]


def nice(value: float) -> float:
    """A round number not below a positive value."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * k for k in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if unit * k >= value * 0.9999)


def shortened(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
