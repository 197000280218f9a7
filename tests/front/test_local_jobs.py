"""Whole jobs in one process on local files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parley import Parley
from parley.demo.tables import Shape, write
from parley.local import run
from parley.wire.errors import ParleyError

PSI = """\
name: overlap
purpose: Count the customers in common.
parties: {a: {data: t}, b: {data: t}, c: {data: t}}
steps:
  align:
    uses: psi/ecdh
    roles: {receiver: a, sender: [b, c]}
    with: {id: id%s}
"""


def tables(folder: Path, ids: dict[str, list[str]]) -> dict[str, Path]:
    files = {}
    for party, values in ids.items():
        files[party] = folder / f"{party}.csv"
        files[party].write_text("id,x\n" + "".join(f"{v},1\n" for v in values), encoding="utf-8")
    return files


def job(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_intersection_of_three_files(tmp_path: Path) -> None:
    files = tables(tmp_path, {"a": ["u1", "u2", "u3"], "b": ["u3", "u2", "u9"], "c": ["u2", "u3", "u3", "u8"]})
    found = Parley.local(job(tmp_path, PSI % ""), files)
    assert found.steps["align"].outcome == "ok"
    assert 2 in found.result("align").values()
    assert {(e["party"], e["to"]) for e in found.steps["align"].egress} == {
        ("a", "b"),
        ("b", "a"),
        ("a", "c"),
        ("c", "a"),
    }


@pytest.mark.parametrize("code", ["conservative", "fast"])
def test_an_intersection_by_vector_ole_is_one_word_away(tmp_path: Path, code: str) -> None:
    files = tables(tmp_path, {"a": ["u1", "u2", "u3"], "b": ["u3", "u2", "u9"]})
    text = PSI.replace("psi/ecdh", "psi/vole").replace("[b, c]", "b").replace(", c: {data: t}", "")
    found = Parley.local(job(tmp_path, text % f", profile: {code}"), files)
    assert found.result("align") == {"intersection": 2}
    assert {(e["party"], e["to"]) for e in found.steps["align"].egress} == {("a", "b"), ("b", "a")}


def test_nothing_in_common_is_a_success_and_later_steps_are_skipped(tmp_path: Path) -> None:
    files = tables(tmp_path, {"a": ["u1"], "b": ["u2"], "c": ["u3"]})
    later = (
        "  again:\n    uses: psi/ecdh\n    needs: align\n    roles: {receiver: a, sender: [b]}\n    with: {id: id}\n"
    )
    found = Parley.local(job(tmp_path, PSI % "" + later), files)
    assert {n: s.outcome for n, s in found.steps.items()} == {"align": "empty", "again": "skipped"}


def test_missing_and_foreign_files_are_told(tmp_path: Path) -> None:
    files = tables(tmp_path, {"a": ["u1"], "b": ["u2"], "c": ["u3"]})
    path = job(tmp_path, PSI % "")
    for wrong, code in (({"a": files["a"]}, "no_data"), ({**files, "z": files["a"]}, "unknown_party")):
        with pytest.raises(ParleyError) as caught:
            Parley.local(path, wrong)
        assert caught.value.code == code


def test_a_wrong_column_names_party_and_step(tmp_path: Path) -> None:
    files = tables(tmp_path, {"a": ["u1"], "b": ["u2"], "c": ["u3"]})
    with pytest.raises(ParleyError) as caught:
        Parley.local(job(tmp_path, (PSI % "").replace("id: id", "id: idd")), files)
    assert (caught.value.code, caught.value.step) == ("unknown_column", "align")
    assert caught.value.party in ("a", "b", "c")


def test_the_command_takes_files_beside_the_job_and_is_quick(tmp_path: Path) -> None:
    tables(tmp_path, {"a": ["u1", "u2"], "b": ["u2"], "c": ["u2"]})
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "parley.cli", "run", str(job(tmp_path, PSI % "")), "--local", "--json"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["steps"]["align"]["outcome"] == "ok"
    assert time.monotonic() - begun < 30  # seconds alone; the margin is for a busy machine


@pytest.mark.slow
@pytest.mark.paillier
def test_the_credit_model_on_the_real_table_equals_central_training(tmp_path: Path) -> None:
    from parley import jobfile
    from parley.demo.central import evaluation
    from parley.report.data import find_metrics

    shape = Shape(rows=1500, trees=2)
    files = write(tmp_path, shape)
    found = run(jobfile.load(files["job"]), {p: f for p, f in files.items() if p != "job"})
    central = evaluation(files, shape)
    _, metrics = find_metrics({n: s.results for n, s in found.steps.items()})
    assert metrics is not None
    assert metrics["rows"] == central["rows"]
    assert abs(metrics["auc"] - central["auc"]) < 1e-3
