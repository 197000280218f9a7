"""Strict training: the same trees, without showing features parties which rows sit together."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import COLUMNS, table
from simulators.envelopes import MadeUp, seen
from vertical import CAST2, CAST3, split_inputs, train, use_plain

from parley.components.features import Binning
from parley.components.training.trees import Model
from parley.protocols.gbdt import messages as v
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.gbdt.leakage import attacks
from parley.protocols.inputs import aligned_rows, take_rows
from parley.protocols.kit import Cast
from parley.protocols.kit.conformance import bytes_by_tag
from parley.protocols.kit.local import Setting, sizes_of
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined

STRICT = {"disclosure": "strict"}
PARTIES = ("bank", "bureau", "telco")
HIDDEN = (v.NodeGradients.TAG, v.Histograms.TAG)


@pytest.fixture(autouse=True)
def plain(request, monkeypatch):
    if request.node.get_closest_marker("paillier") is None:
        use_plain(monkeypatch)


def small(seed: int = 2, rows: int = 60, **more):
    return split_inputs(table(rows, seed, **more), *COLUMNS)


def of(name: str):
    whole = joined(name)
    guest = [x for x in whole.column_names if not x.startswith("h_")]
    return split_inputs(whole, guest, ["id", *(x for x in whole.column_names if x.startswith("h_"))])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"scheme": "lattice", "scale_bits": 32},
        {"subsample": 0.6, "column_sample": 0.6},
        {"validation": 0.25, "early_stopping": 1},
        {"objective": "regression", "depth": 4},
        {"growth": "leaf", "leaves": 5},
        {"own_trees": 1},
    ],
)
def test_the_trees_are_the_fast_ones(params):
    data = small(classes=params.get("objective") != "regression")
    given = {"trees": 3, "depth": 3, "bins": 8, "min_child_weight": 0.1, **params}
    fast, strict = train(data, given), train(data, {**given, **STRICT})
    assert strict["bank"].keep["model"] == fast["bank"].keep["model"]
    assert np.array_equal(strict["bank"].keep["scores"], fast["bank"].keep["scores"])
    for party in PARTIES[1:]:
        for key in ("tree", "node", "feature", "left"):
            assert np.array_equal(strict[party].keep[key], fast[party].keep[key])
    assert sum(len(fast[p].keep["tree"]) for p in PARTIES[1:])


def test_what_is_declared_is_what_the_mode_tells():
    declared = VERTICAL.declaration()
    fast, strict = declared.learned({"label": "y"}), declared.learned({"label": "y", **STRICT})
    assert set(fast["features"]) - set(strict["features"]) == {"node_membership"}
    assert set(strict["features"]) - set(fast["features"]) == {"tree_shape"}
    assert set(fast["label"]) - set(strict["label"]) == {"directions"}
    assert set(strict["label"]) - set(fast["label"]) == {"all_directions"}


@pytest.mark.parametrize("scheme", ["paillier", "lattice"])
def test_bytes_are_as_the_formula_says(scheme):
    params = {"label": "y", "id": "id", "trees": 2, "depth": 3, "bins": 8, "min_child_weight": 0.0, **STRICT}
    data = small(rows=200)
    run = train(data, {**params, "scheme": scheme})
    cast = Cast(CAST3)
    flows = VERTICAL.cost(VERTICAL.validate({**params, "scheme": scheme}, cast), cast, sizes_of(data))
    sent = bytes_by_tag(run.transcript)
    assert {k[2] for k in sent} == {f.tag for f in flows}
    for party in PARTIES[1:]:
        # Four nodes a tree at most, each with every row; the fake's ciphertexts have 16 bytes, or 64 for four rows.
        assert 200 * 16 * 2 * 3 < sent["bank", party, v.NodeGradients.TAG] <= 200 * 16 * 2 * 4 * 1.05 + 600
        splits = len(run[party].keep["tree"])
        assert splits * 25 <= sent[party, "bank", v.Sides.TAG] <= splits * 25 + 6 * 60
    if scheme == "paillier":
        (planned,) = (f.bytes for f in flows if f.tag == v.NodeGradients.TAG and f.receiver == "bureau")
        assert planned == 2 * 4 * 200 * 512


# ---------------------------------------------------------------- what features parties see


class World:
    """A training with what a features party may learn: rows, nodes summed at each level, its own splits."""

    def __init__(self, seed: int) -> None:
        self.data = small(seed)
        params = {"trees": 2, "depth": 3, "bins": 8, "min_child_weight": 0.1, **STRICT}
        self.run = train(self.data, params)
        self.model = Model.from_dict(json.loads(self.run["bank"].keep["model"]))
        self.binnings = {p: Binning.from_dict(json.loads(self.run[p].keep["binning"])) for p in PARTIES}

    def levels(self, t: int) -> list[list[int]]:
        """Nodes of each level, as far as there are any; below the depth nothing is asked."""
        tree, out = self.model.rounds[t][0], [[0]]
        while len(out) < 3:
            parted = [k for k in out[-1] if not tree.nodes[k].is_leaf]
            if not parted:
                break
            out.append([c for k in parted for c in (tree.nodes[k].left, tree.nodes[k].right)])
        return out

    def made_up(self, party: str, public: bytes) -> MadeUp:
        splits, width = Splits.of(self.run[party].keep), max(self.binnings[party].n_bins)
        out = MadeUp()
        out.one(v.Key(public, 60, 0, 32))
        for t in range(2):
            levels = self.levels(t)
            for level in range(3):
                if level == len(levels):
                    out.one(v.Asked(0), tree=t, level=level)
                    break
                nodes = 1 if level == 0 else len(levels[level]) // 2
                out.one(v.Asked(nodes), tree=t, level=level)
                chunks = [v.NodeGradients(np.zeros((60, 16), dtype=np.uint8))] * nodes
                out.stream(v.NodeGradients, chunks, tree=t, level=level)
                mine = [i for i, n in enumerate(splits.node) if splits.tree[i] == t and n in levels[level]]
                out.one(
                    v.Chosen(
                        np.arange(len(mine), dtype=np.uint16),
                        np.array([splits.node[i] for i in mine], dtype=np.uint32),
                        np.array([splits.feature[i] for i in mine], dtype=np.uint32),
                        np.array([splits.left[i] for i in mine], dtype=np.uint8).reshape(len(mine), width),
                    ),
                    tree=t,
                    level=level,
                )
            out.one(v.TreeDone(t == 0, t + 1), tree=t)
        return out


def without_ciphertexts(rows):
    return [(place, len(body) if place[0] in HIDDEN and not place[3] else body) for place, body in rows]


@pytest.mark.parametrize("seed", range(4))
def test_what_a_features_party_is_sent_follows_from_rows_shape_and_own_splits(seed):
    """Ciphertexts of fresh keys are compared with encryptions of nothing in `test_conformance_gbdt_views`."""
    world = World(seed)
    for party in PARTIES[1:]:
        real = seen(world.run.transcript, "bank", party)
        public = next(v.Key.decode(b, {}).public for (tag, *_), b in real if tag == v.Key.TAG)
        assert without_ciphertexts(real) == without_ciphertexts(world.made_up(party, public).rows)


def test_a_node_sent_by_itself_is_noticed(monkeypatch):
    """Planted: the ciphertexts of the node's rows alone, whose number tells how large it is."""
    from parley.protocols.gbdt import features_side

    world = World(0)
    real = v.NodeGradients.encode

    def encode(self):
        values = np.ascontiguousarray(self.ciphertexts).view(np.int64)
        return real(v.NodeGradients(self.ciphertexts[values.any(axis=1)]))

    with monkeypatch.context() as m:
        m.setattr(v.NodeGradients, "encode", encode)
        m.setattr(features_side, "wrong", lambda *a: ParleyError("found", "another number of rows"))
        with pytest.raises(ParleyError):
            World(0)
    for party in PARTIES[1:]:
        sizes = {
            len(b)
            for (tag, *_, last), b in seen(world.run.transcript, "bank", party)
            if tag == v.NodeGradients.TAG and not last
        }
        assert len(sizes) == 1


