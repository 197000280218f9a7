"""Messages and parameters of weight of evidence; who sends which to whom stands with the protocol."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from parley.crypto.ahe import Layout
from parley.protocols.inputs import check_parties
from parley.protocols.kit import Cast, Message, array, message
from parley.protocols.scheme import LATTICE_BINS
from parley.wire.errors import ParleyError

NAME_BYTES = 256
MAX_BINS = 1024
WEIGHT_UNITS = 65_535
Ciphers = Annotated[NDArray[np.uint8], array("n", "size", dtype="uint8")]


@message("stats.woe.shape/1")
class Shape(Message):
    n_bins: Annotated[NDArray[np.uint32], array("features", dtype="uint32")]
    categorical: Annotated[NDArray[np.uint8], array("features", dtype="uint8")]
    held: Annotated[NDArray[np.uint32], array("bins", dtype="uint32")]

    def check(self) -> None:
        counts = self.n_bins.astype(np.int64)
        if counts.size == 0 or counts.min() < 2 or counts.max() > MAX_BINS + 1 or counts.sum() != self.held.size:
            raise ValueError("a features party needs features of at least two bins each, with rows for each bin")
        if np.any(self.categorical > 1):
            raise ValueError("a feature is of numbers or of categories")


@message("stats.woe.names/1")
class Names(Message):
    names: list[str]

    def check(self) -> None:
        if any(type(n) is not str or len(n.encode()) > NAME_BYTES for n in self.names):
            raise ValueError(f"column names are texts of at most {NAME_BYTES} bytes")


@message("stats.woe.key/1")
class Key(Message):
    public: bytes
    count: int
    outputs: int


@message("stats.woe.labels/1")
class Labels(Message):
    ciphertexts: Ciphers


@message("stats.woe.sums/1")
class Sums(Message):
    sums: Ciphers


@message("stats.woe.joined/1")
class Joined(Message):
    groups: Annotated[NDArray[np.uint16], array("bins", dtype="uint16")]


@message("stats.woe.weights/1")
class Weights(Message):
    woe: Annotated[NDArray[np.float64], array("bins", dtype="float64")]

    def check(self) -> None:
        if not np.isfinite(self.woe).all():
            raise ValueError("a weight of evidence is a finite number")


class Params(BaseModel):
    """`label` is the label party's column, `positive` its value that counts as an event; with `classes` above 2 each
    class is set against all others. `id` and `exclude` name columns that are no features, for all or by party;
    `columns` a party's features instead of all others. `weight` is a column of the label party's.

    `method` makes at most `bins` bins a column: by quantiles, of equal width, at `edges` (by party and column), or by
    joining `pre_bins` quantile bins: `chi` the least different, `optimal` for the largest information value, `gini` for
    the largest decrease of impurity, `ks` by parting where events and others are farthest apart. `optimal` and `gini`
    keep shares of events rising or falling unless `monotone` is false; joined bins hold `min_share` of all rows.
    A bin of fewer than `min_bin_rows` rows is joined with a neighbour before anything is encrypted or sent.
    `transform`: whether columns become weights of evidence, numbers of joined bins, or stay. For `woe` and `index`, a
    bin with fewer than `min_class_rows` events, or others, is joined with a neighbour first, so that no bin says all
    of its rows' labels. `adjustment` as in `components.features.woe`.
    `report`: what the submitter is told, information values alone or the table of each column's bins as well.
    """

    model_config = ConfigDict(extra="forbid")
    label: str
    positive: str | int | None = None
    classes: int = Field(default=2, ge=2, le=50)
    weight: str | None = None
    id: str | dict[str, str] | None = None
    exclude: list[str] | dict[str, list[str]] = Field(default_factory=list)
    columns: dict[str, list[str]] = Field(default_factory=dict)
    method: Literal["quantile", "width", "edges", "chi", "optimal", "gini", "ks"] = "quantile"
    bins: int = Field(default=10, ge=2, le=MAX_BINS)
    pre_bins: int = Field(default=20, ge=2, le=200)
    edges: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    monotone: bool = True
    min_share: float = Field(default=0.05, ge=0, lt=0.5)
    min_bin_rows: int = Field(default=20, ge=5, le=1 << 31)
    min_class_rows: int = Field(default=5, ge=1, le=1 << 31)
    adjustment: float = Field(default=0.5, gt=0, le=1e6)
    transform: Literal["woe", "index", "none"] = "woe"
    report: Literal["iv", "bins"] = "bins"
    share_names: bool = False
    scheme: Literal["lattice", "paillier"] = "lattice"
    key_bits: Literal[2048, 3072] = 2048
    statistical_bits: int = Field(default=40, ge=40, le=80)
    packed: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.method == "edges") != bool(self.edges):
            raise ValueError("edges goes with method edges, which needs it")
        if self.classes > 2 and (self.transform == "woe" or self.joins):
            raise ValueError("with more than two classes bins are not joined by label, and no single weight stands")
        if self.scheme == "lattice" and self.most_bins > LATTICE_BINS:
            raise ValueError(f"the lattice sums at most {LATTICE_BINS} bins, and missing values")
        if self.classes > 2 and self.positive is not None:
            raise ValueError("positive goes with two classes")
        if self.classes > 2 and self.weight is not None:
            raise ValueError("weight goes with two classes")
        return self

    @property
    def most_bins(self) -> int:
        """Bins of a column at most, without the one for missing values."""
        given = [len(e) + 1 for columns in self.edges.values() for e in columns.values()]
        return max([self.pre_bins if self.joins else self.bins, *given])

    @property
    def joins(self) -> bool:
        """Whether the label party joins bins by the label."""
        return self.method in ("chi", "optimal", "gini", "ks")

    @property
    def channels(self) -> int:
        """Numbers of a row: 1 for an event, with weights the weight of an event and of any row; or one a class."""
        return self.classes if self.classes > 2 else 1 if self.weight is None else 3

    def layout(self, rows: int) -> Layout:
        return Layout(self.channels, 1 if self.weight is None else WEIGHT_UNITS, max(1, rows))


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for a party without a role."""
    for value, what in ((params.columns, "columns"), (params.edges, "edges"), (params.exclude, "exclude")):
        if isinstance(value, dict):
            check_parties(value, cast.parties(), what)
    if isinstance(params.id, dict):
        check_parties(params.id, cast.parties(), "id")


def wrong(peer: str, what: str) -> ParleyError:
    """What a peer did that the protocol does not allow, by name."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
