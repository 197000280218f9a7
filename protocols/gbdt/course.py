"""What lasts from round to round: scores, trees and early stopping at the label party; splits at a features party."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley.components.features.spec import BinSpec
from parley.components.training.gbdt import EarlyStopping, validation_loss
from parley.components.training.objectives import Objective
from parley.components.training.trees import Model, Tree
from parley.protocols.gbdt.data import LabelData

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Begun:
    """What the label party goes on from: an earlier model, and its raw scores (n, K) of the same rows."""

    model: Model
    raw: Floats = field(repr=False)


@dataclass
class Course:
    """The label party's training so far: raw scores (n, K) of all rows, rounds of trees, the losses watched."""

    objective: Objective
    data: LabelData
    base: Floats
    raw: Floats = field(repr=False)
    stopping: EarlyStopping
    best_raw: Floats = field(repr=False)
    first: int = 0  # rounds of an earlier training that this one goes on from
    rounds: list[tuple[Tree, ...]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list, repr=False)

    @classmethod
    def begin(cls, objective: Objective, data: LabelData, patience: int, before: Begun | None = None) -> Course:
        """The start scores; DataError "bad_labels", "one_class", "no_rows" for labels that cannot be learnt, and
        "bad_weights"."""
        objective.labels(data.y)
        if before is not None:
            return cls._after(objective, data, patience, before)
        training = data.part.training
        weights, offset = (None if x is None else x[training] for x in (data.weights, data.offset))
        base = objective.base_score(objective.labels(data.y[training]), weights, offset)
        raw = np.tile(base, (data.y.size, 1))
        if data.offset is not None:
            raw += data.offset[:, None]
        return cls(objective, data, base, raw, EarlyStopping(patience), raw.copy())

    @classmethod
    def _after(cls, objective: Objective, data: LabelData, patience: int, before: Begun) -> Course:
        raw, first = before.raw.copy(), len(before.model.rounds)
        stopping = EarlyStopping(patience, best_round=first - 1)
        out = cls(
            objective, data, np.array(before.model.base_score), raw, stopping, raw.copy(), first, [*before.model.rounds]
        )
        stopping.best = out._loss()
        return out

    def derivatives(self) -> tuple[Floats, Floats]:
        """g and h, (n, K) each, at the scores so far."""
        return self.objective.gradients(self.data.y, self.raw, self.data.weights, self.data.groups)

    def end_round(self, trees: tuple[Tree, ...], planned: int) -> bool:
        """Note a round whose scores are in `raw`; True when it was the last."""
        loss = self._loss()
        index = len(self.rounds)
        self.rounds.append(trees)
        self.losses.append(loss)
        stop = self.stopping.update(index, loss)
        if self.stopping.best_round == index:
            self.best_raw = self.raw.copy()
        return stop or len(self.rounds) - self.first == planned

    def _loss(self) -> float:
        watched = self.data.part.watched
        weights = None if self.data.weights is None else self.data.weights[watched]
        groups = None if self.data.groups is None else self.data.groups[watched]
        return validation_loss(self.objective, self.data.y[watched], self.raw[watched], weights, groups)

    @property
    def kept(self) -> int:
        """How many rounds the model keeps: up to the best one with early stopping, else all."""
        return self.stopping.best_round + 1 if self.stopping.patience else len(self.rounds)

    def model(self, spec: BinSpec) -> Model:
        return Model(self.objective, spec, tuple(self.base.tolist()), tuple(self.rounds[: self.kept]))

    def scores(self) -> Floats:
        """(n, K) raw scores of the kept model for every row."""
        return self.best_raw if self.stopping.patience else self.raw

    def state(self, spec: BinSpec) -> dict[str, Any]:
        """For a checkpoint."""
        whole = Model(self.objective, spec, tuple(self.base.tolist()), tuple(self.rounds))
        return {
            "model": json.dumps(whole.to_dict()),
            "raw": self.raw.copy(),
            "best_raw": self.best_raw.copy(),
            "losses": np.array(self.losses),
            "best": float(self.stopping.best),
            "best_round": self.stopping.best_round,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same job; DataError "bad_model" when it is not one."""
        model = Model.from_dict(json.loads(state["model"]))
        self.rounds = list(model.rounds)
        self.base = np.array(model.base_score)
        self.raw, self.best_raw = np.array(state["raw"]), np.array(state["best_raw"])
        self.losses = np.asarray(state["losses"]).tolist()
        self.stopping.best, self.stopping.best_round = float(state["best"]), int(state["best_round"])


@dataclass
class Splits:
    """A features party's part of the model: for each of its splits tree, node, feature, and left bins (s, B)."""

    tree: list[int] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    left: list[NDArray[np.uint8]] = field(default_factory=list, repr=False)

    def add(self, tree: int, nodes: NDArray[Any], features: NDArray[Any], left: NDArray[np.uint8]) -> None:
        self.tree += [tree] * len(nodes)
        self.node += nodes.tolist()
        self.feature += features.tolist()
        self.left += list(left)

    def state(self, width: int, below_tree: int | None = None) -> dict[str, Any]:
        """As arrays, for the vault; only of trees below a number when it is given."""
        tree = np.array(self.tree, dtype=np.int64)
        keep = np.flatnonzero(tree < below_tree) if below_tree is not None else np.arange(tree.size)
        left = np.array(self.left, dtype=np.uint8).reshape(tree.size, width)
        return {
            "tree": tree[keep],
            "node": np.array(self.node, dtype=np.int64)[keep],
            "feature": np.array(self.feature, dtype=np.int64)[keep],
            "left": left[keep],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Splits:
        tree, node, feature = (np.asarray(state[k]).tolist() for k in ("tree", "node", "feature"))
        return cls(tree, node, feature, list(np.asarray(state["left"])))
