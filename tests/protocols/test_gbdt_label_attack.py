"""What a features party makes of the nodes it is shown, and how far trees of the label party's own features hide it.

The attack has no labels: it puts rows that sat in the same nodes into two groups, nodes of early trees counting most,
and is judged by how well the groups are the classes. What it could do with its own columns alone, without any training,
is measured beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from vertical import train, use_plain

from parley.components.training.growing import CLOSED
from parley.protocols.gbdt.messages import Level

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from boosted import sides
from tables import joined

FADE = 0.7  # of a tree's weight against the one before


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def groups_found(columns: np.ndarray, y: np.ndarray) -> float:
    """The share of rows whose group is their class, under the better naming of the two groups."""
    with threadpool_limits(1):
        found = KMeans(2, n_init=10, random_state=0).fit_predict(columns)
    share = float((found == y).mean())
    return max(share, 1 - share)


def from_nodes(run, y: np.ndarray) -> float:
    """The attack on everything that `bureau` was told of nodes."""
    seen = [
        (dict(e.address.path)["tree"], Level.decode(e.body, {}).slot)
        for e in run.transcript
        if e.address.tag == Level.TAG and e.address.receiver == "bureau"
    ]
    first = min(tree for tree, _ in seen)
    columns = [
        (slot == node) * FADE ** (tree - first) for tree, slot in seen for node in np.unique(slot[slot != CLOSED])
    ]
    return groups_found(np.stack(columns, axis=1), y)


def mostly_its_own(rows: int = 2000) -> pa.Table:
    """A label that the label party's columns explain for the most part, and one of the others' a little."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6))
    y = (x[:, 0] + x[:, 1] + 0.3 * x[:, 3] + 0.5 * rng.normal(size=rows) > 0).astype(int)
    mine = {f"x{k}": x[:, k] for k in range(3)}
    return pa.table({"id": np.arange(rows), "y": y, **mine, **{f"h_x{k}": x[:, k] for k in range(3, 6)}})


def test_nodes_tell_labels_until_own_trees_have_explained_them():
    table = mostly_its_own()
    y = table.column("y").to_numpy()
    told = {k: from_nodes(train(sides(table)[0], {"trees": 20, "own_trees": k}), y) for k in (0, 2, 16)}
    assert told[0] > 0.65  # the attack works where nothing stands against it
    assert told[2] > 0.65  # and a few trees hide next to nothing
    assert told[16] < 0.60


def test_on_a_real_table_own_trees_take_away_only_what_the_attackers_columns_do_not_tell_by_themselves():
    table = joined("breast")
    y = table.column("y").to_numpy()
    theirs = np.stack([table.column(c).to_numpy() for c in table.column_names if c.startswith("h_")], axis=1)
    alone = groups_found((theirs - theirs.mean(axis=0)) / theirs.std(axis=0), y)
    open_, hidden = (from_nodes(train(sides(table)[0], {"trees": 10, "own_trees": k}), y) for k in (0, 8))
    print({"own columns": alone, "own_trees 0": open_, "own_trees 8": hidden})
    assert open_ > alone + 0.03
    assert hidden < open_ - 0.01
