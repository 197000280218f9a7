"""The parameters of binning by evidence, and what follows from them without any data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from parley.crypto.ahe import Layout
from parley.protocols.inputs import check_parties
from parley.protocols.kit import Cast
from parley.protocols.scheme import LATTICE_SLOTS
from parley.protocols.stats.columns import Columns, check_columns

MOST = 255


class Params(Columns):
    """`label` is the label party's column of 0 and 1, or of any values of which `positive` counts as 1.

    `method`: `quantile` and `width` make `bins` bins of as many rows, or of one width, each; `edges` takes them by
    party and column (other columns by quantile); `chi_square` merges `prebins` quantile bins while neighbours differ
    with less than `confidence`, down to `bins` at least; `optimal` merges them into the bins with the largest
    information value, with `monotone` event rates that never fall or never rise. `min_bin_rows`: smaller bins are
    joined before anything is counted. `adjustment` stands for a count of 0. `transform` is what every party's columns
    become: their weight of evidence, which tells features parties the event rates of their bins; the number of their
    bin; or nothing. `share_names` names the features of others in the result, which go by number otherwise.
    `statistical_bits`, `key_bits` and `packed` are as in boosting.
    """

    label: str
    positive: str | int | None = None
    method: Literal["quantile", "width", "edges", "chi_square", "optimal"] = "quantile"
    bins: int = Field(default=10, ge=2, le=MOST)
    prebins: int = Field(default=32, ge=2, le=64)
    edges: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    monotone: bool = True
    min_bin_rows: int = Field(default=20, ge=1, le=1_000_000)
    adjustment: float = Field(default=0.5, gt=0, le=1)
    transform: Literal["none", "woe", "index"] = "none"
    share_names: bool = False
    scheme: Literal["lattice", "paillier"] = "lattice"
    key_bits: Literal[2048, 3072] = 2048
    statistical_bits: int = Field(default=40, ge=40, le=80)
    packed: bool = False

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.method == "edges") != bool(self.edges):
            raise ValueError("edges goes with method edges, which needs it")
        if self.merges and self.bins > self.prebins:
            raise ValueError("bins are merged out of prebins, and not more")
        for columns in self.edges.values():
            if any(not 1 <= len(e) < MOST for e in columns.values()):
                raise ValueError(f"a column has 1 to {MOST - 1} edges")
        return self

    @property
    def merges(self) -> bool:
        """Whether the label party merges bins by what it counts."""
        return self.method in ("chi_square", "optimal")

    @property
    def fine(self) -> int:
        """Bins of a column, at most, that are made before any is joined or merged; of given edges, where none are."""
        return self.prebins if self.merges else self.bins

    @property
    def most(self) -> int:
        """Bins of a column that are counted, at most, missing included."""
        given = [len(e) + 1 for columns in self.edges.values() for e in columns.values()]
        return max(self.fine, *given, 1) + 1

    def released_sums(self, n_bins: tuple[int, ...]) -> int:
        """Slots that a features party with so many bins by feature answers with; they fill whole polynomials."""
        return -(-sum(n_bins) // LATTICE_SLOTS) * LATTICE_SLOTS

    def layout(self, rows: int) -> Layout:
        """One label, 0 or 1, which adds up over `rows`."""
        return Layout(channels=1, bound=1, max_rows=max(1, rows))


def check_params(params: Params, cast: Cast) -> None:
    """ParleyError "bad_parameters" for parties without a role."""
    check_columns(params, cast)
    check_parties(params.edges, cast.parties(), "edges")
