"""Categories as numbers, by each party in its own columns; no message is sent.

Ideal functionality: each member keeps its columns of text with a 0/1 column for each category of its training rows, or
with a category's place in an order.

Nobody learns anything of another's columns; the submitter learns how many columns each party encoded
(`column_counts`).
Not protected: later steps show how many columns there are after it, and so how many categories.
Source: Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 2009, section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from parley.components.features.encode import OneHot, Order, Ordinal, categories_of
from parley.components.features.pipeline import Transform
from parley.protocols.kit import SEMI_HONEST, Cast, Protocol, Sizes
from parley.protocols.prep.columns import Columns, bind, text, times

if TYPE_CHECKING:
    import pyarrow as pa


class Params(Columns):
    """`method`: a column for each category, or its place by `order`. `most` categories at most in a column;
    `drop_first` leaves out the first one's column. `columns` and `exclude` choose columns, by party; all of text by
    default."""

    method: Literal["one_hot", "ordinal"] = "one_hot"
    order: Order = "name"
    drop_first: bool = False
    most: int = Field(default=32, ge=2, le=65_535)


ENCODE = Protocol(
    "prep/encode",
    version=1,
    security=SEMI_HONEST,
    summary="Categories as numbers, by each party in its own columns.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["column_counts"], "coordinator": ["sizes"]},
    params=Params,
)


def fit(params: Params, table: pa.Table, names: Sequence[str], me: str) -> list[Transform]:
    known = categories_of(table, names, order=params.order, most=params.most)
    return [Ordinal(known) if params.method == "ordinal" else OneHot(known, params.drop_first)]


def reshaped(params: Params, cast: Cast, sizes: Sizes) -> Sizes:
    return times(sizes, cast, params.most if params.method == "one_hot" else 1)


bind(ENCODE, fit, text, reshaped)
