"""Columns into features: binning, with the missing value as a value of its own."""

from parley.components.features.binning import Binning, ColumnBins, fit_bins
from parley.components.features.remarks import remarks
from parley.components.features.spec import BinSpec

__all__ = ["BinSpec", "Binning", "ColumnBins", "fit_bins", "remarks"]
