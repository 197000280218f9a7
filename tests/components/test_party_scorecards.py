"""Each party's part of a scorecard, from what training kept and its chain of transforms, adds up to the score."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from parley.components.errors import DataError
from parley.components.features import fit_bins
from parley.components.serving.scorecards import scorecard_of
from parley.components.training.scorecard import Scaling

RNG = np.random.default_rng(9)
SCALING = Scaling.of_odds(600, 50, 20, lower=-1e6, upper_ratio=1e3)


def party(names: str, label: bool) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """(what it kept, bins (n, F) of 50 rows, its part of the log odds (n,)) with standardised WOE columns."""
    table = pa.table({n: RNG.integers(0, 6, 50).astype(float) for n in names})
    binning = fit_bins(table, list(names), 4)
    codes = binning.transform(table)
    values = [RNG.normal(size=b).tolist() for b in binning.n_bins]
    x = np.column_stack([np.array(v)[codes[:, f]] for f, v in enumerate(values)])
    mean, spread, weights = x.mean(axis=0), x.std(axis=0) + 0.5, RNG.normal(size=(1, len(names) + label))
    chain = [{"kind": "impute", "any": 1}, {"kind": "bin_values", "binning": binning.to_dict(), "values": values}]
    kept = {
        "linear": {"model": "logistic"}, "columns": list(names), "weights": weights, "mean": mean, "spread": spread,
        "intercept": True, "prepared": json.dumps({"version": 1, "transforms": chain}),
        **({"shift": 0.0, "factor": 1.0} if label else {}),
    }  # fmt: skip
    part = (x - mean) / spread @ weights[0, : len(names)] + (weights[0, -1] if label else 0.0)
    return kept, codes, part


def test_the_cards_of_all_parties_add_up_to_the_score() -> None:
    kept, codes, part = party("ab", True)
    other, other_codes, other_part = party("cde", False)
    cards = [scorecard_of(k, SCALING, whole=False) for k in (kept, other)]
    total = sum(card.base + card.parts(c).sum(axis=1) for card, c in zip(cards, (codes, other_codes), strict=True))
    np.testing.assert_allclose(total, SCALING.of_log_odds(part + other_part), rtol=1e-10)
    odds = np.exp(-(part + other_part))
    np.testing.assert_allclose(total, 600 + 20 / math.log(2) * np.log(odds / 50), rtol=1e-10)
    rounded = [scorecard_of(k, SCALING) for k in (kept, other)]
    assert all(a.points == round(a.points) for c in rounded for ch in c.characteristics for a in ch.attributes)
    assert [len(c.characteristics) for c in rounded] == [2, 3]
    assert rounded[0].characteristics[0].attributes[-1].label == "missing"


def changed(kept: dict[str, Any], change: Any) -> dict[str, Any]:
    chain = json.loads(kept["prepared"])
    change(chain["transforms"])
    return {**kept, "prepared": json.dumps(chain)}


def test_what_is_no_scorecard_is_told() -> None:
    kept, _, _ = party("ab", True)
    for wrong, code in (
        ({**kept, "linear": {"model": "poisson"}}, "no_scorecard"),
        ({k: v for k, v in kept.items() if k != "prepared"}, "no_scorecard"),
        (changed(kept, lambda c: c.append({"kind": "scale"})), "no_scorecard"),
        (changed(kept, lambda c: c[1].pop("values")), "bad_model"),
        ({"scores": [1.0]}, "no_model"),
    ):
        with pytest.raises(DataError) as e:
            scorecard_of(wrong, SCALING)
        assert e.value.code == code
    assert scorecard_of(changed(kept, lambda c: c.append({"kind": "columns"})), SCALING).characteristics
