"""How trees grow: by the best leaf, from rows of large gradient, from own features first, from an earlier model."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from sklearn.metrics import roc_auc_score
from vertical import part, train, use_plain

from parley.components.training.gbdt import Params as Growth
from parley.components.training.gbdt import train as central
from parley.components.training.objectives import Objective
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.gbdt.messages import Gradients, Level, Sampled
from parley.protocols.gbdt.predict import PREDICT
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit.conformance import bytes_by_tag
from parley.protocols.kit.local import Setting, sizes_of
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from boosted import binned, model_of, same_trees, sides
from gbdt_wide_oracle import WideOracle
from tables import joined

CAST = Cast({"label": "bank", "features": ["bureau"]})


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


def credit(rows: int = 3000) -> pa.Table:
    return joined("default_credit").slice(0, rows)


def oracle_for(table: pa.Table, features: list[str], **settings: object) -> tuple[WideOracle, np.ndarray, np.ndarray]:
    bins, binning = binned(table, features)
    oracle = WideOracle("logistic", list(binning.n_bins), list(binning.spec.categorical), **settings)  # type: ignore[arg-type]
    return oracle, bins, table.column("y").to_numpy().astype(float)


# ---------------------------------------------------------------- the best leaf next


@pytest.mark.parametrize("growth", [{"leaves": 9}, {"leaves": 12, "depth": 4}, {"leaves": 31, "depth": 3}])
def test_the_best_leaf_is_parted_next_as_in_the_oracle(growth):
    table = credit()
    inputs, features = sides(table)
    run = train(inputs, {"trees": 3, "growth": "leaf", **growth})
    oracle, bins, y = oracle_for(table, features, leaves=growth["leaves"], depth=growth.get("depth", 8))
    oracle.fit(bins, y)
    model = model_of(run)
    assert same_trees(model, oracle) > 3 * 6
    leaves = [sum(n.is_leaf for n in trees[0].nodes) for trees in model.rounds]
    assert max(leaves) == min(growth["leaves"], 2 ** growth.get("depth", 10))


def test_leaf_wise_trees_differ_from_level_wise_ones_and_stay_within_their_cost():
    inputs, _ = sides(credit(1500))
    raw = {"label": "y", "id": "id", "trees": 2, "growth": "leaf", "leaves": 8}
    runs = [train(inputs, {**raw, "scheme": scheme}) for scheme in ("paillier", "lattice")]
    by_level = train(inputs, {"trees": 2, "depth": 3})
    assert model_of(runs[0]).rounds != model_of(by_level).rounds
    for run, scheme in zip(runs, ("paillier", "lattice"), strict=True):
        flows = VERTICAL.cost(VERTICAL.validate({**raw, "scheme": scheme}, CAST), CAST, sizes_of(inputs))
        caps = {(f.sender, f.receiver, f.tag): f for f in flows}
        for place, total in bytes_by_tag(run.transcript).items():
            sent = sum((e.address.sender, e.address.receiver, e.address.tag) == place for e in run.transcript)
            assert total <= caps[place].bytes + 4096, place
            assert sent <= caps[place].messages + sum(e.last for e in run.transcript), place
    asked = [e for e in runs[0].transcript if e.address.tag == Level.TAG]
    assert len(asked) == 2 * 7
    assert all(Level.decode(e.body, {}).build.size <= 1 for e in asked)  # one histogram a step: the smaller child's


def quality(table: pa.Table, ours: np.ndarray, bins: np.ndarray, settings: dict[str, object]) -> tuple[float, float]:
    """AUC of our scores and of XGBoost's on the same bins."""
    y = table.column("y").to_numpy().astype(float)
    base = np.full(len(y), float(np.log(y.mean() / (1 - y.mean()))))
    matrix = xgboost.DMatrix(bins.astype(float), label=y, base_margin=base)
    common = {"objective": "binary:logistic", "eta": 0.3, "nthread": 1, "tree_method": "hist", "max_bin": 256}
    theirs = xgboost.train({**common, **settings}, matrix, 10).predict(matrix)
    return roc_auc_score(y, ours), roc_auc_score(y, theirs)


