"""docs/models.md: its job runs as it stands, and its commands and files exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from shared import ROOT
from typer.testing import CliRunner
from vertical import use_plain

from parley import jobfile, local
from parley.cli import app
from parley.report.figures import find_figures, find_parts

PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def tables(folder: Path) -> dict[str, Path]:
    """Two tables with most ids in common, in different orders."""
    rng = np.random.default_rng(5)
    rows = 300
    x = rng.normal(size=(rows, 4)).round(2)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=rows) > 0).astype(int)
    files = {"lender": folder / "loans.csv", "bureau": folder / "histories.csv"}
    lines = [f"p{k},{y[k]},{x[k, 0]}" for k in range(rows)]
    files["lender"].write_text("id,defaulted,rate\n" + "\n".join(lines) + "\n", encoding="utf-8")
    lines = [f"p{k},{x[k, 1]},{x[k, 2]}" for k in rng.permutation(rows)[:280].tolist()]
    files["bureau"].write_text("id,open_lines,late\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return files


@pytest.mark.slow
def test_the_pages_job_runs_and_tells_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain(monkeypatch)
    (job,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "job.yaml").write_text(job, encoding="utf-8")
    done = local.run(jobfile.load(tmp_path / "job.yaml"), tables(tmp_path))
    assert {name: s.outcome for name, s in done.steps.items()} == dict.fromkeys(done.steps, "ok")
    results = {name: s.results for name, s in done.steps.items()}
    json.dumps(results, allow_nan=False)
    parts = find_parts({"measure": results["measure"]})
    assert list(parts) == ["validation", "training"]
    assert [c["threshold"] for c in parts["validation"]["confusions"]] == [0.5, 0.2, 0.4]
    assert results["drift"]["lender"]["drift"]["psi"] == pytest.approx(0, abs=1e-9)
    assert results["drift"]["lender"]["metrics"]["all"]["rows"] == 280
    figures = find_figures(results)
    assert {(p, f) for p, f, _ in figures.attribution} == {("lender", "rate"), ("bureau", "")}
    assert sum(b["rows"] for b in figures.points) == 280
    assert parts["training"]["auc"] > 0.7
    assert all(not by_party.get("bureau") for by_party in results.values() if by_party)


def test_the_commands_exist() -> None:
    named = re.findall(r"^parley party model (\w+)", PAGE, re.MULTILINE)
    assert named == ["list", "show", "export", "verify", "scorecard"]
    for command in named:
        shown = CliRunner().invoke(app, ["party", "model", command, "--help"])
        assert shown.exit_code == 0
        for option in re.findall(rf"^parley party model {command}.*?(--\w+.*)$", PAGE, re.MULTILINE):
            assert all(word in shown.output for word in option.split())


def test_every_path_and_link_exists() -> None:
    for path in re.findall(r"`(components/[\w/.]+)`", PAGE) + [
        f"docs/{p}" for p in re.findall(r"\]\(([\w/.-]+)\)", PAGE)
    ]:
        assert (ROOT / path).exists(), path
