"""Columns reshaped without learning anything: powers, parts of dates, types, names; and values as numbers of bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.errors import DataError
from parley.components.features.binning import Binning
from parley.components.features.pipeline import Transform, bad_transform
from parley.components.features.values import Floats, column, numbers, replaced, texts

Function = Literal["log1p", "sqrt", "square", "absolute"]
Type = Literal["number", "text", "date_parts"]
FUNCTIONS = ("log1p", "sqrt", "square", "absolute")
TYPES = ("number", "text", "date_parts")
PARTS = ("year", "month", "day", "weekday")


@dataclass(frozen=True)
class Power(Transform):
    """One function over columns; what it is not defined for (log1p below -1, sqrt below 0) becomes missing."""

    kind: ClassVar[str] = "power"
    columns: tuple[str, ...]
    function: Function

    def apply(self, table: pa.Table) -> pa.Table:
        for name in self.columns:
            table = replaced(table, name, self._of(numbers(table, name)))
        return table

    def _of(self, values: Floats) -> Floats:
        functions = {"log1p": np.log1p, "sqrt": np.sqrt, "square": np.square, "absolute": np.abs}
        with np.errstate(invalid="ignore", divide="ignore"):
            out = np.asarray(functions[self.function](values), dtype=np.float64)
        out[~np.isfinite(out) & np.isfinite(values)] = np.nan
        return out

    def to_dict(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "function": self.function}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"columns", "function"} or record["function"] not in list(FUNCTIONS):
            raise bad_transform(cls.kind)
        return cls(_names(record["columns"], cls.kind), record["function"])


@dataclass(frozen=True)
class Cast(Transform):
    """Columns as another type: `number` (missing where a text is none), `text`, or `date_parts`: `<column>.year`,
    `.month`, `.day`, `.weekday` (Monday 0) in place of a date or timestamp."""

    kind: ClassVar[str] = "cast"
    columns: tuple[str, ...]
    to: Type

    def apply(self, table: pa.Table) -> pa.Table:
        for name in self.columns:
            if self.to == "text":
                table = replaced(table, name, texts(table, name))
            elif self.to == "number":
                table = replaced(table, name, _as_number(column(table, name)))
            else:
                table = _in_parts(table, name)
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "to": self.to}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"columns", "to"} or record["to"] not in list(TYPES):
            raise bad_transform(cls.kind)
        return cls(_names(record["columns"], cls.kind), record["to"])


@dataclass(frozen=True)
class Rename(Transform):
    """New names for columns, old first; DataError "bad_parameter" where a name would stand twice."""

    kind: ClassVar[str] = "rename"
    names: tuple[tuple[str, str], ...]

    def apply(self, table: pa.Table) -> pa.Table:
        for old, _ in self.names:
            column(table, old)
        new = dict(self.names)
        names = [new.get(c, c) for c in table.column_names]
        if len(set(names)) != len(names):
            raise DataError("bad_parameter", "two columns would have the same name")
        return table.rename_columns(names)

    def to_dict(self) -> dict[str, Any]:
        return {"names": [list(n) for n in self.names]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        names = record.get("names")
        if set(record) != {"names"} or not isinstance(names, list) or not all(_pair(n) for n in names):
            raise bad_transform(cls.kind)
        return cls(tuple((n[0], n[1]) for n in names))


@dataclass(frozen=True)
class BinIndex(Transform):
    """The binned columns as numbers of their bins, 0 first; the last one is for missing values."""

    kind: ClassVar[str] = "bin_index"
    binning: Binning

    def apply(self, table: pa.Table) -> pa.Table:
        for one in self.binning.columns:
            table = replaced(table, one.name, one.codes(column(table, one.name)).astype(np.int32))
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"binning": self.binning.to_dict()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"binning"}:
            raise bad_transform(cls.kind)
        return cls(Binning.from_dict(record["binning"]))


def _as_number(found: pa.ChunkedArray) -> Any:
    if not (pa.types.is_string(found.type) or pa.types.is_large_string(found.type)):
        return found.cast(pa.float64(), safe=False)
    trimmed = pc.utf8_trim_whitespace(found.cast(pa.string()))
    good = pc.match_substring_regex(trimmed, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$")
    return pc.if_else(good, trimmed, None).cast(pa.float64())


def _in_parts(table: pa.Table, name: str) -> pa.Table:
    found, at = column(table, name), table.column_names.index(name)
    if not (pa.types.is_date(found.type) or pa.types.is_timestamp(found.type)):
        raise DataError("no_date", f"column {name!r} of type {found.type} holds no dates")
    found = found.cast(pa.timestamp("us"))
    parts = (pc.year(found), pc.month(found), pc.day(found), pc.day_of_week(found))
    table = table.remove_column(at)
    for k, (part, values) in enumerate(zip(PARTS, parts, strict=True)):
        table = table.add_column(at + k, f"{name}.{part}", values.cast(pa.int32()))
    return table


def _pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(v) is str for v in value)


def _names(value: object, kind: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(type(v) is str for v in value):
        raise bad_transform(kind)
    return tuple(value)
