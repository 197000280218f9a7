"""The scorecard step: points of kept scores, their bands for the submitter, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from parley.components.training.curves import counted
from parley.components.training.metrics_points import bands
from parley.protocols.evaluate.card import CARD
from parley.protocols.kit import Cast, StepInputs, StepOutputs, run_local
from parley.wire.errors import ParleyError

RNG = np.random.default_rng(5)
P = RNG.uniform(0.01, 0.99, 400)
LABELS = (RNG.uniform(size=400) < P).astype(float)
KEPT = {"task": "binary", "scores": P[:, None], "labels": LABELS, "rows": np.arange(400)}


def run(kept: dict[str, Any] = KEPT, **params: Any) -> StepOutputs:
    return run_local(CARD, {"label": "bank"}, {"bank": StepInputs(None, {"train": kept})}, params)["bank"]


def test_points_are_offset_plus_factor_per_doubling_of_the_odds() -> None:
    done = run(whole=False)
    np.testing.assert_allclose(done.keep["points"], 500 + 20 * np.log2((1 - P) / P), rtol=1e-12)
    assert done.keep["rows"].tolist() == KEPT["rows"].tolist()
    rounded = run().keep["points"]
    assert np.array_equal(rounded, np.rint(done.keep["points"]))
    good = run(bad=0, whole=False).keep["points"]
    np.testing.assert_allclose(good, 500 + 20 * np.log2(P / (1 - P)))


def test_base_points_take_the_place_of_offset_and_factor() -> None:
    points = run(base_points={"points": 600, "odds": 50, "double": 20}, whole=False).keep["points"]
    np.testing.assert_allclose(points, 600 + 20 * np.log2((1 - P) / P / 50))


def test_the_submitter_gets_bands_and_no_row() -> None:
    done = run()
    assert set(done.result) == {"rows", "points"}
    table = done.result["points"]
    assert sum(b["rows"] for b in table) == 400
    assert min(b["rows"] for b in table) >= 10
    rates = [b["bad_rate"] for b in table]
    assert rates[0] < rates[-1]
    assert table[-1]["bad_rate_above"] == pytest.approx(LABELS.mean())
    json.dumps(done.result, allow_nan=False)
    unlabelled = run({k: v for k, v in KEPT.items() if k != "labels"})
    assert {b["bad_rate"] for b in unlabelled.result["points"]} == {None}
    assert "labels" not in unlabelled.keep


def borders(table: list[dict[str, Any]], bad: int) -> set[int]:
    """How many rows lie at or above each border between bands, counted from the greatest score."""
    rows = [b["rows"] for b in table]  # the highest points first, which for bad = 1 are the lowest scores
    return set(np.cumsum(rows[::-1] if bad == 1 else rows).tolist())


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("min_cell", [1, 10, 37])
def test_bands_are_made_of_the_cells_that_an_evaluation_tells_of(bad: int, min_cell: int) -> None:
    cells = set(counted(LABELS, P).coarse(min_cell).rows.tolist())
    done = run(band=7, bad=bad, min_cell=min_cell)
    assert len(done.result["points"]) > 5
    assert borders(done.result["points"], bad) <= cells
    low = int(done.keep["points"].min() // 7)
    assert done.result["points"][-1]["from"] == low * 7
    if min_cell > 1:  # joined by their points, rows lie otherwise: what this test is there to see
        apart = bands(done.keep["points"], LABELS, width=7, bad=bad, min_cell=min_cell)
        assert not borders(apart, bad) <= cells


@pytest.mark.parametrize(
    ("kept", "params", "code"),
    [
        ({"labels": LABELS}, {}, "no_scores"),
        ({**KEPT, "task": "regression"}, {}, "bad_scores"),
        ({**KEPT, "scores": np.tile([0.5, 0.5], (400, 1))}, {}, "bad_scores"),
        ({**KEPT, "scores": P[:, None] * 2}, {}, "bad_scores"),
        ({**KEPT, "scores": P[:5, None], "labels": LABELS[:5]}, {}, "too_few_rows"),
        (KEPT, {"band": 0.001}, "bad_parameter"),
    ],
)
def test_what_has_no_points_is_refused(kept: dict[str, Any], params: dict[str, Any], code: str) -> None:
    with pytest.raises(ParleyError) as e:
        run(kept, **params)
    assert e.value.code == code


@pytest.mark.parametrize(
    "params",
    [
        {"base_points": {"points": 600, "odds": 50, "double": 20}, "offset": 500},
        {"lower": 2000},
        {"base_points": {"points": 10, "odds": 1e6, "double": 20}},  # its offset is far below 0
        {"factor": 0},
        {"base": 1},
    ],
)
def test_a_scaling_that_orders_nothing_is_refused_in_the_plan(params: dict[str, Any]) -> None:
    with pytest.raises(ParleyError) as e:
        CARD.validate(params, Cast({"label": "bank"}))
    assert e.value.code == "bad_parameters"
