"""The label party's part of split training: the layers behind the cut, the losses, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.components.training.gbdt import EarlyStopping
from parley.components.training.nn_loss import Loss
from parley.components.training.nn_mlp import Arrays, Network, initial, load_torch, taken, under
from parley.protocols.inputs import together, told
from parley.protocols.kit import Session
from parley.protocols.nn.data import Data, Ints, batches
from parley.protocols.nn.exchange import leaving, rows_from
from parley.protocols.nn.features_side import first_weights, optimiser, parties_in_order
from parley.protocols.nn.leakage import Seen, truth_of
from parley.protocols.nn.messages import Activations, EpochDone, Final, Gradients, Meet, Watched
from parley.protocols.nn.params import Params
from parley.protocols.nn.split import SPLIT

Floats = NDArray[np.float32]
Given = dict[str, Floats]
M = TypeVar("M", Watched, Final)


@dataclass(frozen=True)
class Trained:
    """The label party's outcome: its layers (`own.*` where it has columns, `top.*`), the loss with its scales, every
    row's outputs (n, K), the losses watched, how many epochs the model has, and what was told."""

    arrays: Arrays = field(repr=False)
    loss: Loss
    outputs: Floats = field(repr=False)
    losses: list[float] = field(repr=False)
    kept: int
    seen: Seen = field(repr=False)


def join(own: Network | None, x: Floats, given: Mapping[str, Floats], order: tuple[str, ...]) -> Floats:
    """(n, all widths) of what stands at the cut, the label party's own numbers first."""
    parts = [] if own is None else [own.values(x)]
    return np.concatenate([*parts, *(given[p] for p in order if p in given)], axis=1)


class Learner:
    """All that lasts from batch to batch at the label party."""

    def __init__(self, s: Session, data: Data) -> None:
        assert data.y is not None
        p, self.order = s.params, parties_in_order(s)
        self.params, self.data = p, data
        with told():
            self.loss = Loss.of(p.objective, p.outputs, data.y[data.training])
            self.loss.check(data.y[data.watched])
        self.targets = self.loss.targets(data.y)
        arrays = _first_arrays(s, data.x.shape[1])
        self._load(arrays)
        self.best, self.steps = arrays, optimiser(p)
        self.stopping, self.losses = EarlyStopping(p.early_stopping), list[float]()
        self.seen = Seen(truth_of(data.y, p.objective), {q: p.width(q) for q in s.cast["features"]})
        self._running = 0.0

    def _load(self, arrays: Mapping[str, Floats]) -> None:
        own, bend = taken("own", arrays), self.params.activation
        self.own = Network(own, bend, bent=True) if own else None
        self.top = Network(taken("top", arrays), bend, bent=False)

    def arrays(self) -> Arrays:
        return {**under("own", self.own.arrays() if self.own else {}), **under("top", self.top.arrays())}

    def batch(self, s: Session, rows: Ints, given: Given) -> Given:
        """One step along this batch; returns what each features party is told, (n, w) each."""
        torch, p = load_torch(), self.params
        leaves = {q: torch.tensor(v, requires_grad=True) for q, v in given.items()}
        own = [] if self.own is None else [self.own.forward(torch.tensor(self.data.x[rows]))]
        joined = torch.cat([*own, *(leaves[q] for q in self.order if q in leaves)], dim=1)
        total = self.loss.total(self.top.forward(joined), torch.tensor(self.targets[rows]))
        total.backward()
        self._running += float(total.detach())
        self.steps.step(self._weights(), rows.size)
        out = {
            q: leaving(v.grad.numpy().astype(np.float32), s, cut=p.cut, clip=p.clip_gradient, noise=p.noise)
            for q, v in leaves.items()
        }
        self.seen.told(rows, out)
        return out

    def _weights(self) -> dict[str, Any]:
        return {**under("own", self.own.weights if self.own else {}), **under("top", self.top.weights)}

    def end_epoch(self, epoch: int, given: Given) -> EpochDone:
        """Note the loss of the rows held out, or of the training rows on their way, and say how it goes on."""
        rows = self.data.watched
        if rows.size:
            outputs = self.top.values(join(self.own, self.data.x[rows], given, self.order))
            loss = self.loss.mean_of(outputs, self.targets[rows])
        else:
            loss = self._running / self.data.training.size
        self._running = 0.0
        self.losses.append(loss)
        with told():
            stop = self.stopping.update(epoch, loss)
        kept = self.stopping.best_round + 1 if self.stopping.patience else epoch + 1
        if kept == epoch + 1:
            self.best = self.arrays()
        self.seen.end_epoch()
        return EpochDone(not stop and epoch + 1 < self.params.epochs, kept)

    def outcome(self, given: Given, kept: int) -> Trained:
        self._load(self.best)
        outputs = self.top.values(join(self.own, self.data.x, given, self.order))
        return Trained(self.best, self.loss, outputs, self.losses, kept, self.seen)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            **under("now", self.arrays()),
            **under("best", self.best),
            **under("steps", self.steps.state()),
            **self.seen.state(),
            "losses": np.array(self.losses),
            "best_loss": float(self.stopping.best),
            "best_epoch": self.stopping.best_round,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        self._load(taken("now", state))
        self.best = {k: np.array(v) for k, v in taken("best", state).items()}
        self.steps.resume(taken("steps", state))
        self.seen.resume(state)
        self.losses = np.asarray(state["losses"]).tolist()
        self.stopping.best, self.stopping.best_round = float(state["best_loss"]), int(state["best_epoch"])


