"""The job of docs/preparation.md between real daemons: what it sends, what it tells, and the same as in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from shared import ROOT

from parley import Parley
from parley.demo.cluster import Cluster
from parley.demo.tables import Shape, write

pytestmark = pytest.mark.e2e
FEATURES = {"label": "lender", "features": ["bureau", "telco"]}
MORE = {
    "explain": {
        "uses": "gbdt/explain",
        "roles": FEATURES,
        "needs": ["scale", "train"],
        "with": {"trees": 3, "depth": 3},
    },
    "points": {"uses": "score/card", "roles": {"label": "lender"}, "needs": ["train"]},
}


@pytest.mark.timeout(420)
def test_a_prepared_job_runs_between_daemons_as_it_does_in_one_process(tmp_path: Path):
    files = write(tmp_path, Shape(rows=3000))
    page = (ROOT / "docs" / "preparation.md").read_text(encoding="utf-8")
    spec = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    spec["steps"] |= MORE
    # The stratified division is drawn at secret random: a random one, from the contract's seed, can be compared.
    tables = {p: f for p, f in files.items() if p != "job"}
    cluster = Cluster(tmp_path / "world", lambda line: None)
    try:
        cluster.build(tables)
        with Parley(cluster.home("scientist")) as parley:
            plan = parley.plan(spec)
            assert plan.ok, plan.verdicts
            job = parley.submit(spec)
            view = job.wait(timeout=240)
            assert view["state"] == "succeeded", view["reason"]
            found, egress = job.results(), job.egress()
    finally:
        cluster.stop()
    local = Parley.local(spec, tables)
    assert found["align"] == local.steps["align"].results
    assert found["split"] == local.steps["split"].results
    assert set(found) == {n for n, s in local.steps.items() if any(s.results.values())}
    for step in ("align", "split", "train", "explain"):
        sent = {(e["party"], e["to"], e["tag"]): e["bytes"] for e in egress if e["step"] == step and e["to"] in tables}
        told = {(e["party"], e["to"], e["tag"]): e["bytes"] for e in local.steps[step].egress}
        assert set(sent) == set(told)
        bounds = {f["tag"]: f for s in plan.steps if s.name == step for f in s.flows or []}
        assert {tag for _, _, tag in sent} <= set(bounds)
    assert not [e for e in egress if e["step"] in ("impute", "encode", "scale") and e["to"] in tables]
    metrics = found["evaluate"]["lender"]["metrics"]
    assert metrics["test"]["auc"] > 0.6
