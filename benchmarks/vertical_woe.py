"""Binning by evidence in one process, over the lattice, against its bar: all messages, no network."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
from rows import Row

from parley.crypto.threads import limited
from parley.protocols import registry
from parley.protocols.kit import StepInputs, run_local

LABEL, FEATURES = "bank", "bureau"


def tables(rows: int, columns: int, seed: int = 3) -> dict[str, StepInputs]:
    """Labels that a few of the other party's normal columns decide with noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.standard_normal(rows, dtype=np.float32) > 0.5).astype(np.int8)
    ids = pa.array(np.arange(rows, dtype=np.int64))
    align = {"align": {"rows": np.arange(rows, dtype=np.int64), "count": rows}}
    theirs = pa.table({"_row": ids, **{f"x{k}": x[:, k] for k in range(columns)}})
    return {LABEL: StepInputs(pa.table({"_row": ids, "y": y}), align), FEATURES: StepInputs(theirs, align)}


def once(inputs: dict[str, StepInputs], params: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds of one run and what it said."""
    begun = time.perf_counter()
    run = run_local(
        registry.load("stats/woe"), {"label": LABEL, "features": [FEATURES]}, inputs, {"label": "y", **params}
    )
    spent = time.perf_counter() - begun
    assert len(run[LABEL].result["binning"]) > 0
    sent = {p: sum(e.bytes for e in entries) for p, entries in run.egress.items()}
    return spent, {"mb": {p: round(b / 1e6, 1) for p, b in sent.items()}}


def woe_rows() -> list[Row]:
    """100,000 rows x 300 columns of the other party: seconds against the bar's 6."""
    inputs, out = tables(100_000, 300), []
    for method in ("quantile", "chi_square", "optimal"):
        with limited(2):
            spent, beside = min((once(inputs, {"method": method}) for _ in range(2)), key=lambda r: r[0])
        about = {"method": method, **beside, "yardstick": "the bar"}
        out.append(Row(f"stats/woe, 100,000 x 300, {method}", spent, "s", 6.0, "lower", about, 1))
    return out
