"""Columns chosen by filters, after a weight-of-evidence step, against a central choice; misbehaviour."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from cases import CAST2
from vertical import split_inputs, use_plain

from parley.components.features.pipeline import Pipeline
from parley.components.features.selection import strongest
from parley.protocols import registry
from parley.protocols.frame import frame_of
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.prep import select
from parley.wire import codec
from parley.wire.errors import ParleyError

NAMES = {"bank": ["a0", "a1"], "bureau": ["b0", "b1", "b2"]}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def weighed() -> tuple[dict[str, StepInputs], dict[tuple[str, str], float]]:
    """Both parties after stats/woe, and each column's information value."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 200)
    noise = {"a0": 0.4, "a1": 3.0, "b0": 9.0, "b1": 0.6, "b2": 1.5}
    x = {n: y + s * rng.normal(size=200) for n, s in noise.items()}
    table = pa.table({"id": range(200), "y": y, **x})
    data = split_inputs(table, ["id", "y", *NAMES["bank"]], ["id", *NAMES["bureau"]])
    params = {"label": "y", "exclude": ["id"], "bins": 5, "transform": "none", "share_names": True}
    done = run_local(registry.load("stats/woe"), CAST2, data, params)
    ivs = {(e["party"], e["feature"]): e["iv"] for e in done["bank"].result["binning"]}
    return {p: StepInputs(d.table, {"woe": done[p].keep}) for p, d in data.items()}, ivs


def chosen(data, filters, setting=None, **params):
    done = run_local(select.SELECT, CAST2, data, {"filters": filters, **params}, setting=setting)
    out = {}
    for p in data:
        names = frame_of(StepInputs(data[p].table, {"select": done[p].keep}), p).table.column_names
        out[p] = [n for n in names if n not in ("id", "y", "_row")]
        assert {"id", "_row"} <= set(names)
        assert done[p].result == {"columns": len(NAMES[p]), "kept": len(out[p])}
    return out, done


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_best_of_all_parties_stay(k):
    data, ivs = weighed()
    got, _ = chosen(data, [{"by": "iv", "top_k": k, "keep_one": False}])
    best = sorted(ivs, key=ivs.get, reverse=True)[:k]  # type: ignore[arg-type]  # values of a dict
    assert {(p, n) for p, names in got.items() for n in names} == set(best)


def test_a_threshold_and_one_of_each_party():
    data, ivs = weighed()
    line = sorted(ivs.values())[-1]
    got, _ = chosen(data, [{"by": "iv", "threshold": line}])
    top = max(ivs, key=ivs.get)  # type: ignore[arg-type]  # values of a dict
    other = "bureau" if top[0] == "bank" else "bank"
    best_there = max((n for p, n in ivs if p == other), key=lambda n: ivs[other, n])
    assert got == {top[0]: [top[1]], other: [best_there]}


def test_filters_apply_one_after_the_other():
    data, ivs = weighed()
    got, done = chosen(
        data,
        [
            {"by": "manual", "columns": {"bureau": ["b0", "b2"]}},
            {"by": "iv", "top_k": 3, "keep_one": False},
            {"by": "std", "top_k": 1, "take": "low"},
        ],
    )
    left = {k: v for k, v in ivs.items() if k != ("bureau", "b1")}
    best = sorted(left, key=left.get, reverse=True)[:3]  # type: ignore[arg-type]  # values of a dict
    for party, names in got.items():
        stds = {n: np.std(data[party].table.column(n).to_numpy()) for p, n in best if p == party}
        assert names == [min(stds, key=stds.get)]  # type: ignore[arg-type]  # values of a dict
    shown = select.Left.decode(next(e.body for e in done.transcript if e.address.tag == select.Left.TAG), {})
    assert shown.flags.tolist() == [1, 0, 1]


def test_without_information_values_nothing_is_sent():
    data, _ = weighed()
    _, done = chosen(data, [{"by": "distinct", "threshold": 2}], exclude=["id", "y"])
    assert not done.transcript
    plain_rows = {p: StepInputs(d.table, {"a": {"rows": d.needs["woe"]["rows"]}}) for p, d in data.items()}
    with pytest.raises(ParleyError) as e:
        chosen(plain_rows, [{"by": "iv", "top_k": 1}])
    assert e.value.code == "no_iv"


