"""Objects that hold secret arrays: they show nothing, are not serialised, and overwrite what they hold when closed.

Guarantee: after `close` (or the end of a `with` block) every array that was handed to `_keep` is zero, and using the
object raises CryptoError "closed". Not guaranteed: copies that the interpreter, numpy or the caller made elsewhere.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.errors import CryptoError


def wipe(*arrays: NDArray[Any]) -> None:
    """Overwrite contiguous, writable arrays with zeros."""
    for array in arrays:
        if array.size:
            _native.wipe(array.view(np.uint8).reshape(-1))


class Handle:
    """Base of every object with secrets in it."""

    def __init__(self) -> None:
        self._secrets: list[NDArray[Any]] = []
        self._closed = False

    def _keep(self, array: NDArray[Any]) -> NDArray[Any]:
        self._secrets.append(array)
        return array

    def _forget(self, array: NDArray[Any]) -> None:
        """Overwrite a secret before the rest."""
        wipe(array)
        self._secrets = [held for held in self._secrets if held is not array]

    def _open(self) -> None:
        if self._closed:
            raise CryptoError("closed", "this object has been closed and holds nothing any more")

    def close(self) -> None:
        """Overwrite and forget every secret; more than once is harmless."""
        wipe(*self._secrets)
        self._secrets.clear()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'closed' if self._closed else 'secret'})"

    def __reduce__(self) -> NoReturn:
        raise CryptoError("secret_key", "an object that holds secrets is not serialised")