def test_quality_is_xgboosts_by_leaf_and_with_directions():
    table = credit(10_000)
    inputs, features = sides(table)
    bins, _ = binned(table, features)
    run = train(inputs, {"trees": 10, "growth": "leaf", "leaves": 12})
    leafwise = {"grow_policy": "lossguide", "max_leaves": 12, "max_depth": 0}
    one, other = quality(table, run["bank"].keep["scores"][:, 0], bins, leafwise)
    assert abs(one - other) <= 1e-3
    found = []
    for way in (1, -1):  # the second is against what the table says, and costs
        ways = {"bank": {"x9": -1}, "bureau": {"h_x5": way, "h_x0": -1}}
        run = train(inputs, {"trees": 10, "depth": 4, "monotone": ways})
        signs = tuple({**ways["bank"], **ways["bureau"]}.get(f, 0) for f in features)
        settings = {"max_depth": 4, "monotone_constraints": str(signs)}
        one, other = quality(table, run["bank"].keep["scores"][:, 0], bins, settings)
        assert abs(one - other) <= 1e-3
        found.append(one)
    assert found[0] > found[1] + 0.01


@pytest.mark.parametrize(
    ("params", "growth", "more"),
    [
        ({"growth": "leaf", "leaves": 7}, {"leaves": 7, "depth": 6}, {}),
        ({"depth": 4, "monotone": {"bank": {"x2": 1}, "bureau": {"h_x1": -1}}}, {"depth": 4}, {"x2": 1, "h_x1": -1}),
        ({"objective": "multi", "classes": 2}, {}, {}),
    ],
)
def test_one_party_that_holds_all_columns_grows_the_same_model(params, growth, more):
    table = credit(1500)
    inputs, features = sides(table)
    bins, binning = binned(table, features)
    model = central(
        bins,
        table.column("y").to_numpy(),
        Growth(rounds=3, **growth),
        spec=binning.spec,
        objective=Objective("softmax", 2) if "classes" in params else Objective("logistic"),
        together="classes" in params,
        monotone=np.array([more.get(f, 0) for f in features]) if more else None,
    )
    assert model_of(train(inputs, {"trees": 3, **params})).to_dict() == model.to_dict()


# ---------------------------------------------------------------- rows of large gradient


def chosen_rows(run, rows: int) -> list[np.ndarray]:
    found = [Sampled.decode(e.body, {}).bits for e in run.transcript if e.address.tag == Sampled.TAG]
    return [np.flatnonzero(np.unpackbits(bits, count=rows)) for bits in found]


def test_rows_of_large_gradient_are_learnt_from_and_the_others_count_for_more():
    table = credit()
    inputs, features = sides(table)
    run = train(inputs, {"trees": 3, "goss": {"top": 0.2, "other": 0.1}})
    sampled = chosen_rows(run, 3000)
    assert [len(s) for s in sampled] == [900] * 3
    model, y = model_of(run), table.column("y").to_numpy().astype(float)
    bins, _ = binned(table, features)
    rows = []
    for r, chosen in enumerate(sampled):
        so_far = dataclasses.replace(model, rounds=model.rounds[:r]).raw(bins)[:, 0]
        size = np.abs(1 / (1 + np.exp(-so_far)) - y)
        order = np.argsort(-size, kind="stable")
        assert set(order[:600]) <= set(chosen.tolist())
        large = np.isin(chosen, order[:600])
        rows.append((chosen.tolist(), np.where(large, 1.0, 2400 / 300).tolist()))
    oracle, _, _ = oracle_for(table, features, rows=rows)
    oracle.fit(bins, y)
    assert same_trees(model, oracle) > 12


def test_goss_and_the_rest_of_what_it_tells_stand_in_the_declaration():
    declared = VERTICAL.declaration()
    assert "large_gradient_rows" not in declared.learned({"label": "y"})["features"]
    assert "large_gradient_rows" in declared.learned({"label": "y", "goss": {"top": 0.1}})["features"]
    assert "planned_sums" not in declared.learned({"label": "y"})["features"]
    assert "feature_names" in declared.learned({"label": "y", "share_names": True})["label"]
    plain = train(sides(credit(300))[0], {"trees": 1})
    assert Sampled.TAG not in {e.address.tag for e in plain.transcript}


