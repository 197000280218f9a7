"""A features party's part of split training: values forward, derivatives back, and its own layers kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley.components.training.nn_mlp import Arrays, Network, Optimiser, initial, load_torch, taken, under
from parley.protocols.kit import Session
from parley.protocols.nn.data import Data, batches
from parley.protocols.nn.exchange import leaving, send_rows
from parley.protocols.nn.messages import Activations, EpochDone, Final, Gradients, Meet, Watched, wrong
from parley.protocols.nn.params import Params
from parley.protocols.nn.split import SPLIT

Floats = NDArray[np.float32]


def parties_in_order(s: Session) -> tuple[str, ...]:
    """Label first, then features in the job's order: the order of what stands at the cut."""
    return (*s.cast["label"], *s.cast["features"])


def first_weights(s: Session, party: str, inputs: int) -> Arrays:
    """A party's own layers as the coins make them."""
    place = parties_in_order(s).index(party)
    return initial([inputs, *s.params.layers(party)], s.at(party=place).coins.uniform)


def optimiser(p: Params) -> Optimiser:
    return Optimiser(p.optimiser, p.learning_rate, p.momentum, p.weight_decay)


@dataclass
class Bottom:
    """A party's own layers while they are trained; `best` are those of the best epoch so far."""

    net: Network
    steps: Optimiser
    best: Arrays = field(repr=False)
    _last: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, s: Session, x: Floats) -> Bottom:
        arrays = first_weights(s, s.me, x.shape[1])
        return cls(Network(arrays, s.params.activation, bent=True), optimiser(s.params), arrays)

    def forward(self, x: Floats) -> Floats:
        """(n, w) of a batch (n, F), which `back` goes on from."""
        self._last = self.net.forward(load_torch().tensor(x))
        return np.asarray(self._last.detach().numpy())

    def back(self, gradients: Floats) -> None:
        """One step along the derivatives (n, w) of the rows' losses."""
        self._last.backward(load_torch().tensor(gradients))
        self.steps.step(self.net.weights, len(gradients))

    def state(self) -> dict[str, Any]:
        return {
            **under("now", self.net.arrays()),
            **under("best", self.best),
            **under("steps", self.steps.state()),
        }

    def resume(self, state: Mapping[str, Any], p: Params) -> None:
        self.net = Network(taken("now", state), p.activation, bent=True)
        self.best = {k: np.array(v) for k, v in taken("best", state).items()}
        self.steps.resume(taken("steps", state))


@SPLIT.role("features")
async def features(s: Session, data: Data) -> Arrays:
    """This party's layers of the kept model."""
    boss, p = s.peer("label"), s.params
    await _meet_label(s, boss, data)
    bottom, epoch = await s.compute(Bottom.of, s, data.x), 0
    if s.resumed is not None:
        epoch = s.resumed[0]
        await s.compute(bottom.resume, s.resumed[1], p)
    done, cut = EpochDone(True, 0), {"cut": p.cut, "clip": p.clip, "noise": p.noise}
    while done.more:
        here = s.at(epoch=epoch)
        for k, rows in enumerate(batches(s, data.training, epoch)):
            await _batch(here.at(batch=k), boss, bottom, data.x[rows])
        if data.watched.size:
            await send_rows(here, boss, Watched, bottom.net, data.x[data.watched], **cut)
        done = await here.recv(boss, EpochDone)
        epoch += 1
        if done.kept > epoch or (done.more and epoch == p.epochs):
            raise wrong(boss, "counted more epochs than there are")
        if done.kept == epoch:
            bottom.best = bottom.net.arrays()
        s.progress(epoch, p.epochs, "training")
        if done.more:
            await s.checkpoint(epoch, bottom.state())
    kept = Network(bottom.best, p.activation, bent=True)
    await send_rows(s, boss, Final, kept, data.x, **cut)
    return bottom.best


async def _batch(s: Session, boss: str, bottom: Bottom, x: Floats) -> None:
    values = await s.compute(_forward, s, bottom, x)
    await s.send(boss, Activations(values))
    message = await s.recv(boss, Gradients, n=len(x), width=values.shape[1])
    await s.compute(bottom.back, message.values)


def _forward(s: Session, bottom: Bottom, x: Floats) -> Floats:
    return leaving(bottom.forward(x), s, cut=s.params.cut, clip=s.params.clip, noise=s.params.noise)


async def _meet_label(s: Session, boss: str, data: Data) -> None:
    hello = await s.recv(boss, Meet)
    if (hello.count, hello.training, hello.watched) != (len(data.part), data.training.size, data.watched.size):
        raise wrong(boss, "has other aligned rows, or divides them in another way")
