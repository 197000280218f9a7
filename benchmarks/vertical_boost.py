"""Boosting between real daemons, a tree at a time, beside LightGBM's and the bare kernels' time on the same table."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from rows import Row
from vertical_world import FEATURES, LABEL, Watched, daemons, spec, watch

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PARTIES = (LABEL, FEATURES)
ALIGN = {"uses": "psi/ecdh", "roles": {"receiver": LABEL, "sender": [FEATURES]}, "with": {"id": "id"}}


def boost(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "align": ALIGN,
        "train": {
            "uses": "gbdt/vertical",
            "needs": ["align"],
            "roles": {"label": LABEL, "features": [FEATURES]},
            "with": {"label": "y", "id": "id", "bins": 32, "scheme": "lattice", **params},
        },
    }


def credit(folder: Path) -> dict[str, Path]:
    """default_credit as it lies: 13 columns at the label side, 10 at the other."""
    out = {}
    for party, side in ((LABEL, "guest"), (FEATURES, "host")):
        out[party] = folder / f"{party}.parquet"
        pq.write_table(pacsv.read_csv(DATA / f"default_credit_hetero_{side}.csv"), out[party])
    return out


def synthetic(folder: Path, rows: int, own: int, theirs: int, seed: int = 3) -> dict[str, Path]:
    """Normal columns, and labels that a few of them decide with noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, own + theirs), dtype=np.float32)
    score = x[:, 0] + x[:, own] * x[:, own + 1] + x[:, own + 2] + rng.standard_normal(rows, dtype=np.float32)
    ids = pa.array(np.char.add("p", np.arange(rows).astype(str)))
    sides = {LABEL: (0, own), FEATURES: (own, own + theirs)}
    out = {}
    for party, (first, last) in sides.items():
        columns: dict[str, Any] = {"id": ids}
        if party == LABEL:
            columns["y"] = (score > 0).astype(np.int8)
        columns |= {f"x{k}": x[:, k] for k in range(first, last)}
        out[party] = folder / f"{party}.parquet"
        pq.write_table(pa.table(columns), out[party])
    return out


def lightgbm_seconds(files: dict[str, Path], depth: int) -> float | None:
    """Seconds a tree of LightGBM on one thread over all columns, after the first; None where it is not installed."""
    try:
        import lightgbm
    except ImportError:
        print("no LightGBM here: its yardstick is left out")
        return None
    tables = [pq.read_table(files[p]).sort_by("id") for p in PARTIES]
    y = tables[0].column("y").to_numpy()
    x = np.column_stack(
        [t.column(c).to_numpy().astype(np.float32) for t in tables for c in t.column_names if c not in ("id", "y")]
    )
    params = {"objective": "binary", "max_bin": 32, "max_depth": depth, "num_leaves": 2**depth, "num_threads": 1}
    data = lightgbm.Dataset(x, y, params={**params, "verbose": -1}).construct()
    booster = lightgbm.Booster({**params, "verbose": -1}, data)
    booster.update()
    begun = time.perf_counter()
    for _ in range(5):
        booster.update()
    return (time.perf_counter() - begun) / 5


def measure(files: dict[str, Path], params: dict[str, Any], threads: int) -> Watched:
    with daemons(files, threads) as (cluster, parley):
        return watch(cluster, parley, spec("boost", PARTIES, boost(params)))


def about(seen: Watched, params: dict[str, Any], trees: int) -> dict[str, Any]:
    """What stands beside a row: parameters, accuracy, bytes, memory."""
    result = next(iter(seen.results["train"].values()))
    return {
        **params,
        "bins": 32,
        "encryption": result["encryption"],
        "rows": result["rows"],
        "final_loss": result["losses"][-1],
        "mb_per_tree": round(seen.sent("train") / trees / 1e6, 1),
        "peak_mb": {p: round(m) for p, m in seen.peak_mb.items()},
        "job_s": round(seen.seconds, 2),
        "align_s": round(seen.step_seconds("align"), 2),
        "train_s": round(seen.step_seconds("train"), 2),
    }


def boosting_rows() -> list[Row]:
    """The two tables of the bars: seconds a tree against the bar's seconds, and against LightGBM."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cases = [("100,000 x (30 + 300), depth 5", synthetic(Path(folder), 100_000, 30, 300), 5, 6, 8.0)]
        if (DATA / "default_credit_hetero_guest.csv").is_file():
            there = Path(folder) / "credit"
            there.mkdir()
            cases.insert(0, ("default_credit, depth 3", credit(there), 3, 20, 1.0))
        for name, files, depth, trees, most in cases:
            params = {"depth": depth, "trees": trees}
            seen = measure(files, params, threads=2)
            spent = seen.per_unit("train", LABEL)
            beside = about(seen, params, trees)
            rows.append(
                Row(f"gbdt/vertical, {name}", spent, "s a tree", most, "lower", {**beside, "yardstick": "the bar"}, 1)
            )
            plain = lightgbm_seconds(files, depth)
            if plain is not None:
                beside = {**beside, "yardstick": "LightGBM, one thread, all columns in clear"}
                rows.append(Row(f"gbdt/vertical, {name} (LightGBM)", spent, "s a tree", plain, "lower", beside))
    return rows
