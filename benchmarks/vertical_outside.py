"""Boosting between real daemons on a table that stays in its files, beside the same job with the table in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rows import Row
from vertical_boost import PARTIES, about, boost, synthetic
from vertical_world import FEATURES, LABEL, Watched, daemons, spec, watch

ROWS, OWN, THEIRS, MEMORY_MB = 800_000, 3, 160, 100
STEP_MB = 16_384  # what the job in memory takes goes beyond the usual limit
PARAMS = {"depth": 2, "trees": 2}


def measure(files: dict[str, Path], memory_mb: int) -> Watched:
    with daemons(files, 2, memory_mb=memory_mb, step_memory_mb=STEP_MB) as (cluster, parley):
        return watch(cluster, parley, spec("outside", PARTIES, boost(PARAMS)))


def outside_rows() -> list[Row]:
    """Of the party with the wide table: the most that its daemon and a step hold, and the seconds of a tree."""
    with tempfile.TemporaryDirectory() as folder:
        files = synthetic(Path(folder), ROWS, OWN, THEIRS)
        near, far = measure(files, 0), measure(files, MEMORY_MB)
    table = ROWS * THEIRS * 8 / 2**20
    name = f"gbdt/vertical, {ROWS:,} x ({OWN} + {THEIRS}), memory_mb {MEMORY_MB}"
    beside: dict[str, Any] = {**about(far, PARAMS, 2), "in_memory": about(near, PARAMS, 2), "table_mb": round(table)}
    return [
        Row(
            f"{name}: peak of daemon and step",
            far.peak_mb[FEATURES],
            "MiB",
            table,
            "lower",
            {**beside, "yardstick": "the table as float64"},
        ),
        Row(
            f"{name}: a tree",
            far.per_unit("train", LABEL),
            "s a tree",
            near.per_unit("train", LABEL),
            "lower",
            {**beside, "yardstick": "the same with the table in memory"},
        ),
    ]
