"""What the warehouse needs to know about an Iceberg table: its columns, snapshots, files and row numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot

from parley.components.errors import DataError
from parley.components.lakehouse.readers import check_names
from parley.components.lakehouse.types import stored_type, to_stored, type_name

ROW = "_row"
NEXT_ROW = "parley.next-row"


@dataclass(frozen=True)
class TableInfo:
    """What a table is, without its rows: `columns` maps names to type names, `_row` left out."""

    name: str
    rows: int
    columns: dict[str, str]
    snapshot: int


@dataclass(frozen=True)
class StoredFiles:
    """Where a snapshot's rows lie: Parquet files by their first `_row`, `names` what a column is called in them, and
    `schema` (with `_row` first) the types that reading the whole snapshot gives."""

    paths: tuple[str, ...]
    names: dict[str, str]
    schema: pa.Schema
    rows: int


def stored_files(table: Table, snapshot: Snapshot) -> StoredFiles:
    """A snapshot's files; DataError "unreadable_files" where their columns differ, as no writer of ours leaves them."""
    schema = table.schemas()[snapshot.schema_id] if snapshot.schema_id is not None else table.schema()
    by_number = {field.field_id: field.name for field in schema.fields}
    paths = sorted(p.removeprefix("file://") for p in data_files(table, [snapshot]))
    firsts: list[int] = []
    names: dict[str, str] = {}
    for path in paths:
        with pq.ParquetFile(path) as file:
            found = {by_number.get(int(f.metadata[b"PARQUET:field_id"]), ""): f.name for f in file.schema_arrow}
            first = file.read_row_group(0, columns=[found[ROW]]).column(0)[0].as_py() if file.metadata.num_rows else 0
        if set(found) != set(by_number.values()) or names not in ({}, found):
            raise DataError("unreadable_files", "the files of a table have different columns", "import it again")
        names = found
        firsts.append(first)
    fields = {f.name: f for f in schema_to_pyarrow(schema, include_field_ids=False)}
    ordered = [ROW, *(n for n in fields if n != ROW)]
    types = to_stored(pa.schema([fields[n] for n in ordered]).empty_table()).schema
    in_order = [path for _, path in sorted(zip(firsts, paths, strict=True))]
    return StoredFiles(tuple(in_order), names, types, rows_of(snapshot))


def table_info(name: str, table: Table) -> TableInfo:
    """The current state of an open table."""
    snapshot = current(name, table)
    return TableInfo(name, rows_of(snapshot), columns_at(table, snapshot), snapshot.snapshot_id)


def current(name: str, table: Table) -> Snapshot:
    """The newest snapshot; DataError `empty_table` for a table that nobody has written to."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        raise DataError("empty_table", f"table {name!r} has no rows yet", "import it again with replace")
    return snapshot


def rows_of(snapshot: Snapshot) -> int:
    """The row count that the snapshot itself records."""
    summary = snapshot.summary
    return int(summary["total-records"] or "0") if summary is not None else 0


def columns_at(table: Table, snapshot: Snapshot) -> dict[str, str]:
    """Names and type names of a snapshot's columns, in order, without `_row`."""
    schema = table.schemas()[snapshot.schema_id] if snapshot.schema_id is not None else table.schema()
    fields = schema_to_pyarrow(schema, include_field_ids=False)
    return {f.name: type_name(stored_type(f.type) or f.type) for f in fields if f.name != ROW}


def tags_of(table: Table) -> dict[str, int]:
    """Tag names and the snapshot that each of them keeps."""
    refs = table.metadata.refs
    return {t: r.snapshot_id for t, r in refs.items() if r.snapshot_ref_type == SnapshotRefType.TAG}


def data_files(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """Paths of the data files that any of `snapshots` uses."""
    paths: set[str] = set()
    for snapshot in snapshots:
        for manifest in snapshot.manifests(table.io):
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            paths.update(e.data_file.file_path for e in entries if e.data_file.content == DataFileContent.DATA)
    return paths


def checked(rows: pa.Table) -> pa.Table:
    """`rows` in stored types with acceptable names, at least one row and no `_row`; else DataError."""
    rows = to_stored(rows.rename_columns(check_names(rows.column_names)))
    if rows.num_rows == 0:
        raise DataError("no_rows", "the table has a header but no rows", "give at least one row")
    return rows


def stamped(rows: pa.Table, first: int) -> pa.Table:
    """`rows` with `_row` = first, first + 1, ... as its first column."""
    ids = pa.array(np.arange(first, first + rows.num_rows, dtype=np.int64))
    return rows.add_column(0, pa.field(ROW, pa.int64()), ids)
