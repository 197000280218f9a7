"""Ranking: derivatives against finite differences and XGBoost's models, measures against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.metrics import average_precision_score, ndcg_score

from parley.components.errors import DataError
from parley.components.features.spec import BinSpec
from parley.components.training import ranking
from parley.components.training.gbdt import Objective, Params, train
from parley.components.training.metrics import evaluate


def queries(n: int = 1200, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins (n, 6), relevances and groups of 1 to 60 rows in no order, the first three features telling."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 70, n) ** 2 // 70
    bins = rng.integers(0, 16, (n, 6)).astype(np.uint16)
    hidden = bins[:, 0] + 0.7 * bins[:, 1] - 0.5 * bins[:, 2] + rng.normal(0, 4, n)
    y = np.digitize(hidden, np.quantile(hidden, [0.6, 0.8, 0.95])).astype(float)
    return bins, y, groups


def test_each_pair_pulls_both_ways_alike_and_within_its_group_alone():
    _, y, groups = queries()
    score = np.random.default_rng(5).normal(size=y.size)
    g, h = ranking.lambdas(y, score, groups)
    assert all(abs(g[groups == q].sum()) < 1e-12 for q in np.unique(groups))
    assert (h >= 0).all()
    assert h.max() > 0
    moved = score.copy()
    moved[groups == 3] += np.linspace(0, 9, (groups == 3).sum())
    other, _ = ranking.lambdas(y, moved, groups)
    assert np.array_equal(other[groups != 3], g[groups != 3])
    assert not np.array_equal(other, g)


def test_derivatives_are_those_of_the_weighted_pair_loss():
    """With the order held fast, g and h are the derivatives of sum D log(1 + exp(-(s_i - s_j)))."""
    y, score = np.array([2.0, 0, 1, 0]), np.array([0.3, 0.9, -0.2, 0.1])
    order = np.argsort(-score)
    place = np.empty(4)
    place[order] = np.arange(4)
    best = sum((2.0**v - 1) / np.log2(k + 2) for k, v in enumerate(sorted(y, reverse=True)))

    def loss(s: np.ndarray) -> float:
        total = 0.0
        for i in range(4):
            for j in range(4):
                if y[i] > y[j]:
                    d = (2 ** y[i] - 2 ** y[j]) * abs(1 / np.log2(place[i] + 2) - 1 / np.log2(place[j] + 2)) / best
                    total += d * np.log1p(np.exp(s[j] - s[i]))
        return total

    g, h = ranking.lambdas(y, score, np.zeros(4, dtype=np.int64))
    for k, step in enumerate(np.eye(4) * 1e-4):
        up, mid, down = loss(score + step), loss(score), loss(score - step)
        assert g[k] == pytest.approx((up - down) / 2e-4, rel=1e-6)
        assert h[k] == pytest.approx((up - 2 * mid + down) / 1e-8, rel=1e-4)


def test_the_order_learnt_is_about_as_good_as_xgboosts():
    bins, y, groups = queries(6000)
    order = np.argsort(groups, kind="stable")
    bins, y, groups = bins[order], y[order], groups[order]
    half = groups % 2 == 0
    model = xgboost.XGBRanker(
        objective="rank:ndcg", n_estimators=30, max_depth=3, learning_rate=0.3, min_child_weight=0.1, random_state=1,
        lambdarank_pair_method="topk", lambdarank_num_pair_per_sample=30, lambdarank_score_normalization=False,
    )  # fmt: skip
    model.fit(bins[half], y[half], qid=groups[half])
    theirs = ranking.ndcg(y[~half], model.predict(bins[~half]).astype(float), groups[~half], 10).mean()
    objective = Objective("lambdarank")
    g, h = objective.gradients(y[half], np.zeros((half.sum(), 1)), None, groups[half])
    assert g.shape == h.shape == (half.sum(), 1)
    spec = BinSpec((17,) * 6, (False,) * 6)
    ours = train(
        bins[half], y[half], Params(rounds=30, depth=3, min_child_weight=0.1), spec=spec, objective=objective,
        groups=groups[half],
    )  # fmt: skip
    found = ranking.ndcg(y[~half], ours.raw(bins[~half])[:, 0], groups[~half], 10).mean()
    chance = ranking.ndcg(y[~half], np.zeros((~half).sum()), groups[~half], 10).mean()
    assert found > theirs - 0.01
    assert theirs > chance + 0.1


def test_measures_are_scikit_learns():
    _, y, groups = queries()
    score = y + np.random.default_rng(8).normal(0, 2, y.size)
    got = evaluate("ranking", y, score, groups=groups)
    relevant = [q for q in np.unique(groups) if y[groups == q].any()]
    many = [q for q in relevant if (groups == q).sum() > 1]
    for k in (1, 3, 5, 10):
        alone = [1.0] * (len(relevant) - len(many))
        want = [ndcg_score([2 ** y[groups == q] - 1], [score[groups == q]], k=k) for q in many] + alone
        assert got[f"ndcg_{k}"] == pytest.approx(np.mean(want))
    want = [average_precision_score(y[groups == q] > 0, score[groups == q]) for q in relevant]
    assert got["map"] == pytest.approx(np.mean(want))
    first = [next(i for i, v in enumerate(y[groups == q][np.argsort(-score[groups == q])], 1) if v) for q in relevant]
    assert got["mrr"] == pytest.approx(np.mean([1 / k for k in first]))
    assert (got["groups"], got["groups_without"]) == (np.unique(groups).size, np.unique(groups).size - len(relevant))


def test_nothing_relevant_is_said_and_bad_labels_and_groups_are_refused():
    got = evaluate("ranking", [0, 0, 0], [1, 2, 3], groups=[1, 1, 2])
    assert got["map"] is None
    assert "map" in got["undefined"]
    for y, groups, code in (
        ([0.5, 1], [1, 1], "bad_labels"),
        ([0, 31], [1, 1], "bad_labels"),
        ([0, 1], None, "bad_groups"),
        ([0, 1], [1], "bad_groups"),
    ):
        with pytest.raises(DataError) as e:
            evaluate("ranking", y, [0.1, 0.2], groups=groups)
        assert e.value.code == code
    objective = Objective("lambdarank")
    flat = np.array([1.0, 1, 2, 2])
    with pytest.raises(DataError, match="different labels"):
        objective.gradients(flat, np.zeros((4, 1)), None, np.array([0, 0, 1, 1]))
    wide = np.arange(ranking.MAX_GROUP + 1) % 2
    with pytest.raises(DataError, match="more than"):
        objective.gradients(wide.astype(float), np.zeros((wide.size, 1)), None, np.zeros_like(wide))


def test_large_groups_are_looked_at_in_parts_of_bounded_memory(monkeypatch):
    _, y, groups = queries()
    score = np.random.default_rng(5).normal(size=y.size)
    whole = ranking.lambdas(y, score, groups)
    monkeypatch.setattr(ranking, "_BLOCK", 1)
    assert all(np.array_equal(a, b) for a, b in zip(whole, ranking.lambdas(y, score, groups), strict=True))
