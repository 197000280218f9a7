"""A party's dataset where it lies, read column by column: for a step that may not hold the whole table in memory.

The step's process gets open files and a nameless scratch file, and no path. Columns come in the types that the whole
table would have; rows in the files' order, which is that of `_row` unless files were written side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.crypto.scratch import Scratch
from parley.protocols.kit.pipework import WINDOW

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]
ROW = "_row"
BUFFER = 1 << 20
SMALLEST, LARGEST = 1024, 65_536  # rows of a batch
SHARE = 16  # a batch is held in a few copies, and beside other things


@dataclass(frozen=True)
class Stored:
    """`files` are paths or open descriptors of Parquet files, `names` what a column is called in them; `schema` (with
    `_row`) its type in memory. `scratch` is a folder for a nameless file, or one that is open. `memory_mb` is what the
    step may hold beside its program and what its protocol keeps of every row."""

    files: tuple[str | int, ...] = field(repr=False)
    names: Mapping[str, str] = field(repr=False)
    schema: pa.Schema = field(repr=False)
    scratch: str | int = field(repr=False)
    memory_mb: int
    rows: int

    @property
    def window(self) -> int:
        """Bytes of each peer's messages that may wait for the step, in one direction."""
        return min((self.memory_mb << 20) // SHARE, WINDOW)

    @property
    def columns(self) -> list[str]:
        return [c for c in self.schema.names if c != ROW]

    def column(self, name: str) -> pa.ChunkedArray:
        """(n,) one column in the files' order."""
        return self._table([name]).column(0)

    def ids(self) -> Ints:
        """(n,) the row ids in the files' order."""
        return np.asarray(self.column(ROW).to_numpy(), dtype=np.int64)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """`_row` and the columns (all when None), in `_row` order, all rows in memory."""
        table = self._table([ROW, *(self.columns if columns is None else (c for c in columns if c != ROW))])
        ids = table.column(0).to_numpy()
        return table if bool(np.all(ids[1:] > ids[:-1])) else table.sort_by(ROW)

    def batches(self) -> Iterator[pa.Table]:
        """All columns of a few rows at a time, in the files' order."""
        import pyarrow as pa

        fitting = (self.memory_mb << 20) // SHARE // (8 * max(1, len(self.schema)))
        rows = min(max(fitting, SMALLEST), LARGEST)
        wanted = self.schema.names
        for file in self._opened():
            for batch in file.iter_batches(batch_size=rows, columns=[self.names[c] for c in wanted]):
                yield self._typed(pa.Table.from_batches([batch]), wanted)

    def open_scratch(self) -> Scratch:
        """A file that nobody else can open by name and that goes with this process."""
        if isinstance(self.scratch, int):
            return Scratch(self.scratch)
        return Scratch(nameless(self.scratch))

    def _table(self, wanted: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        parts = [self._typed(f.read(columns=[self.names[c] for c in wanted]), wanted) for f in self._opened()]
        return pa.concat_tables(parts) if parts else self.schema.empty_table().select(list(wanted))

    def _typed(self, table: pa.Table, wanted: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        columns = [table.column(self.names[c]).cast(self.schema.field(c).type) for c in wanted]
        return pa.table(columns, schema=pa.schema([self.schema.field(c) for c in wanted]))

    def _opened(self) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import parquet

        for file in self.files:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC) if isinstance(file, str) else os.dup(file)
            with os.fdopen(fd, "rb", buffering=0) as raw, pa.PythonFile(raw, mode="r") as source:
                raw.seek(0)
                yield parquet.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False)

    # ------------------------------------------------------------ from the daemon to its step's process

    def opened(self) -> tuple[Stored, list[int]]:
        """The same with every file open, and the descriptors, which the caller closes."""
        fds = [os.open(f, os.O_RDONLY | os.O_CLOEXEC) for f in self.files if isinstance(f, str)]
        scratch = nameless(self.scratch) if isinstance(self.scratch, str) else self.scratch
        return replace(self, files=tuple(fds), scratch=scratch), [*fds, scratch]

    def to_dict(self) -> dict[str, Any]:
        """For the codec, once it is open."""
        return {
            "files": list(self.files),
            "names": dict(self.names),
            "schema": self.schema.serialize().to_pybytes(),
            "scratch": self.scratch,
            "memory_mb": self.memory_mb,
            "rows": self.rows,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Stored:
        import pyarrow as pa

        schema = pa.ipc.read_schema(pa.py_buffer(value["schema"]))
        files = tuple(int(f) for f in value["files"])
        numbers = (int(value[k]) for k in ("scratch", "memory_mb", "rows"))
        return cls(files, dict(value["names"]), schema, *numbers)


def nameless(folder: str) -> int:
    """A new file of the folder's volume that has no name, for reading and writing; OSError where it cannot be."""
    return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
