"""`parley job ...`: submit jobs, follow them, read their results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from parley.commands.common import Home, Json, kind_home, out, table

app = typer.Typer(help="Submit jobs and read their results.", no_args_is_help=True, rich_markup_mode=None)
File = Annotated[Path, typer.Argument(help="The job, a YAML file.")]


@app.command()
def submit(
    file: File,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it to its end; exit code 1 unless it succeeds.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="With --watch: write the job's page here.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to follow at most.")] = 86_400.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sign and submit a job."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        job = parley.submit(file)
        if not watch:
            out({"job": job.id}, as_json, f"Submitted as {job.id}. Follow it with: parley job watch {job.id}")
            return
        _follow(job, timeout, report, as_json)


@app.command()
def watch(
    job_id: str,
    report: Annotated[Path | None, typer.Option(help="Write the job's page here.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to follow at most.")] = 86_400.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Follow a job to its end; exit code 1 unless it succeeds."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        _follow(parley.job(job_id), timeout, report, as_json)


@app.command()
def plan(
    file: File,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody; sizes from --rows.")] = False,
    rows: Annotated[list[str] | None, typer.Option(help="party=N, with --offline.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Who would learn what, bytes at most, what each party says; nothing is run. Exit code 1 when one says no."""
    from parley import jobfile
    from parley.client import Parley
    from parley.plan import plan as make
    from parley.plan import show

    if offline:
        found = make(jobfile.load(file), rows=_counts(rows or []))
    else:
        with Parley(kind_home(home, "user")) as parley:
            found = parley.plan(file)
    if as_json:
        out(found.to_dict(), True)
    else:
        show(found)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def status(job_id: str, home: Home = None, as_json: Json = False) -> None:
    """A job's state, steps and parties."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        view = parley.job(job_id).status()
    rows: list[list[Any]] = [
        [s["name"], s["uses"], ", ".join(s["parties"]), s["state"], s["attempt"]] for s in view["steps"]
    ]
    text = f"{view['name']} ({view['id']}): {view['state']}\n"
    if view.get("reason"):
        text += f"{view['reason']['code']}: {view['reason']['cause']} {view['reason']['hint']}\n"
    out(view, as_json, text + table(["step", "protocol", "parties", "state", "attempt"], rows))


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Your jobs, newest first."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        found = parley.jobs(limit=limit, state=state)
    out(found, as_json, table(["job", "name", "state"], [[j["id"], j["name"], j["state"]] for j in found]))


@app.command()
def cancel(
    job_id: str,
    reason: Annotated[str, typer.Option(help="Why, for the other people.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Stop a job."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        parley.job(job_id).cancel(reason)
    out({"job": job_id, "cancelled": True}, as_json, f"{job_id} is being cancelled.")


@app.command()
def results(job_id: str, home: Home = None, as_json: Json = False) -> None:
    """What the job's steps told you, opened under the verified contract."""
    import json

    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        found = parley.job(job_id).results()
    out(found, as_json, json.dumps(found, indent=1, ensure_ascii=False))


@app.command()
def egress(job_id: str, home: Home = None, as_json: Json = False) -> None:
    """What left each party, by its own ledger."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        found = parley.job(job_id).egress()
    head = ["step", "party", "to", "tag", "disclosure", "messages", "bytes"]
    out(found, as_json, table(head, [[e[h] for h in head] for e in found]))


@app.command("report")
def report_(job_id: str, file: Annotated[Path, typer.Argument()], home: Home = None, as_json: Json = False) -> None:
    """Write the job's page, one self-contained HTML file."""
    from parley.client import Parley

    with Parley(kind_home(home, "user")) as parley:
        path = parley.job(job_id).report(file)
    out({"report": str(path)}, as_json, f"The report is {path}")


def _follow(job: Any, timeout: float, report: Path | None, as_json: bool) -> None:
    from parley.watch import follow

    # With --json the document has standard output for itself, and progress goes to standard error.
    view = follow(job.views(timeout), to_stderr=as_json)
    good = view["state"] == "succeeded"
    if report is not None:
        job.report(report)
    if as_json:
        document = {**view, "job": job.id, "results": job.results() if good else {}, "egress": job.egress()}
        out(document, True)
    elif good:
        for step, by_party in job.results().items():
            for party, result in by_party.items():
                typer.echo(f"{step} ({party}): {_short(result)}")
        if report is not None:
            typer.echo(f"The report is {report}")
    if not good:
        raise typer.Exit(1)


def _short(result: dict[str, Any]) -> str:
    """The numbers and words of a result, without its curves and lists."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: dict[str, Any]) -> None:
        for key, value in node.items():
            if isinstance(value, dict) and len(prefix) < 40:
                walk(f"{prefix}{key}.", value)
            elif isinstance(value, (int, str)):
                flat[prefix + key] = value
            elif isinstance(value, float):
                flat[prefix + key] = round(value, 4)

    walk("", result)
    return ", ".join(f"{k}={v}" for k, v in list(flat.items())[:12])


def _counts(pairs: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for pair in pairs:
        party, _, number = pair.partition("=")
        if not number.isdigit():
            raise typer.BadParameter(f"{pair} is not party=N")
        counts[party] = int(number)
    return counts
