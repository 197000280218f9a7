"""Weight of evidence between parties against definitions on the joined table; what is told to whom; misbehaviour."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from cases import CAST2
from shared import need
from vertical import split_inputs, use_plain

from parley.components.features.binning import fit_bins
from parley.protocols.frame import frame_of
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.stats import woe_messages as m
from parley.protocols.stats.woe_jobs import WOE
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import woe_oracle as oracle

BASE = {"label": "y", "exclude": ["id"]}


def real(name: str, rows: int | None = None) -> tuple[pa.Table, dict[str, StepInputs]]:
    guest = pacsv.read_csv(need(f"data/{name}_hetero_guest.csv")).sort_by("id")
    host = pacsv.read_csv(need(f"data/{name}_hetero_host.csv")).sort_by("id")
    host = host.rename_columns([n if n == "id" else f"h{n}" for n in host.column_names])
    if rows is not None:
        guest, host = guest.slice(0, rows), host.slice(0, rows)
    assert guest.column("id").equals(host.column("id"))
    joined = guest
    for n in host.column_names[1:]:
        joined = joined.append_column(n, host.column(n))
    return joined, split_inputs(joined, guest.column_names, host.column_names)


def found(done) -> dict[tuple[str, int], dict]:
    return {(e["party"], e["number"]): e for e in done["bank"].result["binning"]}


@pytest.mark.parametrize(("name", "rows"), [("breast", None), ("default_credit", 3000)])
def test_every_column_is_as_on_the_joined_table(name, rows):
    """With the lattice itself."""
    table, data = real(name, rows)
    done = run_local(WOE, CAST2, data, {**BASE, "bins": 8, "min_class_rows": 1, "min_bin_rows": 5, "transform": "none"})
    got, labels, compared = found(done), table.column("y").to_pylist(), 0
    assert done["bank"].result["encryption"].startswith("lattice")
    for party in ("bank", "bureau"):
        own = [n for n in data[party].table.column_names if n not in ("id", "y", "_row")]
        binning = fit_bins(table, own, 8)
        codes = binning.transform(table)
        for k in range(len(own)):
            wanted = oracle.counts(codes[:, k].tolist(), labels, binning.n_bins[k])
            if any(0 < sum(w) < 5 for w in wanted):
                continue  # joined with a neighbour, as the next tests show
            entry, compared = got[party, k], compared + 1
            assert entry["iv"] == pytest.approx(oracle.iv(wanted), abs=1e-12)
            bins = [(b["events"], b["rows"] - b["events"]) for b in entry["bins"]]
            assert bins == [w for w in wanted if sum(w)]
            weights = [w for w, t in zip(oracle.woe(wanted), wanted, strict=True) if sum(t)]
            assert [b["woe"] for b in entry["bins"]] == pytest.approx(weights, abs=1e-12)
    assert compared >= 15


@pytest.fixture
def plain(monkeypatch):
    use_plain(monkeypatch)


@pytest.mark.parametrize(
    "params", [{"weight": "w"}, {"packed": True}, {"classes": 3, "transform": "index"}, {"scheme": "paillier"}]
)
def test_real_schemes_say_what_the_plain_fake_says(params, monkeypatch):
    y = [k % params.get("classes", 2) for k in range(120)]
    data = small(y, [float(k * k % 50) for k in range(120)], [1.0 + k % 3 for k in range(120)])
    real_one = found(woe(data, **params))
    use_plain(monkeypatch)
    assert real_one == found(woe(data, **params))


@pytest.mark.parametrize("method", ["quantile", "width", "chi", "optimal", "gini", "ks"])
def test_columns_become_the_weights_that_the_label_party_found(method, plain):
    table, data = real("breast")
    done = run_local(WOE, CAST2, data, {**BASE, "method": method, "bins": 5})
    got, y = found(done), np.asarray(table.column("y").to_numpy())
    for party in ("bank", "bureau"):
        after = frame_of(StepInputs(data[party].table, {"woe": done[party].keep}), party)
        names = [n for n in after.table.column_names if n not in ("id", "y", "_row")]
        for k, name in enumerate(names):
            values = after.table.column(name).to_numpy()
            bins = got[party, k]["bins"]
            assert sum(b["rows"] for b in bins) == len(y)
            for b in bins:
                here = np.isclose(values, b["woe"], atol=1e-12)
                same = [o for o in bins if np.isclose(o["woe"], b["woe"], atol=1e-12)]
                assert here.sum() == sum(o["rows"] for o in same)
                assert y[here].sum() == sum(o["events"] for o in same)
                assert b["events"] >= 5 or len(bins) == 1
                assert b["rows"] - b["events"] >= 5 or len(bins) == 1
        if method == "optimal":
            for k in range(len(names)):
                steps = np.sign(np.diff([b["woe"] for b in got[party, k]["bins"]]))
                assert not {1.0, -1.0} <= set(steps.tolist())
    if method in ("chi", "optimal", "gini", "ks"):
        assert max(len(e["bins"]) for e in got.values()) <= 5


def small(y, x, w=None, **more):
    n = len(y)
    table = pa.table({"id": range(n), "y": y, "x": x, "w": w or [1.0] * n, **more})
    return split_inputs(table, ["id", "y", "w"], ["id", "x", *more])


def woe(data, **params):
    return run_local(WOE, CAST2, data, {"label": "y", "exclude": ["id"], "columns": {"bank": []}, **params})


def test_few_missing_values_share_a_bin_and_many_have_their_own(plain):
    y = [0, 1] * 30
    few = woe(small(y, [None] * 3 + [float(k) for k in range(57)]), bins=3, min_bin_rows=10)
    assert [b["label"] for b in found(few)["bureau", 0]["bins"]] == ["0", "1", "2"]
    many = woe(small(y, [None] * 25 + [float(k) for k in range(35)]), bins=2, min_bin_rows=10)
    assert [b["label"] for b in found(many)["bureau", 0]["bins"]] == ["0", "1", "missing"]
    assert found(many)["bureau", 0]["bins"][-1]["rows"] == 25


def test_no_bin_tells_the_labels_of_all_its_rows(plain):
    """A column that is the label itself: all in one bin, whose weight is 0; without a transform it is told in full."""
    y = [0] * 40 + [1] * 40
    done = woe(small(y, [float(v) for v in y]))
    assert json.loads(done["bureau"].keep["prepared"])["transforms"][0]["values"] == [[0.0, 0.0, 0.0]]
    assert found(done)["bureau", 0]["iv"] == 0
    assert found(woe(small(y, [float(v) for v in y]), transform="none"))["bureau", 0]["iv"] > 5
    missing = woe(small(y, [None if v else 1.0 for v in y]))
    assert json.loads(missing["bureau"].keep["prepared"])["transforms"][0]["values"] == [[0.0, 0.0]]


def test_weights_count_and_protection_counts_rows(plain):
    y, x = [0, 1] * 40, [float(k >= 40) for k in range(80)]
    w = [2.0 if k >= 40 and k % 2 else 1.0 for k in range(80)]
    done = woe(small(y, x, w), weight="w")
    table = [(20.0, 20.0), (40.0, 20.0)]
    assert found(done)["bureau", 0]["iv"] == pytest.approx(oracle.iv(table), rel=1e-4)
    lone = [0] * 39 + [1] + [0, 1] * 20
    heavy = woe(small(lone, x, [100.0 if k == 39 else 1.0 for k in range(80)]), weight="w")
    assert len(found(heavy)["bureau", 0]["bins"]) == 1


def test_several_classes_are_each_set_against_all_others(plain):
    y = [0, 1, 2] * 30
    x = [float(v == 2) + (k % 2 == 0) for k, v in enumerate(y)]
    done = woe(small(y, x), classes=3, transform="index", bins=3, min_bin_rows=5)
    codes = fit_bins(pa.table({"x": x}), ["x"], 3).transform(pa.table({"x": x}))[:, 0]
    each = [oracle.iv(oracle.counts(codes.tolist(), [v == k for v in y], 4)) for k in range(3)]
    assert found(done)["bureau", 0]["iv"] == pytest.approx(sum(each) / 3, rel=1e-12)


def test_only_what_was_agreed_is_told(plain):
    y, x = [0, 1] * 40, [float(k) for k in range(80)]
    quiet = woe(small(y, x), report="iv", transform="none")
    assert set(quiet["bank"].result["binning"][0]) == {"party", "feature", "number", "iv"}
    assert quiet["bank"].result["binning"][0]["feature"] == "#0"
    assert quiet["bureau"].result == {}
    sent = {e.address.tag for e in quiet.transcript}
    assert sent == {m.Shape.TAG, m.Key.TAG, m.Labels.TAG, m.Sums.TAG}


@pytest.mark.parametrize(
    ("y", "params", "code"),
    [
        ([0, None] * 40, {}, "bad_labels"),
        ([0, 2] * 40, {}, "bad_labels"),
        (["a", "b"] * 40, {"positive": "c"}, "bad_labels"),
        ([0, 1] * 5, {}, "too_few_rows"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(y, params, code, plain):
    with pytest.raises(ParleyError) as e:
        woe(small(y, [float(k) for k in range(len(y))]), **params)
    assert e.value.code == code


@pytest.mark.parametrize(
    "wrong", [{"edges": {"bureau": {"x": [1.0]}}}, {"classes": 3}, {"method": "edges"}, {"bins": 256}]
)
def test_parameters_that_do_not_go_together_are_refused(wrong):
    with pytest.raises(ParleyError) as e:
        woe(small([0, 1] * 40, [1.0] * 80), **wrong)
    assert e.value.code == "bad_parameters"


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change, plain):
    data = small([0, 1] * 40, [float(k) for k in range(80)])

    def work(setting=None):
        return run_local(WOE, CAST2, data, {"label": "y", "exclude": ["id"], "share_names": True}, setting=setting)

    whole = work().transcript
    for index, error in c.mutations(work, len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")
        assert error.party == whole[index].address.sender or whole[index].last


def instead(kind, make):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == kind.TAG and not envelope.last:
            return dataclasses.replace(envelope, body=make(kind.decode(envelope.body, {})).encode())
        return envelope

    return Setting(fault=fault, patience=2)


def changed(message, **fields):
    return dataclasses.replace(message, **fields)


def off(values, at, by):
    out = values.copy()
    out[at] += by
    return out


WRONG = {
    "a bin too small": ("bureau", m.Shape, lambda x: changed(x, held=np.array([2, 78, 0, 0], np.uint32))),
    "rows too many": ("bureau", m.Shape, lambda x: changed(x, held=off(x.held, 0, 1))),
    "sums that do not add up": ("bureau", m.Sums, lambda x: changed(x, sums=off(x.sums, (0, 0), 1))),
    "more events than rows": (
        "bureau", m.Sums, lambda x: changed(x, sums=off(off(x.sums, (0, 0), 100), (1, 0), 156)),
    ),
    "other rows": ("bank", m.Key, lambda x: changed(x, count=x.count + 1)),
    "another key": ("bank", m.Key, lambda x: changed(x, public=x.public[:-1])),
    "too small a plan": ("bank", m.Key, lambda x: changed(x, outputs=1)),
    "a bin there is not": ("bank", m.Joined, lambda x: changed(x, groups=off(x.groups, 0, 500))),
    "fewer bins": ("bank", m.Joined, lambda x: changed(x, groups=x.groups[:-1])),
    "fewer labels": ("bank", m.Labels, lambda x: changed(x, ciphertexts=x.ciphertexts[:-1])),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_who_misbehaves_is_named(what, plain):
    party, kind, make = WRONG[what]
    with pytest.raises(ParleyError) as e:
        run_local(
            WOE, CAST2, small([0, 1] * 40, [float(k) for k in range(80)]),
            {"label": "y", "exclude": ["id"], "bins": 3}, setting=instead(kind, make),
        )  # fmt: skip
    assert (e.value.party, e.value.code) == (party, "protocol_violation")


def test_bytes_are_the_docstrings(plain):
    """With the plain fake in the lattice's place, whose rows and sums are 8 bytes, four rows at a time."""
    data = small([0, 1] * 40, [float(k) for k in range(80)])
    done = run_local(WOE, CAST2, data, {"label": "y", "exclude": ["id"], "bins": 3, "share_names": True})
    body = {k[2]: v for k, v in c.bytes_by_tag(done.transcript).items()}
    wanted = {"shape": 5 + 16, "names": 1, "key": 8, "labels": 640, "sums": 32, "joined": 8, "weights": 32}
    for tag, size in body.items():
        due = wanted[tag.split(".")[2].split("/")[0]]
        assert due <= size <= due + 250, tag
