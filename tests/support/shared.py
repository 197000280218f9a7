"""Where the tables and vectors beside the checkout lie, and what happens when one is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def in_ci() -> bool:
    """Whether a missing file or service is a failure (CI=true) and not a skip."""
    return os.environ.get("CI", "").lower() == "true"


def unavailable(what: str) -> None:
    """Ends the running test because `what` is missing: fails it in CI, else skips it (told at the end)."""
    if in_ci():
        pytest.fail(f"{what} (CI=true: nothing may be left untested)", pytrace=False)
    pytest.skip(what)


def need(path: Path | str) -> Path:
    """The existing file or folder `path` (relative ones under the shared folder), or the end of the test."""
    full = SHARED / path
    if not full.exists():
        unavailable(f"missing: {full.relative_to(SHARED) if full.is_relative_to(SHARED) else full.name}")
    return full
