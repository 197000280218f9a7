"""What a score says by itself: how often the label party can tell, from it alone, the ways that a row took.

It knows the model, so it can go through all that another party's columns could be, and keep what fits the score. This
measures the limit that the protocol's page names; it is no defence, and shows what coarser steps and more trees do.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from vertical import split_inputs, train, use_plain

from parley.components.features import Binning
from parley.components.training.trees import Model
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.predict_terms import terms_of
from parley.protocols.inputs import aligned_rows, take_rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def trained(trees: int):
    table = joined("default_credit").slice(0, 3000)
    guest = [x for x in table.column_names if not x.startswith("h_")]
    data = split_inputs(table, guest, ["id", *(x for x in table.column_names if x.startswith("h_"))])
    return data, train(data, {"trees": trees, "depth": 3, "bins": 16})


def ways(splits: Splits, n_bins: tuple[int, ...]) -> tuple[dict, np.ndarray]:
    """Every combination (c, splits) of sides that columns of these bins allow, and where each split stands in it."""
    each, order = [], []
    for f in sorted(set(splits.feature)):
        here = [i for i, g in enumerate(splits.feature) if g == f]
        order += here
        each.append(np.unique(np.stack([splits.left[i][: n_bins[f]] for i in here], axis=1), axis=0))
    found = np.array([np.concatenate(parts) for parts in itertools.product(*each)], dtype=np.int64)
    return {(splits.tree[i], splits.node[i]): at for at, i in enumerate(order)}, found


def kept(terms, place, sides: np.ndarray) -> np.ndarray:
    """(c, terms) which terms hold for each combination of sides."""
    out = np.ones((len(sides), len(terms)), dtype=np.int64)
    for t, conditions in enumerate(terms.conditions):
        for condition in conditions:
            out[:, t] &= sides[:, place[condition.split]] == condition.left
    return out


def told(trees: int, scale_bits: int, rows: int) -> float:
    """The share of rows whose score fits one way through the trees only."""
    data, run = trained(trees)
    model = Model.from_dict(json.loads(run["bank"].keep["model"]))
    made = {p: Binning.from_dict(json.loads(run[p].keep["binning"])) for p in data}
    own, other = (made[p].transform(take_rows(d.table, aligned_rows(d)))[:rows] for p, d in data.items())
    splits = Splits.of(run["bureau"].keep)
    owners = dict.fromkeys(zip(splits.tree, splits.node, strict=True), "bureau")
    terms = terms_of(model, own.shape[1], owners, scale_bits)
    coefficients, _ = terms.coefficients(own)
    place, sides = ways(splits, made["bureau"].n_bins)
    possible = kept(terms, place, sides)
    real = np.empty((rows, len(place)), dtype=np.int64)
    for i, split in enumerate(zip(splits.tree, splits.node, strict=True)):
        real[:, place[split]] = splits.left[i][other[:, splits.feature[i]]]
    really = kept(terms, place, real)
    found = 0
    for mine, terms_of_row in zip(coefficients, really, strict=True):
        fits = possible[possible @ mine == terms_of_row @ mine][:, mine != 0]
        found += len(np.unique(fits, axis=0)) == 1
    return found / rows


def test_fine_scores_tell_the_ways_and_coarse_ones_of_many_trees_do_not():
    fine, coarse, few = told(12, 24, 60), told(12, 10, 60), told(4, 8, 60)
    print(fine, coarse, few)
    assert fine > 0.95
    assert coarse < 0.5
    assert few > 0.8