def boosted() -> tuple[dict[str, StepInputs], dict[tuple[str, str], float]]:
    """Both parties after a training by boosting, and each column's gain in it."""
    data, _ = weighed()
    given = {p: StepInputs(d.table, {"rows": {"rows": d.needs["woe"]["rows"]}}) for p, d in data.items()}
    params = {"label": "y", "id": "id", "trees": 4, "depth": 3, "bins": 8, "share_names": True}
    done = run_local(registry.load("gbdt/vertical"), CAST2, given, params)
    gains = {(p, n): 0.0 for p, names in NAMES.items() for n in names}
    gains |= {(e["party"], e["feature"]): e["gain"] for e in done["bank"].result["importance"]}
    return {p: StepInputs(d.table, {"train": done[p].keep}) for p, d in data.items()}, gains


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_columns_with_the_largest_gains_stay(k):
    data, gains = boosted()
    got, _ = chosen(data, [{"by": "importance", "top_k": k, "keep_one": False}])
    best = sorted(gains, key=gains.get, reverse=True)[:k]  # type: ignore[arg-type]  # values of a dict
    assert {(p, n) for p, names in got.items() for n in names} == set(best)


def test_of_two_that_correlate_the_more_important_stays_where_there_is_no_information_value():
    data, gains = boosted()
    got, _ = chosen(data, [{"by": "correlation", "threshold": 1e-9}])
    for party, names in got.items():
        mine = {n: g for (p, n), g in gains.items() if p == party}
        assert names == [max(mine, key=mine.get)]  # type: ignore[arg-type]  # values of a dict


def test_who_learns_what_follows_from_the_filters():
    declared = registry.load("prep/select").declaration()
    for by, label, features in (
        (("std", "vif"), (), ()),
        (("std", "iv"), ("kept_columns",), ("chosen_columns",)),
        (("importance",), ("kept_columns",), ("chosen_columns",)),
        (("correlation", "std"), ("kept_columns", "correlated_pairs"), ("chosen_columns",)),
    ):
        told = declared.learned({"filters": [{"by": name, "threshold": 1} for name in by]})
        assert (told["label"], told["features"]) == (label, features)
    for unreadable in ({}, {"filters": [{"threshold": 1}]}, {"filters": "iv"}, {"filters": [{"by": "std"}, 3]}):
        assert declared.learned(unreadable)["label"] == ("kept_columns", "correlated_pairs")


def test_importance_needs_a_training_over_the_columns_that_were_weighed():
    weights, _ = weighed()
    data, _ = boosted()
    with pytest.raises(ParleyError) as e:
        chosen(weights, [{"by": "importance", "top_k": 1}])
    assert e.value.code == "no_importance"
    both = {p: StepInputs(d.table, {**d.needs, **weights[p].needs}) for p, d in data.items()}
    got, _ = chosen(both, [{"by": "iv", "top_k": 3}, {"by": "importance", "top_k": 2, "keep_one": False}])
    assert sum(map(len, got.values())) == 2
    short = {**both["bank"].needs["woe"]}
    facts = json.loads(short["facts"])
    short["facts"] = json.dumps({**facts, "columns": facts["columns"][:1]})
    both["bank"] = StepInputs(both["bank"].table, {**both["bank"].needs, "woe": short})
    with pytest.raises(ParleyError) as e:
        chosen(both, [{"by": "importance", "top_k": 1}])
    assert (e.value.code, e.value.party) == ("other_columns", "bank")


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "iv"},
        {"by": "iv", "top_k": 1, "threshold": 2},
        {"by": "manual", "top_k": 1},
        {"by": "std", "columns": {}},
    ],
)
def test_a_filter_has_one_rule(wrong):
    with pytest.raises(ParleyError) as e:
        chosen(weighed()[0], [wrong])
    assert e.value.code == "bad_parameters"


