"""Categories as numbers: a column for each, or their places in an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parley.components.errors import DataError
from parley.components.features.pipeline import Transform, bad_transform
from parley.components.features.values import replaced, texts

Order = Literal["name", "count"]
Known = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class OneHot(Transform):
    """Each column of `known` (column, categories) becomes `<column>.<k>`, 0 or 1, for its k-th category, in its place.

    A category is a data value and column names are told to people, so it stands in none.

    A missing value, and a category that was not there in training, has 0 in all of them; so has the first category
    where `drop_first`.
    """

    kind: ClassVar[str] = "one_hot"
    known: Known
    drop_first: bool = False

    def apply(self, table: pa.Table) -> pa.Table:
        for name, categories in self.known:
            values = pc.fill_null(texts(table, name), "")
            present = pc.is_valid(texts(table, name))
            at = table.column_names.index(name)
            table = table.remove_column(at)
            for k, category in enumerate(categories[int(self.drop_first) :], int(self.drop_first)):
                flag = pc.and_(pc.equal(values, category), present).cast(pa.int8())
                table = table.add_column(at + k - int(self.drop_first), f"{name}.{k + 1}", flag)
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"known": [[n, list(c)] for n, c in self.known], "drop_first": self.drop_first}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"known", "drop_first"} or type(record["drop_first"]) is not bool:
            raise bad_transform(cls.kind)
        return cls(_known(record["known"], cls.kind), record["drop_first"])


@dataclass(frozen=True)
class Ordinal(Transform):
    """Each column of `known` becomes its category's place, 0 first; missing where missing or not known."""

    kind: ClassVar[str] = "ordinal"
    known: Known

    def apply(self, table: pa.Table) -> pa.Table:
        for name, categories in self.known:
            places = pc.index_in(texts(table, name), pa.array(categories, pa.string()), skip_nulls=True)
            table = replaced(table, name, places.cast(pa.int32()))
        return table

    def to_dict(self) -> dict[str, Any]:
        return {"known": [[n, list(c)] for n, c in self.known]}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        if set(record) != {"known"}:
            raise bad_transform(cls.kind)
        return cls(_known(record["known"], cls.kind))


def categories_of(table: pa.Table, names: Sequence[str], *, order: Order = "name", most: int = 100) -> Known:
    """The categories of each column in the training rows: by name in byte order, or most frequent first.

    DataError "too_many_categories" above `most`: an id, or a number kept as text, is no category.
    """
    return tuple((name, _categories(table, name, order, most)) for name in names)


def _categories(table: pa.Table, name: str, order: Order, most: int) -> tuple[str, ...]:
    values = np.asarray(texts(table, name).drop_null().to_numpy(zero_copy_only=False), dtype=str)
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size > most:
        raise DataError(
            "too_many_categories", f"column {name!r} has more than {most} categories", "leave it out, or raise `most`"
        )
    if order == "count":
        distinct = distinct[np.lexsort((distinct, -counts))]
    return tuple(distinct.tolist())


def _known(value: object, kind: str) -> Known:
    if not isinstance(value, list):
        raise bad_transform(kind)
    for entry in value:
        if (
            not isinstance(entry, list)
            or len(entry) != 2
            or type(entry[0]) is not str
            or not isinstance(entry[1], list)
        ):
            raise bad_transform(kind)
        if not all(type(c) is str for c in entry[1]) or len(set(entry[1])) != len(entry[1]):
            raise bad_transform(kind)
    return tuple((name, tuple(categories)) for name, categories in value)
