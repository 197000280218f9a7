"""The demo's own checks can fail, each for its reason; its tables are split as they claim."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest

from parley.demo.central import evaluation
from parley.demo.check import PAIRS, outcome_problems, process_problems
from parley.demo.tables import PARTIES, Shape, write

CENTRAL = {"auc": 0.8, "ks": 0.4, "rows": 700}
GOOD: dict[str, Any] = {
    "state": "succeeded",
    "steps": [{"name": n, "state": "done"} for n in ("align", "train", "evaluate")],
    "results": {"evaluate": {"lender": {"metrics": {"all": {"auc": 0.8004, "rows": 700}}}}},
    "egress": [{"step": s, "party": a, "to": b, "bytes": 9} for s in ("align", "train") for a, b in PAIRS],
}


def broken(**changes: Any) -> list[str]:
    return outcome_problems({**copy.deepcopy(GOOD), **changes}, CENTRAL)


def test_a_good_outcome_has_no_problem() -> None:
    assert outcome_problems(GOOD, CENTRAL) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "failed"},
        {"steps": [{"name": "train", "state": "skipped"}]},
        {"results": {}},
        {"results": {"evaluate": {"lender": {"metrics": {"all": {"auc": 0.7985, "rows": 700}}}}}},
        {"results": {"evaluate": {"lender": {"metrics": {"all": {"auc": 0.8, "rows": 699}}}}}},
        {"egress": GOOD["egress"][1:]},
        {"egress": [{**e, "bytes": 0} for e in GOOD["egress"]]},
    ],
)
def test_what_did_not_happen_is_a_problem(changes: dict[str, Any]) -> None:
    assert len(broken(**changes)) >= 1


def test_daemons_must_be_four_living_processes() -> None:
    pids = {"coordinator": 1, "lender": 2, "bureau": 3, "telco": 4}
    assert process_problems(dict.fromkeys(pids, True), pids) == []
    assert process_problems({**dict.fromkeys(pids, True), "telco": False}, pids)
    assert process_problems(dict.fromkeys(pids, True), {**pids, "telco": 3})


def test_tables_overlap_unequally_and_have_what_real_tables_have(tmp_path: Path) -> None:
    files = write(tmp_path, Shape(rows=2000))
    rows = {p: list(csv.DictReader(files[p].open(encoding="utf-8"))) for p in PARTIES}
    ids = {p: {r["id"] for r in rows[p]} for p in PARTIES}
    assert len({len(i) for i in ids.values()}) == 3
    for a in PARTIES:
        assert len(ids[a]) == len(rows[a])
        for b in PARTIES:
            assert a == b or (ids[a] - ids[b] and ids[a] & ids[b])
    assert any(r["emp_length"] == "" for r in rows["telco"])
    assert {r["term"] for r in rows["lender"]} == {"term_36", "term_60"}
    assert "defaulted" not in rows["bureau"][0] | rows["telco"][0]
    found = evaluation(files, Shape(rows=2000, trees=2))
    assert found["rows"] == len(set.intersection(*ids.values()))
    assert found["auc"] > 0.6
