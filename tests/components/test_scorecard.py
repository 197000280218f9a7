"""Scorecards: the customary scaling, points per bin that add up to the model, each party's own part, reasons."""

from __future__ import annotations

import json
import math
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest
from shared import need
from sklearn.linear_model import LogisticRegression

from parley.components.errors import DataError
from parley.components.features import fit_bins
from parley.components.lakehouse import load_file
from parley.components.training.metrics_points import bands
from parley.components.training.scorecard import Scaling, Scorecard, bin_labels, make_scorecard

RNG = np.random.default_rng(4)


def test_twice_the_good_odds_are_factor_points_more() -> None:
    scaling = Scaling()
    p = 1 / 3  # good odds of 2 to 1
    assert scaling.of_probability(0.5) == pytest.approx(500)
    assert scaling.of_probability(p) == pytest.approx(520)
    assert Scaling(bad=0).of_probability(1 - p) == pytest.approx(520)
    assert Scaling(factor=50, base=10).of_probability(1 / 11) == pytest.approx(550)


def test_base_points_at_base_odds() -> None:
    scaling = Scaling.of_odds(600, 50, 20)
    assert scaling.of_probability(1 / 51) == pytest.approx(600)
    assert scaling.of_probability(1 / 101) == pytest.approx(620)
    assert scaling.offset == pytest.approx(600 - 20 / math.log(2) * math.log(50))


def test_points_stay_within_their_limits_also_for_certain_scores() -> None:
    narrow = Scaling(lower=400, upper_ratio=1.2)
    assert narrow.of_probability([0.0, 1.0]).tolist() == [600, 400]
    assert np.all(np.isfinite(Scaling(lower=-1e9, upper_ratio=1e9).of_probability([0.0, 1.0])))
    with pytest.raises(DataError, match="bad_scores"):
        narrow.of_probability([1.2])
    for wrong in ({"factor": 0}, {"base": 1}, {"bad": 2}, {"lower": 2000}, {"offset": float("nan")}):
        with pytest.raises(DataError, match="bad_parameter"):
            Scaling(**wrong)  # type: ignore[arg-type]  # plain values of the parameter's kinds


@lru_cache
def model(parties: int = 2) -> tuple[list[Scorecard], np.ndarray, np.ndarray]:
    """A real logistic model on WOE of binned columns: cards by party, codes (n, F), log odds (n,)."""
    table = load_file(need("data/default_credit_hetero_guest.csv"))
    names = [c for c in table.column_names if c.startswith("x")][:6]
    y = np.asarray(table.column("y").to_numpy(), dtype=np.float64)
    binning = fit_bins(table, names, 8)
    codes = binning.transform(table)
    woe = []
    for f, column in enumerate(binning.columns):
        bad = np.bincount(codes[:, f], weights=y, minlength=column.value_bins + 1) + 0.5
        good = np.bincount(codes[:, f], weights=1 - y, minlength=column.value_bins + 1) + 0.5
        woe.append(np.log(bad / bad.sum()) - np.log(good / good.sum()))
    x = np.column_stack([w[codes[:, f]] for f, w in enumerate(woe)])
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(x, y)
    cards = []
    for mine in np.array_split(np.arange(len(names)), parties):
        features = {
            names[f]: (float(fitted.coef_[0, f]), bin_labels(binning.columns[f]), woe[f].tolist()) for f in mine
        }
        cards.append(make_scorecard(features, float(fitted.intercept_[0]) if 0 in mine else None, Scaling()))
    return cards, codes, fitted.decision_function(x)


def test_the_parts_of_two_parties_add_up_to_the_score_of_the_whole_model() -> None:
    (first, second), codes, log_odds = model()
    total = first.base + first.parts(codes[:, :3]).sum(axis=1) + second.parts(codes[:, 3:]).sum(axis=1)
    np.testing.assert_allclose(total, Scaling().of_log_odds(log_odds), rtol=1e-12)
    assert second.base == 0.0
    (whole,), codes, log_odds = model(1)
    np.testing.assert_allclose(whole.score(codes), Scaling().of_log_odds(log_odds), rtol=1e-12)


