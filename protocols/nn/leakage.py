"""What a features party's derivatives say about the labels, measured where both are known: pure, nothing is sent.

While an epoch lasts, the label party notes the derivatives that it sends. Two attacks of a features party without any
labels run on just these, and the most telling epoch counts:

    norm_auc       the label guessed from how long a row's derivative is
    direction_auc  the label guessed from where a row lies along the direction in which derivatives are longest, its
                   length left aside

Both are up to their sign: 1 where labels are found out, 1/2 where nothing is. They are attacks, no bounds: a better one
may find more. Of several classes the commonest counts against the others; numbers count as above their median or not.
Source: Li, Sun, Yang, Gao, Zhang, Xie, Smith, Wang, *Label leakage and protection in two-party split learning*, 2022;
the direction is the first principal one in place of a known positive row's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley.components.training.metrics import auc

Floats = NDArray[np.float32]
Truth = NDArray[np.bool_]
ROWS = 20_000


@dataclass
class Seen:
    """The attacks on each features party's view so far; `truth` (n,) is what they guess."""

    truth: Truth = field(repr=False)
    widths: Mapping[str, int]
    best: dict[str, tuple[float, float]] = field(default_factory=dict)
    epochs: int = 0

    def __post_init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._sent: dict[str, list[Floats]] = {p: [] for p in self.widths}

    def told(self, rows: NDArray[np.int64], gradients: Mapping[str, Floats]) -> None:
        """What one batch's rows (n,) were told to each party."""
        if sum(r.size for r in self._rows) >= ROWS:
            return
        self._rows.append(rows)
        for party, values in gradients.items():
            self._sent[party].append(values)

    def end_epoch(self) -> None:
        """Attack what this epoch told, and forget it."""
        self.epochs += 1
        truth = self.truth[np.concatenate(self._rows)]
        for party, sent in self._sent.items():
            now = attacks(np.concatenate(sent), truth)
            before = self.best.get(party, (0.5, 0.5))
            self.best[party] = (max(now[0], before[0]), max(now[1], before[1]))
            sent.clear()
        self._rows.clear()

    def figures(self) -> dict[str, dict[str, float | int]]:
        """For each party both attacks, and of how many epochs."""
        return {
            p: {"norm_auc": round(n, 4), "direction_auc": round(d, 4), "epochs": self.epochs}
            for p, (n, d) in self.best.items()
        }

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"seen": np.array([self.best[p] for p in sorted(self.best)]), "seen_epochs": self.epochs}

    def resume(self, state: Mapping[str, Any]) -> None:
        found = np.asarray(state["seen"], dtype=np.float64)
        self.best = {p: (float(a), float(b)) for p, (a, b) in zip(sorted(self.widths), found, strict=True)}
        self.epochs = int(state["seen_epochs"])


def truth_of(y: NDArray[np.float64], objective: str) -> Truth:
    """(n,) what is guessed of labels: the class 1, the commonest class, or above the median."""
    if objective == "binary":
        return np.asarray(y == 1)
    if objective == "regression":
        return np.asarray(y > np.median(y))
    kinds, counts = np.unique(y, return_counts=True)
    return np.asarray(y == kinds[counts.argmax()])


def attacks(gradients: Floats, truth: Truth) -> tuple[float, float]:
    """(norm, direction) of derivatives (m, w), each at least 1/2."""
    if truth.all() or not truth.any():
        return 0.5, 0.5
    wide = gradients.astype(np.float64)
    norms = np.sqrt((wide**2).sum(axis=1))
    _, vectors = np.linalg.eigh(wide.T @ wide)
    cosines = (wide @ vectors[:, -1]) / np.where(norms > 0, norms, 1.0)
    y = truth.astype(np.float64)
    return _either(auc(y, norms)), _either(auc(y, cosines))


def _either(found: float) -> float:
    return max(found, 1 - found)