def test_rules_keep_the_strongest():
    values, left = np.array([3.0, 1, 2, 2, 9]), np.array([True, True, True, True, False])
    assert strongest(values, left, 2.0, None, None, low=False).tolist() == [True, False, True, True, False]
    assert strongest(values, left, 2.0, None, None, low=True).tolist() == [False, True, True, True, False]
    assert strongest(values, left, None, 2, None, low=False).tolist() == [True, False, True, False, False]
    assert strongest(values, left, None, None, 0.3, low=True).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    data, _ = weighed()

    def work(setting=None):
        return run_local(select.SELECT, CAST2, data, {"filters": [{"by": "iv", "top_k": 2}]}, setting=setting)

    whole = work().transcript
    for index, error in c.mutations(work, len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")
        assert error.party == whole[index].address.sender


@pytest.mark.parametrize(
    ("party", "kind", "flags"),
    [
        ("bank", select.Chosen, [1, 1, 1]),
        ("bank", select.Chosen, [1]),
        ("bank", select.Chosen, [0, 0, 2]),
        ("bureau", select.Left, [1]),
        ("bureau", select.Left, [0, 0, 7]),
    ],
)
def test_who_misbehaves_is_named(party, kind, flags):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == kind.TAG:
            return dataclasses.replace(envelope, body=codec.encode({"flags": np.array(flags, np.uint8)}))
        return envelope

    with pytest.raises(ParleyError) as e:
        chosen(weighed()[0], [{"by": "std", "top_k": 2}, {"by": "iv", "top_k": 2}], Setting(fault=fault, patience=2))
    assert (e.value.party, e.value.code) == (party, "protocol_violation")


def test_all_that_is_sent_is_what_is_learnt():
    """The simulator: each message is the disclosure itself, so that views are equal to the byte."""
    data, _ = weighed()
    got, done = chosen(data, [{"by": "iv", "top_k": 3, "keep_one": False}])
    stays = np.array([n in got["bureau"] for n in NAMES["bureau"]], dtype=np.uint8)
    made = [select.Left(np.ones(3, np.uint8)).encode(), select.Chosen(stays).encode()]
    assert [e.body for e in done.transcript] == made


def alike() -> tuple[dict[str, StepInputs], dict[tuple[str, str], float]]:
    """The bureau has two columns that are nearly the same, one of them with less evidence, and one that drifts."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    late = np.arange(400) >= 300
    clear = y + 0.5 * rng.normal(size=400)
    x = {"a0": y + rng.normal(size=400), "a1": rng.normal(size=400)}
    x |= {"b0": clear + 0.4 * rng.normal(size=400), "b1": clear, "b2": rng.normal(size=400) + 3 * late}
    table = pa.table({"id": range(400), "y": y, **x})
    data = split_inputs(table, ["id", "y", *NAMES["bank"]], ["id", *NAMES["bureau"]])
    cut = {"part": np.where(late, 2, 0).astype(np.uint8), "prepared": Pipeline().to_json(), "depth": 1}
    parted = {p: StepInputs(d.table, {"split": {"rows": d.needs["align"]["rows"], **cut}}) for p, d in data.items()}
    params = {"label": "y", "exclude": ["id"], "bins": 5, "transform": "none", "share_names": True}
    done = run_local(registry.load("stats/woe"), CAST2, parted, params)
    ivs = {(e["party"], e["feature"]): e["iv"] for e in done["bank"].result["binning"]}
    return {p: StepInputs(d.table, {"woe": done[p].keep}) for p, d in parted.items()}, ivs


def test_of_two_that_correlate_the_one_with_more_evidence_stays():
    data, ivs = alike()
    assert ivs["bureau", "b1"] > ivs["bureau", "b0"]
    got, done = chosen(data, [{"by": "correlation", "threshold": 0.6}])
    assert got == {"bank": ["a0", "a1"], "bureau": ["b1", "b2"]}
    assert [r.disclosure for r in done.egress["bureau"]] == ["kept_columns", "correlated_pairs"]
    shown = select.Linked.decode(next(e.body for e in done.transcript if e.address.tag == select.Linked.TAG), {})
    made = [select.Left(np.ones(3, np.uint8)), select.Linked(np.array([[0, 1]], np.uint32))]
    made.append(select.Chosen(np.array([0, 1, 1], np.uint8)))
    assert [e.body for e in done.transcript] == [m.encode() for m in made], "each message is the disclosure itself"
    assert shown.pairs.tolist() == [[0, 1]]


def test_inflated_and_drifting_columns_go_without_a_message():
    data, _ = alike()
    got, done = chosen(data, [{"by": "psi", "threshold": 0.25}, {"by": "vif", "threshold": 3}], exclude=["id", "y"])
    assert got["bank"] == ["a0", "a1"]
    assert len(got["bureau"]) == 1
    assert got["bureau"][0] in ("b0", "b1")
    assert not done.transcript
    steady, _ = chosen(data, [{"by": "psi", "top_k": 2}], exclude=["id", "y"])
    assert steady["bureau"] == ["b0", "b1"]


@pytest.mark.parametrize("wrong", [
    {"by": "correlation", "top_k": 1}, {"by": "vif", "top_share": 0.5}, {"by": "vif", "threshold": 5, "take": "high"},
    {"by": "correlation"},
])  # fmt: skip
def test_filters_over_pairs_have_a_threshold(wrong):
    with pytest.raises(ParleyError) as e:
        chosen(weighed()[0], [wrong])
    assert e.value.code == "bad_parameters"


@pytest.mark.parametrize("pairs", [[[0, 1]], [[1, 9]], [[2, 1]]])
def test_who_links_columns_it_does_not_have_is_named(pairs):
    """The first two columns of the bureau: the first is gone by hand."""

    def fault(envelope, now):
        if now == "before" and envelope.address.tag == select.Linked.TAG:
            return dataclasses.replace(envelope, body=codec.encode({"pairs": np.array(pairs, np.uint32)}))
        return envelope

    filters = [{"by": "manual", "columns": {"bureau": ["b1", "b2"]}}, {"by": "correlation", "threshold": 0.5}]
    with pytest.raises(ParleyError) as e:
        chosen(alike()[0], filters, Setting(fault=fault, patience=2))
    assert (e.value.party, e.value.code) == ("bureau", "protocol_violation")
