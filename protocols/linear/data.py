"""From a party's prepared rows to what a linear model needs of them: columns in one scale, labels as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.components.features.values import matrix
from parley.components.training.linear import Floats
from parley.protocols.inputs import ROW, need_columns, one_of
from parley.protocols.linear.params import Params

if TYPE_CHECKING:
    import pyarrow as pa

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scale:
    """Names of the columns in order, and what is subtracted and divided by (F,); both trivial when not standardised."""

    names: tuple[str, ...]
    mean: Floats = field(repr=False)
    spread: Floats = field(repr=False)

    def apply(self, table: pa.Table) -> Floats:
        """(n, F) the columns in their scale; DataError "missing_values", "not_numbers"."""
        return (matrix(table, self.names) - self.mean) / self.spread

    def state(self) -> dict[str, Any]:
        return {"columns": list(self.names), "mean": self.mean, "spread": self.spread}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Scale:
        return cls(tuple(state["columns"]), np.asarray(state["mean"]), np.asarray(state["spread"]))


def fit_scale(table: pa.Table, names: list[str], training: Mask, standardize: bool) -> Scale:
    """From the training rows; a constant column becomes zero."""
    if not standardize or not names:
        return Scale(tuple(names), np.zeros(len(names)), np.ones(len(names)))
    x = matrix(table, names)[training]
    spread = x.std(axis=0)
    return Scale(tuple(names), x.mean(axis=0), np.where(spread > 0, spread, 1.0))


def feature_columns(params: Params, me: str, columns: list[str], *, label: bool) -> list[str]:
    """This party's features in the table's order, or as `columns` names them; ParleyError "unknown_column"."""
    no_features = {ROW, one_of(params.id, me)} | ({params.label} if label else set())
    listed = params.exclude if isinstance(params.exclude, list) else params.exclude.get(me, [])
    if isinstance(params.exclude, dict):
        need_columns(listed, columns, me)
    if me in params.columns:
        need_columns(params.columns[me], columns, me)
        return [c for c in params.columns[me] if c not in no_features]
    return [c for c in columns if c not in no_features and c not in listed]


def label_values(column: pa.ChunkedArray, params: Params) -> tuple[Floats, list[str]]:
    """Labels (n, K) as numbers, and the names of the K classes of `ovr`; DataError "bad_labels" where there are none.

    Classes are the distinct values, sorted; of them there must be `classes`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise DataError("bad_labels", "some labels are missing", "Leave those rows out first.")
    if params.model == "ovr":
        distinct = pc.unique(column)
        distinct = distinct.take(pc.array_sort_indices(distinct))
        if len(distinct) != params.classes:
            raise DataError("bad_labels", f"the labels have {len(distinct)} values where classes is {params.classes}")
        index = np.asarray(pc.index_in(column, value_set=distinct).to_numpy())
        return np.eye(len(distinct))[index], [str(v) for v in distinct.to_pylist()]
    if params.positive is not None:
        texts, wanted = column.cast(pa.string()), str(params.positive)
        if wanted not in set(pc.unique(texts).to_pylist()):
            raise DataError("bad_labels", "no label has the value `positive` names", "Look at the label's values.")
        return np.asarray(pc.equal(texts, wanted).cast(pa.int8()).to_numpy(), dtype=np.float64)[:, None], []
    return matrix(pa.table({"label": column}), ["label"]), []
