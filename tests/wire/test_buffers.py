"""Freed buffers stay with the process: later ones of their size fault in no page."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from parley.wire.buffers import keep_freed
kept = keep_freed() if sys.argv[1] == "kept" else None
def some():
    buffers = [b"x" * (4 << 20) for _ in range(12)]
some()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    some()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[str, int]:
    command = [sys.executable, "-c", SCRIPT, how]
    kept, count = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    return kept, int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the setting is glibc's")
def test_buffers_are_served_from_memory_that_is_kept():
    (kept, few), (_, many) = faults("kept"), faults("as it comes")
    assert kept == "True"
    assert many > 10_000, "without the setting every buffer is fetched anew, or this shows nothing"
    assert few < many / 20
