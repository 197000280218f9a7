"""The lock, the metadata and the throwaway database."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import lints
import pytest
from packaging.requirements import Requirement

import parley

PROJECT = tomllib.loads((lints.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = dict(
    line.split("==")
    for line in (lints.ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def test_the_lock_names_versions_and_no_place() -> None:
    assert len(LOCK) > 60
    for name, version in LOCK.items():
        assert re.fullmatch(r"[a-z0-9.-]+", name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version)


def test_the_lock_satisfies_the_metadata() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [r for e in ("postgres", "demo", "build", "test", "dev") for r in extras[e]]
    for requirement in (Requirement(text) for text in wanted):
        if requirement.name != "parley":
            assert requirement.specifier.contains(LOCK[requirement.name.lower().replace("_", "-")]), requirement


def test_what_networks_need_is_locked_apart() -> None:
    lines = (lints.ROOT / "requirements-train.lock").read_text(encoding="utf-8").splitlines()
    train = dict(line.split("==") for line in lines if not line.startswith("#"))
    (wanted,) = (Requirement(text) for text in PROJECT["optional-dependencies"]["train"])
    assert wanted.specifier.contains(train[wanted.name])
    assert not set(train) & set(LOCK)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in train.values())


def test_the_core_installs_without_torch() -> None:
    assert not {"torch", "xgboost", "nvidia-nccl-cu12"} & set(LOCK)


def test_one_version_everywhere() -> None:
    assert parley.__version__ == PROJECT["version"]


def test_a_throwaway_postgresql_answers(empty_postgres_url: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(empty_postgres_url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select 40 + 2")).scalar_one() == 42
    engine.dispose()


def test_shared_files_are_found_or_told(shared_data: Callable[[str], Path]) -> None:
    assert shared_data("breast_hetero_guest.csv").stat().st_size > 10_000


def test_seeds_and_unprotected_replies_are_in_no_wheel() -> None:
    from parley.crypto import _native, _native_testing

    build = tomllib.loads((lints.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["scikit-build"]
    assert build["cmake"]["define"]["PARLEY_TESTING"] is False
    switched = [o for o in build["overrides"] if "PARLEY_TESTING" in o.get("cmake", {}).get("define", {})]
    assert [o["if"] for o in switched] == [{"state": "editable"}]
    assert "option(PARLEY_TESTING" in (lints.ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    doors = {name for name in dir(_native_testing) if not name.startswith("__")}
    assert len(doors) > 10
    assert not doors & set(dir(_native))
