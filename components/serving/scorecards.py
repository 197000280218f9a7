"""One party's part of a scorecard, from what a logistic training kept and the bins its columns went through.

A column on the card is one that the last `bin_values` transform of the party's own chain turned into a number for each
bin (its weight of evidence), and that nothing changed after that. The label party's part has the base points; base and
points of all parties, made with the same scaling, add up to the score of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parley.components.errors import DataError
from parley.components.features.binning import Binning, ColumnBins
from parley.components.serving.parts import Linear, part_of
from parley.components.training.scorecard import Scaling, Scorecard, bin_labels, make_scorecard


def scorecard_of(kept: Mapping[str, Any], scaling: Scaling, *, whole: bool = True) -> Scorecard:
    """DataError `no_scorecard` for other models and for columns that are not binned, `bad_model`, `no_model`."""
    part = part_of(kept)
    if not isinstance(part, Linear) or kept["linear"]["model"] != "logistic":
        raise DataError("no_scorecard", "only a logistic model becomes a scorecard", "train linear/vertical on bins")
    bins = _binned(kept)
    features: dict[str, tuple[float, list[str], list[float]]] = {}
    shift = part.offset[0]
    for column, (coefficient,) in zip(part.columns, part.coefficients, strict=True):
        if column not in bins:
            raise DataError(
                "no_scorecard", f"column {column!r} is not in bins with values", "bin it in an earlier step"
            )
        binned, values = bins[column]
        features[column] = (coefficient, bin_labels(binned), values)
    if part.link is not None:
        return make_scorecard(features, shift, scaling, whole=whole)
    # Training may have centred this party's columns, which moves every score by the same: points of its own to add.
    moved = scaling.slope * shift
    return replace(make_scorecard(features, None, scaling, whole=whole), base=float(round(moved)) if whole else moved)


def _binned(kept: Mapping[str, Any]) -> dict[str, tuple[ColumnBins, list[float]]]:
    """Column -> its bins and the number of each, missing last."""
    found: dict[str, tuple[ColumnBins, list[float]]] = {}
    try:
        chain = json.loads(kept["prepared"])["transforms"] if "prepared" in kept else []
        for entry in chain:
            if entry["kind"] not in ("bin_values", "columns"):
                found.clear()  # whatever it does, the numbers may not be those of the bins any more
            if entry["kind"] == "bin_values":
                columns = Binning.from_dict(entry["binning"]).columns
                found |= {c.name: (c, [float(v) for v in vs]) for c, vs in zip(columns, entry["values"], strict=True)}
    except (KeyError, TypeError, ValueError):
        raise DataError("bad_model", "the chain of transforms is damaged or of another version") from None
    return found
