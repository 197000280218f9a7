"""The messages of scoring without paths; who sends which to whom, and what they disclose, stands with the protocol."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from parley.protocols.kit import Message, array, message

Ciphers = Annotated[NDArray[np.uint8], array("n", "size", dtype="uint8")]
MAX_OUTPUTS = 100


@message("gbdt.score.held/1")
class Held(Message):
    tree: Annotated[NDArray[np.uint32], array("splits", dtype="uint32")]
    node: Annotated[NDArray[np.uint32], array("splits", dtype="uint32")]


@message("gbdt.score.key/1")
class Key(Message):
    public: bytes
    count: int
    terms: int
    outputs: int

    def check(self) -> None:
        if self.count < 0 or self.terms < 0 or not 1 <= self.outputs <= MAX_OUTPUTS:
            raise ValueError("a model has terms, and one output or one for each class")


@message("gbdt.score.conditions/1")
class Conditions(Message):
    output: Annotated[NDArray[np.uint16], array("terms", dtype="uint16")]
    term: Annotated[NDArray[np.uint32], array("conditions", dtype="uint32")]
    tree: Annotated[NDArray[np.uint32], array("conditions", dtype="uint32")]
    node: Annotated[NDArray[np.uint32], array("conditions", dtype="uint32")]
    left: Annotated[NDArray[np.uint8], array("conditions", dtype="uint8")]

    def check(self) -> None:
        rising = self.term.size == 0 or (bool(np.all(np.diff(self.term.astype(np.int64)) >= 0)))
        if not rising or np.any(self.term >= self.output.size) or np.any(self.left > 1):
            raise ValueError("conditions belong to terms, in their order")


@message("gbdt.score.entries/1")
class Entries(Message):
    ciphertexts: Ciphers


@message("gbdt.score.passed/1")
class Passed(Message):
    ciphertexts: Ciphers


@message("gbdt.score.sums/1")
class Sums(Message):
    sums: Ciphers
    count: int
