"""Randomness that repeats, and a pool without threads: for tests only, handed in through `Setting`.

Nothing of the product can name these. A run whose every role has a `Seeded` source is the same run each time, as long
as the protocol draws from `s.rng` alone (Paillier's keys and nonces come straight from the operating system).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from parley.crypto.prg import Keystream, Rng


class Seeded(Rng):
    """An `Rng` whose bytes follow from a seed; it notes the scalars and orders that were drawn from it."""

    __slots__ = ("orders", "scalars", "seed", "stream")

    def __init__(self, *seed: object) -> None:
        self.seed = seed
        self.stream = Keystream(bytes(32), repr(seed).encode())
        self.scalars: list[int] = []
        self.orders: list[np.ndarray] = []

    def bytes(self, n: int) -> bytes:
        return self.stream.bytes(n)

    def scalar_below(self, q: int) -> int:
        self.scalars.append(super().scalar_below(q))
        return self.scalars[-1]

    def permutation(self, n: int) -> np.ndarray:
        self.orders.append(super().permutation(n))
        return self.orders[-1]


class Unshuffled(Seeded):
    """Planted: keys as ever, but every order left as it was."""

    def permutation(self, n: int) -> np.ndarray:
        self.orders.append(np.arange(n, dtype=np.int64))
        return self.orders[-1]


class Unblinded(Seeded):
    """Planted: orders as ever, but every key is 1, so that nothing is blinded."""

    def scalar_below(self, q: int) -> int:
        self.scalars.append(0)
        return 0


class Inline(Executor):
    """Runs what it is given at once, in the caller: thousands of tiny runs would pay more for the threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as e:
            done.set_exception(e)
        return done
