"""Weight of evidence over wide tables between real daemons, beside the bar and the bare kernels on as many rows."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rows import Row
from vertical_boost import ALIGN, PARTIES, synthetic
from vertical_world import FEATURES, LABEL, daemons, spec, watch

from parley.protocols import scheme
from parley.protocols.stats.woe_messages import Params

ROWS, COLUMNS, BAR = 100_000, 300, 6.0  # seconds


def bare(rows: int, columns: int, params: Params) -> float:
    """Seconds of key, encryption, sums, release and decryption alone."""
    rng = np.random.default_rng(7)
    bins = rng.integers(0, 10, size=(rows, columns)).astype(np.uint16)
    counts = np.full(columns, 11, dtype=np.uint32)
    y = rng.integers(0, 2, size=(rows, 1)).astype(np.int64)
    layout = params.layout(rows)
    outputs = 1 << (columns * 11 - 1).bit_length() if scheme.packs(params.scheme) else 0
    terms = scheme.Terms(params, rows, outputs, bytes(32))
    start = time.perf_counter()
    key = scheme.generate(terms)
    public = scheme.decode_public(key.public.encode(), terms)
    raw = key.encrypt(y, layout)
    sums = public.histogram(public.ciphertexts(raw, rows), bins, counts, None)
    answer = key.response(public.release(sums, layout).raw, len(sums), layout)
    found = key.decrypt(answer, layout).reshape(columns, 11)
    seconds = time.perf_counter() - start
    assert (found.sum(axis=1) == y.sum()).all()
    return seconds


def woe_rows() -> list[Row]:
    """Seconds of the whole step, against the bar's seconds and against the kernels alone."""
    params: dict[str, Any] = {"label": "y", "id": "id", "scheme": "lattice"}
    steps = {
        "align": ALIGN,
        "woe": {
            "uses": "stats/woe",
            "needs": ["align"],
            "roles": {"label": LABEL, "features": [FEATURES]},
            "with": params,
        },
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        daemons(synthetic(Path(folder), ROWS, 1, COLUMNS), 2) as (cluster, parley),
    ):
        seen = watch(cluster, parley, spec("woe", PARTIES, steps))
    spent, result = seen.step_seconds("woe"), next(r for r in seen.results["woe"].values() if r)
    about = {
        **params,
        "encryption": result["encryption"],
        "rows": ROWS,
        "columns_other": COLUMNS,
        "mb": round(seen.sent("woe") / 1e6, 1),
        "peak_mb": {p: round(m) for p, m in seen.peak_mb.items()},
    }
    kernels = bare(ROWS, COLUMNS, Params(label="y", scheme="lattice"))
    name = f"stats/woe, {ROWS:,} x {COLUMNS}"
    return [
        Row(name, spent, "s", BAR, "lower", {**about, "yardstick": "the bar"}, 1),
        Row(f"{name} (kernels)", spent, "s", kernels, "lower", {**about, "yardstick": "the kernels alone"}),
    ]
