"""The ledger's one table: rows are only ever added, and each carries the chain's value up to itself."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, String, Table

METADATA = MetaData()

# kind "open": an egress of at most `bytes` is about to start. "closed": line `ref` sent `bytes`; `payload` is a keyed
# hash of them. "lost": the process ended while line `ref` was open, so that it counts at its cap.
lines = Table(
    "lines",
    METADATA,
    Column("n", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("ref", Integer, index=True),
    Column("at", Float, nullable=False),
    Column("job", String, nullable=False, index=True),
    Column("step", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("to", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("disclosure", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)
TRIGGERS = (
    "CREATE TRIGGER lines_stay BEFORE UPDATE ON lines BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER lines_remain BEFORE DELETE ON lines BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE UNIQUE INDEX lines_end_once ON lines (ref) WHERE ref IS NOT NULL",
)
