"""Fully connected networks and their optimisers on torch, as plain arrays in and out: the same run every time.

A network is a list of layer widths and float32 arrays by name (`0.weight` (out, in), `0.bias` (out,)); nothing of it is
a class path or a serialised object. One thread computes, so that sums have one order on one machine; another kind of
CPU may differ in the last bits. Torch is loaded when first needed: DataError "torch_missing" where it is not installed.
Source: Kingma & Ba, *Adam*, 2015; Glorot & Bengio 2010 for the first weights.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError

Floats = NDArray[np.float32]
Arrays = dict[str, Floats]
Activation = Literal["relu", "tanh"]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def torch_is_here() -> bool:
    """Whether torch is installed; it is not imported for that."""
    return importlib.util.find_spec("torch") is not None


def torch_missing() -> DataError:
    return DataError(
        "torch_missing",
        "this party has no torch, on which neural networks run",
        "install it beside parley: pip install 'parley[train]'",
    )


def load_torch() -> Any:
    """The torch module, held to one thread; DataError "torch_missing"."""
    if not torch_is_here():
        raise torch_missing()
    import torch

    torch.set_num_threads(1)
    return torch


def initial(widths: Sequence[int], uniform: Callable[[int], NDArray[np.float64]]) -> Arrays:
    """First weights, even in +-sqrt(6 / (in + out)), and zero biases; `uniform(n)` gives n numbers in [0, 1)."""
    out: Arrays = {}
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        bound = np.sqrt(6.0 / (before + after))
        values = (2 * uniform(before * after) - 1) * bound
        out[f"{k}.weight"] = values.reshape(after, before).astype(np.float32)
        out[f"{k}.bias"] = np.zeros(after, dtype=np.float32)
    return out


class Network:
    """Layers of the given widths, an activation between them and, with `bent`, after the last one, too."""

    def __init__(self, arrays: Mapping[str, Floats], activation: Activation, *, bent: bool) -> None:
        self._torch = load_torch()
        self.activation, self.bent = activation, bent
        self.weights: dict[str, Any] = {k: self._torch.tensor(v, requires_grad=True) for k, v in arrays.items()}
        self.layers = len(arrays) // 2

    def forward(self, x: Any) -> Any:
        """(n, last width) of a tensor (n, first width)."""
        bend = self._torch.relu if self.activation == "relu" else self._torch.tanh
        for k in range(self.layers):
            x = self._torch.nn.functional.linear(x, self.weights[f"{k}.weight"], self.weights[f"{k}.bias"])
            if self.bent or k + 1 < self.layers:
                x = bend(x)
        return x

    def values(self, x: Floats) -> Floats:
        """The same on arrays, without derivatives."""
        with self._torch.no_grad():
            return np.asarray(self.forward(self._torch.tensor(x)).numpy(), dtype=np.float32)

    def arrays(self) -> Arrays:
        """Copies of all weights."""
        return {k: w.detach().numpy().copy() for k, w in self.weights.items()}


class Optimiser:
    """Adam or gradient descent with momentum over named weights, `decay` added to the gradient as torch's own do."""

    def __init__(self, kind: Literal["adam", "sgd"], rate: float, momentum: float, decay: float) -> None:
        self._torch = load_torch()
        self.kind, self.rate, self.momentum, self.decay = kind, rate, momentum, decay
        self.steps = 0
        self.first: dict[str, Any] = {}
        self.second: dict[str, Any] = {}

    def step(self, weights: Mapping[str, Any], count: int) -> None:
        """One step along the gradients, which are sums over `count` rows; they are cleared."""
        self.steps += 1
        with self._torch.no_grad():
            for name, w in weights.items():
                g = w.grad / count + self.decay * w
                w.grad = None
                w -= self._adam(name, g) if self.kind == "adam" else self._descent(name, g)

    def _adam(self, name: str, g: Any) -> Any:
        zero = self._torch.zeros_like(g)
        m = self.first[name] = BETA1 * self.first.get(name, zero) + (1 - BETA1) * g
        v = self.second[name] = BETA2 * self.second.get(name, zero) + (1 - BETA2) * g * g
        fade, spread = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        return (self.rate / fade) * m / ((v / spread).sqrt() + EPSILON)

    def _descent(self, name: str, g: Any) -> Any:
        m = self.first[name] = self.momentum * self.first.get(name, self._torch.zeros_like(g)) + g
        return self.rate * m

    def state(self) -> dict[str, Any]:
        """For a checkpoint: `steps` and the averages by name, as arrays."""
        parts = {"first": self.first, "second": self.second}
        return {"steps": self.steps} | {
            f"{part}.{name}": v.numpy().copy() for part, found in parts.items() for name, v in found.items()
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        self.steps = int(state["steps"])
        for part, into in (("first.", self.first), ("second.", self.second)):
            for name in (k for k in state if k.startswith(part)):
                into[name.removeprefix(part)] = self._torch.tensor(np.asarray(state[name], dtype=np.float32))


def under(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with their names under `prefix.`."""
    return {f"{prefix}.{k}": v for k, v in values.items()}


def taken(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What `under` put there."""
    return {k.removeprefix(prefix + "."): v for k, v in values.items() if k.startswith(prefix + ".")}
