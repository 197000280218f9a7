"""Weights, directions, log links and several outputs a tree: split by split as the wide oracle, on real tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from vertical import split_inputs, train, use_plain

from parley.components.errors import DataError
from parley.components.training.objectives import Objective, fitted
from parley.components.training.ranking import ndcg
from parley.protocols.evaluate.metrics import EVALUATE
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.gbdt.messages import Shape
from parley.protocols.gbdt.predict import PREDICT
from parley.protocols.gbdt.predict_jobs import SCORE
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit.local import Setting
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from boosted import binned, model_of, same_trees, sides, visits
from gbdt_wide_oracle import WideOracle
from tables import joined

CAST = Cast({"label": "bank", "features": ["bureau"]})


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


LOGS = {
    "poisson": ("y", {"objective": "poisson"}, 1.5),
    "poisson with exposure and weights": ("y", {"objective": "poisson", "exposure": "years", "weight": "w"}, 1.5),
    "gamma with weights": ("cost", {"objective": "gamma", "weight": "w"}, 1.5),
    "tweedie": ("claim", {"objective": "tweedie"}, 1.5),
    "tweedie of another power": ("claim", {"objective": "tweedie", "power": 1.2, "exposure": "years"}, 1.2),
}


def with_target(table: pa.Table, name: str) -> pa.Table:
    return table.set_column(table.column_names.index("y"), "y", table.column(name))


@pytest.mark.parametrize("name", LOGS)
def test_counts_and_amounts_grow_the_oracles_trees(name):
    target, params, power = LOGS[name]
    table = with_target(visits(), target).slice(0, 2500)
    drop = ("w", "years", "claim", "cost")
    inputs, features = sides(table, drop=drop)
    run = train(inputs, {"trees": 3, "bins": 16, "exclude": {"bank": ["w", "years", "claim", "cost"]}, **params})
    bins, binning = binned(table, features, 16)
    y = table.column("y").to_numpy().astype(float)
    weights = table.column("w").to_numpy() if "weight" in params else None
    offset = np.log(table.column("years").to_numpy()) if "exposure" in params else None
    oracle = WideOracle(
        str(params["objective"]),
        list(binning.n_bins),
        list(binning.spec.categorical),
        power=power,
        weights=weights,
        offset=offset,
    )
    raw = oracle.fit(bins, y)
    assert same_trees(model_of(run), oracle) > 9
    np.testing.assert_allclose(run["bank"].keep["scores"], np.exp(raw), rtol=1e-6)


def rescored(protocol, inputs, trained, **params):
    given = {p: StepInputs(d.table, {"train": trained[p].keep, **d.needs}) for p, d in inputs.items()}
    return run_local(protocol, CAST, given, {"trees": 3, **params})["bank"].keep


@pytest.mark.parametrize("protocol", [PREDICT, SCORE], ids=lambda p: p.name)
@pytest.mark.parametrize("objective", ["poisson", "tweedie"])
def test_scores_are_for_a_rows_own_exposure_or_for_one_unit(protocol, objective):
    table = with_target(visits(), "y").slice(0, 900)
    inputs, _ = sides(table)
    params = {"trees": 3, "bins": 16, "objective": objective, "exposure": "years"}
    trained = train(inputs, {**params, "exclude": {"bank": ["w", "claim", "cost"]}})
    years = table.column("years").to_numpy()[:, None]
    coarse = {"scale_bits": 32} if protocol is SCORE else {}
    own = rescored(protocol, inputs, trained, exposure="years", **coarse)["scores"]
    unit = rescored(protocol, inputs, trained, **coarse)["scores"]
    np.testing.assert_allclose(own, trained["bank"].keep["scores"], rtol=1e-6)
    np.testing.assert_allclose(own / years, unit, rtol=1e-12)
    assert np.ptp(own / unit) > 1  # the exposure is there to be seen


@pytest.mark.parametrize("protocol", [PREDICT, SCORE], ids=lambda p: p.name)
def test_an_exposure_that_cannot_be_is_refused_before_anything_is_sent(protocol):
    table = with_target(visits(), "y").slice(0, 300)
    none = table.set_column(table.column_names.index("years"), "years", pa.array(np.zeros(300)))
    inputs, _ = sides(table)
    empty, _ = sides(none)
    counts = train(inputs, {"trees": 2, "objective": "poisson"})
    plain_ = train(inputs, {"trees": 2, "objective": "regression"})
    for data, trained, column, code in (
        (empty, counts, "years", "bad_weights"),
        (inputs, counts, "year", "unknown_column"),
        (inputs, plain_, "years", "bad_parameters"),
    ):
        with pytest.raises(ParleyError) as e:
            rescored(protocol, data, trained, exposure=column)
        assert (e.value.code, e.value.party) == (code, "bank")
    (check,) = protocol.data_checks
    with pytest.raises(ParleyError) as e:
        check(protocol.params(exposure="year"), CAST, "bank", {"years": "double"})
    assert e.value.code == "unknown_column"
    check(protocol.params(exposure="year"), CAST, "bureau", {})


def ranked(rows: int = 900) -> pa.Table:
    """Visits of people of an age and sex, most visits first."""
    table = with_target(visits(), "y").slice(0, rows)
    age, sex = (table.column(c).to_numpy() for c in ("h_age", "h_sex"))
    code = [f"{'mf'[s]}{a // 10}" for a, s in zip((100 * age).astype(int).tolist(), sex.tolist(), strict=True)]
    return table.append_column("who", pa.array(code))


def test_a_ranking_grows_the_oracles_trees_and_is_measured_by_group():
    table = ranked()
    drop = ("w", "years", "claim", "cost", "who")
    inputs, features = sides(table, drop=drop)
    params = {"trees": 3, "bins": 16, "exclude": {"bank": list(drop[:-1])}, "objective": "ranking", "group": "who"}
    params["min_child_weight"] = 0.1
    run = train(inputs, params)
    bins, binning = binned(table, features, 16)
    oracle = WideOracle(
        "lambdarank",
        list(binning.n_bins),
        list(binning.spec.categorical),
        groups=table.column("who").to_pylist(),
        min_child=0.1,
    )
    raw = oracle.fit(bins, table.column("y").to_numpy().astype(float))
    assert same_trees(model_of(run), oracle) > 9
    np.testing.assert_allclose(run["bank"].keep["scores"], raw, atol=1e-6)
    losses = run["bank"].result["losses"]
    assert losses[-1] < losses[0] < 1
    need = {"fit": run["bank"].keep}
    found = run_local(EVALUATE, Cast({"label": "bank"}), {"bank": StepInputs(None, need)}, {})["bank"].result["metrics"]
    assert found["all"]["ndcg_10"] == pytest.approx(1 - losses[-1])
    again = rescored(PREDICT, inputs, run, label="y", group="who")
    assert np.array_equal(again["groups"], run["bank"].keep["groups"])
    for given in ({"label": "y"}, {"group": "who"}):
        with pytest.raises(ParleyError) as e:
            rescored(PREDICT, inputs, run, **given)
        assert e.value.code == "bad_parameters"


def test_watched_rows_of_a_ranking_are_ordered_among_themselves_and_stop_it():
    inputs, _ = sides(ranked(), drop=("who",))
    drop = {"bank": ["w", "years", "claim", "cost"]}
    params = {"objective": "ranking", "group": "who", "exclude": drop, "validation": 0.4, "early_stopping": 2}
    run = train(inputs, {"trees": 12, "bins": 16, "min_child_weight": 0.1, "learning_rate": 1.0, **params})["bank"]
    held = run.keep["validation"].astype(bool)
    y, scores = run.keep["labels"][held], run.keep["scores"][held, 0]
    watched = ndcg(y, scores, run.keep["groups"][held], 10).mean()
    assert run.result["losses"][run.keep["rounds"] - 1] == pytest.approx(1 - watched)
    assert run.keep["rounds"] < 12


@pytest.mark.parametrize(
    "given", [{"objective": "ranking"}, {"group": "who"}, {"objective": "ranking", "group": "who", "weight": "w"}]
)
def test_a_group_goes_with_a_ranking_and_a_weight_does_not(given):
    with pytest.raises(ValueError, match=r"ranking"):
        VERTICAL.params(label="y", **given)


@pytest.mark.parametrize(("loss", "delta"), [("huber", 2.0), ("fair", 3.0), ("log_cosh", 4.0)])
def test_robust_regressions_grow_the_oracles_trees(loss, delta):
    table = joined("student")
    w = np.random.default_rng(4).integers(1, 4, table.num_rows).astype(float)
    inputs, features = sides(table.append_column("w", pa.array(w)), drop=("w",))
    run = train(inputs, {"trees": 5, "objective": loss, "delta": delta, "weight": "w"})
    bins, binning = binned(table, features)
    oracle = WideOracle(loss, list(binning.n_bins), list(binning.spec.categorical), rounds=5, delta=delta, weights=w)
    raw = oracle.fit(bins, table.column("y").to_numpy().astype(float))
    assert same_trees(model_of(run), oracle, rel=1e-6) > 10
    np.testing.assert_allclose(run["bank"].keep["scores"], raw, rtol=1e-6)
    assert run["bank"].keep["task"] == "regression"


@pytest.mark.parametrize("loss", ["huber", "fair", "log_cosh"])
def test_derivatives_of_robust_losses_are_their_slopes_and_outliers_pull_little(loss):
    objective, step = Objective(loss, delta=0.7), 1e-5
    for z in (-40.0, -0.6, 0.0, 1e-3, 2.5):
        at = [np.array([[z + d]]) for d in (-step, 0.0, step)]
        y = np.zeros(1)
        losses = [objective.mean_loss(y, a) for a in at]
        slopes = [objective.gradients(y, a)[0][0, 0] for a in at]
        assert slopes[1] == pytest.approx((losses[2] - losses[0]) / (2 * step), abs=1e-6)
        assert objective.gradients(y, at[1])[1][0, 0] == pytest.approx((slopes[2] - slopes[0]) / (2 * step), abs=1e-4)
        assert abs(slopes[1]) <= 0.7
    far = np.array([1.0, 2.0, 3.0, 1e9])
    assert objective.base_score(far) == pytest.approx([2.0])
    assert objective.base_score(far, np.array([1.0, 1.0, 5.0, 1.0])) == pytest.approx([3.0])
    assert objective.mean_loss(far, np.zeros((4, 1))) < 1e9


def test_early_stopping_follows_the_deviance_of_rows_held_out():
    table = with_target(visits(), "claim").slice(0, 1200)
    inputs, _ = sides(table)
    more = {"exclude": {"bank": ["years", "claim", "cost"]}, "weight": "w"}
    params = {"trees": 60, "objective": "tweedie", "early_stopping": 2, "validation": 0.3, "learning_rate": 1.0, **more}
    run = train(inputs, params)
    result, keep = run["bank"].result, run["bank"].keep
    assert result["rounds"] < len(result["losses"]) < 60
    held = keep["validation"] == 1
    from sklearn.metrics import mean_tweedie_deviance

    w = table.column("w").to_numpy()[held]
    best = mean_tweedie_deviance(keep["labels"][held], keep["scores"][held, 0], power=1.5, sample_weight=w)
    assert min(result["losses"]) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "power"), [("poisson", 1.0), ("gamma", 2.0), ("tweedie", 1.5), ("tweedie", 1.1), ("tweedie", 1.9)]
)
def test_derivatives_are_those_of_scikit_learns_deviances(loss, power):
    from sklearn.metrics import mean_gamma_deviance, mean_poisson_deviance, mean_tweedie_deviance

    deviance = {
        "poisson": mean_poisson_deviance,
        "gamma": mean_gamma_deviance,
        "tweedie": lambda y, m: mean_tweedie_deviance(y, m, power=power),
    }[loss]
    objective = Objective(loss, power=power if loss == "tweedie" else 1.5)
    rng, step = np.random.default_rng(5), 1e-5
    y = rng.gamma(1.0, 3.0, 8) + (0.1 if loss == "gamma" else 0.0)
    if loss != "gamma":
        y[:2] = 0.0
    raw = rng.normal(size=(8, 1))
    g, h = objective.gradients(y, raw)
    for i in range(8):
        at = [np.array([raw[i, 0] + d]) for d in (-step, 0.0, step)]
        half = [deviance(y[i : i + 1], np.exp(a)) / 2 for a in at]
        assert g[i, 0] == pytest.approx((half[2] - half[0]) / (2 * step), abs=1e-5)
        slopes = [objective.gradients(y[i : i + 1], a[:, None])[0][0, 0] for a in at]
        second = (slopes[2] - slopes[0]) / (2 * step)
        assert h[i, 0] == pytest.approx(second * (np.exp(0.7) if loss == "poisson" else 1.0), rel=1e-6)
        assert objective.mean_loss(y[i : i + 1], np.array([[raw[i, 0]]])) == pytest.approx(2 * half[1], rel=1e-9)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
def test_the_start_is_where_the_weighted_derivative_vanishes(loss):
    rng = np.random.default_rng(6)
    y, w, offset = rng.gamma(1.0, 3.0, 50), rng.uniform(0, 2, 50), rng.normal(size=50)
    objective = Objective(loss)
    start = objective.base_score(y, w, offset)
    g, _ = objective.gradients(y, start + offset[:, None], w)
    assert abs(g.sum()) < 1e-9


@pytest.mark.parametrize(
    ("loss", "theirs"), [("poisson", "count:poisson"), ("gamma", "reg:gamma"), ("tweedie", "reg:tweedie")]
)
def test_quality_is_xgboosts(loss, theirs):
    table = with_target(visits(), {"poisson": "y", "gamma": "cost", "tweedie": "claim"}[loss])
    inputs, features = sides(table, drop=("w", "years", "claim", "cost"))
    run = train(inputs, {"trees": 15, "objective": loss, "exclude": {"bank": ["w", "years", "claim", "cost"]}})
    bins, _ = binned(table, features)
    y = table.column("y").to_numpy().astype(float)
    base = np.full(len(y), float(np.log(y.mean())))
    matrix = xgboost.DMatrix(bins.astype(float), label=y, base_margin=base)
    settings = {"objective": theirs, "max_depth": 3, "eta": 0.3, "tree_method": "exact", "nthread": 1}
    expected = xgboost.train(settings, matrix, 15).predict(matrix)
    objective = Objective(loss)
    ours, xg = (objective.mean_loss(y, np.log(m)[:, None]) for m in (run["bank"].keep["scores"][:, 0], expected))
    assert ours == pytest.approx(xg, rel=0.005)
    assert ours < 0.97 * objective.mean_loss(y, base[:, None])


def test_weights_grow_the_oracles_trees_and_zero_weights_count_for_nothing():
    table = joined("breast")
    w = np.random.default_rng(3).integers(0, 3, table.num_rows).astype(float)
    inputs, features = sides(table.append_column("w", pa.array(w)), drop=("w",))
    run = train(inputs, {"trees": 4, "weight": "w"})
    bins, binning = binned(table, features)
    y = table.column("y").to_numpy().astype(float)
    oracle = WideOracle("logistic", list(binning.n_bins), list(binning.spec.categorical), rounds=4, weights=w)
    raw = oracle.fit(bins, y)
    assert same_trees(model_of(run), oracle) > 8
    np.testing.assert_allclose(run["bank"].keep["scores"][:, 0], 1 / (1 + np.exp(-raw[:, 0])), rtol=1e-6)
    assert run["bank"].keep["weights"].tolist() == w.tolist()
    assert "w" not in {f["feature"] for f in run["bank"].result["importance"]}


@pytest.mark.parametrize("objective", ["binary", "poisson"])
def test_directions_grow_the_oracles_trees_and_hold(objective):
    if objective == "binary":
        table = joined("default_credit").slice(0, 3000)
        drop: tuple[str, ...] = ()
        ways = {"bank": {"x1": -1, "x5": 1}, "bureau": {"h_x0": 1, "h_x4": -1}}
    else:
        drop = ("w", "years", "claim", "cost")
        table = visits().drop_columns(list(drop)).slice(0, 3000)
        ways = {"bank": {"hscore": -1}, "bureau": {"h_age": 1, "h_illness": 1, "h_income": -1}}
    inputs, features = sides(table)
    run = train(inputs, {"trees": 4, "depth": 4, "objective": objective, "monotone": ways})
    bins, binning = binned(table, features)
    loss = "logistic" if objective == "binary" else "poisson"
    directions = [{**ways["bank"], **ways["bureau"]}.get(c, 0) for c in features]
    oracle = WideOracle(loss, list(binning.n_bins), list(binning.spec.categorical), rounds=4, depth=4, ways=directions)
    oracle.fit(bins, table.column("y").to_numpy().astype(float))
    model = model_of(run)
    assert same_trees(model, oracle) > 20
    free = train(inputs, {"trees": 4, "depth": 4, "objective": objective})
    held, loose = (
        [worst_step(m, bins[:300], f, d) for f, d in enumerate(directions) if d] for m in (model, model_of(free))
    )
    assert max(held) <= 1e-12
    assert max(loose) > 1e-3  # without directions the same table breaks them: the measure can fail


def worst_step(model, bins, feature: int, way: int) -> float:
    """How far the score moves the wrong way, at most, as one feature of real rows rises through its bins."""
    values = model.spec.missing(feature)
    rows = np.repeat(bins, values, axis=0)
    rows[:, feature] = np.tile(np.arange(values), len(bins))
    scores = model.raw(rows)[:, 0].reshape(len(bins), values)
    return float((-way * np.diff(scores, axis=1)).max(initial=0.0))


def test_one_tree_a_round_for_all_classes_grows_the_oracles_trees():
    table = joined("vehicle_scale")
    inputs, features = sides(table)
    run = train(inputs, {"trees": 3, "objective": "multi", "classes": 4})
    bins, binning = binned(table, features)
    y = table.column("y").to_numpy().astype(float)
    kinds = list(binning.spec.categorical)
    oracle = WideOracle("softmax", list(binning.n_bins), kinds, classes=4, together=True, rounds=3)
    raw = oracle.fit(bins, y - y.min())
    model = model_of(run)
    assert same_trees(model, oracle) > 12
    assert [len(trees) for trees in model.rounds] == [1, 1, 1]
    np.testing.assert_allclose(run["bank"].keep["scores"], model.objective.predict(raw), atol=1e-7)


def test_categories_are_ordered_by_each_class_in_turn():
    rng = np.random.default_rng(8)
    city = rng.integers(0, 12, 600)
    y = (city * 5 % 12 // 4 + (rng.uniform(size=600) < 0.2)) % 3
    names = np.array([f"c{k}" for k in range(12)])
    table = pa.table({"id": np.arange(600), "y": y, "x": rng.normal(size=600), "h_city": names[city]})
    inputs, features = sides(table)
    run = train(inputs, {"trees": 2, "objective": "multi", "classes": 3})
    bins, binning = binned(table, features)
    oracle = WideOracle(
        "softmax", list(binning.n_bins), list(binning.spec.categorical), classes=3, together=True, rounds=2
    )
    oracle.fit(bins, y.astype(float))
    assert same_trees(model_of(run), oracle) > 6


def test_one_pass_for_all_classes_classifies_as_well_and_costs_less():
    table = joined("vehicle_scale")
    inputs, _ = sides(table)
    wide, apart = (
        train(inputs, {"trees": 20, "objective": "multi", "classes": 4, "multi": m, "validation": 0.3})
        for m in ("channels", "trees")
    )
    accuracy = []
    for run in (wide, apart):
        held = run["bank"].keep["validation"] == 1
        right = run["bank"].keep["scores"].argmax(axis=1) == run["bank"].keep["labels"]
        accuracy.append((right[held].mean(), right[~held].mean()))
    assert accuracy[0][0] > accuracy[1][0] - 0.03 > 0.65
    assert accuracy[0][1] > 0.775  # a central multinomial regression on the rows it learnt from
    assert len(wide.transcript) < len(apart.transcript) / 2


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "multi", "classes": 33, "scheme": "lattice"},
        {"objective": "multi", "classes": 3, "monotone": {"bank": {"a": 1}}},
        {"monotone": {"nobody": {"a": 1}}},
        {"monotone": {"bank": {"a": 2}}},
        {"multi": "trees"},
        {"power": 1.3},
        {"delta": 2.0},
        {"objective": "huber", "delta": 0.0},
        {"objective": "tweedie", "power": 2.0},
        {"exposure": "years"},
        {"objective": "regression", "exposure": "years"},
    ],
)
def test_parameters_that_do_not_go_together_are_refused(params):
    with pytest.raises(ParleyError) as e:
        VERTICAL.validate({"label": "y", **params}, CAST)
    assert e.value.code == "bad_parameters"


@pytest.mark.parametrize(
    ("y", "w", "params", "code"),
    [
        ([0, 1, 2, -1], None, {"objective": "poisson"}, "bad_labels"),
        ([0, 0, 0, 0], None, {"objective": "tweedie"}, "bad_labels"),
        ([1.0, 2.0, 0.0, 1.0], None, {"objective": "gamma"}, "bad_labels"),
        ([0, 1, 0, 1], [1.0, -1.0, 1.0, 1.0], {"weight": "w"}, "bad_weights"),
        ([0, 1, 0, 1], [0.0, 0.0, 0.0, 0.0], {"weight": "w"}, "bad_weights"),
        ([0, 1, 0, 1], [1.0, None, 1.0, 1.0], {"weight": "w"}, "bad_weights"),
        ([0, 1, 0, 1], ["a", "b", "a", "b"], {"weight": "w"}, "bad_weights"),
        ([0, 1, 0, 1], [1.0, 0.0, 1.0, 1.0], {"exposure": "w", "objective": "poisson"}, "bad_weights"),
    ],
)
def test_weights_and_labels_that_mean_nothing_are_refused(y, w, params, code):
    table = pa.table({"id": np.arange(80), "y": y * 20, "w": (w or [1.0] * 4) * 20, "h_x": np.arange(80) % 9})
    with pytest.raises(ParleyError) as e:
        train(sides(table)[0], {"trees": 1, **params})
    assert (e.value.code, e.value.party) == (code, "bank")


def test_a_direction_for_categories_is_refused_by_their_owner():
    table = pa.table({"id": np.arange(80), "y": np.arange(80) % 2, "h_x": ["a", "b", "c", "d"] * 20})
    with pytest.raises(ParleyError, match="categories") as e:
        train(sides(table)[0], {"trees": 1, "monotone": {"bureau": {"h_x": 1}}})
    assert e.value.party == "bureau"
    wrong = Shape(np.array([4], np.uint32), np.array([1], np.uint8), np.array([1], np.int8))
    with pytest.raises(ParleyError):
        Shape.decode(wrong.encode(), {})


def test_scores_that_grow_without_end_are_refused():
    g, h = Objective("poisson").gradients(np.array([1.0]), np.array([[800.0]]))
    with pytest.raises(DataError, match="fixed_point_overflow"):
        fitted(g, h, 32)


def test_resumed_trainings_with_weights_end_with_the_same_model():
    table = with_target(visits(), "y").slice(0, 600)
    inputs, _ = sides(table)
    params = {"trees": 5, "objective": "poisson", "weight": "w", "exposure": "years"}
    whole = train(inputs, params)
    at = sorted(whole.checkpoints["bank"])[1]
    again = train(
        inputs, params, setting=Setting(attempt=2, resumed={p: (at, k[at]) for p, k in whole.checkpoints.items()})
    )
    assert again["bank"].keep["model"] == whole["bank"].keep["model"]


def test_split_inputs_keep_the_weight_at_the_label_party():
    table = pa.table({"id": np.arange(40), "y": np.arange(40) % 2, "w": np.ones(40), "x": np.arange(40) % 7})
    run = train(split_inputs(table, ["id", "y", "w"], ["id", "x"]), {"trees": 1, "weight": "w"})
    assert run["bank"].result["rows"] == 40
