"""Whether it really happened: the checks on which the demo's exit code rests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley.demo.tables import PARTIES
from parley.report.data import find_metrics

TOLERANCE = 1e-3
PAIRS = [(a, b) for x in ("bureau", "telco") for a, b in (("lender", x), (x, "lender"))]


def outcome_problems(outcome: Mapping[str, Any], central: Mapping[str, Any]) -> list[str]:
    """What is wrong with a finished job's view, results and egress, compared with the central model; [] if nothing."""
    wrong = []
    if outcome.get("state") != "succeeded":
        wrong.append(f"the job ended as {outcome.get('state')}")
    for step in outcome.get("steps", []):
        if step["state"] != "done":
            wrong.append(f"step {step['name']} ended as {step['state']}")
    _, metrics = find_metrics(outcome.get("results", {}))
    if metrics is None or metrics.get("auc") is None:
        wrong.append("no AUC came out")
    else:
        if metrics["rows"] != central["rows"]:
            wrong.append(f"{metrics['rows']} records were aligned, {central['rows']} are in common")
        if abs(metrics["auc"] - central["auc"]) > TOLERANCE:
            wrong.append(f"the AUC {metrics['auc']:.5f} is not the central model's {central['auc']:.5f}")
    lines = outcome.get("egress", [])
    for step in ("align", "train"):
        for a, b in PAIRS:
            sent = sum(int(e["bytes"]) for e in lines if (e["step"], e["party"], e["to"]) == (step, a, b))
            if sent == 0:
                wrong.append(f"no ledger line says what {a} sent {b} in step {step}")
    return wrong


def process_problems(alive: Mapping[str, bool], pids: Mapping[str, int]) -> list[str]:
    """Every daemon a process of its own and still there."""
    wrong = [f"{who} is no longer running" for who, ok in alive.items() if not ok]
    if set(pids) != {"coordinator", *PARTIES} or len(set(pids.values())) != len(pids):
        wrong.append("the daemons are not four processes")
    return wrong
