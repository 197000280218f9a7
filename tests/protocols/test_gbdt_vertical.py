"""Vertical boosting against the central learner and the independent oracle, on the plain fake."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from vertical import CAST2, part, split_inputs, train, use_plain

from parley.components.features import fit_bins
from parley.components.training.gbdt import Params as Growth
from parley.components.training.gbdt import train as central
from parley.components.training.objectives import Objective
from parley.components.training.trees import Model
from parley.protocols.frame import frame_of
from parley.protocols.gbdt.messages import Directions, Gradients, Histograms, NodeGradients
from parley.protocols.kit import StepInputs
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from gbdt_oracle import Grown, Oracle
from tables import joined, lending_club


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def toy(n: int = 400, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).round(3)
    noise = rng.normal(size=n)
    y = (x[:, 0] + x[:, 2] * x[:, 3] + 0.3 * noise > 0).astype(int)
    city = np.array(["north", "south", "east"])[rng.integers(0, 3, n)]
    gaps = np.where(rng.uniform(size=n) < 0.2, np.nan, x[:, 4])
    columns = {f"x{k}": x[:, k] for k in range(4)} | {"x4": pa.array(gaps, from_pandas=True)}
    return pa.table(
        {"id": np.arange(n), "y": y, **columns, "city": city, "amount": x[:, 0] * 900 + x[:, 1] * 50 + noise}
    )


TOY = (["id", "y", "x0", "x1"], ["id", "x2", "x3"], ["id", "x4", "city"])


def toy_inputs(three: bool = True):
    return split_inputs(toy(), *TOY[: 3 if three else 2])


def model_of(run, party: str = "bank") -> Model:
    return Model.from_dict(json.loads(run[party].keep["model"]))


def binned(table: pa.Table, columns: list[str], max_bins: int = 32):
    binning = fit_bins(table, columns, max_bins)
    return binning.transform(table), binning


SETS = {
    "breast": ("binary", None, 8),
    "default_credit": ("binary", None, 2),
    "vehicle_scale": ("multi", 4, 2),
    "student": ("regression", None, 6),
}


def case(name: str):
    table = joined(name)
    guest = [x for x in table.column_names if not x.startswith("h_")]
    host = ["id", *(x for x in table.column_names if x.startswith("h_"))]
    features = [x for x in (*guest, *host) if x not in ("id", "y")]
    return table, split_inputs(table, guest, host), features


def left_set(node, missing: int) -> frozenset[int]:
    inside = set(range(node.bin + 1)) if node.left_bins is None else set(node.left_bins)
    return frozenset(inside | {missing} if node.missing_left else inside)


def assert_same_trees(model: Model, oracle: Oracle) -> int:
    splits = 0
    for ours, theirs in zip(model.rounds, oracle.forest, strict=True):
        for tree, root in zip(ours, theirs, strict=True):
            todo: list[tuple[int, Grown]] = [(0, root)]
            while todo:
                index, other = todo.pop()
                node = tree.nodes[index]
                assert node.is_leaf == (not other.children)
                if node.is_leaf:
                    assert node.weight == pytest.approx(other.weight, abs=1e-7)
                    continue
                splits += 1
                assert node.feature == other.feature
                assert left_set(node, model.spec.missing(node.feature)) == other.left_bins
                todo += [(node.left, other.children[0]), (node.right, other.children[1])]
    return splits


@pytest.mark.parametrize("name", SETS)
def test_every_split_is_the_oracles(name):
    task, classes, trees = SETS[name]
    table, inputs, features = case(name)
    run = train(
        inputs, {"trees": trees, "objective": task, **({"classes": classes, "multi": "trees"} if classes else {})}
    )
    model = model_of(run)
    bins, binning = binned(table, features)
    y = np.asarray(table.column("y"), dtype=float)
    y = y - y.min() if classes else y
    kind = {"binary": "binary", "multi": "multiclass", "regression": "regression"}[task]
    oracle = Oracle(kind, list(binning.n_bins), list(binning.spec.categorical), classes or 1, rounds=trees)
    raw = oracle.fit(bins, y)
    assert assert_same_trees(model, oracle) > trees
    scores = run["bank"].keep["scores"]
    assert run["bank"].keep["labels"].tolist() == y.tolist()
    if task == "binary":
        assert abs(roc_auc_score(y, scores[:, 0]) - roc_auc_score(y, raw[:, 0])) <= 1e-4
    else:
        np.testing.assert_allclose(scores, model.objective.predict(raw), atol=1e-6)


def test_missing_values_and_categories_over_three_parties_make_the_central_model():
    table = lending_club().slice(0, 2500)
    y = (np.asarray(table.column("Class").to_pylist()) == "bad").astype(int)
    term = pa.array([None if i % 5 == 0 else v for i, v in enumerate(table.column("term").to_pylist())])
    table = table.set_column(table.column_names.index("term"), "term", term)
    table = table.append_column("y", pa.array(y)).append_column("id", pa.array(np.arange(2500)))
    mine, theirs, third = ["funded_amnt"], ["term", "int_rate", "sub_grade"], ["addr_state", "annual_inc"]
    inputs = split_inputs(table, ["id", "y", *mine], ["id", *theirs], ["id", *third])
    run = train(inputs, {"trees": 4, "bins": 20})
    bins, binning = binned(table, [*mine, *theirs, *third], 20)
    expected = central(bins, y, Growth(rounds=4), spec=binning.spec, objective=Objective("logistic"))
    assert model_of(run).to_dict() == expected.to_dict()
    used = {n.feature for trees in expected.rounds for t in trees for n in t.nodes if not n.is_leaf}
    assert used & set(np.flatnonzero(binning.spec.categorical))
    owners = {f["party"] for f in run["bank"].result["importance"]}
    assert len(owners) >= 2


def test_each_party_keeps_exactly_its_own_splits():
    run = train(toy_inputs(), {"trees": 3})
    model = model_of(run)
    starts = {"bureau": 2, "telco": 4}
    for party, start in starts.items():
        kept = run[party].keep
        mine = {
            (t, i, n.feature - start)
            for t, (tree,) in enumerate(model.rounds)
            for i, n in enumerate(tree.nodes)
            if start <= n.feature < start + 2
        }
        assert set(zip(kept["tree"].tolist(), kept["node"].tolist(), kept["feature"].tolist(), strict=True)) == mine
        assert mine
        assert run[party].result == {}


def test_names_are_told_only_when_shared():
    for share, names in ((False, {"#0", "#1"}), (True, {"x2", "x3"})):
        run = train(toy_inputs(False), {"trees": 2, "share_names": share})
        assert {f["feature"] for f in run["bank"].result["importance"] if f["party"] == "bureau"} <= names
        mine = {f["feature"]: f["number"] for f in run["bank"].result["importance"] if f["party"] == "bank"}
        assert mine.items() <= {"x0": 0, "x1": 1}.items()
        theirs = [(f["feature"], f["number"]) for f in run["bank"].result["importance"] if f["party"] == "bureau"]
        assert all(name == ("x2", "x3")[at] or name == f"#{at}" for name, at in theirs)
        assert ("gbdt.vertical.names/1" in {e.address.tag for e in run.transcript}) == share


def test_a_label_party_without_features_and_labels_as_text():
    table = toy()
    texts = pa.array(np.where(table.column("y").to_numpy() == 1, "good", "bad"))
    table = table.set_column(1, "y", texts)
    run = train(split_inputs(table, ["id", "y"], ["id", "x0", "x2", "x3"]), {"trees": 5, "positive": "good"})
    y = run["bank"].keep["labels"]
    assert roc_auc_score(y, run["bank"].keep["scores"][:, 0]) > 0.9


def test_early_stopping_keeps_the_best_round_and_sampling_is_from_the_coins():
    params = {"trees": 40, "early_stopping": 3, "validation": 0.3, "subsample": 0.7, "column_sample": 0.5}
    run, again = (train(toy_inputs(), params) for _ in range(2))
    result, keep = run["bank"].result, run["bank"].keep
    assert result["rounds"] < len(result["losses"]) < 40
    assert int(np.argmin(result["losses"])) == result["rounds"] - 1
    assert len(model_of(run).rounds) == result["rounds"]
    assert max(run["telco"].keep["tree"]) < result["rounds"]
    assert keep["validation"].sum() == 120 == result["validation_rows"]
    np.testing.assert_array_equal(keep["scores"], again["bank"].keep["scores"])
    other = train(toy_inputs(), params, setting=Setting(seed=b"\x02" * 32))
    assert (other["bank"].keep["validation"] != keep["validation"]).any()


@pytest.mark.parametrize("extra", [{}, {"early_stopping": 2, "validation": 0.3, "subsample": 0.8}])
def test_a_resumed_training_ends_with_the_same_model(extra):
    params = {"trees": 6, **extra}
    whole = train(toy_inputs(), params)
    assert set(whole.checkpoints) == {"bank", "bureau", "telco"}
    at = sorted(whole.checkpoints["bank"])[1]
    resumed = {p: (at, kept[at]) for p, kept in whole.checkpoints.items()}
    again = train(toy_inputs(), params, setting=Setting(attempt=2, resumed=resumed))
    assert again["bank"].keep["model"] == whole["bank"].keep["model"]
    assert again["bank"].result == whole["bank"].result
    for p in ("bureau", "telco"):
        for key in ("tree", "node", "feature", "left"):
            np.testing.assert_array_equal(again[p].keep[key], whole[p].keep[key])
    assert len(again.transcript) < len(whole.transcript)


def parted_inputs(part) -> dict:
    """As an earlier step would leave rows in parts."""
    return {
        p: StepInputs(d.table, {"split": frame_of(d, p).with_part(np.asarray(part, dtype=np.uint8)).keep()})
        for p, d in toy_inputs().items()
    }


def test_rows_that_an_earlier_step_parted_are_used_as_they_are():
    part = np.arange(400) % 3
    params = {"trees": 30, "early_stopping": 2}
    run = train(parted_inputs(part), params)
    keep, result = run["bank"].keep, run["bank"].result
    assert (result["rows"], result["validation_rows"], result["watched"]) == (134, 133, "validation")
    assert keep["part"].tolist() == part.tolist()
    assert keep["validation"].tolist() == (part == 1).astype(int).tolist()
    table, used = toy(), part == 0
    columns = ["x0", "x1", "x2", "x3", "x4", "city"]
    binning = fit_bins(table.filter(used), columns, 32)
    bins, y = binning.transform(table), table.column("y").to_numpy()
    expected = central(
        bins[used],
        y[used],
        Growth(rounds=30, early_stopping=2),
        spec=binning.spec,
        objective=Objective("logistic"),
        validation=(bins[part == 1], y[part == 1]),
    )
    assert model_of(run).to_dict() == expected.to_dict()
    np.testing.assert_allclose(keep["scores"], expected.predict(bins), atol=1e-12)  # of the test rows too


def test_rows_in_other_parts_at_one_party_are_noticed():
    inputs = parted_inputs(np.arange(400) % 3)
    other = parted_inputs((np.arange(400) + 1) % 3)
    with pytest.raises(ParleyError) as e:
        train({**inputs, "telco": other["telco"]}, {"trees": 1})
    assert e.value.code == "protocol_violation"


@pytest.mark.parametrize(
    ("part", "params", "code"),
    [
        (np.zeros(400), {"early_stopping": 2}, "no_validation_rows"),
        (np.full(400, 2), {}, "no_rows"),
    ],
)
def test_parts_that_leave_nothing_to_do_are_refused(part, params, code):
    with pytest.raises(ParleyError) as e:
        train(parted_inputs(part), {"trees": 1, **params})
    assert e.value.code == code


def with_label(values) -> dict:
    table = toy()
    return split_inputs(table.set_column(1, "y", pa.array(values)), *TOY[:2])


@pytest.mark.parametrize(
    ("values", "params", "code"),
    [
        ([1] * 400, {}, "one_class"),
        ([0, None] * 200, {}, "bad_labels"),
        ([0.0, float("nan")] * 200, {"objective": "regression"}, "bad_labels"),
        (["x", "y"] * 200, {}, "bad_labels"),
        (["x", "y"] * 200, {"positive": "z"}, "bad_labels"),
        ([0, 2] * 200, {}, "bad_labels"),
        (["a", "b"] * 200, {"objective": "multi", "classes": 3}, "bad_labels"),
        ([1e12, 0.0] * 200, {"objective": "regression"}, "fixed_point_overflow"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused_at_the_label_party(values, params, code):
    with pytest.raises(ParleyError) as e:
        train(with_label(values), {"trees": 2, **params})
    assert (e.value.code, e.value.party) == (code, "bank")


def test_large_regression_labels_are_learnt_and_their_size_stays_home():
    table = toy()
    large = table.set_column(1, "y", table.column("amount"))
    small = table.set_column(1, "y", pa.array(table.column("amount").to_numpy() / 1024))
    runs = [train(split_inputs(t, *TOY[:2]), {"trees": 3, "objective": "regression"}) for t in (large, small)]
    assert c.shape(runs[0].transcript)[0] == c.shape(runs[1].transcript)[0]
    truth, scores = runs[0]["bank"].keep["labels"], runs[0]["bank"].keep["scores"][:, 0]
    assert np.corrcoef(truth, scores)[0, 1] > 0.7
    bins, binning = binned(large, ["x0", "x1", "x2", "x3"])
    expected = central(bins, truth, Growth(rounds=3), spec=binning.spec, objective=Objective("squared"))
    np.testing.assert_allclose(scores, expected.predict(bins)[:, 0], rtol=1e-6)


def test_inputs_that_agree_on_what_is_learnt_give_one_shape():
    """Values of the columns change, bins and nodes do not: nothing about a transcript's form may."""
    table = toy()
    other = table.set_column(4, "x2", pa.array(table.column("x2").to_numpy() * 3 + 10))
    first, second = (train(split_inputs(t, *TOY[:2]), {"trees": 3}) for t in (table, other))
    assert c.shape(first.transcript) == c.shape(second.transcript)


