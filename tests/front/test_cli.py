"""The command: its exit codes, its errors for people and for programs, and how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def parley(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "PARLEY_HOME"} | ({"PARLEY_HOME": str(home)} if home else {})
    return subprocess.run(
        [sys.executable, "-P", "-m", "parley.cli", *arguments], capture_output=True, text=True, timeout=60, env=env
    )


def test_help_lists_every_group() -> None:
    ran = parley("--help")
    assert ran.returncode == 0
    for word in ("coordinator", "party", "user", "job", "run", "protocols", "doctor"):
        assert word in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["party", "show"], "no_home"),
        (["job", "list"], "not_enrolled"),
        (["user", "show"], "not_enrolled"),
        (["user", "init", "nonsense"], "bad_invite"),
        (["doctor"], "no_home"),
        (["job", "submit", "missing.yaml"], "not_enrolled"),
        (["protocols", "show", "psi/ecdhh"], "unknown_protocol"),
    ],
)
def test_a_failure_is_told_and_never_a_traceback(arguments: list[str], code: str, tmp_path: Path) -> None:
    person = parley(*arguments, home=tmp_path / "none")
    assert person.returncode == 1
    assert code in person.stderr
    assert "Traceback" not in person.stderr
    program = parley(*arguments, "--json", home=tmp_path / "none")
    assert program.returncode == 1
    assert json.loads(program.stderr)["error"]["code"] == code
    assert program.stdout == ""


def test_wrong_arguments_are_told_as_json_too() -> None:
    ran = parley("job", "status", "--json")
    assert ran.returncode == 2
    assert json.loads(ran.stderr)["error"]["code"] == "bad_arguments"


def test_a_run_without_local_says_what_to_do(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: x\n", encoding="utf-8")
    assert "--local" in parley("run", str(job)).stderr
    bad = parley("run", str(job), "--local", "--json")
    assert json.loads(bad.stderr)["error"]["code"] == "bad_job"


def test_a_party_is_made_and_shown(tmp_path: Path) -> None:
    home = tmp_path / "bank"
    made = json.loads(parley("party", "init", "bank", "--home", str(home), "--json").stdout)
    shown = json.loads(parley("party", "show", "--home", str(home), "--json").stdout)
    assert made["code"] == shown["code"]
    assert (home.stat().st_mode & 0o777) == 0o700
    table = tmp_path / "t.csv"
    table.write_text("id,age\n007,3\nx,\n", encoding="utf-8")
    added = json.loads(parley("party", "data", "add", "people", str(table), "--home", str(home), "--json").stdout)
    assert (added["rows"], added["columns"]) == (2, {"id": "string", "age": "int64"})
    assert parley("party", "init", "bank", "--home", str(home)).returncode == 1
    listed = json.loads(parley("party", "data", "list", "--home", str(home), "--json").stdout)
    assert [t["name"] for t in listed] == ["people"]
    assert parley("party", "ledger", "--home", str(home)).returncode == 0


def test_protocols_are_listed_with_who_learns_what() -> None:
    listed = json.loads(parley("protocols", "list", "--json").stdout)
    assert {"psi/ecdh", "gbdt/vertical", "evaluate"} <= {p["name"] for p in listed}
    shown = parley("protocols", "show", "psi/ecdh").stdout
    assert "Who learns what" in shown
    assert "coordinator: " in shown