def test_the_label_party_learns_the_sides_of_all_rows():
    world = World(1)
    tables = {p: take_rows(d.table, aligned_rows(d)) for p, d in world.data.items()}
    for party in PARTIES[1:]:
        bins, splits = world.binnings[party].transform(tables[party]), Splits.of(world.run[party].keep)
        told = [
            m
            for e in world.run.transcript
            if e.address.tag == v.Sides.TAG and e.address.sender == party
            for m in v.Sides.decode(e.body, {}).bits
        ]
        assert len(told) == len(splits.tree) > 0
        for bits, left, feature in zip(told, splits.left, splits.feature, strict=True):
            assert np.array_equal(np.unpackbits(bits, count=60), left[bins[:, feature]])


# ---------------------------------------------------------------- what it says about labels


def told_apart(run, rows: int) -> list[np.ndarray]:
    """Each tree's cells from all that the features party is sent in clear and that has something for each row."""
    trees: dict[int, np.ndarray] = {}
    for e in run.transcript:
        if e.address.receiver != "bureau" or e.last or e.address.tag in (*HIDDEN, v.Gradients.TAG):
            continue
        kind = next(s.message for s in VERTICAL.steps if e.address.tag == s.message.TAG)
        sent = kind.decode(e.body, {})
        for name in kind.FIELDS:
            value = getattr(sent, name)
            if isinstance(value, np.ndarray) and value.shape and value.shape[0] == rows:
                tree = dict(e.address.path)["tree"]
                both = trees.get(tree, np.zeros(rows, dtype=np.int64)) * 65_536 + value.astype(np.int64)
                trees[tree] = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return list(trees.values())


