"""What every test can ask for: shared tables and vectors, a throwaway PostgreSQL, watched daemons."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import audit_hook
import postgres
import pytest
from shared import need, unavailable


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("breast_hetero_guest.csv")` is the path of that table."""
    return lambda name: need(Path("data") / name)


@pytest.fixture(scope="session")
def shared_vectors() -> Callable[[str], Path]:
    """`shared_vectors("noise")` is the path of that folder or file of published vectors."""
    return lambda name: need(Path("vectors") / name)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The SQLAlchemy URL of a running PostgreSQL that ends with the test run."""
    found = postgres.binaries()
    if found is None:
        unavailable("PostgreSQL is not installed (on Debian or Ubuntu: apt-get install postgresql)")
        return
    with postgres.cluster(found) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> Iterator[str]:
    """A database of its own for one test on the running PostgreSQL."""
    import psycopg
    from psycopg import sql

    name = f"t_{secrets.token_hex(8)}"
    admin = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(admin, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield postgres_url.replace("@/postgres?", f"@/{name}?")
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def daemon_env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What to start daemons with. The test fails if one of them unpickles, shells out or evaluates."""
    log = tmp_path / "audit.log"
    yield audit_hook.daemon_env(log)
    assert audit_hook.witnesses(log) > 0, "no process of this test loaded the audit hook"
    assert audit_hook.violations(log) == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests under tests/e2e start real daemons, whether or not their file says so.

    With `--dist loadgroup` the tests of a file stay together, for what they share, and daemons do not meet others'. The
    fuzz campaigns share nothing, and would keep one worker busy when the other has long finished.
    """
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker("e2e")
        together = "daemons" if item.get_closest_marker("e2e") else item.path.name
        if together != "test_conformance_fuzz.py":
            item.add_marker(pytest.mark.xdist_group(together))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the very end what was not tested and why, once per reason."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if not reasons:
        return
    terminalreporter.section("NOT TESTED HERE", sep="=", yellow=True, bold=True)
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"  {count:4d} x  {reason}", yellow=True)
