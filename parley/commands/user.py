"""`parley user ...`: a person's own keys."""

from __future__ import annotations

import typer

from parley.commands.common import Home, Json, kind_home, out

app = typer.Typer(help="Your own keys, to submit jobs with.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def init(invite: str, home: Home = None, as_json: Json = False) -> None:
    """Make your keys here and enrol with the invite you were sent."""
    from parley.user import UserHome

    made = UserHome.enrol(kind_home(home, "user"), invite)
    facts = {"name": made.name, "home": str(made.path), "code": made.card.short_code}
    out(facts, as_json, f"{made.name} is enrolled at {made.address}.\n"
        f"Your code, to read to the parties' operators: {made.card.short_code}")  # fmt: skip


@app.command()
def show(home: Home = None, as_json: Json = False) -> None:
    """Your name and code, and the parties you pinned."""
    from parley.user import UserHome

    ours = UserHome.open(kind_home(home, "user"))
    pinned = {n: c.short_code for n, c in ours.pinned().items()}
    facts = {"name": ours.name, "code": ours.card.short_code, "fingerprint": ours.card.fingerprint, "pinned": pinned}
    lines = [f"{ours.name}\n  code  {ours.card.short_code}", *[f"  trusts {n}  {c}" for n, c in pinned.items()]]
    out(facts, as_json, "\n".join(lines))


@app.command()
def trust(party: str, code: str, home: Home = None, as_json: Json = False) -> None:
    """Pin a party by the code that its operator told you."""
    from parley.user import UserHome

    ours = UserHome.open(kind_home(home, "user"))
    card = ours.trust(party, code)
    out({"pinned": party, "fingerprint": card.fingerprint}, as_json, f"{ours.name} now trusts {party}.")
