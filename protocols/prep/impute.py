"""Missing values filled in, by each party in its own columns; no message is sent.

Ideal functionality: each member keeps its columns with gaps filled by what its own training rows say: their mean,
median or most frequent value, or a constant.

Nobody learns anything of another's columns; the submitter learns how many columns each party filled (`column_counts`).
Not protected: nothing is shown that could be.
Source: Little & Rubin, *Statistical Analysis with Missing Data*, 2002, on single imputation, with its warning that
variances come out too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from parley.components.features.impute import Method, fit_impute
from parley.components.features.pipeline import Transform
from parley.protocols.kit import SEMI_HONEST, Cast, Protocol, Sizes
from parley.protocols.prep.columns import Columns, anything, bind, times

if TYPE_CHECKING:
    import pyarrow as pa


class Params(Columns):
    """`method` says what fills a gap, texts always their most frequent value; `constant` needs `value`. `indicators`
    adds a column `<column>.missing` of 0 and 1. `columns` and `exclude` choose columns, by party; all by default."""

    method: Method = "mean"
    value: float | str | None = None
    indicators: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.method == "constant") != (self.value is not None):
            raise ValueError("value goes with method constant, and constant needs it")
        return self


IMPUTE = Protocol(
    "prep/impute",
    version=1,
    security=SEMI_HONEST,
    summary="Missing values filled in, by each party in its own columns.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["column_counts"], "coordinator": ["sizes"]},
    params=Params,
)


def fit(params: Params, table: pa.Table, names: Sequence[str], me: str) -> list[Transform]:
    return [fit_impute(table, names, params.method, value=params.value, indicators=params.indicators)]


def reshaped(params: Params, cast: Cast, sizes: Sizes) -> Sizes:
    return times(sizes, cast, 2 if params.indicators else 1)


bind(IMPUTE, fit, anything, reshaped)
