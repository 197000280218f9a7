"""Which rows and features a round learns from: drawn alike by all parties from public coins, or by gradients at one.

By gradients (Ke et al., *LightGBM*, 2017): all rows with large ones, and of the others a share that counts for more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parley.crypto.prg import Rng
from parley.protocols.frame import TRAIN, VALIDATE
from parley.protocols.gbdt.params import Goss
from parley.protocols.kit import Cast, Session
from parley.wire.errors import ParleyError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Parts = NDArray[np.uint8]


def parted(s: Session, part: Parts) -> Parts:
    """(n,) the rows' parts: as an earlier step left them, or with a share of the training rows held out.

    At least one row stays on each side. ParleyError "no_rows"; "no_validation_rows" where early stopping has none.
    """
    rows = np.flatnonzero(part == TRAIN)
    if not rows.size:
        raise ParleyError("no_rows", "There is no row to learn from.")
    out = part.copy()
    if s.params.validation > 0 and not np.any(part == VALIDATE):
        held = min(max(1, round(rows.size * s.params.validation)), rows.size - 1)
        if held < 1:
            raise ParleyError("no_rows", "There are too few rows to hold any out for validation.")
        out[rows[s.coins.permutation(rows.size)[:held]]] = VALIDATE
    if s.params.early_stopping and not np.any(out == VALIDATE):
        raise ParleyError(
            "no_validation_rows",
            "early_stopping has no rows to watch.",
            "Set `validation`, or let this step need one that splits the rows.",
        )
    return out


def sampled_rows(s: Session, training: Mask, round_index: int) -> Ints:
    """(m,) rising positions of the training rows that this round's trees learn from."""
    rows = np.flatnonzero(training)
    if s.params.subsample < 1:
        count = max(1, round(rows.size * s.params.subsample))
        rows = np.sort(rows[s.at(round=round_index).coins.permutation(rows.size)[:count]])
    return rows


def allowed_features(s: Session, party: str, features: int, round_index: int) -> Mask:
    """(F,) which of a party's features this round's trees may use; at least one where there is any."""
    out = np.ones(features, dtype=bool)
    if s.params.column_sample < 1 and features:
        where = parties_in_order(s.cast).index(party)
        count = max(1, round(features * s.params.column_sample))
        out[:] = False
        out[s.at(round=round_index, party=where).coins.permutation(features)[:count]] = True
    return out


def parties_in_order(cast: Cast) -> tuple[str, ...]:
    """Label first, then features in the job's order: the order of the joined features."""
    return (*cast["label"], *cast["features"])


def level_features(s: Session, counts: list[int]) -> Mask | None:
    """(F,) which of all features this level's splits may use, of each party's at least one; None where all may."""
    if s.params.column_sample_level == 1:
        return None
    masks = []
    for where, features in enumerate(counts):
        out = np.zeros(features, dtype=bool)
        if features:
            out[
                s.at(party=where).coins.permutation(features)[: max(1, round(features * s.params.column_sample_level))]
            ] = True
        masks.append(out)
    return np.concatenate(masks)


def by_gradient(goss: Goss, g: Floats, training: Mask, rng: Rng) -> tuple[Ints, Floats]:
    """(m,) rising positions of the rows to learn from, and how much each counts (m,).

    A row is as large as its gradients g (n, K) are together. Which of the others come along is drawn in secret, so that
    in one round nobody else can tell the large ones among these rows; who is there round after round is likely large.
    """
    rows = np.flatnonzero(training)
    top, other = goss.counts(rows.size)
    order = rows[np.argsort(-np.abs(g[rows]).sum(axis=1), kind="stable")]
    rest = order[top:]
    drawn = rest[rng.permutation(rest.size)[:other]]
    factor = np.ones(training.size)
    factor[drawn] = rest.size / max(1, other)
    chosen = np.sort(np.concatenate([order[:top], drawn]))
    return chosen, factor[chosen]
