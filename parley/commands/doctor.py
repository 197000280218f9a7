"""`parley doctor`: what stops a party from working, in plain words."""

from __future__ import annotations

import typer

from parley.commands.common import Home, Json, kind_home, out


def doctor(home: Home = None, as_json: Json = False) -> None:
    """Check certificate, clock, reachability, versions, disk, CPU and rights; exit code 1 when something is wrong."""
    from parley.party.doctor import checks
    from parley.party.home import PartyHome

    found = checks(PartyHome.open(kind_home(home, "party")))
    facts = [{"name": c.name, "ok": c.ok, "detail": c.detail, "hint": c.hint} for c in found]
    lines = [
        f"{'ok  ' if c.ok else 'NO  '} {c.name}: {c.detail}" + ("" if c.ok else f"\n     -> {c.hint}") for c in found
    ]
    out(facts, as_json, "\n".join(lines))
    if not all(c.ok for c in found):
        raise typer.Exit(1)
