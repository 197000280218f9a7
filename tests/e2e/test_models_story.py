"""Binning, groups, a linear model and a network between daemons, and a policy that first says no to the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from parley import Parley
from parley.demo.cluster import Cluster
from parley.demo.tables import Shape, write

pytestmark = pytest.mark.e2e

JOB = """\
version: 1
name: several-models
purpose: Group and score loans by what a lender and a bureau know.
deadline: 10m
parties: {lender: {data: loans}, bureau: {data: loans}, telco: {}}
steps:
  align: {uses: psi/vole, roles: {receiver: lender, sender: bureau}, with: {id: id}}
  split: {uses: prep/split, needs: align, roles: {member: [lender, bureau]}, with: {test: 0.25}}
  impute:
    uses: prep/impute
    needs: split
    roles: {member: [lender, bureau]}
    with: {method: median, exclude: [id, defaulted]}
  woe:
    uses: stats/woe
    needs: impute
    roles: {label: lender, features: bureau}
    with: {label: defaulted, id: id, bins: 5, report: iv}
  scale: {uses: prep/scale, needs: woe, roles: {member: [lender, bureau]}, with: {exclude: [id, defaulted]}}
  groups:
    uses: kmeans/vertical
    needs: scale
    roles: {member: [lender, bureau], aggregator: telco}
    with: {clusters: 3, starts: 2, rounds: 5, exclude: [id, defaulted]}
  fit:
    uses: linear/vertical
    needs: scale
    roles: {label: lender, features: bureau}
    with: {label: defaulted, id: id, model: logistic, epochs: 2, exclude: {lender: [term, sub_grade]}}
  scored:
    uses: linear/predict
    needs: [scale, fit]
    roles: {label: lender, features: bureau}
    with: {label: defaulted}
  judge: {uses: evaluate, needs: scored, roles: {label: lender}}
"""
TEXTS = ["term", "sub_grade"]
NETWORK: dict[str, Any] = {
    "net": {
        "uses": "nn/split",
        "needs": "scale",
        "roles": {"label": "lender", "features": "bureau"},
        "with": {
            "label": "defaulted",
            "id": "id",
            "epochs": 15,
            "batch": 64,
            "exclude": {"lender": ["term", "sub_grade"]},
        },
    },
    "score": {
        "uses": "nn/predict",
        "needs": ["scale", "net"],
        "roles": {"label": "lender", "features": "bureau"},
        "with": {"label": "defaulted"},
    },
    "judge-net": {"uses": "evaluate", "needs": "score", "roles": {"label": "lender"}},
}
DENY = '  allow: ["*"]\n  deny: [individual_updates, rows]'
ALLOW = '  allow: ["*", individual_updates]\n  deny: [rows]'


def _allow(cluster: Cluster, party: str) -> None:
    policy = cluster.home(party) / "policy.yaml"
    text = policy.read_text(encoding="utf-8")
    assert DENY in text
    policy.write_text(text.replace(DENY, ALLOW), encoding="utf-8")


@pytest.mark.timeout(420)
def test_models_between_daemons_and_a_network_that_owners_must_allow(tmp_path: Path):
    files = {p: f for p, f in write(tmp_path, Shape(rows=1500)).items() if p != "job"}
    cluster = Cluster(tmp_path / "world", lambda line: None)
    spec = yaml.safe_load(JOB)
    try:
        cluster.build(files)
        with Parley(cluster.home("scientist")) as parley:
            job = parley.submit(spec)
            view = job.wait(timeout=200)
            assert view["state"] == "succeeded", view["reason"]
            found = job.results()
            spec["steps"] |= NETWORK
            assert not parley.plan(spec).ok
            refused = parley.submit(spec).wait(timeout=60)
            assert refused["state"] == "failed"
            assert "individual_updates" in refused["reason"]["cause"], refused["reason"]
            for party in ("lender", "bureau"):
                _allow(cluster, party)
            again = parley.submit(spec)
            view = again.wait(timeout=200)
            assert view["state"] == "succeeded", view["reason"]
            more = again.results()
    finally:
        cluster.stop()
    local = Parley.local(yaml.safe_load(JOB), files)
    # Which rows are for training is drawn from each job's own seed: how many they are is what can be compared.
    for step in ("align", "split"):
        assert found[step] == more[step] == local.steps[step].results
    rows = found["woe"]["lender"]["rows"]
    assert rows == found["fit"]["lender"]["rows"] == more["net"]["lender"]["rows"]
    assert {f["party"] for f in found["woe"]["lender"]["binning"]} == {"lender", "bureau"}
    assert sum(found["groups"]["lender"]["cluster_sizes"]) <= sum(local.steps["align"].results["lender"].values())
    assert found["judge"]["lender"]["metrics"]["test"]["auc"] > 0.6
    # A thousand rows teach a network little about others, but these it has seen.
    assert set(more["judge-net"]["lender"]["metrics"]) >= {"training", "test"}
    assert more["judge-net"]["lender"]["metrics"]["training"]["auc"] > 0.7
