"""Split training's network in one place, on torch's own modules and optimisers; nothing of ours is used.

Tables joined, one module per party's columns and one behind them, in the batches and from the weights that are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn


def stack(arrays: Mapping[str, np.ndarray], bend: type[nn.Module], last: bool) -> nn.Sequential:
    parts: list[nn.Module] = []
    count = len(arrays) // 2
    for k in range(count):
        weight = torch.from_numpy(arrays[f"{k}.weight"].copy())
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(torch.from_numpy(arrays[f"{k}.bias"].copy()))
        parts.append(layer)
        if last or k + 1 < count:
            parts.append(bend())
    return nn.Sequential(*parts)


class Joined(nn.Module):
    def __init__(self, bottoms: Sequence[nn.Module], top: nn.Module, cuts: Sequence[int]) -> None:
        super().__init__()
        self.bottoms, self.top, self.cuts = nn.ModuleList(bottoms), top, list(cuts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pieces = torch.split(x, self.cuts, dim=1)
        return self.top(torch.cat([b(p) for b, p in zip(self.bottoms, pieces, strict=True)], dim=1))


def trained(
    xs: Sequence[np.ndarray],
    y: np.ndarray,
    bottoms: Sequence[Mapping[str, np.ndarray]],
    top: Mapping[str, np.ndarray],
    epochs: Sequence[Sequence[np.ndarray]],
    *,
    kind: str,
    activation: str,
    optimiser: str,
    rate: float,
    momentum: float = 0.0,
    decay: float = 0.0,
) -> np.ndarray:
    """(n, K) outputs of all rows after the given batches; `y` are class numbers, 0/1, or standardised numbers."""
    torch.set_num_threads(1)
    bend = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    net = Joined([stack(b, bend, True) for b in bottoms], stack(top, bend, False), [x.shape[1] for x in xs])
    if optimiser == "adam":
        steps: torch.optim.Optimizer = torch.optim.Adam(net.parameters(), lr=rate, weight_decay=decay)
    else:
        steps = torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum, weight_decay=decay)
    x = torch.from_numpy(np.concatenate(xs, axis=1).astype(np.float32))
    target = torch.from_numpy(y.astype(np.int64 if kind == "multi" else np.float32))
    for batches in epochs:
        for rows in batches:
            at = torch.from_numpy(rows)
            out = net(x[at])
            if kind == "multi":
                loss = nn.CrossEntropyLoss()(out, target[at])
            elif kind == "binary":
                loss = nn.BCEWithLogitsLoss()(out.squeeze(1), target[at])
            else:
                loss = nn.MSELoss()(out.squeeze(1), target[at]) / 2
            steps.zero_grad()
            loss.backward()
            steps.step()
    with torch.no_grad():
        return net(x).numpy()