def _first_arrays(s: Session, inputs: int) -> Arrays:
    p: Params = s.params
    own = first_weights(s, s.me, inputs) if inputs else {}
    width = sum(p.width(q) for q in parties_in_order(s) if q != s.me or inputs)
    top = initial([width, *p.top, p.outputs], s.at(party=len(parties_in_order(s))).coins.uniform)
    return {**under("own", own), **under("top", top)}


@SPLIT.role("label")
async def label(s: Session, data: Data) -> Trained:
    peers, p = s.peers("features"), s.params
    hello = Meet(len(data.part), int(data.training.size), int(data.watched.size))
    await together(*(s.send(q, hello) for q in peers))
    learner, epoch = await s.compute(Learner, s, data), 0
    if s.resumed is not None:
        epoch = s.resumed[0]
        await s.compute(learner.resume, s.resumed[1])
    done = EpochDone(True, 0)
    while done.more:
        here = s.at(epoch=epoch)
        for k, rows in enumerate(batches(s, data.training, epoch)):
            await _batch(here.at(batch=k), learner, rows)
        given = await _streams(here, Watched, data.watched.size) if data.watched.size else {}
        done = await s.compute(learner.end_epoch, epoch, given)
        await together(*(here.send(q, done) for q in peers))
        epoch += 1
        s.progress(epoch, p.epochs, "training")
        if done.more:
            await s.checkpoint(epoch, learner.state())
    given = await _streams(s, Final, len(data.part))
    return await s.compute(learner.outcome, given, done.kept)


async def _batch(s: Session, learner: Learner, rows: Ints) -> None:
    peers = s.peers("features")
    messages = await together(*(s.recv(q, Activations, n=rows.size, width=s.params.width(q)) for q in peers))
    given = {q: m.values for q, m in zip(peers, messages, strict=True)}
    gradients = await s.compute(learner.batch, s, rows, given)
    await together(*(s.send(q, Gradients(gradients[q])) for q in peers))


async def _streams(s: Session, kind: type[M], rows: int) -> Given:
    peers = s.peers("features")
    found = await together(*(rows_from(s, q, kind, rows, s.params.width(q)) for q in peers))
    return dict(zip(peers, found, strict=True))
