"""Memory for messages: what comes and goes many times a second should not be fetched from the system each time."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = 32 << 20  # glibc maps anything larger whatever is asked
KEPT = 256 << 20
LITTLE = 1 << 20


def keep_freed() -> bool:
    """Let this process serve buffers of up to 32 MiB from memory that it keeps, at most 256 MiB, once they were freed.

    Otherwise every larger buffer is mapped, cleared page by page, and unmapped. False where the C library knows no such
    setting; nothing changes then.
    """
    return _keep(LARGEST, KEPT)


def keep_little() -> bool:
    """Let this process give buffers of a MiB and more back at once: slower, and what it holds is what it uses."""
    return _keep(LITTLE, LITTLE)


def _keep(largest: int, kept: int) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(M_MMAP_THRESHOLD, largest)) and bool(mallopt(M_TRIM_THRESHOLD, kept))
