"""What each role of split training is sent, made from what it may learn: the rows shown at the cut, and little else.

`shown` holds for each (epoch, batch), or epoch, the numbers (n, w) that the role is declared to learn there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from simulators.envelopes import MadeUp

from parley.protocols.nn.messages import CHUNK, Activations, EpochDone, Final, Gradients, Meet, Watched

Shown = Mapping[tuple[int, int], np.ndarray]


def features_is_sent(counts: tuple[int, int, int], shown: Shown, bests: Sequence[int]) -> MadeUp:
    """`counts` are the rows aligned, learnt from, held out; `bests` the best number of epochs after each epoch."""
    out = MadeUp()
    out.one(Meet(*counts))
    for epoch, best in enumerate(bests):
        for (e, batch), values in shown.items():
            if e == epoch:
                out.one(Gradients(values), epoch=epoch, batch=batch)
        out.one(EpochDone(epoch + 1 < len(bests), best), epoch=epoch)
    return out


def label_is_sent(shown: Shown, watched: Sequence[np.ndarray], final: np.ndarray) -> MadeUp:
    """`watched` holds each epoch's rows held out."""
    out = MadeUp()
    for epoch, held in enumerate(watched):
        for (e, batch), values in shown.items():
            if e == epoch:
                out.one(Activations(values), epoch=epoch, batch=batch)
        out.stream(Watched, _chunks(Watched, held), epoch=epoch)
    out.stream(Final, _chunks(Final, final))
    return out


def _chunks(kind, values):
    return [kind(values[k : k + CHUNK]) for k in range(0, len(values), CHUNK)]
