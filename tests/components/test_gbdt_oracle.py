"""Our trees against the independent oracle and against XGBoost, on real tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score

from parley.components.features.binning import Binning, fit_bins
from parley.components.training.gbdt import Model, Node, Objective, Params, train

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from gbdt_oracle import Grown, Oracle
from tables import joined, lending_club

KINDS = {
    "logistic": ("binary", "binary:logistic"),
    "softmax": ("multiclass", "multi:softprob"),
    "squared": ("regression", "reg:squarederror"),
}


def binned(table: pa.Table, features: list[str], max_bins: int) -> tuple[np.ndarray, Binning]:
    binning = fit_bins(table, features, max_bins)
    return binning.transform(table), binning


def loans() -> tuple[pa.Table, np.ndarray]:
    """2,500 loans with categories, and with missing cells planted in one numeric and one category column."""
    table = lending_club().slice(0, 2500)
    y = np.asarray(table.column("Class").to_pylist()) == "bad"
    for name, step in (("int_rate", 7), ("term", 5)):
        cells = [None if i % step == 0 else c for i, c in enumerate(table.column(name).to_pylist())]
        table = table.set_column(table.column_names.index(name), name, pa.array(cells))
    return table, y.astype(float)


def case(name: str) -> tuple[np.ndarray, Binning, np.ndarray, Objective]:
    if name == "lending_club":
        table, y = loans()
        wanted = ["funded_amnt", "term", "int_rate", "sub_grade", "addr_state", "annual_inc"]
        bins, binning = binned(table, wanted, 20)
        return bins, binning, y, Objective("logistic")
    table = joined(name)
    y = np.asarray(table.column("y"), dtype=float)
    features = [c for c in table.column_names if c not in ("id", "y")]
    objective = {"vehicle_scale": Objective("softmax", 4), "student": Objective("squared")}.get(
        name, Objective("logistic")
    )
    bins, binning = binned(table, features, 32)
    if objective.loss == "softmax":
        y = y - y.min()
    return bins, binning, y, objective


def left_set(node: Node, missing: int) -> frozenset[int]:
    inside = set(range(node.bin + 1)) if node.left_bins is None else set(node.left_bins)
    return frozenset(inside | {missing} if node.missing_left else inside)


def assert_same(model: Model, oracle: Oracle) -> int:
    """Compare every node; returns how many splits there were."""
    splits = 0
    for ours, theirs in zip(model.rounds, oracle.forest, strict=True):
        for tree, root in zip(ours, theirs, strict=True):
            todo: list[tuple[int, Grown]] = [(0, root)]
            while todo:
                index, other = todo.pop()
                node = tree.nodes[index]
                assert node.is_leaf == (not other.children)
                if node.is_leaf:
                    assert node.weight == pytest.approx(other.weight, abs=1e-9)
                    continue
                splits += 1
                assert node.feature == other.feature
                assert left_set(node, model.spec.missing(node.feature)) == other.left_bins
                assert node.gain == pytest.approx(other.gain, rel=1e-9)
                todo += [(node.left, other.children[0]), (node.right, other.children[1])]
    return splits


@pytest.mark.parametrize(
    ("name", "rounds", "rows"),
    [
        ("breast", 8, 569),
        ("default_credit", 3, 30000),
        ("vehicle_scale", 2, 846),
        ("student", 10, 395),
        ("lending_club", 5, 2500),
    ],
)
def test_every_split_is_the_oracles(name: str, rounds: int, rows: int) -> None:
    bins, binning, y, objective = case(name)
    bins, y = bins[:rows], y[:rows]
    spec = binning.spec
    model = train(bins, y, Params(rounds=rounds), spec=spec, objective=objective)
    oracle = Oracle(
        KINDS[objective.loss][0], list(spec.n_bins), list(spec.categorical), objective.classes, rounds=rounds
    )
    raw = oracle.fit(bins, y)
    assert assert_same(model, oracle) > 2 * rounds
    np.testing.assert_allclose(model.raw(bins), raw, atol=1e-9)
    if objective.loss == "logistic":
        assert abs(roc_auc_score(y, model.raw(bins)[:, 0]) - roc_auc_score(y, raw[:, 0])) <= 1e-4
    if name == "lending_club":
        used = {n.feature for trees in model.rounds for t in trees for n in t.nodes if not n.is_leaf}
        assert used & set(np.flatnonzero(spec.categorical))


@pytest.mark.parametrize("name", ["breast", "default_credit", "vehicle_scale", "student"])
def test_quality_is_xgboosts_on_the_same_bins(name: str) -> None:
    bins, binning, y, objective = case(name)
    model = train(bins, y, Params(rounds=20), spec=binning.spec, objective=objective)
    base = np.tile(np.asarray(model.base_score), (len(y), 1))
    matrix = xgboost.DMatrix(bins.astype(float), label=y, base_margin=base.squeeze())
    settings: dict[str, object] = {
        "objective": KINDS[objective.loss][1],
        "max_depth": 3,
        "eta": 0.3,
        "tree_method": "exact",
        "nthread": 2,
    }
    if objective.loss == "softmax":
        settings["num_class"] = objective.classes
    theirs = xgboost.train(settings, matrix, 20).predict(matrix)
    ours = model.predict(bins)
    if objective.loss == "logistic":
        assert abs(roc_auc_score(y, ours[:, 0]) - roc_auc_score(y, theirs)) <= 1e-3
    elif objective.loss == "softmax":
        assert abs(roc_auc_score(y, ours, multi_class="ovr") - roc_auc_score(y, theirs, multi_class="ovr")) <= 1e-3
        assert log_loss(y, ours) == pytest.approx(log_loss(y, theirs), rel=0.02)
    else:
        assert mean_squared_error(y, ours[:, 0]) == pytest.approx(mean_squared_error(y, theirs), rel=0.02)
