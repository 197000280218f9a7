"""Inputs that agree on everything in `learns` give transcripts of identical shape; inputs that differ there do not.

The shape is all that the coordinator and any relay see. Each pair of inputs below differs in as much as it can without
touching what is learnt; each second pair shows that the comparison is not blind.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from cases import (
    BY_TREES,
    CASES,
    COLUMNS,
    columns,
    grouped,
    halves,
    ids,
    many,
    of_regression,
    parted,
    people,
    scored,
    spenders,
    table,
    three,
    weighed,
    with_validation,
)
from vertical import split_inputs, use_plain

from parley.protocols import registry
from parley.protocols.kit import StepInputs
from parley.protocols.kit.conformance import shape
from parley.protocols.kit.local import Setting

DRAWN = ("gbdt/vertical by gradient",)  # which rows come along decides the trees, and is learnt


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def shape_of(name: str, inputs: dict[str, StepInputs]) -> list[tuple[object, ...]]:
    """Of a run whose randomness is the operating system's, unless what it decides is learnt."""
    setting = CASES[name].setting() if name in DRAWN else Setting()
    return shape(CASES[name].run(setting, inputs).transcript)


# ---------------------------------------------------------------- what agrees


def other_people() -> dict[str, StepInputs]:
    """As many ids, as many in common, at other places; long ones, and rows with ids that repeat or are missing."""
    mine, theirs = ["long " * 40, "ü", "7", "007"], ["7", "z" * 300, "ü"]
    hospital = ids(mine, 5000)
    more = pa.table({"id": pa.array([*mine, "7", None, ""]), "_row": pa.array(np.arange(7) * 3)})
    return {"hospital": dataclasses.replace(hospital, table=more), "lab": ids(theirs, 9)}


def other_three() -> dict[str, StepInputs]:
    return {**other_people(), "pharmacy": ids(["ü", "1", "7", "2", "3"], 4)}


def other_spenders() -> dict[str, StepInputs]:
    data = other_people()
    values = pa.array([None, 1e6, -7.0])
    return {**data, "lab": StepInputs(data["lab"].table.append_column("spent", values))}


def seen_before(data: dict[str, StepInputs]) -> dict[str, StepInputs]:
    """With what a first lookup left both sides."""
    run = CASES["psi/lookup"].run(Setting(), data)
    return {p: StepInputs(d.table, cache=run[p].cache) for p, d in data.items()}


def moved(source: pa.Table, flipped: bool = False) -> pa.Table:
    """Every feature on another scale, which moves no row to another bin; perhaps every label turned around."""
    out = source
    for k, name in enumerate(source.column_names):
        if name.startswith("x"):
            out = out.set_column(k, name, pa.array(source.column(name).to_numpy() * 1000.5 - 3))
    return out.set_column(1, "y", pa.array(1 - source.column("y").to_numpy())) if flipped else out


def other_columns() -> dict[str, StepInputs]:
    return split_inputs(moved(table(), flipped=True), *COLUMNS)


def same_counts() -> dict[str, StepInputs]:
    """Every feature on another scale, and labels of other rows."""
    source = moved(table())
    return split_inputs(source.set_column(1, "y", pa.array(source.column("y").to_numpy()[::-1])), *COLUMNS)


def other_targets() -> dict[str, StepInputs]:
    """A regression's target times four is the same tree with four times the gradients, which is nobody's to learn."""
    source = table(classes=False)
    return split_inputs(moved(source).set_column(1, "y", pa.array(source.column("y").to_numpy() * 4)), *COLUMNS[:2])


def predicted(data: dict[str, StepInputs], by: str = "gbdt/vertical") -> dict[str, StepInputs]:
    """`data` scored by the model that was trained on it."""
    run = CASES[by].run(Setting(), data)
    return {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}


def two(data: dict[str, StepInputs]) -> dict[str, StepInputs]:
    return {p: data[p] for p in ("bank", "bureau")}


def predicted_linearly(data: dict[str, StepInputs]) -> dict[str, StepInputs]:
    """`data` scored by the linear model that was trained on it."""
    run = CASES["linear/vertical"].run(Setting(), data)
    return {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}


def other_validation() -> dict[str, StepInputs]:
    """Other values everywhere, other rows held out, as many of them."""
    inputs = split_inputs(moved(table(seed=9, classes=False)), *COLUMNS[:2])
    for of in inputs.values():
        of.needs["align"]["part"] = (np.arange(24) % 5 == 0).astype(np.uint8)
    for of in inputs.values():
        of.needs["align"]["part"][0] = 0
    return inputs


def other_scores() -> dict[str, StepInputs]:
    keep = dict(scored()["bank"].needs["train"])
    return {"bank": StepInputs(None, {"train": {**keep, "scores": 1 - np.asarray(keep["scores"])}})}


