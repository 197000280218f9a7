"""What a network's outputs say and how far off they are: losses on torch, predictions on arrays.

Binary: one output, the log-odds. Classes: an output each, softmax. Numbers: one output, in standard deviations of the
training labels from their mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.components.training.nn_mlp import Floats, load_torch

Kind = Literal["binary", "multi", "regression"]
Labels = NDArray[np.float64]


@dataclass(frozen=True)
class Loss:
    """`mean` and `spread` are of the training labels where they are numbers, else 0 and 1."""

    kind: Kind
    outputs: int
    mean: float = field(default=0.0, repr=False)
    spread: float = field(default=1.0, repr=False)

    @classmethod
    def of(cls, kind: Kind, outputs: int, training: Labels) -> Loss:
        """For these training labels; DataError "bad_labels", "one_class"."""
        plain = cls(kind, outputs)
        plain.check(training)
        if kind == "regression":
            spread = float(training.std())
            return cls(kind, 1, float(training.mean()), spread if spread > 0 else 1.0)
        if np.unique(training).size < 2:
            raise DataError("one_class", "all training labels are the same", "look at the rows that were aligned")
        return plain

    def check(self, y: Labels) -> None:
        """DataError "bad_labels" for labels that are missing, or no classes where classes are wanted."""
        if not np.isfinite(y).all():
            raise DataError("bad_labels", "some labels are missing or not finite", "leave such rows out")
        if self.kind != "regression" and not np.isin(y, np.arange(max(2, self.outputs))).all():
            hint = "say which is 1: `positive`" if self.kind == "binary" else "encode the label first: prep/encode"
            raise DataError("bad_labels", "the labels are not the classes 0, 1, ... up to `classes`", hint)

    def targets(self, y: Labels) -> NDArray[np.generic]:
        """(n,) what outputs are compared with: class numbers, or float32; 0 where a label is missing."""
        y = np.nan_to_num(y)
        if self.kind == "multi":
            return y.astype(np.int64)
        return ((y - self.mean) / self.spread).astype(np.float32)

    def total(self, outputs: Any, targets: Any) -> Any:
        """The sum over rows, a tensor: log loss, or half the squared error in standard deviations."""
        f = load_torch().nn.functional
        if self.kind == "multi":
            return f.cross_entropy(outputs, targets, reduction="sum")
        if self.kind == "binary":
            return f.binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction="sum")
        return 0.5 * ((outputs[:, 0] - targets) ** 2).sum()

    def mean_of(self, outputs: Floats, targets: NDArray[np.generic]) -> float:
        """The mean over rows of arrays."""
        torch = load_torch()
        return float(self.total(torch.tensor(outputs).double(), self._wide(targets))) / max(1, len(outputs))

    def _wide(self, targets: NDArray[np.generic]) -> Any:
        return load_torch().from_numpy(targets if self.kind == "multi" else targets.astype(np.float64))

    def predictions(self, outputs: Floats) -> Labels:
        """(n, K) probabilities, or numbers in the label's unit; of two classes the second one's probability."""
        z = outputs.astype(np.float64)
        if self.kind == "regression":
            return z * self.spread + self.mean
        if self.kind == "binary":
            return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
