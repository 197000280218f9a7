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
    """One protocol's page: messages, who learns what, parameters."""
    import inspect
    import sys

    from parley.protocols import registry

    protocol = registry.load(name)
    declaration = protocol.declaration()
    first = next(iter(protocol.jobs.values()), None)
    module = sys.modules.get(getattr(first, "__module__", ""))
    page = inspect.getdoc(module) or protocol.summary
    learns = "\n".join(f"  {r}: {', '.join(d) or 'nothing'}" for r, d in declaration.learns.items())
    known = declaration.parameters.get("properties", {})
    needed = declaration.parameters.get("required", [])
    marks = {n: " (needed)" if n in needed else f" = {p.get('default')}" for n, p in known.items()}
    parameters = "\n".join(f"  {n}{mark}" for n, mark in marks.items())
    text = f"{protocol.name}, version {protocol.version}, {protocol.security}\n\n{page}\n\nWho learns what\n{learns}\n"
    out(declaration.model_dump(mode="json"), as_json, text + f"\nParameters\n{parameters or '  none'}")
