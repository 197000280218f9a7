"""The parameters of vertical linear models, and what follows from them without any data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.training.linear import Family, Fixed, Rule
from parley.components.training.linear_sides import count
from parley.crypto.ahe import inner
from parley.protocols.inputs import check_parties
from parley.protocols.kit import Cast
from parley.wire.errors import ParleyError

ROWS_PER_COLUMN = 10  # of a batch, for each column of a party that learns sums over it


class Params(BaseModel):
    """`label` is the label party's column; `id` and `exclude` name columns that are no features, for all or by party.

    `columns` names the features of a party instead of "all others"; `positive` is the value that counts as 1.
    `model` is `logistic` (0 and 1), `ovr` (`classes` logistic models, one against the rest), `linear`, or `poisson`,
    `gamma` and `tweedie` (of `power` between 1 and 2) with a logarithm as link. Log links model labels divided by their
    mean, linear models standardised labels: penalties and losses are in that scale.
    `standardize` centres each column and divides it by its deviation at its owner; either way columns are cut at +-8.
    `batch` rows at most a step, 0 for all at once; an epoch's batches have equal sizes within one. `l1` and `l2` are
    penalties on the mean loss. `early_stopping` in epochs watches the loss of the validation rows if an earlier step
    set some apart, else the training loss; `tolerance` is the least gain that counts.
    Functions of the score begin anew after `period` and have `frequencies` waves: they are right for scores within
    3/8 of a period (5/16 with a log link), to about 2e-4 with 24 waves in 64 and 16 in 16, which are the defaults.
    `statistical_bits` is how close, as a power of 1/2, all encrypted answers of an attempt come to saying nothing
    beyond masked sums.
    """

    model_config = ConfigDict(extra="forbid")
    label: str
    id: str | dict[str, str] | None = None
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)
    columns: dict[str, list[str]] = Field(default_factory=dict)
    model: Literal["logistic", "ovr", "linear", "poisson", "gamma", "tweedie"] = "logistic"
    classes: int | None = Field(default=None, ge=3, le=100)
    positive: str | int | None = None
    power: float = Field(default=1.5, gt=1.02, lt=1.98)
    intercept: bool = True
    standardize: bool = True
    epochs: int = Field(default=30, ge=1, le=10_000)
    batch: int = Field(default=0, ge=0, le=10_000_000)
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: float = Field(default=0.03, ge=1e-6, le=100)
    decay: float = Field(default=0.0, ge=0, le=1)
    l1: float = Field(default=0.0, ge=0, le=1e6)
    l2: float = Field(default=0.0, ge=0, le=1e6)
    early_stopping: int = Field(default=0, ge=0, le=10_000)
    tolerance: float = Field(default=0.0, ge=0, le=1)
    frequencies: int | None = Field(default=None, ge=8, le=64)
    period: Literal[16, 32, 64, 128] | None = None
    statistical_bits: int = Field(default=40, ge=40, le=48)
    warm_start: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.model == "ovr") != (self.classes is not None):
            raise ValueError("classes goes with model ovr, and ovr needs it")
        if self.positive is not None and self.model != "logistic":
            raise ValueError("positive goes with model logistic")
        return self

    @property
    def outputs(self) -> int:
        """K: models that are trained side by side."""
        return self.classes or 1

    @property
    def family(self) -> Family:
        wide = self.model in ("logistic", "ovr", "linear")
        order, period = self.frequencies or (24 if wide else 16), self.period or (64 if wide else 16)
        return Family("logistic" if self.model == "ovr" else self.model, self.power, order, float(period))

    @property
    def rule(self) -> Rule:
        return Rule(self.optimizer, self.learning_rate, self.l1, self.l2, self.decay)

    def batches(self, rows: int) -> int:
        """How many batches an epoch over so many training rows has."""
        return -(-rows // self.batch) if self.batch else 1

    def fixed(self, training: int, validation: int) -> Fixed:
        """The arithmetic of a training over so many rows: its sums are over a batch, or over the validation rows."""
        return Fixed(self.family, max(min(training, self.batch or training), validation))

    def product(self, rows: int, columns: int, *, labels_here: bool) -> inner.Shape:
        """What the owner of so many columns is sent and answers, by where the labels are."""
        vectors = count(Fixed(self.family, rows), labels=not labels_here)
        return inner.shape(rows, vectors, columns + labels_here)


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for parties without a role."""
    for value, name in ((params.id, "id"), (params.exclude, "exclude"), (params.columns, "columns")):
        if isinstance(value, dict):
            check_parties(value, cast.parties(), name)
    for party, columns in params.columns.items():
        if len(set(columns)) != len(columns):
            raise ParleyError("bad_parameters", f"columns names a column of {party} twice.")
