"""`parley coordinator ...`: for whoever runs the control plane."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parley.commands.common import Home, Json, kind_home, out

if TYPE_CHECKING:
    from parley.rest import Rest

app = typer.Typer(help="Run the control plane: jobs, contracts, relay.", no_args_is_help=True, rich_markup_mode=None)
TOKEN = "admin.token"


@app.command()
def init(
    home: Home = None,
    host: Annotated[str, typer.Option(help="The address people and parties dial.")] = "127.0.0.1",
    listen: Annotated[str | None, typer.Option(help="The address to bind, if it is another.")] = None,
    rest_port: Annotated[int, typer.Option(min=1, max=65535)] = 8443,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535)] = 8444,
    database: Annotated[str | None, typer.Option(help="A database URL; SQLite in the home by default.")] = None,
    name: Annotated[str, typer.Option()] = "coordinator",
    as_json: Json = False,
) -> None:
    """Make the authority, the server's key and the database; keep the first admin token in the home."""
    from parley.coordinator import service

    where = kind_home(home, "coordinator")
    bound = listen or _bindable(host)
    token = service.init(where, host, rest_port, grpc_port, database=database, name=name, listen=bound)
    _keep(where / TOKEN, token)
    facts = {"home": str(where), "rest": f"https://{host}:{rest_port}", "grpc": f"{host}:{grpc_port}"}
    out(facts, as_json, f"Coordinator made in {where}.\nPeople: {facts['rest']}   parties: {facts['grpc']}\n"
        f"The admin token is in {where / TOKEN}. Start it with: parley coordinator start")  # fmt: skip


@app.command()
def start(
    home: Home = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it answers.")] = False,
    as_json: Json = False,
) -> None:
    """Serve until stopped."""
    import asyncio

    from parley.coordinator import service
    from parley.party import process
    from parley.wire.buffers import keep_freed
    from parley.wire.errors import ParleyError

    where = kind_home(home, "coordinator")
    if detach:
        pid = process.spawn(where, "coordinator", ["coordinator", "start", "--home", str(where)])
        if not process.until(lambda: _health(where) is not None, pid, where, "coordinator"):
            process.stop(where, "coordinator")  # nobody would know of it any more
            raise ParleyError("did_not_start", "The coordinator did not answer in time.", f"Read {where / 'log'}.")
        out({"pid": pid, **_facts(where)}, as_json, f"Coordinator runs (process {pid}) at {_facts(where)['rest']}")
        return
    service.configure_log()
    keep_freed()
    with process.claimed(where, "coordinator"):
        asyncio.run(service.serve(where))


@app.command()
def stop(home: Home = None, as_json: Json = False) -> None:
    """Stop it; jobs go on when it is started again."""
    from parley.party import process

    stopped = process.stop(kind_home(home, "coordinator"), "coordinator")
    out({"stopped": stopped}, as_json, "Coordinator stopped." if stopped else "It was not running.")


@app.command()
def status(home: Home = None, as_json: Json = False) -> None:
    """Whether it answers, and who is connected; exit code 1 when it does not."""
    where = kind_home(home, "coordinator")
    health = _health(where)
    facts: dict[str, Any] = {"running": health is not None, **_facts(where)}
    if health is not None:
        facts["parties"] = [{"name": p["name"], "online": p["online"]} for p in _admin(where, "get", "/v1/parties")]
    lines = [f"{facts['rest']}: {'answers' if facts['running'] else 'does not answer'}"]
    lines += [f"  {p['name']}: {'online' if p['online'] else 'offline'}" for p in facts.get("parties", [])]
    out(facts, as_json, "\n".join(lines))
    if health is None:
        raise typer.Exit(1)


@app.command()
def invite(
    name: str,
    person: Annotated[bool, typer.Option("--person", help="For a person who submits jobs.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print an invite, good once and for seven days, for a party or a person."""
    where = kind_home(home, "coordinator")
    kind = "person" if person else "party"
    answer = _admin(where, "post", "/v1/invites", {"name": name, "kind": kind})
    out({"name": name, "kind": kind, "invite": answer["invite"]}, as_json, str(answer["invite"]))


@app.command()
def token(home: Home = None, as_json: Json = False) -> None:
    """Print the admin token kept in the home."""
    value = _token(kind_home(home, "coordinator"))
    out({"token": value}, as_json, value)


def _bindable(host: str) -> str:
    """The host itself when it is an address, else every interface (a name may be a load balancer's)."""
    import ipaddress

    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return "127.0.0.1" if host == "localhost" else "0.0.0.0"


def _keep(path: Path, secret: str) -> None:
    import os

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret)


def _token(home: Path) -> str:
    return (home / TOKEN).read_text(encoding="utf-8").strip()


def _facts(home: Path) -> dict[str, str]:
    from parley.coordinator import service

    return {"home": str(home), **service.addresses(home)}


def _rest(home: Path, token: str = "") -> Rest:
    from parley.coordinator import service
    from parley.rest import Rest

    return Rest(_facts(home)["rest"], service.authority(home), token)


def _health(home: Path) -> Any:
    from parley.wire.errors import ParleyError

    rest = _rest(home)
    try:
        return rest.get("/v1/health", timeout=3.0)
    except ParleyError:
        return None
    finally:
        rest.close()


def _admin(home: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    rest = _rest(home, _token(home))
    try:
        return rest.get(path) if method == "get" else rest.post(path, body or {})
    finally:
        rest.close()
