"""`parley party ...`: for a data owner's operator; init, join, trust, data add and start are all one needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parley.commands import model
from parley.commands.common import Home, Json, kind_home, out, table

if TYPE_CHECKING:
    from parley.party.home import PartyHome

app = typer.Typer(help="Run one data owner's node.", no_args_is_help=True, rich_markup_mode=None)
data_app = typer.Typer(help="The party's own tables.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
app.add_typer(model.app, name="model")


def _open(home: Path | None) -> PartyHome:
    from parley.party.home import PartyHome

    return PartyHome.open(kind_home(home, "party"))


@app.command()
def init(name: str, home: Home = None, as_json: Json = False) -> None:
    """Make the party's keys, card, policy and warehouse here."""
    from parley.party.home import PartyHome

    made = PartyHome.create(kind_home(home, "party"), name)
    facts = {"name": name, "home": str(made.path), "code": made.card.short_code, "fingerprint": made.card.fingerprint}
    out(facts, as_json, f"{name} made in {made.path}.\nIts code, to read to the other operators: {facts['code']}\n"
        f"Its policy, to read and change: {made.path / 'policy.yaml'}")  # fmt: skip


@app.command()
def join(
    invite: str,
    home: Home = None,
    listen: Annotated[str | None, typer.Option(help="host:port for direct routes from peers.")] = None,
    as_json: Json = False,
) -> None:
    """Enrol with a coordinator, by the invite its operator sent."""
    from parley.party import identity

    ours = _open(home)
    identity.join(ours, invite)
    if listen is not None:
        ours.config.listen = listen
        ours.save_config()
    facts = {"name": ours.name, "coordinator": ours.config.coordinator_rest}
    out(facts, as_json, f"{ours.name} is enrolled at {facts['coordinator']}.")


@app.command()
def trust(
    peer: str,
    code: str,
    person: Annotated[bool, typer.Option("--person", help="A person who may submit jobs.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Pin a peer or a person by the code that you heard from them."""
    from parley.party import identity

    ours = _open(home)
    identity.trust(ours, peer, code, person=person)
    out({"pinned": peer, "kind": "person" if person else "party"}, as_json, f"{ours.name} now trusts {peer}.")


@app.command()
def show(home: Home = None, as_json: Json = False) -> None:
    """The party's name, code and fingerprint."""
    ours = _open(home)
    card = ours.card
    facts = {
        "name": ours.name,
        "code": card.short_code,
        "fingerprint": card.fingerprint,
        "coordinator": ours.config.coordinator_rest,
        "home": str(ours.path),
    }
    out(facts, as_json, f"{ours.name}\n  code         {card.short_code}\n  fingerprint  {card.fingerprint}")


@data_app.command("add")
def data_add(
    name: str,
    source: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet file.")],
    text: Annotated[list[str] | None, typer.Option("--text", help="A column to keep as text.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a table of that name.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import a file into the party's own warehouse."""
    datasets = _open(home).datasets
    info = datasets.add(name, source, strings=list(text or []), replace=replace)
    remarks = datasets.remarks(name)
    facts = {"name": info.name, "rows": info.rows, "columns": info.columns, "snapshot": info.snapshot}
    facts["remarks"] = remarks
    kinds = "\n".join(f"  {c}: {t}" + (f"   ({remarks[c]})" if c in remarks else "") for c, t in info.columns.items())
    out(facts, as_json, f"{info.name}: {info.rows:,} rows, {len(info.columns)} columns\n{kinds}")


@data_app.command("union")
def data_union(
    name: str,
    of: Annotated[list[str], typer.Argument(help="Two or more of the party's tables, with the same columns.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put the rows of several tables into a new one, in the order given."""
    info = _open(home).datasets.union(name, of)
    facts = {"name": info.name, "rows": info.rows, "columns": info.columns, "snapshot": info.snapshot}
    out(facts, as_json, f"{info.name}: {info.rows:,} rows, {len(info.columns)} columns")


@data_app.command("list")
def data_list(home: Home = None, as_json: Json = False) -> None:
    """The party's tables."""
    infos = _open(home).datasets.list()
    found = [{"name": i.name, "rows": i.rows, "columns": i.columns} for i in infos]
    rows: list[list[Any]] = [[i.name, f"{i.rows:,}", len(i.columns)] for i in infos]
    out(found, as_json, table(["name", "rows", "columns"], rows))


@app.command()
def start(
    home: Home = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is connected.")] = False,
    as_json: Json = False,
) -> None:
    """Connect to the coordinator and take part in jobs until stopped."""
    import asyncio

    from parley.party.runtime import daemon
    from parley.wire.buffers import keep_freed

    ours = _open(home)
    if detach:
        pid = daemon.spawn_detached(ours)
        out({"pid": pid, "name": ours.name}, as_json, f"{ours.name} runs (process {pid}).")
        return
    keep_freed()
    asyncio.run(daemon.serve(ours))


@app.command()
def stop(home: Home = None, as_json: Json = False) -> None:
    """Stop the daemon."""
    from parley.party.runtime import daemon

    stopped = bool(daemon.stop(_open(home)))
    out({"stopped": stopped}, as_json, "Stopped." if stopped else "It was not running.")


@app.command()
def status(home: Home = None, as_json: Json = False) -> None:
    """Whether the daemon runs and is connected; exit code 1 when not."""
    from parley.party.runtime import daemon

    ours = _open(home)
    facts: dict[str, Any] = {"name": ours.name, **dict(daemon.status(ours))}
    connected = facts.get("state") == "connected"
    out(facts, as_json, "\n".join(f"{k}: {v}" for k, v in facts.items()))
    if not connected:
        raise typer.Exit(1)


@app.command()
def logs(home: Home = None, lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000)] = 50) -> None:
    """The daemon's last log lines."""
    path = _open(home).path / "log" / "party.log"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
        typer.echo(line)


@app.command()
def approve(
    job: str,
    deny: Annotated[bool, typer.Option("--deny", help="Refuse it instead.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Approve a job that waits under a policy with manual approval."""
    _open(home).store.decide(job, not deny)
    word = "denied" if deny else "approved"
    out({"job": job, "decision": word}, as_json, f"{job} is {word}.")


@app.command()
def budgets(home: Home = None, as_json: Json = False) -> None:
    """How often each party has probed each dataset by an intersection, and how often it still may."""
    ours = _open(home)
    limit = ours.policy().document.intersections.runs
    facts = [
        {"party": f.name, "dataset": f.dataset, "snapshot": str(f.snapshot), "used": f.used, "allowed": limit,
         "left": max(0, limit - f.used)}
        for f in ours.budgets.all()
    ]  # fmt: skip
    columns = ["party", "dataset", "snapshot", "used", "left"]
    words = table(columns, [[f[c] for c in columns] for f in facts]) if facts else "No intersection has run here."
    out({"allowed": limit, "probes": facts}, as_json, words)


@app.command()
def ledger(
    job: Annotated[str | None, typer.Argument()] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the chain from its first line.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What left this party in a job, and whether the record is whole."""
    book = _open(home).ledger
    facts: dict[str, Any] = {}
    words = []
    if verify or job is None:
        book.verify()
        facts["whole"] = True
        words.append("The ledger's chain is whole.")
    if job is not None:
        fields = ("to", "tag", "disclosure", "messages", "bytes")
        found = [{f: getattr(line, f) for f in fields} for line in book.summary(job)]
        facts["lines"] = found
        words.append(table(list(fields), [[e[f] for f in fields] for e in found]))
    out(facts, as_json, "\n".join(words))
