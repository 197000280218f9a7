"""Selection: filters in a row equal to the same done centrally, numbers in place of names, refusals by name."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from cases import CASES, COLUMNS, FILTERS, table, weighed
from simulators.envelopes import seen
from vertical import CAST2, split_inputs, train, use_plain

from parley.protocols import registry
from parley.protocols.frame import frame_of
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit.local import Setting
from parley.protocols.prep import select as q
from parley.wire.errors import ParleyError

SELECT = registry.load("prep/select")


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def data(rows: int = 400) -> dict[str, StepInputs]:
    """Two columns that decide at the bureau, with a near copy of the better one, a constant and one that drifts."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(rows, 3))
    y = (2 * x[:, 1] + x[:, 0] + 0.5 * rng.normal(size=rows) > 0).astype(int)
    noisy = x[:, 1] + 0.3 * rng.normal(size=rows)
    table = pa.table({
        "id": np.arange(rows), "y": y, "a": x[:, 0], "b": rng.normal(size=rows),
        "n": noisy, "s": x[:, 1], "k": np.ones(rows), "w": x[:, 2],
    })  # fmt: skip
    return split_inputs(table, ["id", "y", "a", "b"], ["id", "n", "s", "k", "w"])


def after(inputs, done, step):
    return {p: StepInputs(i.table, {**i.needs, step: done[p].keep}) for p, i in inputs.items()}


def with_iv(inputs, **params):
    run = run_local(registry.load("stats/woe"), CAST2, inputs, {"label": "y", "id": "id", **params})
    return after(inputs, run, "woe"), run


def select(inputs, filters, setting: Setting | None = None, **params):
    given = {"label": "y", "id": "id", "filters": filters, **params}
    return run_local(SELECT, CAST2, inputs, given, setting=setting)


def names(done, inputs, party: str) -> list[str]:
    table = frame_of(StepInputs(inputs[party].table, {"select": done[party].keep}), party).table
    return [c for c in table.column_names if c not in ("_row", "id", "y")]


def test_the_best_of_all_parties_by_information_value():
    inputs, woe = with_iv(data())
    ranked = sorted(woe["bank"].result["binning"], key=lambda f: -f["iv"])[:2]
    done = select(inputs, [{"by": "iv", "top_k": 2}], keep_one=False)
    chosen = {("bank", n) for n in names(done, inputs, "bank")}
    columns = ["n", "s", "k", "w"]
    chosen |= {("bureau", f"#{columns.index(n)}") for n in names(done, inputs, "bureau")}
    assert chosen == {(f["party"], f["feature"]) for f in ranked}
    kept_one = select(inputs, [{"by": "iv", "threshold": 1e6}])
    assert (kept_one["bank"].result["columns"], kept_one["bureau"].result["columns"]) == (1, 1)
    assert names(kept_one, inputs, "bureau") == ["s"]


def test_of_two_that_correlate_the_one_with_more_evidence_stays():
    inputs, _ = with_iv(data())
    done = select(inputs, [{"by": "correlation", "threshold": 0.8}])
    assert names(done, inputs, "bureau") == ["s", "k", "w"]
    assert {r.disclosure for r in done.egress["bureau"]} == {"columns_left", "correlated_pairs"}
    assert {r.disclosure for r in done.egress["bank"]} == {"chosen_columns"}


def test_filters_that_need_nobody_send_nothing():
    inputs = data()
    filters = [
        {"by": "statistics", "min_std": 0.01},
        {"by": "vif", "threshold": 4},
        {"by": "manual", "drop": {"bureau": ["w"]}, "keep": {"bank": ["b"]}},
    ]
    done = select(inputs, filters)
    assert done.transcript == []
    assert names(done, inputs, "bank") == ["b"]
    assert len(names(done, inputs, "bureau")) == 1
    assert done["bureau"].result == {
        "columns": 1,
        "filters": [{"by": "statistics", "left": 3}, {"by": "vif", "left": 2}, {"by": "manual", "left": 1}],
    }


