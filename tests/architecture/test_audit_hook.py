"""The witness fires on each event that a daemon must not raise, and stays silent on ordinary imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import audit_hook
import pytest

OURS = "__spec__ = None; __name__ = 'parley.planted'; "


def _run(code: str, log: Path) -> list[str]:
    subprocess.run(
        [sys.executable, "-c", code],
        env=audit_hook.daemon_env(log),
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )
    assert audit_hook.witnesses(log) >= 1
    return [line.split()[0] for line in audit_hook.violations(log)]


@pytest.mark.parametrize(
    ("code", "event"),
    [
        (
            "import pickle, fractions; pickle.loads(pickle.dumps(fractions.Fraction(1, 2)))",
            "pickle.find_class",
        ),
        ("import os; os.system('true')", "os.system"),
        (OURS + "exec('1')", "exec"),
        (OURS + "compile('1', 'x', 'eval')", "compile"),
        (OURS + "import marshal; marshal.loads(marshal.dumps(1))", "marshal.loads"),
    ],
)
def test_it_fires(code: str, event: str, tmp_path: Path) -> None:
    assert event in _run(code, tmp_path / "log")


def test_it_leaves_our_own_imports_and_others_code_alone(tmp_path: Path) -> None:
    code = "import parley.wire.identity, collections; collections.namedtuple('T', 'a b'); exec('1')"
    assert _run(code, tmp_path / "log") == []


def test_the_fixture_starts_watched_processes(daemon_env: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", "pass"], env=daemon_env, check=True, timeout=60)
