"""Parts of boosted trees: labels, derivatives, fixed point, histograms, splits, samples, stopping, models."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from parley.components.errors import DataError
from parley.components.features.spec import BinSpec
from parley.components.training.gbdt import (
    EarlyStopping,
    Model,
    Objective,
    Params,
    best_split,
    build_histograms,
    leaf_weight,
    quantise,
    train,
    validation_loss,
)

RNG = np.random.default_rng(11)
SPEC = BinSpec((9, 5, 7), (False, True, False))
BINS = np.stack([RNG.integers(0, n, 600) for n in SPEC.n_bins], axis=1).astype(np.uint16)
Y = ((BINS[:, 0] > 4) ^ np.isin(BINS[:, 1], [0, 3])).astype(float)
FLIPPED = np.where(RNG.random(600) < 0.1, 1 - Y, Y)
BINARY = Objective("logistic")


@pytest.mark.parametrize("objective", [BINARY, Objective("softmax", 3), Objective("squared")])
def test_gradients_are_the_derivatives_of_the_loss(objective: Objective) -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0]) if objective.classes == 1 else np.array([0.0, 1.0, 2.0, 1.0])
    raw, step = RNG.normal(size=(4, objective.classes)), 1e-5

    def loss(scores: np.ndarray) -> float:
        value = validation_loss(objective, y, scores)
        return 4 * (value**2 / 2 if objective.loss == "squared" else value)

    g, h = objective.gradients(y, raw)
    for i, k in np.ndindex(raw.shape):
        up, down = raw.copy(), raw.copy()
        up[i, k] += step
        down[i, k] -= step
        assert g[i, k] == pytest.approx((loss(up) - loss(down)) / (2 * step), abs=1e-6)
        slope = (objective.gradients(y, up)[0][i, k] - objective.gradients(y, down)[0][i, k]) / (2 * step)
        assert h[i, k] == pytest.approx(slope * (2 if objective.loss == "softmax" else 1), abs=1e-6)


def test_the_start_score_is_the_weighted_optimum() -> None:
    w = np.array([1.0, 2.0, 3.0])
    assert BINARY.base_score(np.array([1.0, 0.0, 1.0]), w)[0] == pytest.approx(np.log(2))
    assert Objective("squared").base_score(np.array([1.0, 2.0, 3.0]), w)[0] == pytest.approx(14 / 6)
    assert np.exp(Objective("softmax", 3).base_score(np.array([0.0, 1.0, 1.0]))) == pytest.approx([1 / 3, 2 / 3, 1 / 6])


def test_quantisation_keeps_its_bound_and_refuses_overflow() -> None:
    g, h = RNG.normal(size=(500, 2)), RNG.random((500, 2))
    fixed = quantise(g, h, 20)
    assert fixed.dtype == np.int64
    assert np.abs(fixed[:, 0::2] / 2**20 - g).max() <= 2.0**-21
    assert np.abs(fixed[:, 1::2] / 2**20 - h).max() <= 2.0**-21
    for bad in (np.full((4, 1), 2.0**30), np.full((4, 1), np.nan), np.full((4, 1), np.inf)):
        with pytest.raises(DataError, match="fixed_point_overflow"):
            quantise(bad, np.ones((4, 1)), 32)


def test_histograms_are_exact_beyond_the_floats() -> None:
    bins = np.zeros((3, 1), dtype=np.uint16)
    channels = np.array([[2**60, -(2**60)], [1, -1], [1, 2**60]], dtype=np.int64)
    hist = build_histograms(bins, channels, np.zeros(3, dtype=np.int64), 1, BinSpec((2,), (False,)))
    assert hist[0, 0, 0].tolist() == [2**60 + 2, -1]
    assert int(np.bincount([0, 0, 0], weights=channels[:, 0])[0]) != 2**60 + 2  # the plain way is wrong here


def test_histograms_leave_rows_without_a_node_out() -> None:
    node = RNG.integers(-1, 2, 600)
    channels = RNG.integers(-(2**40), 2**40, (600, 2))
    hist = build_histograms(BINS, channels, node, 2, SPEC)
    for n, f in np.ndindex(2, 3):
        for b in range(SPEC.width):
            rows = (node == n) & (BINS[:, f] == b)
            assert hist[n, f, b].tolist() == channels[rows].sum(axis=0).tolist()


def one_feature(cells: list[tuple[float, float]], categorical: bool = False) -> np.ndarray:
    return np.array([[[int(g * 2**32), int(h * 2**32)] for g, h in cells]], dtype=np.int64)


def split_of(cells: list[tuple[float, float]], categorical: bool = False, **settings: float):  # type: ignore[no-untyped-def]
    hist = one_feature(cells)
    params = Params(**settings)  # type: ignore[arg-type]
    return best_split(hist, hist[0].sum(axis=0), params, BinSpec((len(cells),), (categorical,)))


def test_gain_direction_and_limits_by_hand() -> None:
    cells = [(-4.0, 4.0), (4.0, 4.0), (3.0, 3.0)]
    split = split_of(cells)
    assert (split.bin, split.missing_left, split.left) == (0, False, None)
    assert split.gain == pytest.approx(16 / 5 + 49 / 8 - 9 / 12)
    assert split_of([(-4.0, 4.0), (4.0, 4.0), (-3.0, 3.0)]).missing_left
    assert split_of(cells, gamma=split.gain + 1e-6) is None
    assert split_of(cells, min_child_weight=4.5) is None
    assert split_of([(0.0, 4.0), (0.0, 4.0), (0.0, 3.0)]) is None
    assert leaf_weight(int(-4.0 * 2**32), int(4.0 * 2**32), Params(learning_rate=0.5)) == pytest.approx(0.4)


def test_missing_alone_can_be_split_off() -> None:
    split = split_of([(-4.0, 4.0), (-4.0, 4.0), (6.0, 3.0)])
    assert (split.bin, split.missing_left) == (1, False)


def test_categories_are_parted_by_ratio_not_by_number() -> None:
    cells = [(4.0, 4.0), (-4.0, 4.0), (4.0, 4.0), (-3.0, 4.0), (0.0, 0.0), (1.0, 2.0)]
    split = split_of(cells, categorical=True)
    assert split.left == (1, 3)
    assert not split.missing_left
    left = split_of([*cells[:5], (-2.0, 2.0)], categorical=True)
    assert (left.left, left.missing_left) == ((1, 3, 4), True)  # the empty category goes with missing


def test_equal_gains_go_to_the_lowest_feature_and_masks_hold() -> None:
    hist = np.repeat(one_feature([(-4.0, 4.0), (4.0, 4.0), (0.0, 0.0)]), 3, axis=0)
    spec, totals = BinSpec((3, 3, 3), (False, False, False)), hist[0].sum(axis=0)
    first = best_split(hist, totals, Params(), spec)
    assert first is not None
    assert (first.feature, first.bin, first.missing_left) == (0, 0, False)
    masked = best_split(hist, totals, Params(), spec, np.array([False, True, True]))
    assert masked is not None
    assert masked.feature == 1
    assert best_split(hist, totals, Params(), spec, np.zeros(3, dtype=bool)) is None


def test_training_learns_and_importance_names_the_features() -> None:
    model = train(BINS, FLIPPED, Params(rounds=10), spec=SPEC, objective=BINARY)
    assert (((model.predict(BINS)[:, 0] > 0.5) == (Y == 1)).mean()) > 0.97
    for measure in ("gain", "cover", "splits"):
        values = model.importance(measure)  # type: ignore[arg-type]
        assert values[0] > values[2]
        assert values[1] > values[2]


def test_a_weight_counts_like_copies() -> None:
    w = RNG.integers(1, 4, 600).astype(float)
    copies = np.repeat(np.arange(600), w.astype(int))
    a = train(BINS, FLIPPED, Params(rounds=4), spec=SPEC, objective=BINARY, weights=w)
    b = train(BINS[copies], FLIPPED[copies], Params(rounds=4), spec=SPEC, objective=BINARY)
    np.testing.assert_allclose(a.raw(BINS), b.raw(BINS), atol=1e-6)


def test_masks_of_rows_and_features_are_used() -> None:
    half = np.arange(600) % 2 == 0
    a = train(BINS, FLIPPED, Params(rounds=1), spec=SPEC, objective=BINARY, row_mask=lambda r: half)
    b = train(BINS, FLIPPED, Params(rounds=1), spec=SPEC, objective=BINARY)
    assert a.rounds[0][0].nodes[0].cover == pytest.approx(b.rounds[0][0].nodes[0].cover / 2, rel=1e-6)
    only = np.array([False, False, True])
    c = train(BINS, FLIPPED, Params(rounds=3), spec=SPEC, objective=BINARY, feature_mask=lambda r: only)
    assert c.importance("splits")[:2].tolist() == [0, 0]


def test_early_stopping_keeps_the_best_round() -> None:
    noise = (RNG.random(600) < 0.5).astype(float)
    losses: list[float] = []
    model = train(
        BINS[:300],
        noise[:300],
        Params(rounds=60, early_stopping=5),
        spec=SPEC,
        objective=BINARY,
        validation=(BINS[300:], noise[300:]),
        progress=lambda r, loss: losses.append(loss),
    )
    best = int(np.argmin(losses))
    assert len(losses) == best + 6 < 60
    assert len(model.rounds) == best + 1
    assert validation_loss(BINARY, noise[300:], model.raw(BINS[300:])) == pytest.approx(min(losses), abs=1e-12)
    with pytest.raises(DataError, match="diverged"):
        EarlyStopping(3).update(0, float("nan"))


def test_bad_labels_bins_and_parameters_are_refused() -> None:
    cases = [
        ("one_class", BINARY, np.ones(600), {}),
        ("bad_labels", BINARY, np.where(Y == 1, np.nan, 0), {}),
        ("bad_labels", BINARY, Y + 1, {}),
        ("bad_labels", BINARY, Y / 2, {}),
        ("bad_labels", Objective("squared"), np.where(Y == 1, np.inf, 0), {}),
        ("bad_labels", Objective("softmax", 3), Y + 2, {}),
        ("bad_bins", BINARY, Y[:-1], {}),
        ("bad_weights", BINARY, Y, {"weights": -np.ones(600)}),
        ("bad_parameter", BINARY, Y, {"row_mask": lambda r: np.zeros(600, dtype=bool)}),
        ("fixed_point_overflow", Objective("squared"), Y * 1e12, {}),
    ]
    for code, objective, y, more in cases:
        with pytest.raises(DataError) as caught:
            train(BINS, y, Params(rounds=1), spec=SPEC, objective=objective, **more)  # type: ignore[arg-type]
        assert caught.value.code == code
    with pytest.raises(DataError, match="bad_bins"):
        train(BINS + 9, Y, Params(), spec=SPEC, objective=BINARY)
    for setting in ({"rounds": 0}, {"depth": 99}, {"reg_lambda": float("nan")}, {"learning_rate": 0}):
        with pytest.raises(DataError, match="bad_parameter"):
            Params(**setting)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="bad_parameter"):
        train(BINS, Y, Params(early_stopping=1), spec=SPEC, objective=BINARY)


def test_the_dictionary_form_of_a_model_is_exact_and_closed() -> None:
    model = train(BINS, FLIPPED, Params(rounds=2), spec=SPEC, objective=BINARY)
    form = json.loads(json.dumps(model.to_dict(), allow_nan=False))
    assert Model.from_dict(form) == model
    node_changes = [
        ("left", 0),
        ("feature", 3),
        ("weight", float("nan")),
        ("bin", 1.5),
        ("more", 1),
        ("right", 1),
    ]
    for key, value in node_changes:
        bad = copy.deepcopy(form)
        bad["rounds"][0][0][0][key] = value
        with pytest.raises(DataError, match="bad_model"):
            Model.from_dict(bad)
    for key, value in [
        ("version", 1),
        ("base_score", []),
        ("rounds", [[]]),
        ("objective", {"loss": "logistic", "x": 1}),
    ]:
        with pytest.raises(DataError, match="bad_model"):
            Model.from_dict({**form, key: value})
    with pytest.raises(DataError, match="bad_bins"):
        model.raw(BINS[:, :2])
