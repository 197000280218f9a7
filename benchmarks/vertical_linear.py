"""Logistic regression between real daemons: an epoch over default_credit at once, and one in batches of 1,000."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rows import Row
from vertical_boost import ALIGN, DATA, PARTIES, credit
from vertical_world import FEATURES, LABEL, Watched, daemons, spec, watch

from parley.crypto.ahe import inner

BAR = 4.0  # seconds an epoch


def logistic(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "align": ALIGN,
        "train": {
            "uses": "linear/vertical",
            "needs": ["align"],
            "roles": {"label": LABEL, "features": [FEATURES]},
            "with": {"label": "y", "id": "id", **params},
        },
    }


def kernel_seconds(rows: int, vectors: int, columns: int) -> float:
    """Bare seconds of one product, both sides' work and nothing else, one after the other."""
    shape, rng = inner.shape(rows, vectors, columns), np.random.default_rng(0)
    key = inner.InnerSecretKey()
    values = rng.integers(0, 1 << 64, (vectors, rows), dtype=np.uint64)
    factors = rng.integers(-(1 << 18), 1 << 18, (1, rows, columns))
    begun = time.perf_counter()
    sums = inner.InnerSums(key.public, shape)
    for k in range(vectors):
        sums.add(*key.encrypt(values[k : k + 1], shape), factors)
    key.decrypt(sums.release(np.zeros(columns, dtype=np.uint64)), shape)
    return time.perf_counter() - begun


def about(seen: Watched, params: dict[str, Any], epochs: int) -> dict[str, Any]:
    """What stands beside a row: parameters, loss, bytes, memory."""
    result = next(iter(seen.results["train"].values()))
    return {
        **params,
        "encryption": f"ring-LWE N = {inner.N}, log q = {16 * inner.LIMBS}",
        "rows": result["rows"],
        "losses": [round(x, 5) for x in result["losses"]],
        "mb_per_epoch": round(seen.sent("train") / epochs / 1e6, 1),
        "peak_mb": {p: round(m) for p, m in seen.peak_mb.items()},
        "job_s": round(seen.seconds, 2),
        "train_s": round(seen.step_seconds("train"), 2),
    }


def linear_rows() -> list[Row]:
    """Seconds an epoch at once against the bar and against the bare kernels; in batches beside it."""
    if not (DATA / "default_credit_hetero_guest.csv").is_file():
        print("no default_credit here: logistic regression is left out")
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = credit(Path(folder))
        bare = kernel_seconds(30_000, 48, 15) + kernel_seconds(30_000, 49, 10)
        for name, batch, epochs in (("full batch", 0, 4), ("batches of 1,000", 1000, 1)):
            params = {"batch": batch, "epochs": epochs}
            with daemons(files, 2) as (cluster, parley):
                seen = watch(cluster, parley, spec("linear", PARTIES, logistic(params)))
            spent, beside = seen.step_seconds("train") / epochs, about(seen, params, epochs)
            title = f"linear/vertical, logistic, default_credit, {name}"
            if batch == 0:
                rows.append(Row(title, spent, "s an epoch", BAR, "lower", {**beside, "yardstick": "the bar"}, 1))
            beside = {**beside, "yardstick": "the kernels alone, one core, full batch"}
            rows.append(Row(f"{title} (kernels)", spent, "s an epoch", bare, "lower", beside))
    return rows
