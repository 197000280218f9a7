"""What earlier steps left at the label party for measuring: scores, labels, weights, and the part of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley.components.training.metrics import Task
from parley.components.training.metrics_drift import drift
from parley.protocols.inputs import told
from parley.protocols.kit import StepInputs
from parley.wire.errors import ParleyError

Floats = NDArray[np.float64]
NAMES = ("training", "validation", "test")


@dataclass(frozen=True)
class Scored:
    """`labels` (n,), `scores` (n, K) probabilities or values, `part` (n,) of `NAMES`, `weights` and a
    ranking's `groups` (n,) where kept."""

    task: Task
    labels: Floats = field(repr=False)
    scores: Floats = field(repr=False)
    part: NDArray[np.uint8] = field(repr=False)
    weights: Floats | None = field(default=None, repr=False)
    groups: NDArray[np.int64] | None = field(default=None, repr=False)


def scored(inputs: StepInputs, reference: str | None = None) -> Scored:
    """The scores among the step's needs, those of `reference` last; ParleyError "no_scores", "no_labels"."""
    kept = with_scores(inputs, without=reference)
    if "labels" not in kept:
        raise ParleyError("no_labels", "The scores were made without labels.", "Give the prediction step a `label`.")
    labels, scores = np.asarray(kept["labels"], dtype=np.float64), np.asarray(kept["scores"], dtype=np.float64)
    weights = np.asarray(kept["weights"], dtype=np.float64) if "weights" in kept else None
    groups = np.asarray(kept["groups"], dtype=np.int64) if "groups" in kept else None
    return Scored(kept["task"], labels, scores, part_of(inputs, kept, labels.size), weights, groups)


def with_scores(inputs: StepInputs, without: str | None = None) -> dict[str, Any]:
    """What the first needed step with scores kept, `without` left aside; ParleyError "no_scores"."""
    for name, kept in inputs.needs.items():
        if "scores" in kept and name != without:
            return kept
    raise ParleyError("no_scores", "No earlier step left scores.", "Let it need a training or prediction step.")


def part_of(inputs: StepInputs, kept: Mapping[str, Any], rows: int) -> NDArray[np.uint8]:
    """(n,) the part of each scored row: as the scores say, else as a frame among the needs says, else all training.

    ParleyError "ambiguous_rows" when a frame knows some of the scored rows and not all.
    """
    if "part" in kept:
        return np.asarray(kept["part"], dtype=np.uint8)
    if "validation" in kept:
        return np.asarray(kept["validation"], dtype=np.uint8)
    frames = [f for f in inputs.needs.values() if "part" in f and "rows" in f]
    if "rows" not in kept or not frames:
        return np.zeros(rows, dtype=np.uint8)
    frame = max(frames, key=lambda f: int(f.get("depth", 0)))
    ids, wanted = np.asarray(frame["rows"]), np.asarray(kept["rows"])
    order = np.argsort(ids, kind="stable")
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), max(ids.size - 1, 0))]
    if ids.size == 0 or not np.array_equal(ids[at], wanted):
        raise ParleyError("ambiguous_rows", "The scored rows are not those of the divided frame.", "Need one of both.")
    return np.asarray(frame["part"], dtype=np.uint8)[at]


def reference_scores(inputs: StepInputs, step: str) -> Floats:
    """(m, K) the scores that step left; ParleyError "no_scores" when it left none or is not among the needs."""
    kept = inputs.needs.get(step, {})
    if "scores" not in kept:
        raise ParleyError("no_scores", f"The step {step} left no scores here.", "Let this step need it as well.")
    return np.asarray(kept["scores"], dtype=np.float64)


def drifts(reference: Floats, scores: Floats, min_cell: int) -> dict[str, Any]:
    """The drift of the one score column, or of each class's; ParleyError when the two have other columns."""
    a, b = (v.reshape(len(v), -1) for v in (reference, scores))
    if a.shape[1] != b.shape[1]:
        raise ParleyError("bad_scores", "The reference has scores of another kind.", "Compare scores of one model.")
    with told():
        found = [drift(a[:, k], b[:, k], min_cell=min_cell) for k in range(a.shape[1])]
    return found[0] if len(found) == 1 else {"psi": max(float(str(d["psi"])) for d in found), "by_class": found}
