"""The warehouse: row ids, snapshots, tags, expiry, row-count checks, several writers, commitments."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parley.components.errors import DataError
from parley.components.lakehouse import ROW, Warehouse, commitment
from parley.components.lakehouse import warehouse as module

KEY = bytes(range(32))


@pytest.fixture
def house(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "house")


def rows(*ids: str, value: float = 1.0) -> pa.Table:
    return pa.table({"id": list(ids), "v": [value] * len(ids)})


def code_of(caught: pytest.ExceptionInfo[DataError]) -> str:
    return caught.value.code


def test_import_keeps_ids_and_nulls_and_reports_the_table(house: Warehouse, tmp_path: Path) -> None:
    source = tmp_path / "loans.csv"
    source.write_text("id,amount,grade\n001,10,A\n002,,B\n010,2.5,\n")
    info = house.import_table("loans", source)
    assert (info.rows, info.columns) == (3, {"id": "string", "amount": "float64", "grade": "string"})
    assert house.tables() == [info]
    assert house.snapshot("loans") == info.snapshot
    table = house.read("loans")
    assert table.to_pydict() == {
        ROW: [0, 1, 2],
        "id": ["001", "002", "010"],
        "amount": [10.0, None, 2.5],
        "grade": ["A", "B", None],
    }
    assert house.read("loans", columns=["grade", "id"]).column_names == [ROW, "grade", "id"]


def test_row_ids_are_never_given_twice(house: Warehouse) -> None:
    first = house.create("t", rows("a", "b"))
    house.append("t", rows("c").select(["v", "id"]))
    assert house.read("t").column(ROW).to_pylist() == [0, 1, 2]
    assert house.read("t").column("id").to_pylist() == ["a", "b", "c"]
    replaced = house.create("t", pa.table({"v": ["text"], "id": [7], "new": [True]}), replace=True)
    assert replaced.columns == {"v": "string", "id": "int64", "new": "bool"}
    assert house.read("t").to_pydict() == {ROW: [3], "v": ["text"], "id": [7], "new": [True]}
    assert house.read("t", snapshot_id=first.snapshot).to_pydict() == {
        ROW: [0, 1],
        "id": ["a", "b"],
        "v": [1.0, 1.0],
    }
    house.drop("t")
    house.create("t", rows("z"))
    assert house.read("t").column(ROW).to_pylist() == [4]


def test_a_table_survives_reopening(tmp_path: Path) -> None:
    Warehouse(tmp_path / "h").create("t", rows("a"))
    again = Warehouse(tmp_path / "h")
    assert again.append("t", rows("b")).rows == 2
    assert again.read("t").column(ROW).to_pylist() == [0, 1]


def test_tags_keep_snapshots_through_expiry_and_files_go(house: Warehouse, tmp_path: Path) -> None:
    first = house.create("t", rows("a")).snapshot
    house.tag("t", first, "job-1")
    house.tag("t", first, "job-1")
    for name in "bcd":
        house.create("t", rows(name), replace=True)
    files = tmp_path / "house" / "tables"
    before = len(list(files.rglob("*.parquet")))
    assert house.expire("t", 1) > 0
    assert len(list(files.rglob("*.parquet"))) == 2 < before
    assert house.read("t", tag="job-1").column("id").to_pylist() == ["a"]
    assert house.read("t").column("id").to_pylist() == ["d"]
    with pytest.raises(DataError) as caught:
        house.drop("t")
    assert code_of(caught) == "table_tagged"
    house.untag("t", "job-1")
    assert house.expire("t", 1) == 1
    with pytest.raises(DataError) as caught:
        house.read("t", snapshot_id=first)
    assert code_of(caught) == "unknown_snapshot"
    house.drop("t")
    assert house.tables() == []
    assert not list(files.rglob("*.parquet"))


def test_refusals_name_the_cause(house: Warehouse, tmp_path: Path) -> None:
    first = house.create("loans", rows("a")).snapshot
    house.tag("loans", first, "x")
    second = house.append("loans", rows("b")).snapshot
    header = tmp_path / "h.csv"
    header.write_text("a,b\n")
    cases = [
        ("table_exists", lambda: house.create("loans", rows("a"))),
        ("unknown_table", lambda: house.read("loan")),
        ("unknown_column", lambda: house.read("loans", columns=["ident"])),
        ("unknown_tag", lambda: house.read("loans", tag="y")),
        ("bad_parameter", lambda: house.read("loans", tag="x", snapshot_id=first)),
        ("unknown_snapshot", lambda: house.tag("loans", 5, "z")),
        ("tag_exists", lambda: house.tag("loans", second, "x")),
        ("bad_tag", lambda: house.tag("loans", first, "main")),
        ("unknown_tag", lambda: house.untag("loans", "main")),
        ("bad_table_name", lambda: house.create("../x", rows("a"))),
        ("schema_mismatch", lambda: house.append("loans", pa.table({"id": [1], "v": [1.0]}))),
        ("no_rows", lambda: house.import_table("h", header)),
        ("unknown_format", lambda: house.import_table("h", tmp_path / "h.xlsx")),
        ("unreadable_file", lambda: house.import_table("h", tmp_path / "absent.csv")),
        ("bad_column_name", lambda: house.create("h", pa.table({ROW: [1]}))),
        ("bad_parameter", lambda: house.expire("loans", 0)),
    ]
    for code, act in cases:
        with pytest.raises(DataError) as caught:
            act()
        assert code_of(caught) == code
    assert house.info("loans").rows == 2


def test_a_failed_creation_leaves_no_table(house: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pyiceberg.table.Transaction.append", full)
        with pytest.raises(OSError, match="No space"):
            house.create("t", rows("a"))
    assert house.tables() == []
    assert house.create("t", rows("a")).rows == 1


def test_lost_rows_are_noticed(house: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "stamped", lambda table, first: real(table.slice(1), first))
    with pytest.raises(DataError) as caught:
        house.create("t", rows("a", "b", "c"))
    assert code_of(caught) == "row_count_mismatch"


real = module.stamped


def test_folders_and_catalog_are_private(house: Warehouse, tmp_path: Path) -> None:
    root = tmp_path / "house"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "tables").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "catalog.db").stat().st_mode) == 0o600


def test_two_processes_append_without_losing_rows(house: Warehouse, tmp_path: Path) -> None:
    house.create("t", rows("seed"))
    program = (
        "import sys, pathlib, pyarrow as pa\n"
        "from parley.components.lakehouse import Warehouse\n"
        "house = Warehouse(pathlib.Path(sys.argv[1]))\n"
        "for i in range(4): house.append('t', pa.table({'id': [sys.argv[2]], 'v': [0.5]}))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "house")]
    workers = [subprocess.Popen([*command, name]) for name in ("p", "q")]
    assert [w.wait(timeout=60) for w in workers] == [0, 0]
    table = house.read("t")
    assert table.column(ROW).to_pylist() == list(range(9))
    assert sorted(table.column("id").to_pylist()) == ["p"] * 4 + ["q"] * 4 + ["seed"]


def test_a_busy_warehouse_is_given_up_after_the_deadline(house: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_TIMEOUT_S", 0.05)
    with house._writing(), pytest.raises(DataError) as caught:
        house.create("t", rows("a"))
    assert code_of(caught) == "busy"


MIXED = pa.table(
    {
        "i": pa.array([1, None, 3, 4]),
        "s": pa.array(["a", "", None, "bc"]),
        "f": pa.array([0.0, np.nan, None, np.inf]),
        "b": pa.array([True, None, False, True]),
        "d": pa.array([1, 2, None, 4], pa.date32()),
    }
)


def test_commitment_ignores_the_physical_layout() -> None:
    digest = commitment(MIXED, KEY)
    chunked = pa.concat_tables([MIXED.slice(0, 1), MIXED.slice(1, 2), MIXED.slice(3)])
    wide = MIXED.set_column(1, "s", MIXED.column("s").cast(pa.large_string()).dictionary_encode())
    padded = pa.concat_tables([MIXED, MIXED]).slice(4, 4)
    assert len(digest) == 32
    assert all(commitment(t, KEY) == digest for t in (chunked, wide, padded))


def test_commitment_changes_with_every_cell_name_type_order_and_key() -> None:
    seen = {commitment(MIXED, KEY), commitment(MIXED, KEY[::-1]), commitment(MIXED.slice(0, 3), KEY)}
    variants = [
        MIXED.rename_columns(["i2", "s", "f", "b", "d"]),
        MIXED.select(["s", "i", "f", "b", "d"]),
        MIXED.take([1, 0, 2, 3]),
        MIXED.set_column(0, "i", pa.array([1.0, None, 3.0, 4.0])),
        MIXED.set_column(0, "i", pa.array([1, 0, 3, 4])),
        MIXED.set_column(1, "s", pa.array(["a", None, None, "bc"])),
        MIXED.set_column(1, "s", pa.array(["a", "b", None, "c"])),
        MIXED.set_column(2, "f", pa.array([-0.0, np.nan, None, np.inf])),
        MIXED.set_column(3, "b", pa.array([True, None, True, True])),
        MIXED.set_column(4, "d", pa.array([1, 2, None, 5], pa.date32())),
    ]
    digests = {commitment(t, KEY) for t in variants} | seen
    assert len(digests) == len(variants) + 3
    with pytest.raises(DataError, match="weak_key"):
        commitment(MIXED, b"short")


def test_commitment_of_a_snapshot_is_stable(house: Warehouse) -> None:
    first = house.create("t", rows("a", "b")).snapshot
    before = commitment(house.read("t"), KEY)
    house.append("t", rows("c"))
    assert commitment(house.read("t", snapshot_id=first), KEY) == before
    assert commitment(house.read("t"), KEY) != before


def test_stored_files_are_read_as_the_whole_table_is(house: Warehouse) -> None:
    """Names that Parquet cannot have, types that Iceberg widens, several files, and the state of a tag."""
    first = pa.table({"an id": ["a", "b", None], "n": pa.array([1, None, 3], pa.int32()), "x.y": [0.5, 1.5, None]})
    house.create("t", first)
    house.append("t", pa.table({"an id": ["z"], "n": [9], "x.y": [2.5]}))
    house.tag("t", house.snapshot("t"), "held")
    house.create("t", pa.table({"other": [True]}), replace=True)
    found = house.stored("t", tag="held")
    whole = house.read("t", tag="held")
    assert (found.rows, found.schema) == (4, whole.schema)
    assert len(found.paths) == 2
    parts = [pq.read_table(p, columns=[found.names[c] for c in whole.column_names]) for p in found.paths]
    read = pa.concat_tables([p.rename_columns(whole.column_names).cast(whole.schema) for p in parts])
    assert read.equals(whole)
    assert house.stored("t").schema.names == [ROW, "other"]
