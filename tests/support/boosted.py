"""Comparing the trees of a model with those of the wide oracle, and the tables that such comparisons run on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gbdt_wide_oracle import Leaf, WideOracle
from tables import joined
from vertical import split_inputs

from parley.components.features import fit_bins
from parley.components.training.trees import Model
from parley.protocols.kit import StepInputs


def model_of(run: Any, party: str = "bank") -> Model:
    return Model.from_dict(json.loads(run[party].keep["model"]))


def sides(table: pa.Table, *, drop: tuple[str, ...] = ()) -> tuple[dict[str, StepInputs], list[str]]:
    """The inputs of a joined table as `joined` names its columns, and its features in the joined order."""
    guest = [x for x in table.column_names if not x.startswith("h_")]
    host = ["id", *(x for x in table.column_names if x.startswith("h_"))]
    return split_inputs(table, guest, host), [x for x in (*guest, *host) if x not in ("id", "y", *drop)]


def visits() -> pa.Table:
    """Doctor visits: `y` counts, with a weight, an exposure, and an amount above 0, made from other columns."""
    found = joined("dvisits")
    table = found.rename_columns(["y" if c == "doctorco" else c for c in found.column_names])
    rng = np.random.default_rng(12)
    n = table.num_rows
    amount = table.column("y").to_numpy() * rng.gamma(2.0, 30.0, n).round(2)
    cost = np.exp(0.3 * table.column("hscore").to_numpy() + rng.normal(size=n) / 2).round(3)
    extra = {
        "w": rng.integers(0, 4, n) + 0.5,
        "years": rng.uniform(0.2, 2.0, n).round(3),
        "claim": amount,
        "cost": cost,
    }
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values))
    return table


def binned(table: pa.Table, columns: list[str], max_bins: int = 32) -> tuple[np.ndarray, Any]:
    binning = fit_bins(table, columns, max_bins)
    return binning.transform(table), binning


def left_set(node: Any, missing: int) -> frozenset[int]:
    inside = set(range(node.bin + 1)) if node.left_bins is None else set(node.left_bins)
    return frozenset(inside | {missing} if node.missing_left else inside)


def same_trees(model: Model, oracle: WideOracle, *, rel: float = 1e-7) -> int:
    """Compare every node of every tree; returns how many splits there were."""
    splits = 0
    for ours, theirs in zip(model.rounds, oracle.forest, strict=True):
        for tree, root in zip(ours, theirs, strict=True):
            todo: list[tuple[int, Leaf]] = [(0, root)]
            while todo:
                index, other = todo.pop()
                node = tree.nodes[index]
                assert node.is_leaf == (not other.children)
                if node.is_leaf:
                    weights = node.vector or (node.weight,)
                    assert weights == pytest.approx([oracle.eta * w for w in other.weights], rel=rel, abs=1e-9)
                    continue
                splits += 1
                assert node.feature == other.feature
                assert left_set(node, model.spec.missing(node.feature)) == other.left_bins
                assert node.gain == pytest.approx(other.gain, rel=1e-6)
                todo += [(node.left, other.children[0]), (node.right, other.children[1])]
    return splits
