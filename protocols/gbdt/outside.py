"""A stored dataset's aligned rows, column by column: what boosting needs of a table that is not held whole.

One column at a time is read, prepared, put in the aligned order, binned by the rules that hold for a whole table, and
left in a scratch file as bins. Where earlier steps prepared columns, the table is gone through once, a few rows at a
time, and the prepared columns wait in the scratch file; transforms are functions of a row's own cells, so this gives
what they give on the whole table. Memory: about sixty bytes of each row while a column is binned, and eight afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parley.components.features import Binning, fit_bins
from parley.components.features.pipeline import Pipeline
from parley.protocols.frame import TRAIN
from parley.protocols.gbdt.data import PartData
from parley.protocols.gbdt.tiles import Tiles
from parley.protocols.inputs import ROW, need_columns, places
from parley.protocols.kit.stored import Stored

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]
Parts = NDArray[np.uint8]
AT_ONCE = 32  # of a step's memory, the share that ciphertexts handled in one go take: the sums need a few times as much


class Outside:
    """`rows` (n,) of a stored dataset, in that order, as `pipeline` prepares them."""

    def __init__(self, stored: Stored, rows: Ints, pipeline: Pipeline, me: str) -> None:
        """ParleyError "unknown_row"; DataError where the pipeline does not fit."""
        self.scratch = stored.open_scratch()
        self.rows = rows
        self.at_once = (stored.memory_mb << 20) // AT_ONCE
        self._me, self._stored, self._pipeline = me, stored, pipeline
        self._at = places(stored.ids(), rows)
        self.columns = [c for c in pipeline.apply(stored.schema.empty_table()).column_names if c != ROW]
        self._waiting: dict[str, list[int]] = {}

    def table(self, names: Iterable[str]) -> pa.Table:
        """These columns of the rows; ParleyError "unknown_column"."""
        import pyarrow as pa

        wanted = list(names)
        need_columns(wanted, self.columns, self._me)
        found = {name: self._column(name).take(pa.array(self._at)) for name in wanted}
        pa.default_memory_pool().release_unused()
        return pa.table(found) if found else pa.table({ROW: self.rows})

    def prepare(self, names: Iterable[str]) -> None:
        """Let these columns be at hand; nothing to do where no step prepared any."""
        import pyarrow as pa

        if not self._pipeline.transforms:
            return
        self._waiting = {name: [] for name in names}
        for batch in self._stored.batches():
            made = self._pipeline.apply(batch)
            for name, numbers in self._waiting.items():
                sink = pa.BufferOutputStream()
                part = made.select([name])
                with pa.ipc.new_stream(sink, part.schema) as writer:
                    writer.write_table(part)
                numbers.append(self.scratch.put(np.frombuffer(sink.getvalue(), np.uint8)))

    def _column(self, name: str) -> pa.ChunkedArray:
        if not self._pipeline.transforms:
            return self._stored.column(name)
        import pyarrow as pa

        parts = [pa.ipc.open_stream(pa.py_buffer(self.scratch.get(n))).read_all() for n in self._waiting[name]]
        return pa.concat_tables(parts).column(0)

    def binned(self, columns: list[str], max_bins: int, part: Parts, before: Binning | None = None) -> PartData:
        """As `part_data` makes of a whole table, or with an earlier training's bins as `binned_as` does."""
        if before is not None:
            columns = [c.name for c in before.columns]
        most = max_bins + 1 if before is None else max((c.value_bins + 1 for c in before.columns), default=1)
        tiles, fitted = Tiles(self.scratch, self.rows.size, most), []
        training = part == TRAIN
        for at, name in enumerate(columns):
            table = self.table([name])
            if before is None:
                [one] = fit_bins(table if training.all() else table.filter(training), [name], max_bins).columns
            else:
                one = before.columns[at]
            tiles.append(one.codes(table.column(name)))
            fitted.append(one)
        return PartData(tiles, Binning(tuple(fitted)), self.rows, part, self.at_once)
