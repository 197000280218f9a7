"""Missing values filled in by what the training rows say, and a column that tells where they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.errors import DataError
from parley.components.features.pipeline import Transform, bad_transform
from parley.components.features.values import checked_pairs, column, is_number, numbers, replaced, texts

Method = Literal["mean", "median", "mode", "constant"]
SUFFIX = ".missing"


@dataclass(frozen=True)
class Impute(Transform):
    """Fills `fill` (column, number or text) where a value is null or NaN; with `indicators` adds `<column>.missing`.

    A column of integers stays one where its filling is whole.
    """

    kind: ClassVar[str] = "impute"
    fill: tuple[tuple[str, float | str], ...]
    indicators: bool = False

    def apply(self, table: pa.Table) -> pa.Table:
        for name, value in self.fill:
            found = column(table, name)
            if is_number(found.type):
                missing = np.isnan(numbers(table, name))
                table = replaced(table, name, _filled(found, missing, value))
            else:
                missing = np.asarray(pc.is_null(found).to_numpy())
                table = replaced(table, name, pc.fill_null(texts(table, name), str(value)))
            if self.indicators:
                table = table.append_column(name + SUFFIX, pa.array(missing.astype(np.int8)))
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"fill": [list(f) for f in self.fill], "indicators": self.indicators}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"fill", "indicators"} or type(record["indicators"]) is not bool:
            raise bad_transform(cls.kind)
        fill = record["fill"]
        if not isinstance(fill, list) or not all(isinstance(f, list) and len(f) == 2 for f in fill):
            raise bad_transform(cls.kind)
        checked_pairs([f for f in fill if type(f[1]) is not str], cls.kind, 1)
        if not all(type(f[0]) is str for f in fill):
            raise bad_transform(cls.kind)
        return cls(tuple((f[0], f[1]) for f in fill), record["indicators"])


def _filled(found: pa.ChunkedArray, missing: Any, value: float | str) -> Any:
    if isinstance(value, str):
        raise DataError("type_mismatch", "a column of numbers would be filled with a text", "give a number")
    if pa.types.is_integer(found.type) and float(value).is_integer():
        return pc.fill_null(found, int(value))
    values = pc.fill_null(found.cast(pa.float64(), safe=False), float("nan")).to_numpy()
    return np.where(missing, float(value), values)


def fit_impute(
    table: pa.Table,
    names: Sequence[str],
    method: Method = "mean",
    *,
    value: float | str | None = None,
    indicators: bool = False,
) -> Impute:
    """What fills each column: of the finite numbers their mean or median, of anything its most frequent value (the
    least of several), or `value`.

    Texts take the most frequent value under mean and median too. DataError "all_missing", "bad_parameter".
    """
    if (method == "constant") != (value is not None):
        raise DataError("bad_parameter", "a constant needs a value, and nothing else takes one")
    return Impute(tuple((name, _fit(table, name, method, value)) for name in names), indicators)


def _fit(table: pa.Table, name: str, method: Method, value: float | str | None) -> float | str:
    if value is not None:
        return value
    number = is_number(column(table, name).type)
    values: Any = numbers(table, name) if number else texts(table, name).drop_null()
    values = values[np.isfinite(values)] if number else np.asarray(values.to_numpy(zero_copy_only=False), dtype=str)
    if values.size == 0:
        raise DataError(
            "all_missing", f"column {name!r} has no value to fill its gaps from", "drop it or use a constant"
        )
    if number and method != "mode":
        return float(np.mean(values) if method == "mean" else np.median(values))
    distinct, counts = np.unique(values, return_counts=True)
    most = distinct[np.argmax(counts)]
    return float(most) if number else str(most)
