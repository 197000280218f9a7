"""From a party's prepared columns to what a network takes: numbers without gaps, labels, and which rows learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.protocols.frame import TRAIN, VALIDATE
from parley.protocols.inputs import ROW, need_columns, one_of
from parley.protocols.kit import Session
from parley.protocols.nn.params import Params
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float32]
Labels = NDArray[np.float64]
Ints = NDArray[np.int64]
Parts = NDArray[np.uint8]


@dataclass(frozen=True)
class Data:
    """One party's features (n, F) of the aligned rows, their parts (n,), and at the label party their labels (n,)."""

    x: Floats = field(repr=False)
    part: Parts = field(repr=False)
    y: Labels | None = field(default=None, repr=False)

    @property
    def training(self) -> Ints:
        """Positions of the rows that are learnt from."""
        return np.flatnonzero(self.part == TRAIN)

    @property
    def watched(self) -> Ints:
        """Positions of the rows held out whose loss is followed; none where nothing was held out."""
        return np.flatnonzero(self.part == VALIDATE)


def feature_columns(params: Params, me: str, columns: Sequence[str], *, label: bool) -> list[str]:
    """This party's features in the dataset's order, or as `columns` names them; ParleyError "unknown_column"."""
    without = {ROW, one_of(params.id, me), params.label if label else None}
    listed = params.exclude if isinstance(params.exclude, list) else params.exclude.get(me, [])
    if isinstance(params.exclude, dict):
        need_columns(listed, columns, me)
    if me in params.columns:
        need_columns(params.columns[me], columns, me)
        return [c for c in params.columns[me] if c not in without]
    return [c for c in columns if c not in without and c not in listed]


def matrix(table: pa.Table, columns: Sequence[str]) -> Floats:
    """(n, F) float32; DataError "not_numbers", "missing_values" naming the column."""
    out = np.empty((table.num_rows, len(columns)), dtype=np.float32)
    for k, name in enumerate(columns):
        values = _numbers(table.column(name))
        if values is None:
            raise DataError("not_numbers", f"the column {name} holds no numbers", "encode it first: prep/encode")
        with np.errstate(over="ignore"):
            out[:, k] = values
        if not np.isfinite(out[:, k]).all():
            raise DataError("missing_values", f"the column {name} has gaps", "fill them first: prep/impute")
    return out


def label_values(column: pa.ChunkedArray, objective: str, positive: str | int | None) -> Labels:
    """(n,) labels as numbers: `positive` is 1 and all else 0, or as they are; DataError "bad_labels"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if objective == "binary" and positive is not None:
        found = pc.equal(column.cast(pa.string()), str(positive))
        if not pc.any(found).as_py():
            raise DataError("bad_labels", "no label has the value `positive` names", "look at the label's values")
        column = found
    values = _numbers(column)
    if values is None:
        raise DataError("bad_labels", f"labels of type {column.type} are no numbers", "say which is 1: `positive`")
    return values


def _numbers(column: Any) -> Labels | None:
    """(n,) with NaN for gaps, or None for what holds no numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy(), dtype=np.float64)


def parted(s: Session, part: Parts) -> Parts:
    """(n,) the rows' parts: as an earlier step left them, or with a share of the training rows held out by the coins.

    ParleyError "no_rows"; "no_validation_rows" where early stopping has none to watch.
    """
    rows = np.flatnonzero(part == TRAIN)
    out = part.copy()
    if s.params.validation > 0 and not np.any(part == VALIDATE):
        held = min(max(1, round(rows.size * s.params.validation)), rows.size - 1)
        out[rows[s.coins.permutation(rows.size)[: max(0, held)]]] = VALIDATE
    if not np.any(out == TRAIN):
        raise ParleyError("no_rows", "There is no row to learn from.")
    if s.params.early_stopping and not np.any(out == VALIDATE):
        raise ParleyError(
            "no_validation_rows",
            "early_stopping has no rows to watch.",
            "Set `validation`, or let this step need one that splits the rows.",
        )
    return out


def batches(s: Session, training: Ints, epoch: int) -> list[Ints]:
    """Positions of each batch of an epoch, the same at every party."""
    order = training[s.at(epoch=epoch).coins.permutation(training.size)]
    return [order[k : k + s.params.batch] for k in range(0, order.size, s.params.batch)]
