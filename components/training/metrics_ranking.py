"""Measures of an order within groups: NDCG, mean average precision, mean reciprocal rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parley.components.errors import DataError
from parley.components.training.curves import checked
from parley.components.training.ranking import checked_relevance, ndcg, precision_ranks

PLACES = (1, 3, 5, 10)


def ranking(y: npt.ArrayLike, score: npt.ArrayLike, groups: npt.ArrayLike | None) -> dict[str, object]:
    """All measures of scores (n,) for relevances (n,) as `metrics.evaluate` names them; each is a mean over groups.

    Groups without a relevant row have no best order: they are left out, and counted as `groups_without`.
    """
    labels, values = checked(y, score)
    labels = checked_relevance(labels)
    if groups is None:
        raise DataError("bad_groups", "the scores of a ranking were left without their groups", "name `group`")
    codes = np.asarray(groups, dtype=np.int64)
    if codes.shape != labels.shape:
        raise DataError("bad_groups", "a ranking is measured with a group for each row")
    all_groups = int(np.unique(codes).size)
    precise, first = precision_ranks(labels, values, codes)
    undefined: dict[str, str] = {}
    out: dict[str, object] = {
        "task": "ranking",
        "rows": int(labels.size),
        "groups": all_groups,
        "groups_without": all_groups - precise.size,
        "undefined": undefined,
    }
    found = {f"ndcg_{k}": ndcg(labels, values, codes, k) for k in PLACES}
    for name, by_group in (*found.items(), ("map", precise), ("mrr", first)):
        out[name] = float(np.sort(by_group).sum()) / by_group.size if by_group.size else None
        if not by_group.size:
            undefined[name] = "no group has a relevant row"
    return out
