"""How charts, tables and numbers stand on the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(name: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    """A table whose last `numbers` columns hold numbers; cells are HTML already."""
    first = len(head) - numbers

    def css(n: int) -> str:
        return ' class="n"' if n >= first else ""

    top = "".join(f'<th scope="col"{css(n)}>{h}</th>' for n, h in enumerate(head))
    lines = "".join("<tr>" + "".join(f"<td{css(n)}>{c}</td>" for n, c in enumerate(r)) + "</tr>" for r in rows)
    return f'<div class="scroll"><table id="{name}"><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def grid(made: Sequence[str]) -> str:
    """Charts and tables side by side, each chart's title above it."""
    figures = (f'<figure class="plot">{_caption(m)}{m}</figure>' for m in made if m)
    return f'<div class="charts">{"".join(figures)}</div>'


def _caption(chart: str) -> str:
    """The chart's own title, for eyes; a screen reader reads it from the chart."""
    start = chart.find("<title")
    if not chart.startswith("<svg") or start < 0:
        return ""
    title = chart[chart.index(">", start) + 1 : chart.index("</title>", start)]
    return f'<figcaption aria-hidden="true">{title}</figcaption>'


def plain(value: object) -> str:
    """A number with four digits, a count with separators, nothing for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
