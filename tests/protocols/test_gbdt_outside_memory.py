"""What a step's process holds at most while it trains on a table ten times as large as its setting."""

from __future__ import annotations

import contextlib
import os
import threading

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vertical import CAST2

from parley.protocols import registry
from parley.protocols.kit import StepInputs
from parley.protocols.kit.processes import run_processes
from parley.protocols.kit.stored import Stored

MEMORY_MB, ROWS, COLUMNS = 96, 246_000, 512
PARAMS = {"label": "y", "id": "id", "trees": 1, "depth": 2, "bins": 4, "scheme": "lattice"}


def columns_of(rows, wide):
    """A label column and `wide` of float64, some of them with a say in it."""
    rng = np.random.default_rng(9)
    x = [rng.standard_normal(rows) for _ in range(wide)]
    y = (x[0] + x[wide // 2] + rng.standard_normal(rows) > 0).astype(np.int64)
    return y, x


def files(folder, rows, wide):
    """Both parties' tables as files; the wide one is written a few rows at a time."""
    y, x = columns_of(rows, wide)
    ids = np.arange(rows)
    bank = pa.table({"_row": ids, "y": y, "own": x[0]})
    bureau = pa.table({"_row": ids, **{f"h{k}": v for k, v in enumerate(x)}})
    out = {}
    for name, table in (("bank", bank), ("bureau", bureau)):
        path = folder / f"{name}.parquet"
        pq.write_table(table, path, row_group_size=30_000, use_dictionary=False, compression="none")
        out[name] = (str(path), table.schema)
    return out


def peaks(folder, rows, wide, memory_mb):
    """The run, and the most that any step process had resident, in MiB (VmHWM: files that are mapped count, too)."""
    needs = {"align": {"rows": np.arange(rows), "count": rows}}
    given = {
        party: StepInputs(
            needs=needs,
            stored=Stored((path,), {n: n for n in schema.names}, schema, str(folder), memory_mb, rows),
        )
        for party, (path, schema) in files(folder, rows, wide).items()
    }
    seen, stop = {}, threading.Event()

    def watch():
        me = psutil.Process(os.getpid())
        while not stop.wait(0.02):
            for child in me.children():
                with contextlib.suppress(psutil.Error, OSError), open(f"/proc/{child.pid}/status") as lines:
                    high = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
                    seen[child.pid] = max([seen.get(child.pid, 0), *(h / 1024 for h in high)])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        found = run_processes(registry.load("gbdt/vertical"), CAST2, given, PARAMS)
    finally:
        stop.set()
        watcher.join(timeout=10)
    return found, max(seen.values())


@pytest.mark.slow
def test_a_table_ten_times_the_setting_trains_within_it(tmp_path):
    assert ROWS * COLUMNS * 8 >= 10 * (MEMORY_MB << 20)
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    _, base = peaks(small, 500, 2, MEMORY_MB)
    found, most = peaks(large, ROWS, COLUMNS, MEMORY_MB)
    assert found["bank"].result["rows"] == ROWS
    assert {x["number"] for x in found["bank"].result["importance"]} >= {COLUMNS // 2}
    assert most - base <= MEMORY_MB, f"{base:.0f} MiB grew to {most:.0f}"
