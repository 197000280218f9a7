"""Plans (who learns what, bytes, verdicts) and the plain progress lines."""

from __future__ import annotations

from typing import Any

import pytest

from parley import jobfile
from parley.plan import is_red, plan, show
from parley.watch import follow
from parley.wire.errors import ParleyError

JOB = {
    "name": "overlap",
    "purpose": "Count the customers in common.",
    "parties": {"lender": {"data": "loans"}, "bureau": {"data": "loans"}},
    "steps": {"align": {"uses": "psi/ecdh", "roles": {"receiver": "lender", "sender": "bureau"}, "with": {"id": "id"}}},
}


def offer(party: str, rows: int) -> dict[str, Any]:
    return {"name": party, "offer": {"dataset": {"rows": rows, "columns": 4}}, "problem": None}


def test_bytes_grow_with_rows_and_everyone_is_listed() -> None:
    spec = jobfile.load(JOB)
    small, large = (plan(spec, rows={"lender": n, "bureau": n}) for n in (100, 1000))
    assert 0 < small.steps[0].bytes < large.steps[0].bytes
    assert large.steps[0].bytes >= 80 * 1000
    assert set(small.steps[0].learns) == {"lender (receiver)", "bureau (sender)", "coordinator"}
    assert small.ok
    assert small.red == []


def test_without_sizes_no_bytes_are_claimed() -> None:
    assert plan(jobfile.load(JOB)).steps[0].flows is None


def test_a_refusal_is_a_verdict() -> None:
    no = ParleyError("policy_denied", "The policy does not allow psi/ecdh.", party="bureau").to_dict()
    view = {"parties": [offer("lender", 900), {"name": "bureau", "offer": None, "problem": no}], "reason": no}
    found = plan(jobfile.load(JOB), view)
    assert [(v.party, v.allowed) for v in found.verdicts] == [("lender", True), ("bureau", False)]
    assert not found.ok
    assert "policy_denied" in found.to_dict()["verdicts"][1]["why"]


def test_a_party_that_is_offline_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    reason = ParleyError("party_offline", "bureau is not connected.", party="bureau").to_dict()
    view = {"parties": [{"name": "bureau", "offer": None, "problem": None}], "reason": reason}
    found = plan(jobfile.load(JOB), view)
    assert not found.ok
    show(found)
    assert "party_offline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "red"), [("rows", True), ("bureau.rows", True), ("individual_updates", True), ("sizes", False)]
)
def test_what_is_red(name: str, red: bool) -> None:
    assert is_red(name) is red


def view(state: str, step: str, done: int) -> dict[str, Any]:
    progress = {"lender": {"done": done, "total": 10, "phase": "tree", "bytes_in": 0, "bytes_out": 0}}
    steps = [
        {
            "name": "train",
            "uses": "gbdt/vertical",
            "parties": ["lender"],
            "state": step,
            "attempt": 1,
            "progress": progress,
        }
    ]
    return {"id": "j1", "name": "x", "state": state, "reason": None, "steps": steps}


def test_lines_come_once_each_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    views = [view("running", "running", 1), view("running", "running", 1), view("running", "running", 6)]
    last = follow([*views, view("succeeded", "done", 10)])
    assert last["state"] == "succeeded"
    lines = capsys.readouterr().out.splitlines()
    assert len([x for x in lines if "tree 10%" in x]) == 1
    assert any("tree 60%" in x for x in lines)
    assert lines[-1] == "job j1 succeeded"


def test_the_reason_of_a_failure_is_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {
        **view("failed", "failed", 1),
        "reason": ParleyError("party_lost", "telco is gone.", party="telco").to_dict(),
    }
    follow([failed])
    assert "party_lost at telco" in capsys.readouterr().out.splitlines()[-1]


def test_a_lattice_states_its_distance_for_the_whole_training(capsys: pytest.CaptureFixture[str]) -> None:
    train = {
        "uses": "gbdt/vertical",
        "needs": "align",
        "roles": {"label": "lender", "features": ["bureau"]},
        "with": {"label": "y", "id": "id", "scheme": "lattice", "trees": 5},
    }
    spec = jobfile.load({**JOB, "steps": {**JOB["steps"], "train": train}})  # type: ignore[dict-item]
    found = plan(spec, {"parties": [offer("lender", 9000), offer("bureau", 9000)], "reason": None})
    show(found)
    shown = capsys.readouterr().out
    assert "train: lattice" in shown
    assert "2^-40" in found.steps[1].figures[0]
    assert found.to_dict()["steps"][0]["figures"] == []
