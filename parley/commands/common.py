"""What every command shares: options, output for people or programs, errors told in full."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from parley.wire.errors import ParleyError

Home = Annotated[
    Path | None, typer.Option("--home", help="The folder with keys and state (else PARLEY_HOME, else ~/.parley/...).")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def out(document: Any, as_json: bool, text: str = "") -> None:
    """The document for programs, or the text for people."""
    typer.echo(json.dumps(document, indent=1, ensure_ascii=False) if as_json else text)


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Plain aligned columns."""
    cells = [head, *[["" if c is None else str(c) for c in r] for r in rows]]
    widths = [max(len(r[n]) for r in cells) for n in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in cells)


def show_error(error: ParleyError, as_json: bool) -> None:
    """On standard error: where, what, and what to do; JSON for programs."""
    if as_json:
        typer.echo(json.dumps({"error": error.to_dict()}, ensure_ascii=False), err=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    where = ", ".join(w for w in (error.party and f"party {error.party}", error.step and f"step {error.step}") if w)
    console.print(Text.assemble(("error ", "bold red"), (error.code, "bold"), f"  {where}" if where else ""))
    console.print(Text(f"  {error.cause}"))
    if error.hint:
        console.print(Text.assemble(("  -> ", "cyan"), error.hint))


def wants_json() -> bool:
    """Whether this invocation asked for JSON; also true when its arguments could not be parsed."""
    return "--json" in sys.argv


def kind_home(home: Path | None, kind: str) -> Path:
    """The option, else PARLEY_HOME, else ~/.parley/<kind>."""
    import os

    return home or Path(os.environ.get("PARLEY_HOME") or Path.home() / ".parley" / kind)