def test_columns_that_drift_go():
    rows = 400
    rng = np.random.default_rng(2)
    late = np.arange(rows) >= 200
    table = pa.table({
        "id": np.arange(rows), "y": rng.integers(0, 2, rows), "t": np.arange(rows),
        "still": rng.normal(size=rows), "moves": rng.normal(size=rows) + 3 * late,
    })  # fmt: skip
    inputs = split_inputs(table, ["id", "y", "t"], ["id", "still", "moves"])
    cast = {"label": "bank", "member": ["bureau"]}
    parted = run_local(registry.load("prep/split"), cast, inputs, {"test": 0.5, "by": "time", "column": "t"})
    given = after(inputs, parted, "split")
    done = select(given, [{"by": "stability", "threshold": 0.3}], keep_one=False)
    assert names(done, given, "bureau") == ["still"]
    with pytest.raises(ParleyError) as e:
        select(inputs, [{"by": "stability"}])
    assert e.value.code == "no_rows"


def test_a_models_gains_choose():
    inputs = data()
    trained = train(inputs, {"trees": 3, "depth": 2, "share_names": True})
    gains = {(i["party"], i["feature"]) for i in trained["bank"].result["importance"][:2]}
    given = after(inputs, trained, "train")
    done = select(given, [{"by": "importance", "top_k": 2}], keep_one=False)
    assert {(p, n) for p in inputs for n in names(done, given, p)} == gains


def test_a_training_goes_on_with_what_was_chosen():
    inputs, _ = with_iv(data(), transform="woe")
    done = select(inputs, [{"by": "iv", "top_k": 2}])
    trained = train(after(inputs, done, "select"), {"trees": 1})
    binning = json.loads(trained["bureau"].keep["binning"])
    assert [c["name"] for c in binning["columns"]] == names(done, inputs, "bureau")


def changed(kind, change):
    def fault(envelope, now):
        if now == "after" or envelope.address.tag != kind.TAG:
            return envelope
        return dataclasses.replace(envelope, body=change(kind.decode(envelope.body, {})).encode())

    return fault


MISBEHAVIOUR = {
    "another number of columns": (q.Standing, lambda m: q.Standing(m.flags[1:]), "bureau"),
    "a pair that is not there": (q.Linked, lambda m: q.Linked(np.array([[0, 90]], np.uint32)), "bureau"),
    "a choice of another size": (q.Chosen, lambda m: q.Chosen(m.flags[1:]), "bank"),
    "a column that had gone": (q.Chosen, lambda m: q.Chosen(np.ones_like(m.flags)), "bank"),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_misbehaving_peer_is_refused_by_name(what):
    kind, change, who = MISBEHAVIOUR[what]
    inputs, _ = with_iv(data())
    with pytest.raises(ParleyError) as e:
        select(inputs, FILTERS, Setting(fault=changed(kind, change), patience=5))
    assert (e.value.code, e.value.party) == ("protocol_violation", who)


@pytest.mark.parametrize("filters", [
    [], [{"by": "iv"}], [{"by": "magic"}], [{"by": "manual", "keep": {"nobody": []}}], [{"by": "vif", "threshold": 1}],
])  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(filters):
    with pytest.raises(ParleyError) as e:
        select(data(), filters)
    assert e.value.code == "bad_parameters"


@pytest.mark.parametrize("by", ["iv", "importance"])
def test_a_measure_that_nobody_took_is_missed(by):
    with pytest.raises(ParleyError) as e:
        select(data(), [{"by": by, "top_k": 1}])
    assert e.value.code == "no_measure"


def renamed(inputs: dict[str, StepInputs]) -> dict[str, StepInputs]:
    """Other names, other scales: no party's columns stay, fall out or hang together differently."""
    out = {}
    for party, given in inputs.items():
        t = given.table
        for k, name in enumerate(t.column_names):
            if name.startswith("x"):
                t = t.set_column(k, f"{name} moved", pa.array(t.column(name).to_numpy() * 7.0 - 2))
        out[party] = StepInputs(t, given.needs)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_all_that_is_sent_follows_from_what_may_be_learnt(seed):
    """No message has randomness, so the simulator is the function of what is learnt itself: parties that agree on
    columns left, pairs and choices send the very same bytes, whatever else their columns hold."""
    first = split_inputs(table(40, seed), *COLUMNS)
    runs = [CASES["prep/select"].run(inputs=weighed(inputs)).transcript for inputs in (first, renamed(first))]
    for sender, receiver in (("bureau", "bank"), ("telco", "bank"), ("bank", "bureau"), ("bank", "telco")):
        one, other = (seen(transcript, sender, receiver) for transcript in runs)
        assert one == other
        assert len(one) > 1
