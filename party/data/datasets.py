"""Datasets: this party's tables, and what of them a contract states.

Guarantee: a job reads exactly the snapshot it offered, which stays until `release`; an offer shows name, snapshot
number, rounded row count, column count and a keyed commitment, no cell and no column name. Not guaranteed: that the
warehouse's files are encrypted; that is the volume's part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from parley.components.lakehouse import TableInfo, Warehouse, commitment
from parley.components.lakehouse.commit import commitment_of
from parley.party.errors import converted, did_you_mean
from parley.party.files import private_folder
from parley.protocols.kit.stored import Stored
from parley.wire.contract import DatasetOffer, bucket
from parley.wire.errors import ParleyError
from parley.wire.identity import NAME

if TYPE_CHECKING:
    from parley.party.home import PartyHome


# What a step that holds its whole table may come to, which decides whether it does: copies of the table while its rows
# are put in order, bytes of a text cell, and bytes of a row's gradients under encryption.
COPIES, TEXT_BYTES, CIPHERTEXT_BYTES = 4, 24, 1200


class Datasets:
    """The warehouse of one party home."""

    def __init__(self, home: PartyHome) -> None:
        self._home, self._vault = home, home.vault
        self._commitments: dict[tuple[str, int], tuple[tuple[int, int], bytes]] = {}
        with converted():
            self._warehouse = Warehouse(home.path / "warehouse")

    def add(self, name: str, source: Path | str, strings: Sequence[str] = (), replace: bool = False) -> TableInfo:
        """Import a CSV, TSV or Parquet file, row count verified; `strings` keeps columns (ids) as text.

        ParleyError "dataset_exists", "bad_dataset_name", "no_such_file", or the reader's own refusal.
        """
        if not re.fullmatch(NAME, name):
            raise bad_name()
        path = Path(source)
        if not path.is_file():
            raise ParleyError("no_such_file", "The file to import does not exist.", "Check its path.")
        with converted():
            return self._warehouse.import_table(name, path, strings=strings, replace=replace)

    def union(self, name: str, of: Sequence[str]) -> TableInfo:
        """A new dataset of the rows of others with the same columns, one after another, with new row ids.

        ParleyError "unknown_dataset", "schema_mismatch", "dataset_exists", "bad_dataset_name".
        """
        if not re.fullmatch(NAME, name):
            raise bad_name()
        for one in of:
            self._require(one)
        with converted():
            infos = [self._warehouse.info(one) for one in of]
            for info in infos[1:]:
                if info.columns != infos[0].columns:
                    differing = sorted({c for c, _ in info.columns.items() ^ infos[0].columns.items()})
                    raise ParleyError(
                        "schema_mismatch",
                        f"{info.name} has other columns than {infos[0].name}: {', '.join(differing[:10])} differ.",
                        "Give the same names and types; `data add --text` keeps a column as text.",
                    )
            names = list(infos[0].columns)
            parts = [self._warehouse.read(one, columns=names).select(names) for one in of]
            return self._warehouse.create(name, pa.concat_tables(parts))

    def list(self) -> list[TableInfo]:
        """Every dataset, by name."""
        with converted():
            return self._warehouse.tables()

    def info(self, name: str) -> TableInfo:
        """Rows and columns of a dataset's newest state; ParleyError "unknown_dataset"."""
        self._require(name)
        with converted():
            return self._warehouse.info(name)

    def remarks(self, name: str) -> dict[str, str]:
        """Column -> what its owner should know of it: nothing but missing values, one value only, infinities."""
        from parley.components.features import remarks

        self._require(name)
        with converted():
            return remarks(self._warehouse.read(name))

    def schema(self, name: str, job: str) -> dict[str, str]:
        """Column name -> type name of the snapshot a job holds, `_row` left out."""
        from parley.components.lakehouse.types import type_name

        self._require(name)
        with converted():
            now = self._warehouse.info(name)
            if self._warehouse.tags(name).get(_tag(job)) == now.snapshot:
                return dict(now.columns)
            held = self._warehouse.stored(name, tag=_tag(job)).schema  # replaced meanwhile
            return {f.name: type_name(f.type) for f in held if f.name != "_row"}

    def offer(self, name: str, job: str) -> DatasetOffer:
        """Hold the newest snapshot for a job and say what the contract needs; the same again for the same job.

        The commitment is keyed with the dataset's own secret from the vault, for an auditor to open.
        """
        self._require(name)
        with converted():
            held = self._warehouse.tags(name).get(_tag(job))
            snapshot = self._warehouse.snapshot(name) if held is None else held
            self._warehouse.tag(name, snapshot, _tag(job))
            if (name, snapshot) not in self._commitments:  # a snapshot never changes
                key = self._vault.get_or_make(f"dataset/{name}")
                self._commitments[name, snapshot] = self._committed(name, job, key)
            (rows, columns), mac = self._commitments[name, snapshot]
        return DatasetOffer(
            name=name,
            snapshot=snapshot,
            rows=bucket(rows),
            columns=columns - 1,
            commitment=mac.hex(),
        )

    def _committed(self, name: str, job: str, key: bytes) -> tuple[tuple[int, int], bytes]:
        """Shape, `_row` counted, and commitment of the snapshot held for a job, which need not fit in memory."""
        stored = self.stored(name, job)
        if stored is None:
            table = self._warehouse.read(name, tag=_tag(job))
            return table.shape, commitment(table, key)
        ids = stored.ids()
        order = None if bool(np.all(ids[1:] > ids[:-1])) else pa.array(np.argsort(ids, kind="stable"))
        found = ((c, stored.column(c)) for c in stored.schema.names)
        sorted_ = ((c, column if order is None else column.take(order)) for c, column in found)
        shape = ids.size, len(stored.schema)
        return shape, commitment_of(sorted_, shape, key)

    def stored(self, name: str, job: str) -> Stored | None:
        """The snapshot held for a job where it lies, if the party's `memory_mb` is too little for it; else None."""
        memory = self._home.config.memory_mb
        if not memory:
            return None
        self._require(name)
        with converted():
            files = self._warehouse.stored(name, tag=_tag(job))
        wide = sum(8 if pa.types.is_primitive(t) else TEXT_BYTES for t in files.schema.types)
        if files.rows * (COPIES * wide + CIPHERTEXT_BYTES) <= memory << 20:
            return None
        scratch = str(private_folder(self._home.path / "scratch"))
        return Stored(files.paths, files.names, files.schema, scratch, memory, files.rows)

    def read(self, name: str, job: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows (with `_row` first) of the snapshot held for a job; ParleyError "unknown_column" and others."""
        self._require(name)
        with converted():
            return self._warehouse.read(name, tag=_tag(job), columns=columns)

    def release(self, job: str) -> None:
        """Let go of every snapshot held for a job; nothing happens when none is."""
        with converted():
            for table in self._warehouse.tables():
                if _tag(job) in self._warehouse.tags(table.name):
                    self._warehouse.untag(table.name, _tag(job))

    def close(self) -> None:
        self._warehouse.close()

    def _require(self, name: str) -> None:
        known = [t.name for t in self.list()]
        if name not in known:
            raise ParleyError(
                "unknown_dataset", f"This party has no dataset named {name[:63]}.", did_you_mean(name, known, "dataset")
            )


def bad_name() -> ParleyError:
    return ParleyError(
        "bad_dataset_name",
        "A dataset's name is not usable.",
        "Start with a small letter, then small letters, digits, - and _, at most 63.",
    )


def _tag(job: str) -> str:
    return f"job-{job}"
