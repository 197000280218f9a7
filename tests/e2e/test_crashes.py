"""Daemons killed in the middle of a job: the job goes on, or ends with the reason, and is never lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.client import Job, Parley
from parley.demo.central import evaluation
from parley.demo.check import outcome_problems
from parley.demo.cluster import Cluster
from parley.demo.tables import Shape, write
from parley.wire.errors import ParleyError

pytestmark = pytest.mark.timeout(280)
SHAPE = Shape(rows=1200, trees=4, depth=2)


@pytest.fixture
def running(tmp_path: Path, daemon_env: dict[str, str]) -> Iterator[tuple[Cluster, dict[str, Path], Parley]]:
    files = write(tmp_path / "inputs", SHAPE)
    cluster = Cluster(tmp_path / "homes", print, env=daemon_env)
    try:
        cluster.build(files)
        with Parley(cluster.home("scientist")) as parley:
            yield cluster, files, parley
    finally:
        cluster.stop()


def wait_for(job: Job, condition: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
    for view in job.views(seconds):
        if condition(view):
            return view
    pytest.fail("the job ended before the moment the test waits for")


def training(view: dict[str, Any]) -> bool:
    step = next(s for s in view["steps"] if s["name"] == "train")
    return step["state"] == "running" and any(p.get("done", 0) > 0 for p in step["progress"].values())


def finished(job: Job, files: dict[str, Path]) -> dict[str, Any]:
    """The final view of a job that succeeded with the central model's AUC."""
    view = job.wait(timeout=200)
    assert view["state"] == "succeeded", view["reason"]
    outcome = {**view, "results": job.results(), "egress": job.egress()}
    assert outcome_problems(outcome, evaluation(files, SHAPE)) == []
    return view


def test_a_party_killed_in_training_comes_back_and_the_job_goes_on(
    running: tuple[Cluster, dict[str, Path], Parley],
) -> None:
    cluster, files, parley = running
    job = parley.submit(files["job"])
    wait_for(job, training)
    cluster.kill("bureau")
    time.sleep(1)
    cluster.start("bureau")
    view = finished(job, files)
    assert next(s for s in view["steps"] if s["name"] == "train")["attempt"] >= 2


def test_the_coordinator_killed_in_training_goes_on_with_the_same_job(
    running: tuple[Cluster, dict[str, Path], Parley],
) -> None:
    cluster, files, parley = running
    job = parley.submit(files["job"])
    wait_for(job, training)
    cluster.kill("coordinator")
    time.sleep(1)
    cluster.start("coordinator")
    assert finished(job, files)["id"] == job.id


def submitted(view: dict[str, Any]) -> bool:
    return True


def aligning(view: dict[str, Any]) -> bool:
    return any(s["name"] == "align" and s["state"] not in ("waiting", "ready") for s in view["steps"])


POINTS: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
    ("coordinator", submitted),
    ("telco", submitted),
    ("lender", aligning),
    ("coordinator", aligning),
    ("lender", training),
    ("telco", training),
]


@pytest.mark.timeout(600)
def test_every_daemon_killed_at_several_points_resumes_or_ends_with_the_reason(
    running: tuple[Cluster, dict[str, Path], Parley],
) -> None:
    cluster, files, parley = running
    ends = []
    for who, moment in POINTS:
        job = parley.submit(files["job"])
        wait_for(job, moment)
        cluster.kill(who)
        cluster.start(who)
        view = job.wait(timeout=100)
        ends.append((who, moment.__name__, view["state"], (view["reason"] or {}).get("code")))
        if view["state"] == "failed":
            assert view["reason"]["code"]
            assert view["reason"]["cause"]
            assert view["reason"]["hint"]
        else:
            assert view["state"] == "succeeded"
            outcome = {**view, "results": job.results(), "egress": job.egress()}
            assert outcome_problems(outcome, evaluation(files, SHAPE)) == []
    print(ends)
    assert [e[2] for e in ends].count("succeeded") >= 4, ends


def test_a_party_that_stays_away_ends_the_job_with_the_reason(
    running: tuple[Cluster, dict[str, Path], Parley],
) -> None:
    cluster, files, parley = running
    cluster.parley("party", "stop", who="telco")
    view = parley.submit(files["job"]).wait(timeout=90)
    assert (view["state"], view["reason"]["code"], view["reason"]["party"]) == ("failed", "party_offline", "telco")
    assert view["reason"]["hint"]


def test_a_plan_runs_nothing_and_a_refusal_names_the_party(running: tuple[Cluster, dict[str, Path], Parley]) -> None:
    _, files, parley = running
    plan = parley.plan(files["job"])
    assert plan.ok
    assert all(s.flows is not None for s in plan.steps)
    text = files["job"].read_text().replace("label: defaulted", "label: defaultd")
    wrong = files["job"].with_name("wrong.yaml")
    wrong.write_text(text)
    view = parley.submit(wrong).wait(timeout=60)
    assert view["state"] == "failed"
    assert view["reason"]["code"] == "unknown_column"
    assert view["reason"]["party"] == "lender"
    assert "defaulted" in view["reason"]["hint"]


def test_a_person_nobody_trusts_gets_nothing_done(
    running: tuple[Cluster, dict[str, Path], Parley], tmp_path: Path
) -> None:
    cluster, files, _ = running
    invite = cluster.parley("coordinator", "invite", "mallory", "--person", who="coordinator")["invite"]
    cluster.parley("user", "init", invite, who="mallory")
    with Parley(cluster.home("mallory")) as mallory:
        view = mallory.submit(files["job"]).wait(timeout=60)
        assert view["state"] == "failed"
        assert view["reason"]["code"] == "unknown_submitter"
        with pytest.raises(ParleyError):
            mallory.job(view["id"]).result("evaluate")
