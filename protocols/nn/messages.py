"""What travels while a network is trained or used: cut-layer values and derivatives as declared float32 arrays."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.protocols.kit import Message, array, message
from parley.wire.errors import ParleyError

Floats = NDArray[np.float32]
Rows = Annotated[Floats, array("n", "width", dtype="float32")]
LARGEST = 1e12  # beyond it nothing is being learnt, and squares overflow
CHUNK = 4096


def _plausible(values: Floats) -> None:
    if values.size and not (np.isfinite(values).all() and float(np.abs(values).max()) <= LARGEST):
        raise ValueError("a value is not finite, or too large")


@message("nn.split.meet/1")
class Meet(Message):
    """How many rows the label party aligned, learns from and watches."""

    count: int
    training: int
    watched: int


@message("nn.split.activations/1")
class Activations(Message):
    values: Rows

    def check(self) -> None:
        _plausible(self.values)


@message("nn.split.gradients/1")
class Gradients(Message):
    """Of each row's own loss, by that row's activations."""

    values: Rows

    def check(self) -> None:
        _plausible(self.values)


@message("nn.split.watched/1")
class Watched(Message):
    values: Rows

    def check(self) -> None:
        _plausible(self.values)


@message("nn.split.epoch_done/1")
class EpochDone(Message):
    """Whether another epoch comes, and how many epochs the model has that is best so far."""

    more: bool
    kept: int

    def check(self) -> None:
        if self.kept < 0:
            raise ValueError("a number of epochs below 0")


@message("nn.split.final/1")
class Final(Message):
    values: Rows

    def check(self) -> None:
        _plausible(self.values)


@message("nn.predict.activations/1")
class Scored(Message):
    values: Rows

    def check(self) -> None:
        _plausible(self.values)


def wrong(peer: str, what: str) -> ParleyError:
    """A peer who does not keep to the protocol."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
