"""`parley import ...`: jobs of other platforms as jobs of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parley.commands.common import Json, out

app = typer.Typer(help="Jobs of other platforms.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Jobs of other platforms."""


@app.command()
def fate(
    dag: Annotated[Path, typer.Argument(help="A DAG of FATE 2.x, as YAML.")],
    to: Annotated[Path | None, typer.Option("--to", "-o", help="Where the job goes; else standard output.")] = None,
    id_column: Annotated[str, typer.Option("--id", help="The id column, which a DAG does not name.")] = "id",
    label: Annotated[str, typer.Option("--label", help="The label column, which a DAG does not name.")] = "y",
    as_json: Json = False,
) -> None:
    """A DAG of FATE 2.x as a job, with what changes and what has no equivalent."""
    import yaml

    from parley.fate import convert, read

    made = convert(read(dag), id=id_column, label=label)
    text = yaml.safe_dump(made.job, sort_keys=False, allow_unicode=True)
    if to is not None:
        to.write_text(text, encoding="utf-8")
    facts = {"job": made.job, "changed": made.changed, "no_equivalent": made.missing}
    if as_json:
        out(facts, True)
        return
    if to is None:
        typer.echo(text)
    for title, remarks in (("Different here", made.changed), ("No equivalent", made.missing)):
        for remark in remarks:
            typer.echo(f"# {title}: {remark}" if to is None else f"{title}: {remark}")
    if to is not None:
        typer.echo(f"written: {to}")
