"""One party's Iceberg warehouse: a SQLite catalog and a folder of Parquet files, for one host.

Every table has the column `_row`, an int64 given to each row when it is imported: unique within the table,
rising in import order, and never given again, also not after a replacement or after the table was dropped.
Writers on one host take turns by a lock file; readers need none, because a snapshot never changes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from parley.components.errors import DataError, unknown_name
from parley.components.lakehouse.lock import exclusive
from parley.components.lakehouse.readers import read_csv, read_parquet
from parley.components.lakehouse.tables import (
    NEXT_ROW,
    ROW,
    StoredFiles,
    TableInfo,
    checked,
    columns_at,
    current,
    data_files,
    rows_of,
    stamped,
    stored_files,
    table_info,
    tags_of,
)
from parley.components.lakehouse.types import to_stored, type_name

WRITE_TIMEOUT_S = 60.0
_NAMESPACE = "data"
_TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Warehouse:
    """The tables under `root` (folders get mode 0700); safe to open in several processes of one host."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        files = self._root / "tables"
        for folder in (self._root, files):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        catalog_file = self._root / "catalog.db"
        self._lock = self._root / "write.lock"
        with exclusive(self._lock, WRITE_TIMEOUT_S):
            # SQLite would make the file with the umask's mode.
            os.close(os.open(catalog_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._catalog = SqlCatalog("parley", uri=f"sqlite:///{catalog_file}", warehouse=f"file://{files}")
            self._catalog.create_namespace_if_not_exists(_NAMESPACE)

    def close(self) -> None:
        """Let go of the catalog's database handles."""
        self._catalog.close()

    # Reading

    def tables(self) -> list[TableInfo]:
        """Every table, by name."""
        names = sorted(identifier[-1] for identifier in self._catalog.list_tables(_NAMESPACE))
        return [self.info(name) for name in names]

    def info(self, name: str) -> TableInfo:
        """The current state of one table; DataError `unknown_table`."""
        table = self._load(name)
        return table_info(name, table)

    def snapshot(self, name: str) -> int:
        """The id of the table's current snapshot."""
        return current(name, self._load(name)).snapshot_id

    def tags(self, name: str) -> dict[str, int]:
        """Tag names and the snapshots that they keep."""
        return tags_of(self._load(name))

    def read(
        self,
        name: str,
        *,
        snapshot_id: int | None = None,
        tag: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The rows of one snapshot (the current one by default) in `_row` order, in stored types.

        The result's first column is always `_row`; `columns` chooses and orders the others.
        Raises DataError `unknown_table`, `unknown_tag`, `unknown_snapshot`, `unknown_column`.
        """
        table = self._load(name)
        chosen = self._choose(name, table, snapshot_id, tag)
        known = list(columns_at(table, chosen))
        wanted = [c for c in (known if columns is None else columns) if c != ROW]
        for column in wanted:
            if column not in known:
                raise unknown_name("column", column, known)
        scan = table.scan(snapshot_id=chosen.snapshot_id, selected_fields=(ROW, *wanted))
        rows = scan.to_arrow().select([ROW, *wanted])
        return to_stored(rows if _ascending(rows.column(ROW)) else rows.sort_by(ROW)).combine_chunks()

    def stored(self, name: str, *, tag: str | None = None) -> StoredFiles:
        """Where the rows of one snapshot lie, for a reader that takes them column by column; errors as `read`."""
        table = self._load(name)
        return stored_files(table, self._choose(name, table, None, tag))

    # Writing

    def import_table(
        self,
        name: str,
        source: Path,
        *,
        columns: Mapping[str, str] | None = None,
        strings: Sequence[str] = (),
        nulls: Sequence[str] = (),
        replace: bool = False,
    ) -> TableInfo:
        """A new table from the CSV or Parquet file `source` (by its suffix), verified row by row count.

        `columns` gives some columns a type, `strings` keeps some as text, `nulls` lists cells that mean
        missing (`readers` has the rules). `replace=True` puts the file in an existing
        table's place: older snapshots keep their rows and schema, `_row` goes on counting.
        Raises DataError, among others `table_exists`.
        """
        rows = load_file(source, columns=columns, strings=strings, nulls=nulls)
        return self.create(name, rows, replace=replace)

    def create(self, name: str, rows: pa.Table, *, replace: bool = False) -> TableInfo:
        """A new table from an Arrow table without `_row`; as `import_table` otherwise."""
        if not _TABLE_NAME.fullmatch(name):
            raise DataError(
                "bad_table_name",
                "a table name starts with a letter and has at most 63 letters, digits, - and _",
            )
        rows = checked(rows)
        with self._writing():
            if self._catalog.table_exists((_NAMESPACE, name)):
                if not replace:
                    raise DataError("table_exists", f"table {name!r} exists", "replace it, or append to it")
                return self._replace(name, rows)
            first = int(self._catalog.load_namespace_properties(_NAMESPACE).get(_retired(name), "0"))
            new = stamped(rows, first)
            # Creation, rows and counter are one commit: there is never half an import.
            with self._catalog.create_table_transaction((_NAMESPACE, name), schema=new.schema) as transaction:
                transaction.append(new)
                transaction.set_properties({NEXT_ROW: str(first + rows.num_rows)})
            return self._verified(name, rows.num_rows)

    def append(self, name: str, rows: pa.Table) -> TableInfo:
        """Add rows with the same columns, in any order; DataError `schema_mismatch` where they differ."""
        rows = checked(rows)
        with self._writing():
            table = self._load(name)
            before = table_info(name, table)
            given = {f.name: type_name(f.type) for f in rows.schema}
            if given != before.columns:
                differing = sorted({column for column, _ in given.items() ^ before.columns.items()})
                raise DataError(
                    "schema_mismatch",
                    f"the rows do not have the columns of table {name!r}: {differing} differ",
                    "give the same column names and types",
                )
            first = int(table.properties[NEXT_ROW])
            new = stamped(rows.select(list(before.columns)), first)
            with table.transaction() as transaction:
                transaction.append(new)
                transaction.set_properties({NEXT_ROW: str(first + rows.num_rows)})
            return self._verified(name, before.rows + rows.num_rows)

    def drop(self, name: str) -> None:
        """Remove a table with all its snapshots and files; `table_tagged` while a tag is on it."""
        with self._writing():
            table = self._load(name)
            tags = tags_of(table)
            if tags:
                raise DataError(
                    "table_tagged",
                    f"table {name!r} is in use: {len(tags)} of its snapshots are tagged",
                    "wait for the jobs that use it, or remove the tags",
                )
            next_row = table.properties[NEXT_ROW]
            self._catalog.update_namespace_properties(_NAMESPACE, updates={_retired(name): next_row})
            self._catalog.purge_table((_NAMESPACE, name))

    def tag(self, name: str, snapshot_id: int, tag: str) -> None:
        """Keep a snapshot under `tag`; the same tag on the same snapshot again is no error.

        Raises DataError `unknown_snapshot`, `bad_tag`, and `tag_exists` when the tag is on another snapshot.
        """
        if not _TAG_NAME.fullmatch(tag) or tag == "main":
            raise DataError("bad_tag", "a tag has at most 128 letters, digits, points, - and _")
        with self._writing():
            table = self._load(name)
            self._choose(name, table, snapshot_id, None)
            held = tags_of(table).get(tag)
            if held == snapshot_id:
                return
            if held is not None:
                raise DataError("tag_exists", f"tag {tag!r} of table {name!r} is on another snapshot")
            table.manage_snapshots().create_tag(snapshot_id, tag).commit()

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag; DataError `unknown_tag`."""
        with self._writing():
            table = self._load(name)
            tags = tags_of(table)
            if tag not in tags:
                raise unknown_name("tag", tag, tags)
            table.manage_snapshots().remove_tag(tag).commit()

    def expire(self, name: str, keep: int) -> int:
        """Forget all but the newest `keep` >= 1 snapshots and the tagged ones; returns how many went.

        Data files that no remaining snapshot uses are deleted.
        """
        if keep < 1:
            raise DataError("bad_parameter", "at least one snapshot is kept", "keep is 1 or more")
        with self._writing():
            table = self._load(name)
            snapshots = sorted(table.snapshots(), key=lambda s: s.sequence_number or 0)
            tagged = set(tags_of(table).values())
            gone = [s for s in snapshots[:-keep] if s.snapshot_id not in tagged]
            if not gone:
                return 0
            ids = {s.snapshot_id for s in gone}
            kept = [s for s in snapshots if s.snapshot_id not in ids]
            unused = data_files(table, gone) - data_files(table, kept)
            table.maintenance.expire_snapshots().by_ids(sorted(ids)).commit()
            for path in unused:
                table.io.delete(path)
            return len(gone)

    # Inside

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with exclusive(self._lock, WRITE_TIMEOUT_S):
            try:
                yield
            except CommitFailedException:
                raise DataError(
                    "concurrent_change", "the table changed while it was being written", "try again"
                ) from None

    def _load(self, name: str) -> Table:
        try:
            return self._catalog.load_table((_NAMESPACE, name))
        except NoSuchTableError:
            names = [identifier[-1] for identifier in self._catalog.list_tables(_NAMESPACE)]
            raise unknown_name("table", name, names) from None

    def _choose(self, name: str, table: Table, snapshot_id: int | None, tag: str | None) -> Snapshot:
        """The snapshot asked for by id or by tag (not both), or the current one."""
        if snapshot_id is not None and tag is not None:
            raise DataError("bad_parameter", "a snapshot is chosen by id or by tag, not by both")
        if tag is not None:
            tags = tags_of(table)
            if tag not in tags:
                raise unknown_name("tag", tag, tags)
            snapshot_id = tags[tag]
        if snapshot_id is None:
            return current(name, table)
        found = table.snapshot_by_id(snapshot_id)
        if found is None:
            raise DataError("unknown_snapshot", f"table {name!r} has no snapshot {snapshot_id}")
        return found

    def _replace(self, name: str, rows: pa.Table) -> TableInfo:
        table = self._load(name)
        first = int(table.properties[NEXT_ROW])
        new = stamped(rows, first)
        old_columns = columns_at(table, current(name, table))
        same = list(old_columns.items()) == [(f.name, type_name(f.type)) for f in rows.schema]
        with table.transaction() as transaction:
            if not same:
                # Two updates, because one refuses to add a name that it has just deleted.
                with transaction.update_schema(allow_incompatible_changes=True) as update:
                    for column in old_columns:
                        update.delete_column(column)
                with transaction.update_schema() as update:
                    update.union_by_name(new.schema)
            transaction.overwrite(new)
            transaction.set_properties({NEXT_ROW: str(first + rows.num_rows)})
        return self._verified(name, rows.num_rows)

    def _verified(self, name: str, rows: int) -> TableInfo:
        """The table's state as another reader sees it, after a check of the stored row count."""
        table = self._load(name)
        snapshot = current(name, table)
        stored = table.scan(selected_fields=(ROW,)).to_arrow().num_rows
        if stored != rows or rows_of(snapshot) != rows:
            raise DataError("row_count_mismatch", f"{rows} rows were given but {stored} are stored in table {name!r}")
        return table_info(name, table)


def _ascending(rows: pa.ChunkedArray) -> bool:
    """Whether row ids are in order already, as they are unless files were written side by side."""
    ids = rows.to_numpy()
    return bool(np.all(ids[1:] > ids[:-1]))


def _retired(name: str) -> str:
    """The catalog property that remembers a dropped table's next row number."""
    return f"retired-next-row.{name}"


def load_file(
    source: Path,
    *,
    columns: Mapping[str, str] | None = None,
    strings: Sequence[str] = (),
    nulls: Sequence[str] = (),
) -> pa.Table:
    """The rows of a `.csv`, `.tsv` or `.parquet` file in stored types, row count verified; see `readers`."""
    suffix = source.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return read_parquet(source, columns={**(columns or {}), **dict.fromkeys(strings, "string")})
    if suffix not in (".csv", ".tsv"):
        raise DataError("unknown_format", f"{source.name} is neither CSV nor Parquet", "use .csv or .parquet")
    delimiter = "\t" if suffix == ".tsv" else ","
    return read_csv(source, columns=columns, strings=strings, nulls=nulls, delimiter=delimiter)
