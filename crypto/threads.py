"""How many threads a native call of this room may use.

Guarantee: `limit()` is what the innermost `limited(n)` around the call says, else the machine's processors up to
eight; results do not depend on it. Not guaranteed: that a call uses as many (small batches use fewer). The setting
belongs to the context it is made in (`contextvars`): a thread that is started inside begins with the default unless
it is given a copy of that context.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from parley.crypto.errors import CryptoError

MOST: Final = 256
_limit: ContextVar[int | None] = ContextVar("parley.crypto.threads", default=None)


def limit() -> int:
    """Threads for a native call made here and now, 1 to 256."""
    chosen = _limit.get(None)
    return min(8, os.cpu_count() or 1) if chosen is None else chosen


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Native calls inside use at most this many threads, 1 to 256; CryptoError "bad_range" otherwise."""
    if not 1 <= threads <= MOST:
        raise CryptoError("bad_range", f"from 1 to {MOST} threads")
    token = _limit.set(threads)
    try:
        yield
    finally:
        _limit.reset(token)
