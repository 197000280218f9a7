"""The parameters of vertical boosting, and what follows from them without any data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.training.metrics import Task
from parley.components.training.objectives import Objective
from parley.components.training.split import Params as Growth
from parley.crypto.ahe import Layout
from parley.protocols.inputs import check_parties
from parley.protocols.kit import Cast
from parley.wire.errors import ParleyError

LATTICE_BINS, LATTICE_SCALE, LATTICE_SLOTS = 255, 20, 32


class Params(BaseModel):
    """`label` is the label party's column; `id` and `exclude` name columns that are no features, for all or by party.

    `columns` names the features of a party instead of "all others"; `positive` is the value that counts as 1;
    `validation` is the share of rows held out, which early stopping (in rounds) watches; where an earlier step left
    validation rows, those are watched instead.
    `scale_bits` are fraction bits, 20 of them with the lattice unless said otherwise. `statistical_bits` is how close,
    as a power of 1/2, all lattice answers of an attempt together must come to saying nothing beyond their sums; an
    attempt that is made again says it anew. It protects the features parties, so no submitter can ask for less than 40.
    `packed` lattice answers are several times smaller and take longer: for slow links, and fixed with the contract.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    label: str
    id: str | dict[str, str] | None = None
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)
    columns: dict[str, list[str]] = Field(default_factory=dict)
    objective: Literal["binary", "multi", "regression"] = "binary"
    classes: int | None = Field(default=None, ge=2, le=100)
    positive: str | int | None = None
    trees: int = Field(default=30, ge=1, le=2000)
    depth: int = Field(default=3, ge=1, le=10)
    learning_rate: float = Field(default=0.3, ge=1e-6, le=1)
    bins: int = Field(default=32, ge=2, le=1024)
    reg_lambda: float = Field(default=1.0, ge=0, le=1e9, alias="lambda")
    gamma: float = Field(default=0.0, ge=0, le=1e9)
    min_child_weight: float = Field(default=1.0, ge=0, le=1e9)
    subsample: float = Field(default=1.0, gt=0, le=1)
    column_sample: float = Field(default=1.0, gt=0, le=1)
    early_stopping: int = Field(default=0, ge=0, le=2000)
    validation: float = Field(default=0.0, ge=0, lt=1)
    scheme: Literal["paillier", "lattice"] = "paillier"
    key_bits: Literal[2048, 3072] = 2048
    scale_bits: int = Field(default=32, ge=16, le=40)
    statistical_bits: int = Field(default=40, ge=40, le=80)
    packed: bool = False
    share_names: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.objective == "multi") != (self.classes is not None):
            raise ValueError("classes goes with objective multi, and multi needs it")
        if self.positive is not None and self.objective != "binary":
            raise ValueError("positive goes with objective binary")
        if self.scheme == "lattice":
            if self.bins > LATTICE_BINS:
                raise ValueError(f"the lattice sums at most {LATTICE_BINS} bins, and missing values")
            if "scale_bits" not in self.model_fields_set:
                self.scale_bits = LATTICE_SCALE
        return self

    @property
    def outputs(self) -> int:
        """K: trees in a round."""
        return self.classes or 1

    @property
    def task(self) -> Task:
        tasks: dict[str, Task] = {"binary": "binary", "multi": "multiclass", "regression": "regression"}
        return tasks[self.objective]

    def loss(self) -> Objective:
        """The objective in the words of the training mathematics."""
        if self.objective == "multi":
            return Objective("softmax", self.outputs)
        return Objective("logistic" if self.objective == "binary" else "squared")

    def growth(self) -> Growth:
        """How trees grow."""
        return Growth(
            rounds=self.trees,
            depth=self.depth,
            learning_rate=self.learning_rate,
            reg_lambda=self.reg_lambda,
            gamma=self.gamma,
            min_child_weight=self.min_child_weight,
            scale_bits=self.scale_bits,
            early_stopping=self.early_stopping,
        )

    def released_sums(self, n_bins: tuple[int, ...]) -> int:
        """The most slots a features party with so many bins answers with in all, g and h counted apart.

        An answer fills whole polynomials of LATTICE_SLOTS. A tree of depth D asks for at most 2^(D-1) nodes: the root,
        and one of each two siblings below it.
        """
        slots = -(-sum(n_bins) // LATTICE_SLOTS) * LATTICE_SLOTS
        return (self.trees * self.outputs * slots) << self.depth

    def layout(self, rows: int) -> Layout:
        """Plaintexts of one row's (g, h), both at most 1 in size, which add up over `rows`; CryptoError "overflow"."""
        return Layout(channels=2, bound=1 << self.scale_bits, max_rows=max(1, rows))


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for parties without a role."""
    for value, name in ((params.id, "id"), (params.exclude, "exclude"), (params.columns, "columns")):
        if isinstance(value, dict):
            check_parties(value, cast.parties(), name)
    for party, columns in params.columns.items():
        if len(set(columns)) != len(columns):
            raise ParleyError("bad_parameters", f"columns names a column of {party} twice.")
