"""A party's SQLite files: write-ahead log, full synchronisation, short waits, mode 0600, one schema version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text

from parley.party.files import private_file
from parley.wire.errors import ParleyError

BUSY_MS = 10_000
_READS = "parley_reads"


def open_database(path: Path, metadata: MetaData, version: int, extra: tuple[str, ...] = ()) -> Engine:
    """Open or make a database; `extra` statements (triggers) run once, when it is made.

    ParleyError "database_newer" when a later version of the software made it.
    """
    engine = create_engine(
        f"sqlite:///{private_file(path.absolute())}",
        connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _connect)
    event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        found = connection.execute(text("PRAGMA user_version")).scalar_one()
        if found > version:
            raise ParleyError(
                "database_newer", f"{path.name} was made by a newer version of parley.", "Install that version again."
            )
        if found == 0:
            _make(connection, metadata, version, extra)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent view that holds no writer up, for reads that may take long."""
    with engine.connect() as plain:
        connection = plain.execution_options(**{_READS: True})
        with connection.begin():
            yield connection


def _make(connection: Connection, metadata: MetaData, version: int, extra: tuple[str, ...]) -> None:
    metadata.create_all(connection)
    for statement in extra:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")


def _connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver opens no transactions of its own; `_begin` does
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # The write lock is taken first, so that a transaction never fails half-way for want of it.
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
