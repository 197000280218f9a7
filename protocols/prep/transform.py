"""Columns reshaped or left out, by each party in its own; no message is sent.

Ideal functionality: each member keeps its columns as one operation leaves them: limits,
powers, types, parts of dates, bins, names. What the operation learns (limits,
bins), it learns from the member's own training rows.

Nobody learns anything of another's columns; the submitter learns how many columns each party changed
(`column_counts`).
Not protected: nothing is shown that could be.
Source: Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from parley.components.errors import DataError
from parley.components.features.binning import fit_bins
from parley.components.features.pipeline import ROW, Transform
from parley.components.features.pipeline import Columns as Kept
from parley.components.features.scale import fit_clip
from parley.components.features.shape import BinIndex, Cast, Power, Rename
from parley.protocols.kit import SEMI_HONEST, Protocol, Sizes
from parley.protocols.kit import Cast as Roles
from parley.protocols.prep.columns import Columns, anything, bind, times

if TYPE_CHECKING:
    import pyarrow as pa

Operation = Literal[
    "clip", "log1p", "sqrt", "square", "absolute", "to_number", "to_text", "date_parts", "bin", "rename", "drop", "keep"
]


class Params(Columns):
    """`do` the operation to `columns`, named by party. `clip` holds numbers within the quantiles `lower` and `upper`;
    `bin` gives the number of at most `bins` quantile bins; `rename` takes `names`, old to new, by party."""

    do: Operation
    lower: float = Field(default=0.01, ge=0, le=1)
    upper: float = Field(default=0.99, ge=0, le=1)
    bins: int = Field(default=32, ge=2, le=65_535)
    names: dict[str, dict[str, str]] | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.do == "rename") != (self.names is not None):
            raise ValueError("names goes with rename, and rename needs it")
        if self.names is not None:
            if self.columns is not None:
                raise ValueError("rename names its columns in names")
            self.columns = {party: list(names) for party, names in self.names.items()}
        if self.columns is None:
            raise ValueError("columns says which, by party")
        return self


TRANSFORM = Protocol(
    "prep/transform",
    version=1,
    security=SEMI_HONEST,
    summary="Columns reshaped, renamed or left out, by each party in its own.",
    roles={"member": "many"},
    steps=[],
    learns={"member": [], "submitter": ["column_counts"], "coordinator": ["sizes"]},
    params=Params,
)


def fit(params: Params, table: pa.Table, names: Sequence[str], me: str) -> list[Transform]:
    """DataError "bad_parameter" where nothing would be left."""
    columns = tuple(names)
    simple: dict[str, Callable[[], Transform]] = {
        "clip": lambda: fit_clip(table, columns, params.lower, params.upper),
        "log1p": lambda: Power(columns, "log1p"),
        "sqrt": lambda: Power(columns, "sqrt"),
        "square": lambda: Power(columns, "square"),
        "absolute": lambda: Power(columns, "absolute"),
        "to_number": lambda: Cast(columns, "number"),
        "to_text": lambda: Cast(columns, "text"),
        "date_parts": lambda: Cast(columns, "date_parts"),
        "bin": lambda: BinIndex(fit_bins(table, columns, params.bins)),
        "rename": lambda: Rename(tuple((params.names or {})[me].items())),
        "keep": lambda: Kept(columns),
        "drop": lambda: Kept(tuple(c for c in table.column_names if c not in (*columns, ROW))),
    }
    made = simple[params.do]()
    if isinstance(made, Kept) and not made.kept:
        raise DataError("bad_parameter", "no column would be left")
    return [made]


def reshaped(params: Params, cast: Roles, sizes: Sizes) -> Sizes:
    return times(sizes, cast, 4 if params.do == "date_parts" else 1)


bind(TRANSFORM, fit, anything, reshaped)
