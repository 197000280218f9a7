"""The messages of vertical linear models."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe import inner
from parley.protocols.kit import Message, array, message

Words = NDArray[np.uint64]
Raw = NDArray[np.uint8]


@message("linear.vertical.shape/1")
class Shape(Message):
    training: int
    validation: int
    columns: int

    def check(self) -> None:
        if self.training < 1 or self.validation < 0 or self.columns < 0:
            raise ValueError("there are rows to train on")


@message("linear.vertical.key/1")
class Key(Message):
    public: Annotated[Raw, array(inner.SEED + inner.POLYNOMIAL, dtype="uint8")]


@message("linear.vertical.share/1")
class Share(Message):
    words: Annotated[Words, array("n", dtype="uint64")]


@message("linear.vertical.vectors/1")
class Vectors(Message):
    seed: Annotated[Raw, array(inner.SEED, dtype="uint8")]
    ciphertexts: Annotated[Raw, array("n", inner.POLYNOMIAL, dtype="uint8")]


@message("linear.vertical.answer/1")
class Answer(Message):
    sums: Annotated[Raw, array("groups", "size", dtype="uint8")]


@message("linear.vertical.opened/1")
class Opened(Message):
    sums: Annotated[Words, array("columns", dtype="uint64")]


@message("linear.vertical.epoch_done/1")
class EpochDone(Message):
    more: bool
    best: bool