def test_which_others_come_along_is_drawn_in_secret():
    inputs, _ = sides(credit(600))
    one, two = (chosen_rows(train(inputs, {"trees": 1, "goss": {}}), 600)[0] for _ in range(2))
    assert one.size == two.size
    assert one.tolist() != two.tolist()


def test_sampled_rows_serve_every_tree_of_a_round_and_every_scheme():
    table = joined("vehicle_scale")
    inputs, _ = sides(table)
    params = {"trees": 2, "objective": "multi", "classes": 4, "goss": {}, "scale_bits": 20}
    for multi, scheme in (("trees", "paillier"), ("channels", "lattice")):
        run = train(inputs, {**params, "multi": multi, "scheme": scheme})
        assert len(chosen_rows(run, 846)) == 2
        assert run["bank"].result["losses"][1] < run["bank"].result["losses"][0]


def other_rows(change):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == Sampled.TAG:
            bits = change(Sampled.decode(envelope.body, {}).bits.copy())
            return dataclasses.replace(envelope, body=Sampled(bits).encode())
        return envelope

    return Setting(fault=fault, patience=3)


def one_more(bits):
    flags = np.unpackbits(bits)
    flags[np.flatnonzero(flags[:300] == 0)[0]] = 1
    return np.packbits(flags)


@pytest.mark.parametrize("change", [one_more, lambda b: b * 0, lambda b: b[:-1], lambda b: np.append(b, b[:1])])
def test_another_choice_of_rows_than_agreed_is_refused_by_name(change):
    inputs, _ = sides(credit(303))
    with pytest.raises(ParleyError) as e:
        train(inputs, {"trees": 1, "goss": {}}, setting=other_rows(change))
    assert (e.value.code, e.value.party) == ("protocol_violation", "bank")


# ---------------------------------------------------------------- columns by level


def test_columns_are_sampled_by_level_too():
    inputs, features = sides(credit(1500))
    run, again = (train(inputs, {"trees": 4, "depth": 3, "column_sample_level": 0.3}) for _ in range(2))
    assert run["bank"].keep["model"] == again["bank"].keep["model"]
    model, mine = model_of(run), sum(not f.startswith("h_") for f in features)
    for trees in model.rounds:
        depth, used = {0: 0}, {}
        for i, n in enumerate(trees[0].nodes):
            if not n.is_leaf:
                depth[n.left] = depth[n.right] = depth[i] + 1
                used.setdefault(depth[i], set()).add(n.feature)
        for level in used.values():
            assert len({f for f in level if f < mine}) <= round(0.3 * mine)
            assert len({f for f in level if f >= mine}) <= round(0.3 * (len(features) - mine))
    whole = model_of(train(inputs, {"trees": 4, "depth": 3}))
    assert whole.rounds != model.rounds


# ---------------------------------------------------------------- own features first


def test_the_first_trees_use_the_label_partys_features_alone():
    table = credit(2000)
    inputs, features = sides(table)
    run = train(inputs, {"trees": 4, "own_trees": 2})
    mine = sum(not f.startswith("h_") for f in features)
    usable = [[r >= 2 or i < mine for i in range(len(features))] for r in range(4)]
    oracle, bins, y = oracle_for(table, features, rounds=4, usable=usable)
    oracle.fit(bins, y)
    assert same_trees(model_of(run), oracle) > 12
    trees = {dict(e.address.path).get("tree") for e in run.transcript if e.address.tag in (Level.TAG, Gradients.TAG)}
    assert trees == {2, 3}  # of the others nothing is told but that they are done
    assert set(run["bureau"].keep["tree"].tolist()) <= {2, 3}
    assert run["bureau"].keep["tree"].size


def test_own_trees_need_own_features():
    table = credit(300)
    hosts = [c for c in table.column_names if c.startswith("h_")]
    inputs = {"bank": part(table.select(["id", "y"])), "bureau": part(table.select(["id", *hosts]))}
    with pytest.raises(ParleyError) as e:
        train(inputs, {"trees": 2, "own_trees": 1})
    assert (e.value.code, e.value.party) == ("no_features", "bank")