@pytest.mark.parametrize("name", ["breast", "default_credit"])
def test_attacks_that_find_labels_in_fast_trainings_find_nothing_in_strict_ones(name):
    """From the transcript itself and from the label party's notes alike; the fast run is the power check."""
    data = of(name)
    found = {}
    for mode in ("fast", "strict"):
        run = train(data, {"trees": 5, "depth": 3, "disclosure": mode})
        labels = run["bank"].keep["labels"].astype(np.int64)
        cells = told_apart(run, labels.size)
        found[mode] = (*attacks(cells, cells[0] if cells else None, labels), run["bank"].result["leakage"]["bureau"])
    print(name, found)
    bar = {"breast": (0.95, 0.6), "default_credit": (0.65, 0.1)}[name]
    assert found["fast"][0] > bar[0]
    assert found["fast"][1] > bar[1]
    assert found["fast"][2]["auc"] > bar[0]
    assert found["fast"][2]["nmi"] > bar[1]
    assert found["strict"][0] <= 0.55
    assert found["strict"][1] <= 0.1
    assert found["strict"][2]["auc"] <= 0.55
    assert found["strict"][2]["nmi"] <= 0.1
    # What is left is said, not hidden: that a party's own split won tells of the label on its own columns.
    assert found["strict"][2]["splits_auc"] > 0.6
    assert "splits_auc" not in found["fast"][2]


# ---------------------------------------------------------------- what is refused


def lying(kind, change):
    done = [False]

    def fault(envelope, now):
        if now == "after" or done[0] or envelope.address.tag != kind.TAG or envelope.last:
            return envelope
        changed = change(kind.decode(envelope.body, {}))
        if changed is None:
            return envelope
        done[0] = True
        return dataclasses.replace(envelope, body=changed.encode())

    return Setting(fault=fault)


def other_side(m):
    return v.Sides(m.bits ^ np.uint8(128)) if m.bits.size else None


def beyond_the_rows(m):
    bits = m.bits.copy()
    bits[:, -1] |= 1
    return v.Sides(bits) if bits.size else None


@pytest.mark.parametrize(
    ("kind", "change", "party"),
    [
        (v.Sides, other_side, "bureau"),
        (v.Sides, beyond_the_rows, "bureau"),
        (v.Sides, lambda m: v.Sides(np.vstack([m.bits, m.bits])) if m.bits.size else None, "bureau"),
        (v.Asked, lambda m: v.Asked(m.nodes + 9), "bank"),
        (v.Asked, lambda m: v.Asked(-1), "bank"),
        (v.NodeGradients, lambda m: v.NodeGradients(m.ciphertexts[:-1]), "bank"),
    ],
)
def test_liars_are_named(kind, change, party):
    data = {p: d for p, d in small().items() if p != "telco"}
    with pytest.raises(ParleyError) as e:
        train(data, {"trees": 2, "depth": 2, "bins": 8, **STRICT}, cast=CAST2, setting=lying(kind, change))
    assert (e.value.code, e.value.party) == ("protocol_violation", party)


@pytest.mark.paillier
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["paillier", "lattice"])
def test_real_keys_grow_the_fast_trees(scheme):
    data = {p: d for p, d in small(rows=300).items() if p != "telco"}
    params = {"trees": 1, "depth": 3, "bins": 8, "scheme": scheme}
    fast, strict = (train(data, {**params, "disclosure": d}, cast=CAST2) for d in ("fast", "strict"))
    assert strict["bank"].keep["model"] == fast["bank"].keep["model"]
