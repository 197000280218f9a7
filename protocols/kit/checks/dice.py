"""Choices that repeat, for planted faults: fast and only nearly uniform, which is all that they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from parley.crypto.prg import Keystream

T = TypeVar("T")
BLOCK = 4096


class Dice:
    """Numbers that follow from a name."""

    def __init__(self, name: str) -> None:
        self._stream = Keystream(bytes(32), name.encode())
        self._words: list[int] = []

    def below(self, n: int) -> int:
        """In 0 .. n-1."""
        if not self._words:
            self._words = np.frombuffer(self._stream.bytes(8 * BLOCK), dtype="<u8").tolist()
        return self._words.pop() % n

    def one(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def bytes(self, n: int) -> bytes:
        return self._stream.bytes(n)
