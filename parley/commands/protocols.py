"""`parley protocols ...`: what can be run, and who learns what from it."""

from __future__ import annotations

import typer

from parley.commands.common import Json, out, table

app = typer.Typer(help="The protocols there are.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Names, versions, and one line about each."""
    from parley.protocols import registry

    found = [registry.load(n) for n in registry.names()]
    facts = [{"name": p.name, "version": p.version, "security": p.security, "summary": p.summary} for p in found]
    rows = [[f["name"], f["version"], f["security"], f["summary"]] for f in facts]
    out(facts, as_json, table(["name", "version", "security", "summary"], rows))


@app.command()
def show(name: str, as_json: Json = False) -> None:
    """One protocol's page: messages, who learns what, parameters, cost."""
    from parley.protocols import catalogue, registry

    protocol = registry.load(name)
    out(protocol.declaration().model_dump(mode="json"), as_json, catalogue.text(protocol))
