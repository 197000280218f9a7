"""The shape of a binned table, which is all that a tree learner needs to know of its features."""

from __future__ import annotations

from dataclasses import dataclass

from parley.components.errors import DataError

MAX_VALUE_BINS = 65_535


@dataclass(frozen=True)
class BinSpec:
    """For each of F features: how many bins, and whether their order means nothing.

    Bins of feature f are 0 .. n_bins[f] - 1; the last one, `missing(f)`, is for missing values and always
    exists, also where no value was missing, so that the spec does not tell. `categorical[f]` says that the
    other bins are categories without an order.
    """

    n_bins: tuple[int, ...]
    categorical: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.n_bins) != len(self.categorical):
            raise DataError("bad_parameter", "a bin spec needs one kind for each feature")
        if not self.n_bins:
            raise DataError("no_features", "there is no feature to bin", "name at least one column")
        if min(self.n_bins) < 2 or max(self.n_bins) > MAX_VALUE_BINS + 1:
            raise DataError("bad_parameter", f"a feature has 2 to {MAX_VALUE_BINS + 1} bins, missing included")

    @property
    def features(self) -> int:
        """F."""
        return len(self.n_bins)

    @property
    def width(self) -> int:
        """B, the bins of the widest feature: the second axis of a histogram."""
        return max(self.n_bins)

    def missing(self, feature: int) -> int:
        """The bin of missing values."""
        return self.n_bins[feature] - 1

    def joined(self, other: BinSpec) -> BinSpec:
        """The spec of both parties' features side by side."""
        return BinSpec(self.n_bins + other.n_bins, self.categorical + other.categorical)