def test_whole_points_are_off_by_half_a_point_each_at_most() -> None:
    features = {f"f{k}": (0.3 * k + 0.1, ["a", "b", "missing"], [-0.7, 0.4, 0.0]) for k in range(5)}
    exact, rounded = (make_scorecard(features, -1.2, Scaling(), whole=w) for w in (False, True))
    codes = RNG.integers(0, 3, size=(200, 5))
    gap = np.abs(exact.score(codes) - rounded.score(codes))
    assert 0 < gap.max() <= 3.0
    assert all(a.points == round(a.points) for c in rounded.characteristics for a in c.attributes)


def test_reasons_are_the_features_that_cost_most() -> None:
    two = ["lo", "hi"]
    features = {"a": (1.0, two, [-1.0, 1.0]), "b": (2.0, two, [-1.0, 1.0]), "c": (0.5, two, [0.2, 0.1])}
    card = make_scorecard(features, 0.0, Scaling())
    slope = 20 / math.log(2)
    which, lost = card.reasons(np.array([[1, 1, 0], [0, 0, 1], [1, 0, 1]]), 2)
    assert which.tolist() == [[1, 0], [-1, -1], [0, -1]]
    np.testing.assert_allclose(lost, slope * np.array([[4, 2], [0, 0], [2, 0]]))
    which, lost = card.reasons(np.array([[1, 1, 0]]), 3, "neutral")
    assert which.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(lost, slope * np.array([[2, 1, 0.1]]))


def test_a_card_is_read_back_exactly_and_nothing_else_is() -> None:
    (card, _), codes, _ = model()
    again = Scorecard.from_dict(json.loads(json.dumps(card.to_dict())))
    assert again == card
    for key, value in (
        ("version", 9),
        ("base", "much"),
        ("characteristics", [{"feature": "x"}]),
        ("scaling", {"x": 1}),
        ("more", 1),
    ):
        with pytest.raises(DataError, match="bad_scorecard"):
            Scorecard.from_dict({**card.to_dict(), key: value})
    with pytest.raises(DataError, match="bad_bins"):
        card.parts(codes)
    with pytest.raises(DataError, match="bad_bins"):
        card.parts(np.full((2, 3), 99))


def test_labels_name_every_bin() -> None:
    table = pa.table({"n": [1.0, 2, 3, None], "c": ["a", "b", "a", None], "k": [5.0, 5, 5, 5]})
    columns = fit_bins(table, ["n", "c", "k"], 3).columns
    assert [bin_labels(c) for c in columns] == [
        ["up to 1.5", "(1.5, 2.5]", "above 2.5", "missing"],
        ["a", "b", "missing"],
        ["any", "missing"],
    ]
    with pytest.raises(DataError, match="bad_parameter"):
        make_scorecard({"x": (1.0, ["a"], [1.0, 2.0])}, 0.0, Scaling())


def test_bands_count_every_row_and_hold_a_cell_each() -> None:
    points = RNG.normal(500, 40, 3000)
    y = (RNG.uniform(size=3000) < 1 / (1 + np.exp((points - 500) / 30))).astype(float)
    exact = bands(points, y, width=20)
    assert sum(b["rows"] for b in exact) == 3000  # type: ignore[misc]  # rows are never None
    for band in exact:
        inside, above = (points >= band["from"]) & (points < band["to"]), points >= band["from"]
        assert band["rows"] == inside.sum()
        assert band["bad_rate"] == pytest.approx(y[inside].mean())
        assert band["share_above"] == pytest.approx(above.mean())
        assert band["bad_rate_above"] == pytest.approx(y[above].mean())
    assert min(b["rows"] for b in exact) < 10  # type: ignore[type-var]  # rows are never None
    coarse = bands(points, y, width=20, min_cell=10)
    assert min(b["rows"] for b in coarse) >= 10  # type: ignore[type-var]  # rows are never None
    assert sum(b["rows"] for b in coarse) == 3000  # type: ignore[misc]  # rows are never None
    assert bands(points, None, width=20)[0]["bad_rate"] is None
    assert bands(points, y, width=20, bad=0)[0]["bad_rate"] == pytest.approx(1 - exact[0]["bad_rate"])  # type: ignore[operator]  # labels are known
    with pytest.raises(DataError, match="bad_parameter"):
        bands(points, y, width=1e-3)
