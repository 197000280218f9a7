"""Opening, migrating and transacting: SQLite by default, PostgreSQL by URL, the same behaviour on both.

Guarantee: `transact` runs a function in one serialised transaction and reports what it touched only after the
commit. Not guaranteed: that a caller's effects outside the database happen; they belong after the commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from parley.coordinator.store.tx import Touched, Tx, Waits
from parley.wire.errors import ParleyError

T = TypeVar("T")
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MS = 10_000
TRIES = 5
_READS = "parley_reads"
# One writer at a time, as on SQLite, and taken before the snapshot, so that writers queue instead of colliding. Rows
# are then numbered in the order in which they are committed, and who asks for what is newer than n misses nothing.
LOCK = text("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE")


class Database:
    """`clock` gives wall seconds; `touched` is called after each commit with what it changed."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time, waits: Waits | None = None) -> None:
        self.clock = clock
        self.waits = waits or Waits()
        self.touched: Callable[[Touched], None] = lambda _: None
        self._engine = _open(url)
        snapshot = (
            {"isolation_level": "REPEATABLE READ"} if self._engine.dialect.name == "postgresql" else {_READS: True}
        )
        self._reads = self._engine.execution_options(**snapshot)

    def migrate(self) -> None:
        """Bring the schema to this software's version; ParleyError "database_newer" for one from the future."""
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise ParleyError(
                    "database_newer",
                    "The coordinator's database was made by a newer version of parley.",
                    "Install the newer version again.",
                ) from None

    def close(self) -> None:
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        return self._engine

    def transact(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in one transaction; on a serialisation conflict run it again, at most `TRIES` times."""
        for attempt in range(TRIES):
            try:
                with self._transaction() as tx:
                    result = work(tx)
                break
            except OperationalError as e:
                if attempt + 1 == TRIES or not _conflict(e):
                    raise _unavailable() from None
        if tx.touched:
            self.touched(tx.touched)
        return result

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` on a consistent snapshot and change nothing; it waits for no writer and holds none up."""
        try:
            with Session(self._reads, autoflush=False) as session:
                result = work(session)
                session.rollback()
                return result
        except OperationalError:
            raise _unavailable() from None

    @contextmanager
    def _transaction(self) -> Iterator[Tx]:
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            if self._engine.dialect.name == "postgresql":
                session.execute(LOCK)
            yield Tx(session, self.clock(), self.waits)


def _open(url: str) -> Engine:
    parsed: URL = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        options = "-c statement_timeout=30000 -c lock_timeout=10000"
        return create_engine(
            parsed,
            isolation_level="SERIALIZABLE",
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args={"connect_timeout": 10, "options": options},
        )
    raise ParleyError(
        "bad_database", "The database is neither SQLite nor PostgreSQL.", "Use sqlite:///PATH or postgresql://..."
    )


def _sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver opens no transactions of its own; `_sqlite_begin` does
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Any) -> None:
    # The write lock is taken first, so that a transaction never fails half-way for want of it.
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _conflict(error: OperationalError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in ("40001", "40P01")


def _unavailable() -> ParleyError:
    return ParleyError(
        "database_unavailable",
        "The coordinator's database cannot be used at the moment.",
        "Look at disk space and at the database server, then try again.",
        retryable=True,
    )
