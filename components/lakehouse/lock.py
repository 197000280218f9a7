"""One writer at a time on a folder, between processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parley.components.errors import DataError

_POLL_S = 0.02


@contextmanager
def exclusive(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the advisory lock file `path` (made with mode 0600) for the body.

    The kernel drops the lock when the process dies, so a crash leaves nothing to clean up.
    Raises DataError `busy` after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise DataError(
                        "busy",
                        f"another process has been writing to the warehouse for over {timeout_s:g} s",
                        "wait for the running import to end and try again",
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)
