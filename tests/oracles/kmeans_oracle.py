"""k-means over all columns in one place, in whole numbers of the standard library, from given first centres."""

from __future__ import annotations

import csv
from fractions import Fraction
from math import floor
from pathlib import Path

Point = tuple[int, ...]


def points(path: Path, bits: int, without: tuple[str, ...] = ("id", "y")) -> dict[str, Point]:
    """Id -> values in units of 2^-bits."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {r["id"]: tuple(round(Fraction(v) * 2**bits) for c, v in r.items() if c not in without) for r in rows}


def away(a: Point, b: Point) -> int:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def nearest(rows: list[Point], centres: list[Point]) -> list[int]:
    return [min(range(len(centres)), key=lambda j: (away(row, centres[j]), j)) for row in rows]


def mean(rows: list[Point]) -> Point:
    return tuple(floor(Fraction(sum(values), len(rows)) + Fraction(1, 2)) for values in zip(*rows, strict=True))


def run(
    rows: list[Point], centres: list[Point], rounds: int, tolerance: float
) -> tuple[list[int], list[Point], int, int]:
    """(clusters of the last round, centres, inertia, rounds)."""
    before: list[int] = [-1] * len(rows)
    number = 0
    while True:
        number += 1
        now = nearest(rows, centres)
        groups = [[r for r, c in zip(rows, now, strict=True) if c == j] for j in range(len(centres))]
        centres = [mean(g) if g else old for g, old in zip(groups, centres, strict=True)]
        changed = sum(a != b for a, b in zip(now, before, strict=True))
        if number == rounds or changed <= tolerance * len(rows):
            return now, centres, sum(away(r, centres[c]) for r, c in zip(rows, now, strict=True)), number
        before = now
