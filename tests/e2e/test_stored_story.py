"""A prepared training between real daemons whose tables stay in their files is the one of tables in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from parley import Parley
from parley.demo.cluster import Cluster
from parley.demo.tables import PARTIES, Shape, write

pytestmark = pytest.mark.e2e
MEMBERS = {"member": list(PARTIES)}
SPEC = {
    "name": "large-credit",
    "purpose": "Estimate the risk that a loan defaults, from tables that are not held in memory.",
    "parties": {p: {"data": "loans"} for p in PARTIES},
    "steps": {
        "align": {"uses": "psi/multi", "roles": MEMBERS, "with": {"id": "id"}},
        "impute": {
            "uses": "prep/impute",
            "roles": MEMBERS,
            "needs": "align",
            "with": {"method": "median", "exclude": ["id", "defaulted"]},
        },
        "train": {
            "uses": "gbdt/vertical",
            "roles": {"label": "lender", "features": ["bureau", "telco"]},
            "needs": "impute",
            "with": {"label": "defaulted", "id": "id", "trees": 3, "depth": 3, "bins": 16, "scheme": "lattice"},
        },
    },
}


@pytest.mark.timeout(420)
def test_daemons_train_on_tables_in_their_files_as_one_process_does_in_memory(tmp_path: Path):
    files = write(tmp_path, Shape(rows=3000))
    tables = {p: files[p] for p in PARTIES}
    cluster = Cluster(tmp_path / "world", lambda line: None, settings={p: {"memory_mb": 1} for p in PARTIES})
    try:
        cluster.build(tables)
        with Parley(cluster.home("scientist")) as parley:
            job = parley.submit(SPEC)
            view = job.wait(timeout=240)
            assert view["state"] == "succeeded", view["reason"]
            found = job.results()["train"]["lender"]
        for party in PARTIES:
            # The folder is made where a step read from files, and nothing has a name in it.
            assert list((cluster.home(party) / "scratch").iterdir()) == []
    finally:
        cluster.stop()
    local = Parley.local(SPEC, tables).steps["train"].results["lender"]
    assert found["rows"] == local["rows"]
    assert found["losses"] == pytest.approx(local["losses"], rel=1e-12)
    for ours, theirs in zip(found["importance"], local["importance"], strict=True):
        assert ours == theirs | {k: pytest.approx(theirs[k], rel=1e-9) for k in ("gain", "cover")}
