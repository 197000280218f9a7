"""A chain of fitted transforms from a party's raw table to the columns that a model sees.

A transform is fitted once, by a function of its own module, and is a plain value from then on: it can be written down
as JSON, applied to any later table of the same columns, and read by its owner. Nothing here is private: what a fitted
transform holds (edges, means, categories) is its owner's data.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from parley.components.errors import DataError, unknown_name

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "_row"
MAX_CHAIN = 1000
_VERSION = 1

KINDS: dict[str, tuple[str, str]] = {
    "bin_index": ("parley.components.features.shape", "BinIndex"),
    "bin_values": ("parley.components.features.woe", "BinValues"),
    "cast": ("parley.components.features.shape", "Cast"),
    "clip": ("parley.components.features.scale", "Clip"),
    "columns": ("parley.components.features.pipeline", "Columns"),
    "impute": ("parley.components.features.impute", "Impute"),
    "one_hot": ("parley.components.features.encode", "OneHot"),
    "ordinal": ("parley.components.features.encode", "Ordinal"),
    "power": ("parley.components.features.shape", "Power"),
    "rename": ("parley.components.features.shape", "Rename"),
    "scale": ("parley.components.features.scale", "Scale"),
}


class Transform(ABC):
    """One fitted step; a frozen value. `kind` is its name in `KINDS`, which is closed: no class path is ever read."""

    kind: ClassVar[str]

    @abstractmethod
    def apply(self, table: pa.Table) -> pa.Table:
        """The table with this step's columns; rows and their order stay. DataError for a table it does not fit."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON values, without `kind`."""

    @classmethod
    @abstractmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """The inverse; DataError "bad_transform" for anything else."""


@dataclass(frozen=True)
class Columns(Transform):
    """Keeps these columns, in this order, and the row ids."""

    kind: ClassVar[str] = "columns"
    kept: tuple[str, ...]

    def apply(self, table: pa.Table) -> pa.Table:
        for name in self.kept:
            if name not in table.column_names:
                raise unknown_name("column", name, (c for c in table.column_names if c != ROW))
        return table.select([*([ROW] if ROW in table.column_names else []), *self.kept])

    def to_dict(self) -> dict[str, Any]:
        return {"kept": list(self.kept)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        kept = record.get("kept")
        if set(record) != {"kept"} or not isinstance(kept, list) or not all(type(c) is str for c in kept):
            raise bad_transform("columns")
        return cls(tuple(kept))


@dataclass(frozen=True)
class Pipeline:
    """Transforms in the order in which they apply."""

    transforms: tuple[Transform, ...] = ()

    def then(self, more: Iterable[Transform]) -> Pipeline:
        return Pipeline((*self.transforms, *more))

    def apply(self, table: pa.Table) -> pa.Table:
        """DataError when the table lacks what a transform needs."""
        for transform in self.transforms:
            table = transform.apply(table)
        return table

    def to_json(self) -> str:
        chain = [{"kind": t.kind, **t.to_dict()} for t in self.transforms]
        return json.dumps({"version": _VERSION, "transforms": chain}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Pipeline:
        """DataError "bad_transform" for what `to_json` never wrote."""
        try:
            record = json.loads(text)
        except ValueError:
            raise bad_transform("chain") from None
        if not isinstance(record, dict) or set(record) != {"version", "transforms"} or record["version"] != _VERSION:
            raise bad_transform("chain")
        chain = record["transforms"]
        if not isinstance(chain, list) or len(chain) > MAX_CHAIN:
            raise bad_transform("chain")
        return cls(tuple(_transform(entry) for entry in chain))


def bad_transform(kind: str) -> DataError:
    """The error of every `from_dict`."""
    return DataError("bad_transform", f"the record of a {kind} transform is damaged or of another version")


def numeric_columns(table: pa.Table, names: Sequence[str] | None = None) -> list[str]:
    """Columns of numbers among `names` (all but the row ids when None), in the table's order."""
    import pyarrow as pa

    wanted = set(table.column_names if names is None else names) - {ROW}

    def number(kind: pa.DataType) -> bool:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))

    return [f.name for f in table.schema if f.name in wanted and number(f.type)]


def _transform(entry: Any) -> Transform:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if type(kind) is not str or kind not in KINDS:
        raise bad_transform("chain")
    module, name = KINDS[kind]
    found = getattr(importlib.import_module(module), name)
    made = found.from_dict({k: v for k, v in entry.items() if k != "kind"})
    assert isinstance(made, Transform)
    return made