PREPARED = [name for name in CASES if name.startswith("prep/") and not name.startswith(("prep/union", "prep/select"))]
AGREE = {
    "psi/ecdh": (people, other_people),
    "psi/ecdh below the floor": (people, other_people),
    "psi/ecdh one-sided": (people, other_people),
    "psi/ecdh three": (three, other_three),
    "psi/cardinality": (people, other_people),
    "psi/cardinality with a floor": (people, other_people),
    "psi/sum": (spenders, other_spenders),
    "psi/sum to the sender": (spenders, other_spenders),
    "psi/lookup": (spenders, other_spenders),
    "psi/lookup again": (lambda: seen_before(spenders()), lambda: seen_before(other_spenders())),
    "psi/multi": (three, other_three),
    "psi/multi below the floor": (three, other_three),
    "psi/multi two": (people, other_people),
    "psi/vole": (people, other_people),
    "psi/vole one-sided": (people, other_people),
    "psi/vole with a floor": (people, other_people),
    "psi/vole below the floor": (people, other_people),
    BY_TREES: (many, lambda: many(10**6)),
    "gbdt/vertical": (columns, other_columns),
    "gbdt/vertical packed": (columns, other_columns),
    "gbdt/vertical strict": (columns, other_columns),
    "gbdt/vertical by gradient": (columns, other_columns),
    "gbdt/vertical leaf-wise": (lambda: columns(three_parties=False), lambda: two(other_columns())),
    "gbdt/vertical regression": (of_regression, other_targets),
    "gbdt/explain": (lambda: predicted(columns()), lambda: predicted(other_columns())),
    "gbdt/predict": (lambda: predicted(columns()), lambda: predicted(other_columns())),
    "gbdt/score": (lambda: predicted(columns()), lambda: predicted(other_columns())),
    "gbdt/score packed": (
        lambda: predicted(of_regression(), "gbdt/vertical regression"),
        lambda: predicted(other_targets(), "gbdt/vertical regression"),
    ),
    "nn/split": (columns, other_columns),
    "nn/split noised": (of_regression, other_targets),
    "nn/predict": (lambda: predicted(columns(), "nn/split"), lambda: predicted(other_columns(), "nn/split")),
    "kmeans/vertical": (grouped, lambda: {**two(other_columns()), "adder": StepInputs()}),
    **dict.fromkeys(PREPARED, (columns, other_columns)),
    "prep/union": (halves, lambda: halves(other_columns())),
    "linear/vertical": (columns, lambda: split_inputs(moved(table(seed=5), flipped=True), *COLUMNS)),
    "linear/vertical linear": (with_validation, other_validation),
    "linear/predict": (lambda: predicted_linearly(columns()), lambda: predicted_linearly(other_columns())),
    "stats/woe": (columns, same_counts),
    "stats/woe by rows": (lambda: columns(three_parties=False), lambda: two(same_counts())),
    "prep/select": (weighed, lambda: weighed(same_counts())),
    "prep/select by pairs": (weighed, lambda: weighed(same_counts())),
    "stats/summary": (columns, other_columns),
    "stats/correlation": (columns, other_columns),
    "stats/stability": (parted, lambda: parted(other_columns())),
    "evaluate": (scored, other_scores),
    "score/card": (scored, other_scores),
}


@pytest.mark.parametrize("name", AGREE)
def test_inputs_that_agree_on_what_is_learnt_have_one_shape(name):
    first, second = AGREE[name]
    assert shape_of(name, first()) == shape_of(name, second())


def test_every_case_of_every_protocol_is_compared():
    assert set(AGREE) == set(CASES)
    assert {CASES[name].protocol for name in AGREE} == set(registry.names())


# ---------------------------------------------------------------- what differs in one thing that is learnt


def one_more_in_common() -> dict[str, StepInputs]:
    return {"hospital": ids(["a", "b", "c", "d"]), "lab": ids(["d", "b", "a"], 100)}


def one_id_more(party: str) -> dict[str, StepInputs]:
    return with_more_ids(people(), party, 1)


def with_more_ids(data: dict[str, StepInputs], party: str, count: int) -> dict[str, StepInputs]:
    more = [f"more {k}" for k in range(count)]
    return {**data, party: ids([*data[party].table.column("id").to_pylist(), *more], 7)}


def more_spenders() -> dict[str, StepInputs]:
    more = ids(["d", "b", "x", "y"], 100).table.append_column("spent", pa.array([1.0, 2.0, 3.0, 4.0]))
    return {**spenders(), "lab": StepInputs(more)}


def other_trees() -> dict[str, StepInputs]:
    return split_inputs(table(seed=3), *COLUMNS)


def fewer_rows() -> dict[str, StepInputs]:
    return split_inputs(table(rows=16), *COLUMNS)


