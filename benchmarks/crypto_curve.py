"""Batch ristretto255 against libsodium's calls for the same, one core on either side, and two threads of ours.

libsodium is called through rbcl's ctypes door, which adds about a microsecond to a call of forty. Hashing to 64
bytes is in neither figure. The portable kernel is measured in a process of its own with PARLEY_CPU=baseline.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
import rbcl
from rows import Row

from parley.crypto import _native, curve

# Short turns of about the same length on both sides, and many: on a busy machine the fastest is one undisturbed.
ROWS = {"ifma": 512, "baseline": 512}
CALLS = {"ifma": 64, "baseline": 256}
ROUNDS = {"ifma": 80, "baseline": 25}
BARS = {"ifma": (8.0, 9.0), "baseline": (1.0, 1.0)}


def _fastest(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The fastest run of each, taking turns, so that a busy machine slows both."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for k, work in enumerate((ours, theirs)):
            start = time.perf_counter()
            work()
            best[k] = min(best[k], time.perf_counter() - start)
    return best[0], best[1]


def measured() -> list[Row]:
    """Both operations on the kernel that this process uses."""
    kernel = _native.ristretto_kernel()
    n, calls = ROWS[kernel], CALLS[kernel]
    uniform = np.random.default_rng(1).integers(0, 256, (n, 64), dtype=np.uint8)
    scalar = curve.random_scalar()
    k = curve._scalar(scalar)
    points, _ = _native.ristretto_map_multiply(uniform, curve._NO_SCALAR, 1)
    few = [(u.tobytes(), p.tobytes()) for u, p in zip(uniform[:calls], points, strict=False)]

    def their_multiply() -> None:
        for _, p in few:
            rbcl.crypto_scalarmult_ristretto255(scalar, p)

    def their_map() -> None:
        for u, _ in few:
            rbcl.crypto_scalarmult_ristretto255(scalar, rbcl.crypto_core_ristretto255_from_hash(u))

    work = [
        ("curve.multiply", lambda threads: _native.ristretto_multiply(points, k, threads), their_multiply),
        ("curve.map_multiply", lambda threads: _native.ristretto_map_multiply(uniform, k, threads), their_map),
    ]
    out = []
    for (name, ours, theirs), bar in zip(work, BARS[kernel], strict=True):
        for threads in (1, 2):
            mine, bare = _fastest(lambda ours=ours, threads=threads: ours(threads), theirs, ROUNDS[kernel])
            about = {"rows": n, "threads": threads, "kernel": kernel, "yardstick": "libsodium, one core"}
            label = f"{name}, {kernel}" + (", two threads" if threads == 2 else "")
            asked = bar if threads == 1 else None
            out.append(Row(label, n / mine, "points/s", calls / bare, "higher", about, asked))
    return out


def rows() -> list[Row]:
    """The CPU's own kernel, then the portable one."""
    own = measured()
    if _native.ristretto_kernel() == "baseline":
        return own
    env = {**os.environ, "PARLEY_CPU": "baseline"}
    done = subprocess.run([sys.executable, "-P", __file__], env=env, capture_output=True, timeout=300, check=True)
    names = [f.name for f in fields(Row) if f.init]
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return own + [Row(**{name: row[name] for name in names}) for row in listed]


if __name__ == "__main__":
    sys.stdout.write(json.dumps([{f.name: getattr(row, f.name) for f in fields(Row)} for row in measured()]))
