"""Intersections worked out in one place from plain files, with the standard library alone."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

Rows = dict[str, tuple[int, dict[str, str]]]


def by_id(path: Path, id: str = "id") -> Rows:
    """Id -> (number of its first row, that row)."""
    out: Rows = {}
    with path.open(newline="", encoding="utf-8") as file:
        for at, row in enumerate(csv.DictReader(file)):
            if row[id]:
                out.setdefault(row[id], (at, row))
    return out


def common(tables: Iterable[Rows]) -> set[str]:
    """The ids that all have."""
    first, *others = tables
    return {i for i in first if all(i in other for other in others)}


def total(receiver: Rows, sender: Rows, column: str, decimals: int) -> Decimal:
    """The sum of a sender's column over common ids, each value rounded half to even to so many decimals."""
    unit = Decimal(1).scaleb(-decimals)
    values = (Decimal(sender[i][1][column]).quantize(unit, ROUND_HALF_EVEN) for i in common([receiver, sender]))
    return sum(values, Decimal(0))


def total_of_all(receiver: Rows, sender: Path, column: str, decimals: int) -> Decimal:
    """The sum of a column over every row of a file whose id the receiver has."""
    unit, out = Decimal(1).scaleb(-decimals), Decimal(0)
    with sender.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["id"] in receiver:
                out += Decimal(row[column]).quantize(unit, ROUND_HALF_EVEN)
    return out
