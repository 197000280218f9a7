"""The parameters of split training, and what follows from them without any data."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.training.metrics import Task
from parley.protocols.inputs import check_parties
from parley.protocols.kit import Cast, Sizes
from parley.wire.errors import ParleyError

Width = Annotated[int, Field(ge=1, le=1024)]


class Params(BaseModel):
    """`label` is the label party's column; `id` and `exclude` name columns that are no features, for all or by party.

    `columns` names the features of a party instead of "all others", which must be numbers without gaps; `positive` is
    the value that counts as 1. `bottom` are the widths of the layers that each party computes on its own columns, for
    all or by party, the last of which is what it sends of a row; `top` those of the label party's layers behind, before
    the output. `validation` is the share of rows held out, which early stopping (in epochs) watches; where an earlier
    step left validation rows, those are watched instead.
    `cut: noised` clips what is sent of each row to length `clip` (activations) or `clip_gradient`, and adds noise of
    `noise` times that in each number; `delta` goes with the epsilon that is told.
    """

    model_config = ConfigDict(extra="forbid")
    label: str
    id: str | dict[str, str] | None = None
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)
    columns: dict[str, list[str]] = Field(default_factory=dict)
    objective: Literal["binary", "multi", "regression"] = "binary"
    classes: int | None = Field(default=None, ge=2, le=100)
    positive: str | int | None = None
    bottom: list[Width] | dict[str, list[Width]] = Field(default_factory=lambda: [16, 8])
    top: list[Width] = Field(default_factory=lambda: [16], max_length=8)
    activation: Literal["relu", "tanh"] = "relu"
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(default=0.01, ge=1e-6, le=10)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    batch: int = Field(default=128, ge=1, le=65_536)
    epochs: int = Field(default=20, ge=1, le=1000)
    early_stopping: int = Field(default=0, ge=0, le=1000)
    validation: float = Field(default=0.0, ge=0, lt=1)
    cut: Literal["plain", "noised"] = "plain"
    clip: float = Field(default=1.0, ge=1e-6, le=1e6)
    clip_gradient: float = Field(default=0.1, ge=1e-6, le=1e6)
    noise: float = Field(default=1.0, ge=0.01, le=1000)
    delta: float = Field(default=1e-5, gt=0, lt=0.5)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.objective == "multi") != (self.classes is not None):
            raise ValueError("classes goes with objective multi, and multi needs it")
        if self.positive is not None and self.objective != "binary":
            raise ValueError("positive goes with objective binary")
        if self.momentum and self.optimiser != "sgd":
            raise ValueError("momentum goes with optimiser sgd")
        lists = self.bottom.values() if isinstance(self.bottom, dict) else [self.bottom]
        if not all(1 <= len(widths) <= 8 for widths in lists):
            raise ValueError("bottom has 1 to 8 layers")
        for name in ("clip", "clip_gradient", "noise", "delta"):
            if name in self.model_fields_set and self.cut != "noised":
                raise ValueError(f"{name} goes with cut noised")
        return self

    @property
    def outputs(self) -> int:
        """K: scores a row."""
        return self.classes or 1

    @property
    def task(self) -> Task:
        tasks: dict[str, Task] = {"binary": "binary", "multi": "multiclass"}
        return tasks.get(self.objective, "regression")

    def layers(self, party: str) -> list[int]:
        """Widths of a party's own layers."""
        if isinstance(self.bottom, dict):
            return list(self.bottom.get(party, [16, 8]))
        return list(self.bottom)

    def width(self, party: str) -> int:
        """How many numbers a party sends of a row."""
        return self.layers(party)[-1]


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for parties without a role, and columns named twice."""
    for name in ("id", "exclude", "columns", "bottom"):
        value = getattr(params, name)
        if isinstance(value, dict):
            check_parties(value, cast.parties(), name)
    for party, columns in params.columns.items():
        if len(set(columns)) != len(columns):
            raise ParleyError("bad_parameters", f"columns names a column of {party} twice.")


def epsilon(messages: float, noise: float, delta: float) -> float:
    """Of so many noised messages about a row, at `delta`: any two clipped rows lie at most 2 clips apart, so one
    message is 2 / noise^2-concentrated private; they add up, and rho gives rho + 2 sqrt(rho ln(1 / delta)).

    Source: Bun & Steinke, *Concentrated differential privacy*, 2016, propositions 1.6, 1.3 and lemma 2.3.
    """
    rho = messages * 2 / noise**2
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


def privacy(params: Params, epochs: int, rows: int) -> dict[str, float]:
    """What the noise of so many epochs over so many rows promises, for `row` (a row's own messages, the networks at
    the time given) and `all` (everything that one party sent another)."""
    sent = epochs + 1.0
    return {
        "delta": params.delta,
        "row_epsilon": round(epsilon(sent, params.noise, params.delta), 3),
        "all_epsilon": round(epsilon(sent * rows, params.noise, params.delta), 3),
    }


def figures(params: Params, cast: Cast, sizes: Sizes) -> list[str]:
    """For the plan's reader, of a noised cut."""
    if params.cut != "noised":
        return []
    rows = min((sizes.rows[p] for p in cast.parties() if p in sizes.rows), default=0)
    found = privacy(params, params.epochs, rows)
    return [
        f"noise on each row's own messages: epsilon {found['row_epsilon']:g} at delta {params.delta:g}, "
        "with the networks at the time taken as given",
        f"noise on all messages of a party together: epsilon {found['all_epsilon']:g}",
    ]