@pytest.mark.parametrize(
    "params",
    [
        {"growth": "leaf"},
        {"leaves": 8},
        {"goss": {}, "subsample": 0.5},
        {"goss": {"top": 0.7, "other": 0.4}},
        {"goss": {"top": 0}},
        {"trees": 3, "own_trees": 3},
    ],
)
def test_parameters_that_do_not_go_together_are_refused(params):
    with pytest.raises(ParleyError) as e:
        VERTICAL.validate({"label": "y", **params}, CAST)
    assert e.value.code == "bad_parameters"


# ---------------------------------------------------------------- an earlier model


def after(run, inputs, **also):
    """The inputs of a step that needs the alignment and an earlier training."""
    return {
        p: StepInputs(d.table, {"align": d.needs["align"], "train1": run[p].keep, **also}) for p, d in inputs.items()
    }


WARM = [
    {},
    {"subsample": 0.7, "column_sample": 0.6, "validation": 0.2},
    {"objective": "regression"},
    {"own_trees": 2},
]


@pytest.mark.parametrize("params", WARM)
def test_going_on_from_an_earlier_model_is_training_longer(params):
    inputs, _ = sides(joined("breast"))
    whole = train(inputs, {"trees": 7, **params})
    first = train(inputs, {"trees": 3, **params})
    more = {k: v for k, v in params.items() if k != "own_trees"}
    second = train(after(first, inputs), {"trees": 4, "warm_start": True, **more})
    assert second["bank"].keep["model"] == whole["bank"].keep["model"]
    assert second["bank"].result["losses"] == whole["bank"].result["losses"][3:]
    assert second["bank"].result["importance"] == whole["bank"].result["importance"]
    for key in ("tree", "node", "feature", "left", "rounds"):
        np.testing.assert_array_equal(second["bureau"].keep[key], whole["bureau"].keep[key])
    np.testing.assert_array_equal(second["bank"].keep["scores"], whole["bank"].keep["scores"])
    given = {p: StepInputs(d.table, {"train": second[p].keep, **d.needs}) for p, d in inputs.items()}
    scored = run_local(PREDICT, CAST, given, {"label": "y"})
    np.testing.assert_allclose(scored["bank"].keep["scores"], whole["bank"].keep["scores"], atol=1e-12)


def test_a_continued_training_resumes_at_its_checkpoints():
    inputs, _ = sides(joined("breast"))
    again = after(train(inputs, {"trees": 2}), inputs)
    params = {"trees": 5, "warm_start": True}
    whole = train(again, params)
    at = sorted(whole.checkpoints["bank"])[1]
    assert at == 4  # two rounds of before, two of its own
    resumed = {p: (at, kept[at]) for p, kept in whole.checkpoints.items()}
    second = train(again, params, setting=Setting(attempt=2, resumed=resumed))
    assert second["bank"].keep["model"] == whole["bank"].keep["model"]
    assert second["bureau"].keep["tree"].tolist() == whole["bureau"].keep["tree"].tolist()


def test_more_rounds_that_do_not_help_are_not_kept():
    rng = np.random.default_rng(1)
    table = pa.table({"id": np.arange(400), "y": rng.integers(0, 2, 400), "h_x": rng.normal(size=400)})
    inputs, _ = sides(table)
    params = {"validation": 0.3, "early_stopping": 2}
    first = train(inputs, {"trees": 20, **params})
    kept = first["bank"].result["rounds"]
    second = train(after(first, inputs), {"trees": 20, "warm_start": True, **params})
    assert second["bank"].result["rounds"] == kept
    assert second["bank"].keep["model"] == first["bank"].keep["model"]
    assert second["bureau"].keep["tree"].tolist() == first["bureau"].keep["tree"].tolist()


@pytest.mark.parametrize(
    ("params", "code"),
    [({"objective": "regression"}, "other_model"), ({}, "no_model"), ({"two": True}, "ambiguous_model")],
)
def test_what_cannot_be_gone_on_from_is_refused(params, code):
    inputs, _ = sides(joined("breast"))
    first = train(inputs, {"trees": 1})
    given = inputs if code == "no_model" else after(first, inputs)
    if params.pop("two", False):
        given = {p: StepInputs(d.table, {**d.needs, "train2": first[p].keep}) for p, d in given.items()}
    with pytest.raises(ParleyError) as e:
        train(given, {"trees": 1, "warm_start": True, **params})
    assert e.value.code == code
