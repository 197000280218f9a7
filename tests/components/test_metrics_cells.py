"""What a published evaluation tells of groups of rows: never of fewer than `min_cell`, also by subtraction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from parley.components.errors import DataError
from parley.components.training import curves
from parley.components.training.metrics import evaluate

RNG = np.random.default_rng(3)


def binary(rows: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    score = RNG.uniform(size=rows)
    return (RNG.uniform(size=rows) < score).astype(int), score.round(1) if ties else score


def told_groups(y: np.ndarray, result: dict[str, Any], thresholds: int) -> list[int]:
    """Sizes of the smallest groups that a reader gets by subtracting all cumulative counts told from one another."""
    positives, negatives = int(y.sum()), int((1 - y).sum())
    cumulative: set[tuple[int, int]] = {(0, 0)}
    roc, chart = result["roc"], result["separation"]
    cumulative |= _counts(roc["tpr"], roc["fpr"], positives, negatives)
    cumulative |= _counts(chart["positives"], chart["negatives"], positives, negatives)
    assert len(result["confusions"]) == thresholds
    cumulative |= {(c["tp"], c["fp"]) for c in result["confusions"]}
    bars = np.stack([result["histogram"]["positives"], result["histogram"]["negatives"]])[:, ::-1]
    cumulative |= {(round(a), round(b)) for a, b in np.cumsum(bars, axis=1).T.tolist()}
    sums = np.cumsum([b["rows"] for b in result["calibration"]][::-1])
    sizes = {a + b for a, b in cumulative} | {round(v) for v in sums}
    return np.diff(sorted(sizes)).tolist()


def _counts(hits: Iterable[float], misses: Iterable[float], positives: int, negatives: int) -> set[tuple[int, int]]:
    return {(round(a * positives), round(b * negatives)) for a, b in zip(hits, misses, strict=True)}


@pytest.mark.parametrize("rows", [10, 19, 25, 211, 3000])
@pytest.mark.parametrize("ties", [True, False])
def test_no_subtraction_tells_of_fewer_rows_than_a_cell(rows: int, ties: bool) -> None:
    y, score = binary(rows, ties)
    y[:2] = (0, 1)
    thresholds = RNG.uniform(size=40).tolist()
    result = evaluate("binary", y, score, threshold=0.5, thresholds=thresholds, points=2000, min_cell=10)
    assert min(told_groups(y, result, 41)) >= 10


def test_without_cells_the_same_reader_finds_single_rows() -> None:
    y, score = binary(211, False)
    result = evaluate("binary", y, score, thresholds=[0.3], points=2000, min_cell=1)
    assert min(told_groups(y, result, 2)) == 1


def test_single_numbers_do_not_depend_on_cells() -> None:
    y, score = binary(2000, False)
    exact, coarse = (evaluate("binary", y, score, min_cell=m) for m in (1, 10))
    for name in ("auc", "ks", "gini", "average_precision", "log_loss", "brier"):
        assert exact[name] == coarse[name]
    assert coarse["accuracy"] == pytest.approx(exact["accuracy"], abs=0.02)


def test_steps_are_joined_from_above_and_the_rest_joins_the_last() -> None:
    s = curves.steps([1, 0] * 17 + [1], np.arange(35, 0, -1))
    assert s.coarse(10).rows.tolist() == [10, 20, 35]
    assert s.coarse(10).threshold.tolist() == [26, 16, 1]
    assert s.coarse(20).rows.tolist() == [35]
    assert s.coarse(1) is s
    tied = curves.steps([1, 0] * 15, np.repeat([3, 2, 1], [14, 12, 4]))
    assert tied.coarse(10).rows.tolist() == [14, 30]


def test_rare_predictions_share_a_column_and_have_no_rates() -> None:
    called = np.repeat([0, 1, 2, 3], [60, 30, 3, 2])
    p = np.eye(4)[called] * 0.9 + 0.025
    y = np.where(RNG.uniform(size=95) < 0.7, called, 0)
    result = evaluate("multiclass", y, p, min_cell=10)
    assert result["predicted"] == ["0", "others"]  # five rows alone are too few, so the next rarest joins them
    assert np.array(result["confusion"]).shape == (4, 2)
    assert np.array(result["confusion"]).sum(axis=0).tolist() == [60, 35]
    lines = result["by_class"]
    assert isinstance(lines, list)
    assert [line["recall"] is None for line in lines] == [False, True, True, True]
    assert evaluate("multiclass", y, p, min_cell=5)["predicted"] == ["0", "1", "others"]


def test_bands_of_a_regression_hold_a_cell_and_the_median_is_of_no_single_row() -> None:
    y = RNG.normal(size=47)
    p = y + RNG.normal(size=47)
    result = evaluate("regression", y, p, min_cell=10)
    bands = result["calibration"]
    assert isinstance(bands, list)
    assert min(b["rows"] for b in bands) >= 10
    errors = np.sort(np.abs(y - p))
    assert result["median_absolute_error"] == pytest.approx(errors[18:29].mean())
    assert result["median_absolute_error"] not in errors


def test_fewer_rows_than_a_cell_are_not_measured() -> None:
    with pytest.raises(DataError, match="too_few_rows"):
        evaluate("binary", [0, 1] * 4, np.arange(8) / 8, min_cell=10)
