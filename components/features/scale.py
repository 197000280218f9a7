"""Numbers brought to one scale: standard, min-max, robust; and held within limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa

from parley.components.errors import DataError
from parley.components.features.pipeline import Transform, bad_transform
from parley.components.features.values import Floats, checked_pairs, numbers, replaced

Method = Literal["standard", "min_max", "robust"]


@dataclass(frozen=True)
class Scale(Transform):
    """x becomes (x - centre) / spread x factor + base, by column, and is held within `limits` where there are any."""

    kind: ClassVar[str] = "scale"
    columns: tuple[tuple[str, float, float], ...]  # column, centre, spread > 0
    factor: float = 1.0
    base: float = 0.0
    limits: tuple[float, float] | None = None

    def apply(self, table: pa.Table) -> pa.Table:
        for name, centre, spread in self.columns:
            values = (numbers(table, name) - centre) / spread * self.factor + self.base
            table = replaced(table, name, values if self.limits is None else np.clip(values, *self.limits))
        return table

    def to_dict(self) -> dict[str, Any]:
        limits = None if self.limits is None else list(self.limits)
        return {"columns": [list(c) for c in self.columns], "factor": self.factor, "base": self.base, "limits": limits}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"columns", "factor", "base", "limits"}:
            raise bad_transform(cls.kind)
        limits = record["limits"]
        checked_pairs([["", record["factor"], record["base"]]], cls.kind, 2)
        if limits is not None:
            checked_pairs([["", *limits]] if isinstance(limits, list) else None, cls.kind, 2)
        columns = checked_pairs(record["columns"], cls.kind, 2)
        if any(spread <= 0 for _, _, spread in columns):
            raise bad_transform(cls.kind)
        within = None if limits is None else (float(limits[0]), float(limits[1]))
        made = tuple((n, float(c), float(s)) for n, c, s in columns)
        return cls(made, float(record["factor"]), float(record["base"]), within)


@dataclass(frozen=True)
class Clip(Transform):
    """Numbers below low become low, above high become high, by column."""

    kind: ClassVar[str] = "clip"
    columns: tuple[tuple[str, float, float], ...]

    def apply(self, table: pa.Table) -> pa.Table:
        for name, low, high in self.columns:
            table = replaced(table, name, np.clip(numbers(table, name), low, high))
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"columns": [list(c) for c in self.columns]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"columns"}:
            raise bad_transform(cls.kind)
        return cls(tuple((n, float(a), float(b)) for n, a, b in checked_pairs(record["columns"], cls.kind, 2)))


def fit_scale(
    table: pa.Table,
    names: Sequence[str],
    method: Method = "standard",
    *,
    low: float = 0.0,
    high: float = 1.0,
    strict: bool = False,
) -> Scale:
    """From the finite values: mean and standard deviation (of the population), least and greatest onto [low, high],
    or median and the middle half's width. A column of one value is only moved.

    `strict` holds later values within [low, high] too, for min_max. DataError "all_missing", "bad_parameter".
    """
    if low >= high:
        raise DataError("bad_parameter", "low is not below high")
    columns = []
    for name in names:
        values = _finite(table, name)
        if method == "standard":
            centre, spread = float(np.mean(values)), float(np.std(values))
        elif method == "min_max":
            centre, spread = float(values.min()), float(values.max() - values.min())
        else:
            lower, centre, upper = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
            spread = upper - lower
        columns.append((name, centre, spread if spread > 0 else 1.0))
    if method != "min_max":
        return Scale(tuple(columns))
    return Scale(tuple(columns), high - low, low, (low, high) if strict else None)


def fit_clip(table: pa.Table, names: Sequence[str], lower: float, upper: float) -> Clip:
    """Limits at the quantiles `lower` and `upper` of the finite values; DataError "all_missing", "bad_parameter"."""
    if not 0 <= lower < upper <= 1:
        raise DataError("bad_parameter", "quantiles are 0 <= lower < upper <= 1")
    limits = [np.quantile(_finite(table, name), (lower, upper)) for name in names]
    return Clip(tuple((name, float(a), float(b)) for name, (a, b) in zip(names, limits, strict=True)))


def _finite(table: pa.Table, name: str) -> Floats:
    values = numbers(table, name)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise DataError("all_missing", f"column {name!r} has no number to learn a scale from", "leave it out")
    return values
