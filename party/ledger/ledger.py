"""The egress ledger.

Guarantee: a line is on disk before its first byte leaves; a line whose end is not on disk counts at its cap, so that
the sum is never below what left. Without the vault's key nobody can change, reorder or take out a row unnoticed by
`verify`, nor rows at the end that an `anchor` in the vault covers. Not guaranteed: that the newest rows after the last
anchor were not cut off, or ledger and vault together put back to an older state.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select
from sqlalchemy.exc import OperationalError

from parley.party.database import open_database, reading
from parley.party.ledger.tables import METADATA, TRIGGERS, lines
from parley.party.vault import Vault
from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

VERSION = 1
_CHAIN_KEY = "ledger/chain"
_ANCHOR = "ledger/anchor"
_ORIGIN = bytes(32)
_MAX_PENDING = 256
Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """An open line, with what closing it needs."""

    n: int
    cap: int
    about: Row


class Ledger:
    """The ledger at `path`. One process writes (the daemon); any number may read. Safe to call from threads."""

    def __init__(self, path: Path, vault: Vault) -> None:
        self._engine = open_database(path, METADATA, VERSION, TRIGGERS)
        self._vault = vault
        self._key = vault.get_or_make(_CHAIN_KEY)
        self._lock = threading.RLock()
        self._open: dict[int, int] = {}
        self._pending: list[Row] = []
        self._wrote = False

    def for_job(self, job: str) -> JobLedger:
        """The view of one job that a gate writes to."""
        return JobLedger(self, job, self._vault.get_or_make(f"ledger/stream/{job}"))

    def open_line(self, about: Row, cap: int) -> Line:
        """Durably note an egress of at most `cap` bytes. Ends noted since the last line go to disk with it."""
        row = {**about, "kind": "open", "ref": None, "at": time.time(), "bytes": cap, "payload": b""}
        with self._lock:
            n = self._append([*self._pending, row])
            self._pending.clear()
            self._open[n] = cap
        return Line(n, cap, about)

    def close_line(self, line: Line, total: int, payload: bytes) -> None:
        """Note what left. It reaches the disk with the next line or `flush`: until then the line counts at its cap."""
        with self._lock:
            cap = self._open.pop(line.n, None)
            if cap is None:
                raise ParleyError("ledger_line_closed", "A ledger line was closed twice or never opened.")
            if total > cap:
                raise ParleyError("egress_cap", "More left than the ledger line allowed.", step=line.about["step"])
            end = {"kind": "closed", "ref": line.n, "at": time.time(), "bytes": total, "payload": payload}
            self._pending.append({**line.about, **end})
            if len(self._pending) >= _MAX_PENDING:
                self.flush()

    def flush(self) -> None:
        """Bring every noted end to disk."""
        with self._lock:
            if self._pending:
                self._append(self._pending)
                self._pending.clear()

    def recover(self) -> int:
        """At the daemon's start: end every line that an earlier process left open, at its cap; returns how many."""
        ends = lines.alias("ends")
        query = (
            select(lines)
            .outerjoin(ends, ends.c.ref == lines.c.n)
            .where(lines.c.kind == "open", ends.c.n.is_(None))
            .order_by(lines.c.n)
        )
        with self._lock:
            with self._transaction() as c:
                left = [dict(r) for r in c.execute(query).mappings() if r["n"] not in self._open]
            rows = [{**r, "kind": "lost", "ref": r["n"], "at": time.time(), "payload": b""} for r in left]
            if rows:
                self._append(rows)
            self.anchor()
        return len(rows)

    def summary(self, job: str, step: str | None = None, attempt: int | None = None) -> list[pb.EgressLine]:
        """Messages and bytes per receiver, kind and disclosure; a line without an end counts at its cap."""
        self.flush()
        ends = lines.alias("ends")
        size = func.coalesce(ends.c.bytes, lines.c.bytes)
        what = (lines.c.to, lines.c.tag, lines.c.disclosure)
        query = (
            select(*what, func.count(), func.sum(size))
            .select_from(lines.outerjoin(ends, and_(ends.c.ref == lines.c.n)))
            .where(lines.c.kind == "open", lines.c.job == job)
            .group_by(*what)
            .order_by(*what)
        )
        if step is not None:
            query = query.where(lines.c.step == step)
        if attempt is not None:
            query = query.where(lines.c.attempt == attempt)
        with self._transaction() as c:
            rows = c.execute(query).all()
        return [pb.EgressLine(to=r[0], tag=r[1], disclosure=r[2], messages=r[3], bytes=r[4]) for r in rows]

    def jobs(self) -> list[str]:
        """Jobs with at least one line."""
        with self._transaction() as c:
            return list(c.execute(select(lines.c.job).distinct().order_by(lines.c.job)).scalars())

    def anchor(self) -> None:
        """Remember the chain's length and value in the vault, so that rows up to here cannot be cut off unnoticed."""
        with self._lock:
            self.flush()
            with self._transaction() as c:
                n, chain = self._head(c)
            self._vault.put(_ANCHOR, canonical({"n": n, "chain": chain.hex()}))

    def verify(self) -> int:
        """Check every row against the chain; returns how many there are. ParleyError "ledger_broken" names the row."""
        anchor = parse(self._vault.get(_ANCHOR)) if self._vault.has(_ANCHOR) else {"n": 0, "chain": _ORIGIN.hex()}
        self.flush()
        n, chain = 0, _ORIGIN
        met = anchor["n"] == 0
        with self._transaction() as c:
            for found in c.execution_options(yield_per=1000).execute(select(lines).order_by(lines.c.n)).mappings():
                row = dict(found)
                chain = self._link(chain, row)
                n += 1
                if row["n"] != n or not hmac.compare_digest(chain, row["chain"]):
                    raise _broken(f"Row {n} of the egress ledger does not follow from the rows before it.")
                met = met or (n == anchor["n"] and chain.hex() == anchor["chain"])
        if not met:
            raise _broken("The egress ledger is shorter than it was.")
        return n

    def close(self) -> None:
        """Flush, anchor what this process wrote, and let go of the file."""
        if self._wrote or self._pending:
            self.anchor()
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.begin() if write else reading(self._engine) as connection:
                yield connection
        except OperationalError:
            raise ParleyError(
                "ledger_unavailable",
                "The egress ledger cannot be used, so nothing may leave.",
                "Look at disk space and at other processes using this home.",
                retryable=True,
            ) from None

    def _append(self, rows: list[Row]) -> int:
        """Add rows in one transaction and return the last one's number."""
        with self._transaction(write=True) as c:
            n, chain = self._head(c)
            out = []
            for row in rows:
                n += 1
                chain = self._link(chain, {**row, "n": n})
                out.append({**row, "n": n, "chain": chain})
            c.execute(insert(lines), out)
        self._wrote = True
        return n

    def _head(self, c: Connection) -> tuple[int, bytes]:
        row = c.execute(select(lines.c.n, lines.c.chain).order_by(lines.c.n.desc()).limit(1)).one_or_none()
        return (0, _ORIGIN) if row is None else (int(row[0]), bytes(row[1]))

    def _link(self, chain: bytes, row: Row) -> bytes:
        fields = [row[c.name] for c in lines.c if c.name not in ("payload", "chain")]
        return hmac.digest(self._key, chain + canonical([*fields, row["payload"].hex()]), hashlib.sha256)


class JobLedger:
    """One job's lines; what `protocols.kit.gate.EgressLedger` asks for.

    Payload hashes are keyed with the job's own secret, so that the ledger tests no guess about a payload.
    """

    def __init__(self, ledger: Ledger, job: str, key: bytes) -> None:
        self._ledger, self._job, self._key = ledger, job, key

    def open(self, *, to: str, tag: str, disclosure: str, step: str, attempt: int, seq: int, cap: int) -> Line:
        about = {
            "job": self._job,
            "step": step,
            "attempt": attempt,
            "seq": seq,
            "to": to,
            "tag": tag,
            "disclosure": disclosure,
        }
        return self._ledger.open_line(about, cap)

    def close(self, line: Line, total: int, digest: bytes) -> None:
        self._ledger.close_line(line, total, hmac.digest(self._key, digest, hashlib.sha256))


def _broken(cause: str) -> ParleyError:
    return ParleyError(
        "ledger_broken", cause, "Keep the file for an examination and restore home and vault from a backup."
    )
