"""Binning by evidence: equal to a central run, refuses what contradicts the labels, tells no more than it declares."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cases import CASES
from vertical import CAST2, split_inputs, use_plain

from parley.protocols import registry
from parley.protocols.frame import frame_of
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit.conformance import bytes_by_tag
from parley.protocols.kit.local import Setting, sizes_of
from parley.protocols.kit.protocol import Cast
from parley.protocols.stats import woe as w
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import woe_oracle as oracle
from tables import joined

WOE = registry.load("stats/woe")


def split(table: pa.Table) -> dict[str, StepInputs]:
    guest = [x for x in table.column_names if not x.startswith("h_")]
    return split_inputs(table, guest, ["id", *(x for x in table.column_names if x.startswith("h_"))])


def run(inputs, params=None, setting: Setting | None = None):
    return run_local(WOE, CAST2, inputs, {"label": "y", "id": "id", **(params or {})}, setting=setting)


def small(rows: int = 300, seed: int = 4) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    y = (x[:, 0] + x[:, 1] + rng.normal(size=rows) > 0).astype(int)
    holes = np.where(rng.random(rows) < 0.2, np.nan, x[:, 1])
    towns = np.array(["a", "b", "c", "d"])[rng.integers(0, 4, rows)]
    return pa.table(
        {"id": np.arange(rows), "y": y, "x0": x[:, 0], "h_x1": pa.array(holes, from_pandas=True), "h_t": towns}
    )


def counted(feature) -> list[tuple[int, int]]:
    return [(b["rows"], b["events"]) for b in feature["bins"]]


@pytest.mark.parametrize(("name", "scheme"), [
    ("breast", "lattice"), ("default_credit", "lattice"),
    pytest.param("breast", "paillier", marks=[pytest.mark.paillier, pytest.mark.slow]),
])  # fmt: skip
@pytest.mark.parametrize("method", ["quantile", "chi_square", "optimal"])
def test_every_count_and_value_is_the_central_one(name, scheme, method):
    """On the joined table, with real keys: bins of quantiles, counts by Python lists, merged by trying all ways."""
    table = joined(name).slice(0, 2000)
    own = [c for c in table.column_names if not c.startswith("h_")]
    theirs = [c for c in table.column_names if c.startswith("h_")][:4]
    inputs = split(table.select([*own[:4], *theirs]))
    params = {"method": method, "bins": 4, "prebins": 8, "min_bin_rows": 1, "scheme": scheme}
    found = run(inputs, params)["bank"].result["binning"]
    columns = [*(c for c in own[:4] if c not in ("id", "y")), *theirs]
    assert len(found) == len(columns)
    y = table.column("y").to_pylist()
    for feature, column in zip(found, columns, strict=True):
        values = table.column(column).to_pylist()
        fine = oracle.table(oracle.quantile_bin(values, 4 if method == "quantile" else 8), y)
        if method == "quantile":
            assert counted(feature) == fine
        elif method == "chi_square":
            assert counted(feature) == oracle.chi_merging(fine, 4, 0.95)
        else:
            assert feature["iv"] == pytest.approx(oracle.best_merging(fine, 4, True))
        weights, value = oracle.evidence(counted(feature))
        assert feature["iv"] == pytest.approx(value)
        assert [b["woe"] for b in feature["bins"]] == pytest.approx(weights)


@pytest.mark.parametrize("transform", ["none", "woe", "index"])
def test_every_party_keeps_its_columns_transformed(transform, monkeypatch):
    use_plain(monkeypatch)
    inputs = split(small())
    params = {"method": "optimal", "bins": 4, "transform": transform, "share_names": True}
    done = run(inputs, params)
    by_name = {f["feature"]: f for f in done["bank"].result["binning"]}
    y = frame_of(inputs["bank"], "bank").table.column("y").to_numpy()
    for party, column in (("bank", "x0"), ("bureau", "h_x1"), ("bureau", "h_t")):
        frame = frame_of(StepInputs(inputs[party].table, {"woe": done[party].keep}), party)
        values = frame.table.column(column)
        if transform == "none":
            assert values.equals(frame_of(inputs[party], party).table.column(column))
            continue
        seen = {
            v: (int((values.to_numpy() == v).sum()), int(y[values.to_numpy() == v].sum()))
            for v in set(values.to_pylist())
        }
        expected = {(b["rows"], b["events"]) for b in by_name[column]["bins"]}
        assert set(seen.values()) == expected
        if transform == "woe":
            told = {b["woe"]: (b["rows"], b["events"]) for b in by_name[column]["bins"]}
            assert seen == told


def test_only_training_rows_are_counted_and_all_are_transformed(monkeypatch):
    use_plain(monkeypatch)
    inputs = split(small())
    members = {"member": ["bank", "bureau"]}
    parted = run_local(registry.load("prep/split"), members, inputs, {"test": 0.5})
    given = {p: StepInputs(i.table, {"split": parted[p].keep}) for p, i in inputs.items()}
    done = run(given, {"transform": "woe"})
    assert done["bank"].result["rows"] == 150
    assert all(sum(r for r, _ in counted(f)) == 150 for f in done["bank"].result["binning"])
    frame = frame_of(
        StepInputs(inputs["bureau"].table, {**given["bureau"].needs, "woe": done["bureau"].keep}), "bureau"
    )
    assert frame.table.column("h_x1").null_count == 0
    assert frame.rows.size == 300
    assert np.bincount(frame.part).tolist() == [150, 0, 150]


def test_small_bins_are_joined_before_anything_is_counted(monkeypatch):
    use_plain(monkeypatch)
    done = run(split(small()), {"method": "width", "bins": 20, "min_bin_rows": 40})
    shape = next(e for e in done.transcript if e.address.tag == w.Shape.TAG)
    sizes = w.Shape.decode(shape.body, {}).sizes
    assert sizes[sizes > 0].min() >= 40
    for feature in done["bank"].result["binning"]:
        assert min(r for r, _ in counted(feature)) >= 40


def test_names_and_weights_are_told_only_when_asked_for(monkeypatch):
    use_plain(monkeypatch)
    plain = run(split(small()))
    assert {r.disclosure for r in plain.egress["bureau"]} == {"bin_counts", "bin_events"}
    assert {r.disclosure for r in plain.egress["bank"]} == {"row_count"}
    assert [f["feature"] for f in plain["bank"].result["binning"]] == ["x0", "#0", "#1"]
    asked = run(split(small()), {"share_names": True, "transform": "woe", "method": "chi_square"})
    assert {r.disclosure for r in asked.egress["bank"]} == {"row_count", "merged_bins", "bin_woe"}
    assert [f["feature"] for f in asked["bank"].result["binning"]] == ["x0", "h_x1", "h_t"]
    assert "bin_woe" not in WOE.declaration().learned({"label": "y"})["features"]
    assert "bin_woe" in WOE.declaration().learned({"label": "y", "transform": "woe"})["features"]
    assert "h_x1" not in json.dumps(plain["bank"].result)


def test_given_edges_and_words_for_the_submitter(monkeypatch):
    use_plain(monkeypatch)
    done = run(split(small()), {"method": "edges", "edges": {"bank": {"x0": [-0.5, 0.5]}}, "transform": "index"})
    found = done["bank"].result["binning"]
    assert [b["label"] for b in found[0]["bins"]] == ["<= -0.5", "(-0.5, 0.5]", "> 0.5"]
    assert found[1]["bins"][-1]["label"] == "missing"
    assert found[1]["bins"][0]["label"] == "1"


def changed(kind, change):
    def fault(envelope, now):
        if now == "after" or envelope.address.tag != kind.TAG or envelope.last:
            return envelope
        return dataclasses.replace(envelope, body=change(kind.decode(envelope.body, {})).encode())

    return fault


def _more_events(m):
    values = m.sums.copy().view(np.int64)
    values[0, 0] += 1
    return w.Events(values.view(np.uint8), m.count)


MISBEHAVIOUR = {
    "another total": (w.Events, _more_events, "bureau"),
    "more rows": (w.Shape, lambda m: w.Shape(m.bins, m.ordered, m.sizes + np.uint32(1)), "bureau"),
    "another count of answers": (w.Events, lambda m: w.Events(m.sums[:-1], m.count), "bureau"),
    "too many bins": (
        w.Shape,
        lambda m: w.Shape(np.array([m.sizes.size], dtype=np.uint32), m.ordered[:1], m.sizes),
        "bureau",
    ),
    "a key for another number of rows": (w.Key, lambda m: w.Key(m.public, m.count + 1, m.outputs), "bank"),
    "a key for fewer sums": (w.Key, lambda m: w.Key(m.public, m.count, 1), "bank"),
    "a bad key": (w.Key, lambda m: w.Key(m.public + b"x", m.count, m.outputs), "bank"),
    "missing merged with values": (w.Merged, lambda m: w.Merged(np.zeros_like(m.group)), "bank"),
    "bins out of order": (w.Merged, lambda m: w.Merged(m.group[::-1].copy()), "bank"),
    "two weights for one bin": (w.Weights, lambda m: w.Weights(np.arange(m.woe.size) / 7), "bank"),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_misbehaving_peer_is_refused_by_name(what, monkeypatch):
    use_plain(monkeypatch)
    kind, change, who = MISBEHAVIOUR[what]
    params = {"method": "optimal", "bins": 3, "transform": "woe"}
    params["scheme"] = "lattice" if what == "a key for fewer sums" else "paillier"
    with pytest.raises(ParleyError) as e:
        run(split(small()), params, Setting(fault=changed(kind, change), patience=5))
    assert (e.value.code, e.value.party) == ("protocol_violation", who)


@pytest.mark.parametrize(("column", "values", "params"), [
    ("y", [0, 1, 2] * 100, {}), ("y", [1] * 300, {}), ("y", [None, *([0, 1] * 149), 1], {}),
    ("y", ["no"] * 300, {"positive": "yes"}),
])  # fmt: skip
def test_labels_that_are_none_are_refused(column, values, params, monkeypatch):
    use_plain(monkeypatch)
    table = small()
    at = table.column_names.index(column)
    with pytest.raises(ParleyError) as e:
        run(split(table.set_column(at, column, pa.array(values))), params)
    assert (e.value.code, e.value.party) == ("bad_labels", "bank")


@pytest.mark.parametrize("params", [
    {"method": "edges"}, {"edges": {"bank": {"x0": [1.0]}}}, {"method": "optimal", "bins": 50}, {"bins": 1},
    {"method": "edges", "edges": {"nobody": {"x": [1.0]}}}, {"columns": {"bank": ["x0", "x0"]}},
])  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(params):
    with pytest.raises(ParleyError) as e:
        run(split(small()), params)
    assert e.value.code == "bad_parameters"


@pytest.mark.parametrize("scheme", ["lattice", pytest.param("paillier", marks=pytest.mark.paillier)])
def test_bytes_are_within_the_formula_and_close_to_it(scheme):
    inputs = split(small())
    params = WOE.validate({"label": "y", "id": "id", "scheme": scheme}, Cast(CAST2))
    flows = {(f.sender, f.receiver, f.tag): f.bytes for f in WOE.cost(params, Cast(CAST2), sizes_of(inputs))}
    sent = bytes_by_tag(run(inputs, {"scheme": scheme}).transcript)
    assert set(sent) == set(flows)
    for way in (("bank", "bureau", w.Labels.TAG), ("bureau", "bank", w.Events.TAG)):
        assert 0.3 * flows[way] <= sent[way] <= flows[way] + 2000


def test_the_cases_differ_in_what_is_told():
    kinds = [{e.address.tag for e in CASES[n].run().transcript} for n in ("stats/woe", "stats/woe by rows")]
    assert kinds[0] - kinds[1] == {w.Merged.TAG, w.Weights.TAG}
    assert kinds[1] - kinds[0] == {w.Names.TAG}
