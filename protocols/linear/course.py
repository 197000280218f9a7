"""How a training goes on: its losses, which epoch was best, and when it ends."""

from __future__ import annotations

import math
from typing import Any

from parley.components.errors import DataError


class Course:
    """With validation rows the best epoch's weights count, without them the last one's.

    `patience` epochs without a gain of more than `tolerance` end it; 0 means that all are run.
    """

    def __init__(self, patience: int, tolerance: float, validated: bool) -> None:
        self._patience, self._tolerance, self.validated = patience, tolerance, validated
        self.losses: list[float] = []
        self.kept = 0

    def end(self, loss: float, *, last: bool) -> tuple[bool, bool]:
        """(whether these weights are the ones to keep, whether another epoch comes); DataError "diverged"."""
        if not math.isfinite(loss):
            raise DataError("diverged", "the loss is no number any more", "Use a smaller learning_rate.")
        gained = not self.losses or loss < min(self.losses)
        self.losses.append(loss)
        best = gained or not self.validated
        if best:
            self.kept = len(self.losses)
        return best, not (last or self._stale())

    def _stale(self) -> bool:
        """Whether the last `patience` epochs gained no more than the tolerance on what was there before."""
        if not self._patience or len(self.losses) <= self._patience:
            return False
        before = min(self.losses[: -self._patience])
        return min(self.losses[-self._patience :]) >= before - self._tolerance

    def state(self) -> dict[str, Any]:
        return {"losses": list(self.losses), "kept": self.kept}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.losses, self.kept = [float(x) for x in state["losses"]], int(state["kept"])
