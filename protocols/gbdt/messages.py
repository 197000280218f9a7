"""The messages of vertical boosting; who sends which to whom, and what they disclose, stands with the protocol."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.components.training.growing import CLOSED
from parley.protocols.kit import Message, array, message
from parley.wire.errors import ParleyError

NAME_BYTES = 256
CHUNK = 4096  # rows of one message of gradients
Ciphers = Annotated[NDArray[np.uint8], array("n", "size", dtype="uint8")]


@message("gbdt.vertical.key/2")
class Key(Message):
    public: bytes
    count: int
    outputs: int
    sharing: int


@message("gbdt.vertical.shape/2")
class Shape(Message):
    n_bins: Annotated[NDArray[np.uint32], array("features", dtype="uint32")]
    categorical: Annotated[NDArray[np.uint8], array("features", dtype="uint8")]
    monotone: Annotated[NDArray[np.int8], array("features", dtype="int8")]

    def check(self) -> None:
        if self.n_bins.size == 0 or int(self.n_bins.min()) < 2 or np.any(self.categorical > 1):
            raise ValueError("a features party needs features of at least two bins each")
        if not np.isin(self.monotone, (-1, 0, 1)).all() or np.any(self.monotone[self.categorical == 1]):
            raise ValueError("a direction is rising, falling or none, and categories have none")


@message("gbdt.vertical.names/1")
class Names(Message):
    names: list[str]

    def check(self) -> None:
        if any(type(n) is not str or len(n.encode()) > NAME_BYTES for n in self.names):
            raise ValueError(f"column names are texts of at most {NAME_BYTES} bytes")


@message("gbdt.vertical.sampled/1")
class Sampled(Message):
    bits: Annotated[NDArray[np.uint8], array("bytes", dtype="uint8")]


@message("gbdt.vertical.gradients/1")
class Gradients(Message):
    ciphertexts: Ciphers


@message("gbdt.vertical.level/1")
class Level(Message):
    slot: Annotated[NDArray[np.uint16], array("n", dtype="uint16")]
    build: Annotated[NDArray[np.uint16], array("b", dtype="uint16")]

    def check(self) -> None:
        wanted = np.unique(self.build)
        if wanted.size != self.build.size or CLOSED in wanted or not np.isin(wanted, self.slot).all():
            raise ValueError("a node to sum up has no rows or is named twice")


@message("gbdt.vertical.asked/1")
class Asked(Message):
    nodes: int


@message("gbdt.vertical.node_gradients/1")
class NodeGradients(Message):
    ciphertexts: Ciphers


@message("gbdt.vertical.histograms/1")
class Histograms(Message):
    sums: Ciphers
    count: int


@message("gbdt.vertical.chosen/1")
class Chosen(Message):
    slot: Annotated[NDArray[np.uint16], array("splits", dtype="uint16")]
    node: Annotated[NDArray[np.uint32], array("splits", dtype="uint32")]
    feature: Annotated[NDArray[np.uint32], array("splits", dtype="uint32")]
    left: Annotated[NDArray[np.uint8], array("splits", "bins", dtype="uint8")]

    def check(self) -> None:
        if np.any(self.left > 1) or np.unique(self.slot).size != self.slot.size:
            raise ValueError("a split is not a choice of bins, or a node is split twice")


@message("gbdt.vertical.directions/1")
class Directions(Message):
    bits: Annotated[NDArray[np.uint8], array("bytes", dtype="uint8")]


@message("gbdt.vertical.sides/1")
class Sides(Message):
    bits: Annotated[NDArray[np.uint8], array("splits", "bytes", dtype="uint8")]


@message("gbdt.vertical.tree_done/1")
class TreeDone(Message):
    more: bool
    kept: int


def wrong(peer: str, what: str) -> ParleyError:
    """What a peer did that the protocol does not allow, by name."""
    return ParleyError("protocol_violation", f"{peer} {what}.", "Compare software versions.", party=peer)
