"""`parley party model ...`: the parts of models that this party holds, as cards and as bundles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parley.commands.common import Home, Json, kind_home, out, table

if TYPE_CHECKING:
    from parley.party.home import PartyHome

app = typer.Typer(help="The parts of models that this party holds.", no_args_is_help=True, rich_markup_mode=None)
Step = Annotated[str, typer.Argument(help="The step that trained it.")]


def _open(home: Path | None) -> PartyHome:
    from parley.party.home import PartyHome

    return PartyHome.open(kind_home(home, "party"))


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """Every model that this party holds a part of."""
    from parley.party import models

    found = models.models(_open(home))
    head = ["job", "step", "name", "protocol", "role"]
    text = table(head, [[getattr(m, h) for h in head] for m in found]) if found else "No model yet."
    out([asdict(m) for m in found], as_json, text)


@app.command()
def show(job: str, step: Step, home: Home = None, as_json: Json = False) -> None:
    """A model's card: purpose, data, parameters, measures, and who holds which part."""
    from parley.party import models

    card = models.model_card(_open(home), job, step)
    out(card.to_dict(), as_json, card.markdown())


@app.command()
def scorecard(
    job: str,
    step: Step,
    points: Annotated[float, typer.Option(help="Points at the odds named by --odds.")] = 600.0,
    odds: Annotated[float, typer.Option(help="Good odds to 1 at --points.")] = 50.0,
    double: Annotated[float, typer.Option(help="Points more for twice the good odds.")] = 20.0,
    good: Annotated[bool, typer.Option("--good", help="Label 1 is the good outcome.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Do not round to whole points.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """This party's part of a scorecard: points for each bin of its own columns, of a logistic model on binned columns.

    Every party of the model makes its own with the same points, odds and double; a score is the sum over all of them.
    """
    from parley.party import models

    card = models.scorecard(
        _open(home), job, step, points=points, odds=odds, double=double, bad=0 if good else 1, whole=not exact
    )
    rows = [[c.feature, a.label, f"{a.points:g}"] for c in card.characteristics for a in c.attributes]
    out(card.to_dict(), as_json, f"{card.base:g} points for every row\n" + table(["column", "bin", "points"], rows))


@app.command()
def export(
    job: str,
    step: Step,
    folder: Annotated[Path, typer.Argument(help="A new folder for the bundle.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="With an ONNX graph of this party's part.")] = False,
    pmml: Annotated[bool, typer.Option("--pmml", help="With PMML of this party's part.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write this party's own part as a signed bundle: card, JSON, and ONNX or PMML where asked."""
    from parley.party import models

    bundle = models.export(_open(home), job, step, folder, onnx=onnx, pmml=pmml)
    facts = {"folder": str(folder), "content": bundle.content, "files": sorted(bundle.files)}
    out(facts, as_json, f"{folder}: {', '.join(sorted(bundle.files))}\nContent {bundle.content}")


@app.command()
def verify(folder: Path, as_json: Json = False) -> None:
    """Check that a bundle is whole and who signed it."""
    from parley.party import models

    bundle, signer = models.verify(folder)
    facts = {
        "content": bundle.content,
        "party": signer.name,
        "code": signer.short_code,
        "fingerprint": signer.fingerprint,
    }
    out(facts, as_json, f"Whole, signed by {signer.name} (code {signer.short_code}).\nContent {bundle.content}")
