"""A job's progress on a terminal: live bars for people, plain lines where the output is not a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLE = {"done": "green", "succeeded": "green", "running": "cyan", "failed": "bold red", "cancelled": "yellow"}


def follow(views: Iterable[dict[str, Any]], *, to_stderr: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Show each view as it comes; returns the last one."""
    from rich.console import Console

    console = Console(stderr=to_stderr, quiet=quiet)
    last = _live(views, console) if console.is_terminal and not quiet else _plain(views, console)
    _ending(last, console)
    return last


def _live(views: Iterable[dict[str, Any]], console: Console) -> dict[str, Any]:
    from rich.live import Live

    last: dict[str, Any] = {}
    with Live(console=console, refresh_per_second=6, transient=False) as live:
        for last in views:
            live.update(_table(last))
    return last


def _plain(views: Iterable[dict[str, Any]], console: Console) -> dict[str, Any]:
    """One line per change of state, and one per tenth of each party's progress."""
    last: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for last in views:
        lines = {"job": f"job {last['id']}: {last['state']}"}
        for step in last["steps"]:
            where = f"{step['name']} ({step['uses']})"
            attempt = f", attempt {step['attempt']}" if int(step.get("attempt") or 0) > 1 else ""
            lines[step["name"]] = f"  {where}: {step['state']}{attempt}"
            for party, p in (step.get("progress") or {}).items():
                if p.get("total"):
                    tenth = 10 * int(p["done"]) // int(p["total"])
                    lines[f"{step['name']}/{party}"] = f"    {party}: {p.get('phase') or 'working'} {10 * tenth}%"
        for key, line in lines.items():
            if said.get(key) != line and not line.endswith(": waiting"):
                console.print(line, markup=False, highlight=False)
                said[key] = line
    return last


def _table(view: dict[str, Any]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{view['name']}  {view['state']}", title_justify="left", expand=False)
    for column in ("step", "party", "state", "progress", "", "sent"):
        table.add_column(column, no_wrap=True)
    for step in view["steps"]:
        state = Text(step["state"], style=STYLE.get(step["state"], "dim"))
        progress = step.get("progress") or {}
        for n, party in enumerate(step["parties"]):
            p = progress.get(party) or {}
            total, done = int(p.get("total") or 0), int(p.get("done") or 0)
            if step["state"] == "done":
                total = done = 1
            bar = ProgressBar(total=total or 1, completed=min(done, total) if total else 0, width=24)
            table.add_row(
                Text(f"{step['name']}  {step['uses']}" if n == 0 else ""),
                party,
                state if n == 0 else Text(""),
                bar,
                Text(str(p.get("phase") or "")),
                f"{int(p.get('bytes_out') or 0):,} B",
            )
    return table


def _ending(view: dict[str, Any], console: Console) -> None:
    from rich.text import Text

    if view.get("reason"):
        problem = ParleyError.from_dict(view["reason"])
        console.print(Text(f"{view['state']}: {problem}", style="red" if view["state"] == "failed" else "yellow"))
    elif view:
        console.print(Text(f"job {view['id']} {view['state']}", style=STYLE.get(view["state"], "")))
