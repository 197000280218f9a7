"""`parley run FILE --local`: every role of a job in this process, on local files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parley.commands.common import Json, out

if TYPE_CHECKING:
    from parley.local import StepOutcome


def run(
    file: Annotated[Path, typer.Argument(help="The job, a YAML file.")],
    local: Annotated[bool, typer.Option("--local", help="All roles in this process, for trying a job out.")] = False,
    data: Annotated[list[str] | None, typer.Option(help="party=FILE, once for each party with data.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Use the first so many rows of each file.")] = None,
    as_json: Json = False,
) -> None:
    """Try a job on local files; without --data, each party's DATASET.csv beside the job file is taken."""
    from parley import jobfile
    from parley.local import run as run_all

    if not local:
        raise typer.BadParameter("a run here needs --local; to run between daemons use `parley job submit`")
    spec = jobfile.load(file)
    files = _files(data or [])
    for party, use in spec.parties.items():
        if use.data is None or party in files:
            continue
        for guess in (file.parent / f"{party}.csv", file.parent / party / "table.csv"):
            if guess.is_file():
                files[party] = guess

    def notice(step: str, outcome: StepOutcome) -> None:
        from parley.commands.job import _short

        sent = sum(int(e["bytes"]) for e in outcome.egress)
        typer.echo(f"{step}: {outcome.outcome} in {outcome.seconds:.1f} s, {sent:,} bytes between parties", err=as_json)
        for party, result in outcome.results.items():
            typer.echo(f"  {party}: {_short(result)}", err=as_json)

    found = run_all(spec, files, rows=rows, notice=notice)
    if as_json:
        out(found.to_dict(), True)


def _files(pairs: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for pair in pairs:
        party, _, path = pair.partition("=")
        if not path:
            raise typer.BadParameter(f"{pair} is not party=FILE")
        files[party] = Path(path)
    return files
