"""The evaluation step: parts apart, drift against another step's scores, weights, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from shared import need
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from parley.components.training.metrics_drift import drift
from parley.protocols.evaluate.metrics import EVALUATE
from parley.protocols.kit import StepInputs, run_local
from parley.wire.errors import ParleyError

RNG = np.random.default_rng(11)


def kept(rows: int = 300, **more: Any) -> dict[str, Any]:
    score = RNG.uniform(size=rows)
    labels = (RNG.uniform(size=rows) < score).astype(float)
    ids = RNG.permutation(10_000)[:rows]
    return {"task": "binary", "scores": score[:, None], "labels": labels, "rows": ids, **more}


def run(needs: dict[str, dict[str, Any]], **params: Any) -> dict[str, Any]:
    return run_local(EVALUATE, {"label": "bank"}, {"bank": StepInputs(None, needs)}, params)["bank"].result


def refused(needs: dict[str, dict[str, Any]], **params: Any) -> str:
    with pytest.raises(ParleyError) as e:
        run(needs, **params)
    return e.value.code


def test_each_part_is_measured_apart() -> None:
    part = np.repeat(np.array([0, 1, 2], dtype=np.uint8), [150, 100, 50])
    values = kept(part=part)
    found = run({"train": values})["metrics"]
    assert list(found) == ["training", "validation", "test"]
    for name, p in (("training", 0), ("validation", 1), ("test", 2)):
        rows = part == p
        assert found[name]["auc"] == pytest.approx(roc_auc_score(values["labels"][rows], values["scores"][rows, 0]))
        assert found[name]["brier"] == pytest.approx(brier_score_loss(values["labels"][rows], values["scores"][rows]))
    assert list(run({"train": values}, rows="test")["metrics"]) == ["test"]
    assert list(run({"train": values}, rows="all")["metrics"]) == ["all"]
    json.dumps(found, allow_nan=False)


def test_a_prediction_takes_the_parts_from_the_frame_that_divided_its_rows() -> None:
    values = kept()
    order = RNG.permutation(300)
    part = (RNG.uniform(size=300) < 0.4).astype(np.uint8)
    frame = {"rows": values["rows"][order], "part": part[order], "prepared": "{}", "depth": 2}
    found = run({"score": values, "split": frame})["metrics"]
    assert found["validation"]["rows"] == part.sum()
    direct = run({"score": {**values, "part": part}})["metrics"]
    assert found == direct
    other = {**frame, "rows": frame["rows"] + 1}
    assert refused({"score": values, "split": other}) == "ambiguous_rows"


def test_a_part_below_a_cell_is_left_out_and_refused_when_asked_for() -> None:
    values = kept(part=np.repeat(np.array([0, 2], dtype=np.uint8), [292, 8]))
    assert list(run({"train": values})["metrics"]) == ["training"]
    assert refused({"train": values}, rows="test") == "too_few_rows"
    assert refused({"train": values}, rows="validation") == "no_rows"
    assert list(run({"train": values}, min_cell=8)["metrics"]) == ["training", "test"]
    few = kept(8, part=np.repeat(np.array([0, 1], dtype=np.uint8), 4))
    assert refused({"train": few}) == "too_few_rows"


def test_drift_is_against_the_named_step() -> None:
    now, then = kept(), kept(500)
    result = run({"then": then, "now": now}, reference="then", min_cell=1)
    assert result["drift"] == drift(then["scores"][:, 0], now["scores"][:, 0])
    assert result["metrics"]["all"]["rows"] == 300
    assert refused({"now": now}, reference="then") == "no_scores"
    assert refused({"then": then}, reference="then") == "no_scores"
    classes = {**kept(), "scores": np.tile([0.5, 0.5], (300, 1))}
    assert refused({"then": classes, "now": now}, reference="then") == "bad_scores"


def test_weights_that_training_kept_count() -> None:
    w = RNG.uniform(0.1, 3, 300)
    values = kept(weights=w)
    found = run({"train": values})["metrics"]["all"]
    expected = roc_auc_score(values["labels"], values["scores"][:, 0], sample_weight=w)
    assert found["auc"] == pytest.approx(expected)


def test_nothing_of_a_row_is_in_the_result() -> None:
    """No list as long as the rows, and no score but the borders of cells."""
    values = kept(1000)
    result = run({"train": values})
    scores = set(values["scores"][:, 0].tolist())
    seen: list[float] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for v in node.values():
                walk(v)
        elif isinstance(node, list):
            assert len(node) <= 201
            for v in node:
                walk(v)
        elif isinstance(node, float):
            seen.append(node)

    walk(result)
    assert len(scores & set(seen)) <= 3  # the cuts of KS, of the best F1 and of the confusion


def test_the_measures_of_a_real_table_are_scikit_learns() -> None:
    data = np.genfromtxt(need("data/default_credit_hetero_guest.csv"), delimiter=",", names=True)
    y = data["y"]
    x = np.column_stack([data[n] for n in data.dtype.names if n.startswith("x")])
    p = LogisticRegression(max_iter=500).fit(x, y).predict_proba(x)[:, 1]
    result = run({"train": {"task": "binary", "scores": p[:, None], "labels": y}})["metrics"]["all"]
    assert result["auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert result["brier"] == pytest.approx(brier_score_loss(y, p))
    assert result["rows"] == 30_000
