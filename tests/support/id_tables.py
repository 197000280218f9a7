"""Tables of the shared folder as a party brings them, and columns of ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from shared import need

from parley.protocols.kit import StepInputs

STEP = 7  # row ids are neither dense nor places


def brought(table: pa.Table, first: int = 0) -> StepInputs:
    """With `_row` = first + STEP * place."""
    rows = pa.array(np.arange(table.num_rows, dtype=np.int64) * STEP + first)
    return StepInputs(table.append_column("_row", rows))


def places(rows: np.ndarray, first: int = 0) -> list[int]:
    """The places in the file of `_row` ids."""
    return ((np.asarray(rows) - first) // STEP).tolist()


def column(values: object, first: int = 0) -> StepInputs:
    return brought(pa.table({"id": values if isinstance(values, pa.Array) else pa.array(values)}), first)


def from_file(name: str, first: int = 0) -> StepInputs:
    return brought(pacsv.read_csv(need(f"data/{name}.csv")), first)