def test_turning_every_label_around_changes_no_shape():
    """Labels are nothing a features party learns: with the same nodes the transcript's form is the same."""
    table = toy()
    turned = table.set_column(1, "y", pa.array(1 - table.column("y").to_numpy()))
    first, second = (train(split_inputs(t, *TOY[:2]), {"trees": 3}) for t in (table, turned))
    assert c.shape(first.transcript) == c.shape(second.transcript)
    np.testing.assert_array_equal(first["bureau"].keep["left"], second["bureau"].keep["left"])


def test_bytes_are_within_the_cost_and_near_the_formula():
    n, trees, depth = 400, 3, 3
    run = train(toy_inputs(False), {"trees": trees, "depth": depth})
    body = c.bytes_by_tag(run.transcript)
    sizes = {tag.split(".")[2]: size for (_, _, tag), size in body.items()}
    assert sizes["gradients/1"] == pytest.approx(trees * n * 16, rel=0.1)  # 16 bytes a plain ciphertext
    assert sizes["level/1"] == pytest.approx(trees * depth * 2 * n, rel=0.2)
    assert sizes["histograms/1"] <= trees * 4 * (2 * 33 * 16 + 150)
    assert sizes["directions/1"] <= trees * depth * (n / 8 + 80)


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    def run(setting):
        return train(toy_inputs(), {"trees": 1, "depth": 2, "share_names": True}, setting=setting)

    whole = run(Setting()).transcript
    for index, error in c.mutations(run, len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")
        assert error.party


def lying(kind, change):
    """Changes the first message of a kind that has contents."""
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


def more_in_a_bin(m):
    values = np.ascontiguousarray(m.sums).view(np.int64).copy()
    values[0, 0] += 1
    return Histograms(values.view(np.uint8).reshape(m.sums.shape), m.count)


def other_side(m):
    return Directions(np.concatenate([m.bits[:1] ^ 128, m.bits[1:]])) if m.bits.size else None


@pytest.mark.parametrize(("kind", "change"), [(Histograms, more_in_a_bin), (Directions, other_side)])
def test_answers_that_contradict_the_labels_own_sums_name_the_liar(kind, change):
    with pytest.raises(ParleyError) as e:
        train(toy_inputs(False), {"trees": 2}, setting=lying(kind, change))
    assert (e.value.code, e.value.party) == ("protocol_violation", "bureau")


def test_every_loss_ends_with_an_error_and_never_with_a_model():
    def run(setting):
        return train(toy_inputs(False), {"trees": 1, "depth": 2}, setting=setting)

    ends = list(c.losses(run, len(run(Setting()).transcript)))
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


def test_alignments_of_different_length_are_refused():
    inputs = toy_inputs(False)
    inputs["bureau"].needs["align"]["rows"] = inputs["bureau"].needs["align"]["rows"][:-1]
    with pytest.raises(ParleyError, match="another number of aligned rows"):
        train(inputs, {"trees": 1})
    inputs["bureau"].needs.clear()
    with pytest.raises(ParleyError) as e:
        train(inputs, {"trees": 1})
    assert e.value.code == "not_aligned"


def test_parameters_and_columns_are_checked_before_anything_is_signed():
    from parley.protocols.gbdt.jobs import VERTICAL
    from parley.protocols.kit import Cast

    cast = Cast(CAST2)
    for raw in ({"scheme": "plain"}, {"classes": 3}, {"columns": {"nobody": []}}, {"lamda": 1}):
        with pytest.raises(ParleyError) as e:
            VERTICAL.validate({"label": "y", **raw}, cast)
        assert e.value.code == "bad_parameters"
    params = VERTICAL.validate({"label": "Y", "columns": {"bureau": ["scor"]}}, cast)
    for me, schema in (("bank", {"y": "int64"}), ("bureau", {"score": "double"})):
        with pytest.raises(ParleyError, match="no column") as e:
            VERTICAL.data_checks[0](params, cast, me, schema)
        assert e.value.code == "unknown_column"
    params = VERTICAL.validate({"label": "y", "id": "id"}, cast)
    with pytest.raises(ParleyError) as e:
        VERTICAL.data_checks[0](params, cast, "bureau", {"id": "string", "_row": "int64"})
    assert e.value.code == "no_features"


def test_part_takes_rows_by_their_ids():
    table = toy(50)
    order = np.random.default_rng(0).permutation(50)[:20]
    run = train({"bank": part(table.select(TOY[0]), order), "bureau": part(table.select(TOY[1]), order)}, {"trees": 1})
    assert run["bank"].keep["labels"].tolist() == table.column("y").to_numpy()[order].tolist()


@pytest.mark.parametrize(
    "params",
    [
        {"subsample": 0.6, "column_sample": 0.7},
        {"objective": "regression"},
        {"objective": "multi", "classes": 2},
        {"objective": "multi", "classes": 2, "multi": "trees"},
    ],
    ids=["samples", "regression", "classes", "classes apart"],
)
def test_rows_packed_by_node_grow_the_same_model(params):
    whole = train(toy_inputs(), {"trees": 3, "depth": 4, "scale_bits": 16, **params})
    packed = train(toy_inputs(), {"trees": 3, "depth": 4, "scheme": "lattice", **params})
    assert model_of(packed).to_dict() == model_of(whole).to_dict()
    tags = {e.address.tag for e in packed.transcript}
    assert NodeGradients.TAG in tags
    assert Gradients.TAG not in tags


@pytest.mark.parametrize(
    "change",
    [lambda x: x[:-1], lambda x: np.concatenate([x, x[:1]]), lambda x: x[:0]],
    ids=["one too few", "one too many", "none"],
)
def test_other_rows_than_a_nodes_are_refused(change):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == NodeGradients.TAG and not envelope.last:
            kept = NodeGradients.decode(envelope.body, {}).ciphertexts
            return dataclasses.replace(envelope, body=NodeGradients(change(kept)).encode())
        return envelope

    with pytest.raises(ParleyError) as caught:
        train(toy_inputs(three=False), {"trees": 1, "scheme": "lattice"}, setting=Setting(fault=fault, patience=2))
    assert (caught.value.code, caught.value.party) == ("protocol_violation", "bank")
