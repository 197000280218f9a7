"""How often each party has probed each dataset of this party's, and no more often than the policy allows.

Guarantee: a run is counted on disk before its first byte leaves, and once only; runs at the same time, from threads or
processes, never get more than the limit together; a count survives every end of the process. A dataset that was
replaced is counted anew. Not guaranteed: anything against whoever may write to this party's files; that two parties
who ask are not one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from parley.party.database import open_database, reading
from parley.wire.errors import ParleyError

VERSION = 1
METADATA = MetaData()
spent = Table(
    "spent",
    METADATA,
    Column("prober", String, primary_key=True),  # fingerprint
    Column("dataset", String, primary_key=True),
    Column("snapshot", String, primary_key=True),
    Column("name", String, nullable=False),  # of the prober, at its first run
    Column("used", Integer, nullable=False),
)
runs = Table(
    "runs",
    METADATA,
    Column("job", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("prober", String, primary_key=True),
)


@dataclass(frozen=True)
class Probed:
    """One state of one dataset of this party's."""

    party: str
    dataset: str
    snapshot: int


@dataclass(frozen=True)
class Run:
    """One attempt of a step."""

    job: str
    step: str
    attempt: int


@dataclass(frozen=True)
class Spent:
    """How often the party `name` has probed a dataset."""

    name: str
    prober: str
    dataset: str
    snapshot: int
    used: int


class Budgets:
    """The counts at `path`."""

    def __init__(self, path: Path) -> None:
        self._engine = open_database(path, METADATA, VERSION)

    def charge(self, run: Run, probers: Mapping[str, str], what: Probed, limit: int) -> None:
        """Count one run for each prober (name -> fingerprint), or none; a run that was counted costs nothing again.

        ParleyError "probe_budget" when one of them has used up its `limit` runs.
        """
        with self._transaction() as c:
            for name, prober in sorted(probers.items()):
                noted = insert(runs).values(job=run.job, step=run.step, attempt=run.attempt, prober=prober)
                if c.execute(noted.on_conflict_do_nothing()).rowcount:
                    self._count(c, name, prober, what, limit)

    def _count(self, c: Connection, name: str, prober: str, what: Probed, limit: int) -> None:
        key = {"prober": prober, "dataset": what.dataset, "snapshot": str(what.snapshot)}
        c.execute(insert(spent).values(**key, name=name, used=0).on_conflict_do_nothing())
        mine = [spent.c[k] == v for k, v in key.items()]
        one_more = update(spent).where(*mine, spent.c.used < limit).values(used=spent.c.used + 1)
        if not c.execute(one_more).rowcount:
            raise _over(name, what, c.execute(select(spent.c.used).where(*mine)).scalar_one(), limit)

    def require(self, probers: Mapping[str, str], what: Probed, wanted: int, limit: int) -> None:
        """ParleyError "probe_budget" unless each prober has `wanted` runs left; nothing is counted."""
        for name, prober in sorted(probers.items()):
            used = self.used(prober, what)
            if used + wanted > limit:
                raise _over(name, what, used, limit)

    def used(self, prober: str, what: Probed) -> int:
        """Runs that a prober (its fingerprint) has had of this state of a dataset."""
        query = select(spent.c.used).where(
            spent.c.prober == prober, spent.c.dataset == what.dataset, spent.c.snapshot == str(what.snapshot)
        )
        with self._transaction(write=False) as c:
            return int(c.execute(query).scalar() or 0)

    def all(self) -> list[Spent]:
        """Every count, by dataset, snapshot and name."""
        with self._transaction(write=False) as c:
            found = [
                Spent(r["name"], r["prober"], r["dataset"], int(r["snapshot"]), r["used"])
                for r in c.execute(select(spent)).mappings()
            ]
        return sorted(found, key=lambda f: (f.dataset, f.snapshot, f.name, f.prober))

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, write: bool = True) -> Iterator[Connection]:
        try:
            with self._engine.begin() if write else reading(self._engine) as connection:
                yield connection
        except OperationalError:
            raise ParleyError(
                "budgets_unavailable",
                "The counts of intersections cannot be used, so nothing may leave.",
                "Look at disk space and at other processes using this home.",
                retryable=True,
            ) from None


def _over(name: str, what: Probed, used: int, limit: int) -> ParleyError:
    return ParleyError(
        "probe_budget",
        f"{what.party} allows {name} {limit} intersections with its dataset {what.dataset} by its rule "
        f"intersections.runs, and {used} were used, attempts that failed among them.",
        f"{what.party}'s operator decides that in policy.yaml; a replaced dataset is counted anew.",
        party=what.party,
    )
