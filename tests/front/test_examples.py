"""Every example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SLOW = {"credit_boosting.py", "prepared_credit.py"}


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[pytest.mark.slow] if p.name in SLOW else [], id=p.stem) for p in EXAMPLES]
)
def test_the_example_runs(path: Path, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-P", str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert ran.stdout
