"""Learners that try to tell real transcripts from simulated ones: a line through all features, and boosted trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from parley.protocols.kit.checks.indistinguishable import View, auc_between, features


def line(x, truth):
    fitted = LogisticRegression(C=1e-3, max_iter=60, tol=1e-2).fit(x, truth)
    return lambda unseen: fitted.decision_function(unseen)


def trees(x, truth):
    fitted = HistGradientBoostingClassifier(
        max_iter=25, max_leaf_nodes=8, learning_rate=0.15, max_bins=63, early_stopping=False, random_state=0
    ).fit(x, truth)
    return lambda unseen: fitted.decision_function(unseen)


def told_apart(real: Sequence[View], simulated: Sequence[View]) -> dict[str, float]:
    """The AUC of each learner."""
    assert len(real) == len(simulated)
    both = features([*real, *simulated])
    # One thread: on a machine that others use, several would mostly wait for each other.
    with threadpool_limits(1):
        return {name: auc_between(both, learner) for name, learner in (("line", line), ("trees", trees))}


def blocks(raws: Sequence[np.ndarray]) -> np.ndarray:
    """(rows, width) uint8 of chunks, as a view wants it."""
    return np.concatenate(list(raws)).astype(np.uint8)
