"""Weight of evidence and information value of bins, and columns transformed by their bins.

With E events and N others in all, e and n of them in a bin: woe = ln((e / E) / (n / N)), and the information value is
the sum of (e / E - n / N) woe over the bins. A count of 0 stands as `ADJUSTMENT`, so that woe is finite; a bin without
rows has woe 0 and adds nothing. The more events, the higher the woe. Source: Siddiqi, *Credit Risk Scorecards*, 2006.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from parley.components.features.binning import Binning
from parley.components.features.pipeline import Transform, bad_transform
from parley.components.features.values import column, replaced

ADJUSTMENT = 0.5
Floats = npt.NDArray[np.float64]


def shares(
    rows: npt.ArrayLike, events: npt.ArrayLike, totals: tuple[int, int], adjustment: float = ADJUSTMENT
) -> tuple[Floats, Floats]:
    """Of all events, and of all others, the share in each bin; `totals` are (rows, events) of the whole feature."""
    r, e = np.asarray(rows, dtype=np.float64), np.asarray(events, dtype=np.float64)
    others = r - e
    whole, hits = totals
    of_events = np.where(e > 0, e, adjustment) / max(hits, adjustment)
    of_others = np.where(others > 0, others, adjustment) / max(whole - hits, adjustment)
    return of_events, of_others


def weigh(rows: npt.ArrayLike, events: npt.ArrayLike, adjustment: float = ADJUSTMENT) -> tuple[Floats, float]:
    """(B,) weight of evidence of each bin of a feature, and its information value, from (B,) rows and events."""
    r, e = np.asarray(rows, dtype=np.int64), np.asarray(events, dtype=np.int64)
    of_events, of_others = shares(r, e, (int(r.sum()), int(e.sum())), adjustment)
    woe = np.where(r > 0, np.log(of_events / of_others), 0.0)
    return woe, float(np.where(r > 0, (of_events - of_others) * woe, 0.0).sum())


@dataclass(frozen=True)
class Woe(Transform):
    """Each binned column becomes the number that its bin stands for; one number for each of `binning`'s bins."""

    kind: ClassVar[str] = "woe"
    binning: Binning
    values: tuple[tuple[float, ...], ...]

    def apply(self, table: pa.Table) -> pa.Table:
        return _by_bin(table, self.binning, self.values, np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"binning": self.binning.to_dict(), "values": [list(v) for v in self.values]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        binning, values = _read(record, cls.kind, (int, float))
        return cls(binning, tuple(tuple(map(float, v)) for v in values))


@dataclass(frozen=True)
class MergedIndex(Transform):
    """Each binned column becomes the number of the merged bin that its bin is in."""

    kind: ClassVar[str] = "merged_index"
    binning: Binning
    values: tuple[tuple[int, ...], ...]

    def apply(self, table: pa.Table) -> pa.Table:
        return _by_bin(table, self.binning, self.values, np.int32)

    def to_dict(self) -> dict[str, Any]:
        return {"binning": self.binning.to_dict(), "values": [list(v) for v in self.values]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        binning, values = _read(record, cls.kind, (int,))
        if any(not 0 <= x < 1 << 31 for v in values for x in v):
            raise bad_transform(cls.kind)
        return cls(binning, tuple(tuple(v) for v in values))


def _by_bin(table: pa.Table, binning: Binning, values: tuple[tuple[Any, ...], ...], kind: Any) -> pa.Table:
    for one, of_bins in zip(binning.columns, values, strict=True):
        codes = one.codes(column(table, one.name))
        table = replaced(table, one.name, np.asarray(of_bins, dtype=kind)[codes])
    return table


def _read(record: dict[str, Any], kind: str, numbers: tuple[type, ...]) -> tuple[Binning, list[list[Any]]]:
    if set(record) != {"binning", "values"} or not isinstance(record["values"], list):
        raise bad_transform(kind)
    binning, values = Binning.from_dict(record["binning"]), record["values"]
    if [len(v) if isinstance(v, list) else -1 for v in values] != list(binning.n_bins if binning.columns else ()):
        raise bad_transform(kind)
    if not all(type(x) in numbers and np.isfinite(x) for v in values for x in v):
        raise bad_transform(kind)
    return binning, values
