"""Numbers brought to one scale, by each party in its own columns; no message is sent.

Ideal functionality: each member keeps its columns of numbers moved and stretched by what its own training rows say:
mean and standard deviation, least and greatest, or median and quartiles.

Nobody learns anything of another's columns; the submitter learns how many columns each party scaled (`column_counts`).
Not protected: nothing is shown that could be.
Source: Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from parley.components.features.pipeline import Transform
from parley.components.features.scale import Method, fit_scale
from parley.protocols.kit import SEMI_HONEST, Protocol
from parley.protocols.prep.columns import Columns, bind, number

if TYPE_CHECKING:
    import pyarrow as pa


class Params(Columns):
    """`method` and, for min_max, the range `low` to `high`, held by later values too where `strict`. `columns` and
    `exclude` choose columns, by party; all of numbers by default: exclude ids and labels."""

    method: Method = "standard"
    low: float = Field(default=0.0, ge=-1e9, le=1e9)
    high: float = Field(default=1.0, ge=-1e9, le=1e9)
    strict: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low is not below high")
        return self


SCALE = Protocol(
    "prep/scale",
    version=1,
    security=SEMI_HONEST,
    summary="Numbers brought to one scale, by each party in its own columns.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["column_counts"], "coordinator": ["sizes"]},
    params=Params,
)


def fit(params: Params, table: pa.Table, names: Sequence[str], me: str) -> list[Transform]:
    return [fit_scale(table, names, params.method, low=params.low, high=params.high, strict=params.strict)]


bind(SCALE, fit, number)