def coarse() -> pa.Table:
    """One column of two values."""
    source = table()
    return source.set_column(3, "x1", pa.array(source.column("x1").to_numpy() // 4))


def other_names() -> dict[str, StepInputs]:
    renamed = table().rename_columns(["id", "y", "x0", "a longer name", "x2", "x3"])
    return split_inputs(renamed, COLUMNS[0], ["id", "a longer name", "x2"], COLUMNS[2])


def fewer_columns() -> dict[str, StepInputs]:
    """Enough fewer at the label party that another shape has the fewest bytes."""
    inputs = with_validation()
    bank = inputs["bank"]
    assert bank.table is not None
    inputs["bank"] = dataclasses.replace(bank, table=bank.table.drop_columns(["x0"]))
    return inputs


DIFFER = {
    "intersection": ("psi/ecdh", people, one_more_in_common),
    "sender.size": ("psi/ecdh one-sided", people, lambda: one_id_more("lab")),
    "receiver.size": ("psi/ecdh one-sided", people, lambda: one_id_more("hospital")),
    "outcome": ("psi/ecdh below the floor", people, one_more_in_common),
    "receiver.size of psi/cardinality": ("psi/cardinality", people, lambda: one_id_more("hospital")),
    "sender.size of psi/cardinality": ("psi/cardinality", people, lambda: one_id_more("lab")),
    "outcome of psi/sum": ("psi/sum", spenders, lambda: {**spenders(), "hospital": ids(["a", "b", "c", "e"])}),
    "sender.size of psi/lookup": ("psi/lookup", spenders, more_spenders),
    "receiver.size of psi/lookup": ("psi/lookup", spenders, lambda: with_more_ids(spenders(), "hospital", 1)),
    "intersection of psi/multi": ("psi/multi two", people, one_more_in_common),
    "member.size of psi/multi": ("psi/multi", three, lambda: with_more_ids(three(), "lab", 1)),
    "intersection of psi/vole": ("psi/vole", people, one_more_in_common),
    "sender.size of psi/vole": ("psi/vole one-sided", people, lambda: one_id_more("lab")),
    "receiver.size of psi/vole": ("psi/vole one-sided", many, lambda: with_more_ids(many(), "hospital", 40)),
    "outcome of psi/vole": ("psi/vole one-sided", lambda: common(0), lambda: common(1)),
    "outcome of psi/vole with a floor": ("psi/vole below the floor", people, one_more_in_common),
    "own_splits, node_membership": ("gbdt/vertical", columns, other_trees),
    "own_splits, tree_shape": ("gbdt/vertical strict", columns, other_trees),
    "row_count": ("gbdt/vertical", columns, fewer_rows),
    "feature_names": ("gbdt/vertical", columns, other_names),
    "row_count of kmeans/vertical": ("kmeans/vertical", grouped, lambda: {**two(fewer_rows()), "adder": StepInputs()}),
    "own_paths": ("gbdt/score", lambda: predicted(columns()), lambda: predicted(other_trees())),
    "directions of gbdt/explain": ("gbdt/explain", lambda: predicted(columns()), lambda: predicted(fewer_rows())),
    "row_count of linear/vertical": ("linear/vertical", columns, lambda: split_inputs(table(rows=40), *COLUMNS)),
    "column_counts": ("linear/vertical linear", with_validation, fewer_columns),
    "row_count of linear/predict": (
        "linear/predict",
        lambda: predicted_linearly(columns()),
        lambda: predicted_linearly(split_inputs(table(rows=40), *COLUMNS)),
    ),
    "bin_counts": ("stats/woe", columns, lambda: split_inputs(coarse(), *COLUMNS)),
    "row_count of stats/woe": ("stats/woe", columns, fewer_rows),
    "directions": ("gbdt/predict", lambda: predicted(columns()), lambda: predicted(fewer_rows())),
}


@pytest.mark.parametrize("what", DIFFER)
def test_a_difference_in_what_is_learnt_shows_in_the_shape(what):
    name, first, second = DIFFER[what]
    assert shape_of(name, first()) != shape_of(name, second())


def common(count: int) -> dict[str, StepInputs]:
    return {"hospital": ids(["a", "b", "c", "d"]), "lab": ids(["a", "b", "c"][:count] + ["x", "y", "z"][count:])}


def test_below_the_floor_and_one_sided_the_shape_does_not_tell_how_many_are_common():
    """Where the count is kept from the sender, it is kept from the relay too; the outcome is told to both."""
    assert shape_of("psi/ecdh one-sided", common(1)) == shape_of("psi/ecdh one-sided", common(3))
    assert shape_of("psi/ecdh below the floor", common(0)) == shape_of("psi/ecdh below the floor", common(2))
    assert shape_of("psi/vole below the floor", common(0)) == shape_of("psi/vole below the floor", common(2))
    assert shape_of("psi/vole one-sided", common(1)) == shape_of("psi/vole one-sided", common(3))
    for way in ("ecdh", "vole"):
        name = f"psi/{way} one-sided"
        differ = set(shape_of(name, common(0))) ^ set(shape_of(name, common(1)))
        assert {row[2] for row in differ} == {f"psi.{way}.closing/1"}


def test_the_shape_does_not_tell_a_count_that_only_one_side_learns():
    for floor in ("", " with a floor"):
        some, other = (shape_of(f"psi/cardinality{floor}", common(k)) for k in (0, 2))
        assert some == other
    none = {**spenders(), "hospital": ids(["e", "f", "g", "h"])}
    assert shape_of("psi/lookup", spenders()) == shape_of("psi/lookup", none)
    assert shape_of("psi/sum to the sender", spenders()) == shape_of("psi/sum to the sender", none)


@pytest.mark.parametrize("name", ["evaluate", "score/card"])
def test_a_step_of_one_party_has_no_shape_at_all(name):
    assert shape_of(name, scored()) == []
