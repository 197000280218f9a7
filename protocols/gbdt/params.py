"""The parameters of vertical boosting, and what follows from them without any data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.components.training.metrics import Task
from parley.components.training.objectives import LOG_LINK, ROBUST, Loss, Objective
from parley.components.training.split import Params as Growth
from parley.crypto.ahe import Layout
from parley.protocols.inputs import check_parties
from parley.protocols.kit import Cast
from parley.protocols.scheme import LATTICE_BINS, LATTICE_SCALE, LATTICE_SLOTS
from parley.wire.errors import ParleyError

LATTICE_CHANNELS = 64  # numbers of a row that the lattice adds up at once: two a class


class Goss(BaseModel):
    """Of the training rows the share with the largest gradients, and the share of all that is drawn from the others."""

    model_config = ConfigDict(extra="forbid")
    top: float = Field(default=0.2, gt=0, lt=1)
    other: float = Field(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.top + self.other > 1:
            raise ValueError("top and other are at most all rows together")
        return self

    def counts(self, rows: int) -> tuple[int, int]:
        """(large, others) of so many training rows."""
        top = min(rows, max(1, round(rows * self.top)))
        return top, min(rows - top, max(1, round(rows * self.other)))


class Params(BaseModel):
    """`label` is the label party's column; `id` and `exclude` name columns that are no features, for all or by party.

    `columns` names the features of a party instead of "all others"; `positive` is the value that counts as 1;
    `validation` is the share of rows held out, which early stopping (in rounds) watches; where an earlier step left
    validation rows, those are watched instead.
    `weight` and `exposure` are columns of the label party's: how much a row counts, and for counts and amounts how long
    or how much of it was observed, so that the model predicts what comes of one unit; predictions of the rows trained
    on are for their own exposure. `power` is Tweedie's, and `delta` the error, in the label's unit, from which huber,
    fair and log_cosh count by size rather than by square. `monotone` gives numeric features of a party a direction: 1,
    and no score falls where the feature rises; -1, and none rises. Of classes it binds each one's raw score, which its
    probability need not follow, as probabilities do not change where all raw scores rise alike; so it takes a tree for
    each class: one tree for all would give up every split at which a single class goes the other way, for no promise.
    `objective: ranking` puts the rows of each `group`, a column of the label party's, in order: labels are relevances,
    0 to 30. Training and validation rows of a group are two groups.
    `multi` grows one tree a round with a weight for each class, or a tree for each class.
    `goss` learns from the rows with large gradients and some of the others, which shows features parties which rows
    these are. `growth: leaf` parts the best leaf next until there are `leaves`; `depth` bounds it still, at 10 unless
    said otherwise. The first `own_trees` rounds use the label party's features alone: features parties, who see rows
    sit together by what is still to be explained, see less of the label where such trees explain most of it.
    `warm_start` goes on from the model of an earlier step, on its rows and with its bins: `trees` more rounds.
    `disclosure: strict` encrypts every row for each node, zero outside of it, so that features parties do not see which
    rows sit together, and answer for all rows where one of their features wins; it takes 2^(depth - 1) times as many
    ciphertexts of rows with Paillier, and some 2^depth / (depth + 1) times as many with the lattice.
    `scale_bits` are fraction bits, 16 of them with the lattice unless said otherwise. `statistical_bits` is how close,
    as a power of 1/2, all lattice answers of an attempt together must come to saying nothing beyond their sums; an
    attempt that is made again says it anew. It protects the features parties, so no submitter can ask for less than 40.
    `packed` lattice answers are several times smaller and take longer: for slow links, and fixed with the contract.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    label: str
    id: str | dict[str, str] | None = None
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)
    columns: dict[str, list[str]] = Field(default_factory=dict)
    objective: Literal[
        "binary", "multi", "regression", "huber", "fair", "log_cosh", "poisson", "gamma", "tweedie", "ranking"
    ] = "binary"
    classes: int | None = Field(default=None, ge=2, le=100)
    multi: Literal["channels", "trees"] = "channels"
    power: float = Field(default=1.5, gt=1, lt=2)
    delta: float = Field(default=1.0, gt=0, le=1e12)
    weight: str | None = None
    exposure: str | None = None
    group: str | None = None
    monotone: dict[str, dict[str, Literal[-1, 0, 1]]] = Field(default_factory=dict)
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
    column_sample_level: float = Field(default=1.0, gt=0, le=1)
    goss: Goss | None = None
    growth: Literal["level", "leaf"] = "level"
    leaves: int | None = Field(default=None, ge=2, le=256)
    own_trees: int = Field(default=0, ge=0, le=2000)
    warm_start: bool = False
    early_stopping: int = Field(default=0, ge=0, le=2000)
    validation: float = Field(default=0.0, ge=0, lt=1)
    disclosure: Literal["fast", "strict"] = "fast"
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
        if (self.growth == "leaf") != (self.leaves is not None):
            raise ValueError("leaves goes with growth leaf, which needs it")
        if self.leaves is not None and "depth" not in self.model_fields_set:
            self.depth = min(10, self.leaves - 1)
        if self.goss is not None and self.subsample < 1:
            raise ValueError("goss and subsample are two ways to choose rows")
        if self.own_trees >= self.trees:
            raise ValueError("own_trees are the first of all trees, and fewer")
        for name, objectives in {"multi": ("multi",), "power": ("tweedie",), "delta": ROBUST}.items():
            if name in self.model_fields_set and self.objective not in objectives:
                raise ValueError(f"{name} goes with another objective")
        if self.exposure is not None and self.objective not in LOG_LINK:
            raise ValueError("exposure goes with objectives poisson, gamma and tweedie")
        if (self.objective == "ranking") != (self.group is not None):
            raise ValueError("group goes with objective ranking, which needs it")
        if self.weight is not None and self.objective == "ranking":
            raise ValueError("rows of a ranking have no weight")
        if self.monotone and self.channels > 2:
            raise ValueError("monotone needs one output a tree: multi: trees")
        if self.positive is not None and self.objective != "binary":
            raise ValueError("positive goes with objective binary")
        if self.scheme == "lattice":
            if self.channels > LATTICE_CHANNELS:
                raise ValueError(f"the lattice sums at most {LATTICE_CHANNELS // 2} classes at once: multi: trees")
            if self.bins > LATTICE_BINS:
                raise ValueError(f"the lattice sums at most {LATTICE_BINS} bins, and missing values")
            if "scale_bits" not in self.model_fields_set:
                self.scale_bits = LATTICE_SCALE
        return self

    @property
    def own_columns(self) -> list[str]:
        """Columns of the label party's that are no features: the label, and what goes with it."""
        return [c for c in (self.label, self.weight, self.exposure, self.group) if c is not None]

    @property
    def strict(self) -> bool:
        """Whether features parties are kept from seeing which rows sit together."""
        return self.disclosure == "strict"

    @property
    def outputs(self) -> int:
        """K: scores a row."""
        return self.classes or 1

    @property
    def apart(self) -> int:
        """Trees in a round."""
        return self.outputs if self.multi == "trees" else 1

    @property
    def channels(self) -> int:
        """Sums that one tree takes: g and h of each output it grows for."""
        return 2 * self.outputs // self.apart

    @property
    def steps(self) -> int:
        """How often a tree asks for histograms, at most."""
        return self.depth if self.leaves is None else self.leaves - 1

    @property
    def splits(self) -> int:
        """Of one tree, at most."""
        whole: int = (1 << self.depth) - 1
        return whole if self.leaves is None else min(whole, self.leaves - 1)

    @property
    def builds(self) -> int:
        """Nodes whose histograms one tree asks for, at most: the root, and one of each two siblings that are parted."""
        whole: int = 1 << (self.depth - 1)
        return whole if self.leaves is None else min(whole, self.leaves - 1)

    @property
    def asking(self) -> int:
        """Trees that features parties take part in."""
        return (self.trees - self.own_trees) * self.apart

    def learnt_from(self, rows: int) -> int:
        """The most of so many training rows that one tree learns from."""
        if self.goss is not None:
            return sum(self.goss.counts(rows))
        return max(1, round(rows * self.subsample)) if self.subsample < 1 else rows

    @property
    def task(self) -> Task:
        tasks: dict[str, Task] = {"binary": "binary", "multi": "multiclass", "ranking": "ranking"}
        return tasks.get(self.objective, "regression")

    def loss(self) -> Objective:
        """The objective in the words of the training mathematics."""
        if self.objective == "multi":
            return Objective("softmax", self.outputs)
        names: dict[str, Loss] = {"binary": "logistic", "regression": "squared", "ranking": "lambdarank"}
        names |= {"huber": "huber", "fair": "fair", "log_cosh": "log_cosh"}
        names |= {"poisson": "poisson", "gamma": "gamma", "tweedie": "tweedie"}
        return Objective(names[self.objective], power=self.power, delta=self.delta)

    def rules(self) -> Growth:
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
            leaves=self.leaves or 0,
        )

    def released_sums(self, n_bins: tuple[int, ...]) -> int:
        """The most slots a features party with so many bins answers with in all, channels counted.

        An answer fills whole polynomials of LATTICE_SLOTS.
        """
        slots = -(-sum(n_bins) // LATTICE_SLOTS) * LATTICE_SLOTS
        return self.asking * slots * self.channels * self.builds

    def layout(self, rows: int) -> Layout:
        """Plaintexts of one row's channels, all at most 1 in size, which add up over `rows`; CryptoError "overflow"."""
        return Layout(channels=self.channels, bound=1 << self.scale_bits, max_rows=max(1, rows))


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for parties without a role."""
    for name in ("id", "exclude", "columns", "monotone"):
        value = getattr(params, name)
        if isinstance(value, dict):
            check_parties(value, cast.parties(), name)
    for party, columns in params.columns.items():
        if len(set(columns)) != len(columns):
            raise ParleyError("bad_parameters", f"columns names a column of {party} twice.")
