"""Shapley values of trees against their definition by enumeration, and against XGBoost on its own trees."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from parley.components.errors import DataError
from parley.components.features import fit_bins
from parley.components.features.spec import BinSpec
from parley.components.training.attribution import attributions, sides_of
from parley.components.training.gbdt import Params, train
from parley.components.training.objectives import Objective
from parley.components.training.trees import Model, Node, Tree

RNG = np.random.default_rng(12)


def trained(objective: Objective, depth: int = 3, rounds: int = 3, features: int = 4) -> tuple[Model, np.ndarray]:
    x = RNG.normal(size=(150, features)).round(1)
    x[RNG.uniform(size=x.shape) < 0.1] = np.nan
    raw = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) * np.nan_to_num(x[:, 2]) + RNG.normal(size=150) / 3
    y = {1: raw > 0, 3: np.digitize(raw, [-0.5, 0.5])}[objective.classes].astype(float)
    binning = fit_bins(pa.table({f"x{k}": x[:, k] for k in range(features)}), [f"x{k}" for k in range(features)], 8)
    bins = np.asfortranarray(binning.transform(pa.table({f"x{k}": x[:, k] for k in range(features)})))
    return train(bins, y, Params(rounds=rounds, depth=depth), spec=binning.spec, objective=objective), bins


def expected(tree: Tree, row: np.ndarray, spec: BinSpec, known: frozenset[int], at: int = 0) -> np.ndarray:
    """The score of a tree when only the features in `known` are: the definition, by recursion."""
    node = tree.nodes[at]
    if node.is_leaf:
        return tree.weights()[at]
    if node.feature in known:
        left = bool(node.goes_left(row[None, node.feature], spec.missing(node.feature))[0])
        return expected(tree, row, spec, known, node.left if left else node.right)
    low, high = (tree.nodes[c].cover for c in (node.left, node.right))
    parts = [expected(tree, row, spec, known, c) for c in (node.left, node.right)]
    return np.asarray((low * parts[0] + high * parts[1]) / (low + high))


def enumerated(model: Model, row: np.ndarray) -> np.ndarray:
    """(F, K) Shapley values over all coalitions of features."""
    f = model.spec.features
    out = np.zeros((f, len(model.base_score)))
    for j in range(f):
        others = [i for i in range(f) if i != j]
        for size in range(f):
            for chosen in combinations(others, size):
                weight = factorial(size) * factorial(f - size - 1) / factorial(f)
                for outputs, tree in model.trees():
                    with_j = expected(tree, row, model.spec, frozenset((*chosen, j)))
                    out[j, outputs] += weight * (with_j - expected(tree, row, model.spec, frozenset(chosen)))
    return out


@pytest.mark.parametrize("objective", [Objective("logistic"), Objective("softmax", 3)])
def test_values_are_those_of_the_definition_and_add_up(objective: Objective) -> None:
    model, bins = trained(objective)
    sides = [sides_of(tree, bins, model.spec) for _, tree in model.trees()]
    base, values = attributions(model, sides)
    for row in range(0, 150, 29):
        np.testing.assert_allclose(values[row], enumerated(model, bins[row]), atol=1e-12)
    np.testing.assert_allclose(base + values.sum(axis=1), model.raw(bins), atol=1e-12)


def test_a_feature_on_a_path_twice_counts_once() -> None:
    model, bins = trained(Objective("logistic"), depth=6, rounds=2, features=3)
    sides = [sides_of(tree, bins, model.spec) for _, tree in model.trees()]
    assert any(
        len({n.feature for n in tree.nodes if not n.is_leaf}) < sum(not n.is_leaf for n in tree.nodes)
        for _, tree in model.trees()
    )
    _, values = attributions(model, sides)
    for row in (3, 77):
        np.testing.assert_allclose(values[row], enumerated(model, bins[row]), atol=1e-12)


def test_a_row_alone_has_the_values_it_has_among_others() -> None:
    model, bins = trained(Objective("logistic"))
    sides = [sides_of(tree, bins, model.spec) for _, tree in model.trees()]
    _, values = attributions(model, sides)
    for row in (0, 50, 149):
        _, alone = attributions(model, [s[row : row + 1] for s in sides])
        np.testing.assert_allclose(alone[0], values[row], atol=1e-14)


def test_groups_add_their_features_up() -> None:
    model, bins = trained(Objective("logistic"))
    sides = [sides_of(tree, bins, model.spec) for _, tree in model.trees()]
    base, alone = attributions(model, sides)
    same, grouped = attributions(model, sides, np.array([0, 1, 1, 0]))
    assert grouped.shape == (150, 2, 1)
    np.testing.assert_allclose(grouped[:, 0], alone[:, 0] + alone[:, 3])
    np.testing.assert_allclose(grouped[:, 1], alone[:, 1] + alone[:, 2])
    assert base == same


def test_values_are_xgboosts_on_its_own_trees() -> None:
    """XGBoost's trees, read into ours, with the covers it noted."""
    x = RNG.integers(-9, 10, size=(300, 4)).astype(float)  # whole numbers: the table shows few digits of a split
    y = (5 * x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(float)
    booster = xgboost.train({"max_depth": 4, "eta": 0.5, "base_score": 0.5, "objective": "binary:logistic"},
                            xgboost.DMatrix(x, y), 3)  # fmt: skip
    table = booster.trees_to_dataframe()
    edges = [np.unique(table.loc[table.Feature == f"f{k}", "Split"]) for k in range(4)]
    trees = []
    for _, rows in table.groupby("Tree"):
        at = {name: k for k, name in enumerate(rows["ID"])}
        trees.append(Tree(tuple(_node(r, at, edges) for r in rows.to_dict("records"))))
    spec = BinSpec(tuple(e.size + 2 for e in edges), (False,) * 4)
    model = Model(Objective("logistic"), spec, (0.0,), tuple((t,) for t in trees))
    bins = np.stack([np.searchsorted(e, x[:, k], side="right") for k, e in enumerate(edges)], axis=1)
    base, values = attributions(model, [sides_of(t, bins.astype(np.uint16), spec) for t in trees])
    theirs = booster.predict(xgboost.DMatrix(x), pred_contribs=True)
    np.testing.assert_allclose(values[:, :, 0], theirs[:, :4], atol=1e-5)
    np.testing.assert_allclose(np.full(300, base[0]), theirs[:, 4], atol=1e-5)


def _node(record: dict[str, object], at: dict[object, int], edges: list[np.ndarray]) -> Node:
    """A row of XGBoost's table; x < split goes left, which is a bin number below that of the split."""
    if record["Feature"] == "Leaf":
        return Node(weight=float(str(record["Gain"])), cover=float(str(record["Cover"])))
    feature = int(str(record["Feature"])[1:])
    where = int(np.flatnonzero(edges[feature] == record["Split"])[0])
    return Node(feature=feature, bin=where, left=at[record["Yes"]], right=at[record["No"]],
                cover=float(str(record["Cover"])))  # fmt: skip


def test_sides_of_another_shape_are_refused() -> None:
    model, bins = trained(Objective("logistic"))
    sides = [sides_of(tree, bins, model.spec) for _, tree in model.trees()]
    for wrong in (sides[:-1], [s[:, :-1] for s in sides]):
        with pytest.raises(DataError, match="bad_sides"):
            attributions(model, wrong)
    with pytest.raises(DataError, match="bad_sides"):
        attributions(model, sides, np.zeros(2, dtype=np.int64))
