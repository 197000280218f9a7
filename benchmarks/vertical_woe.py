"""Weight of evidence over wide tables, both parties in one process, beside the bare kernels on the same rows.

python benchmarks/vertical_woe.py [rows] [columns] [scheme]
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pyarrow as pa

from parley.protocols.gbdt import scheme
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.stats.woe_jobs import WOE
from parley.protocols.stats.woe_messages import Params


def tables(rows: int, columns: int) -> dict[str, StepInputs]:
    """Labels that a few of the normal columns decide with noise."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    y = (x[:, 0] + 0.5 * x[:, 1] + rng.standard_normal(rows, dtype=np.float32) > 0).astype(np.int8)
    ids = np.arange(rows, dtype=np.int64)
    sides = {"label": {"y": y}, "features": {f"x{k}": x[:, k] for k in range(columns)}}
    return {
        party: StepInputs(pa.table({**made, "_row": ids}), {"align": {"rows": ids, "count": rows}})
        for party, made in sides.items()
    }


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


def main(rows: int = 100_000, columns: int = 300, by: str = "lattice") -> None:
    """Prints one row: seconds of the whole step, of the kernels, and bytes either way."""
    params = {"label": "y", "scheme": by}
    data = tables(rows, columns)
    start, cpu = time.perf_counter(), time.process_time()
    done = run_local(WOE, {"label": "label", "features": ["features"]}, data, params)
    whole, cpu = time.perf_counter() - start, time.process_time() - cpu
    sent = {"label": 0, "features": 0}
    for envelope in done.transcript:
        sent[envelope.address.sender] += len(envelope.body)
    row = {
        "rows": rows,
        "columns": columns,
        "scheme": done["label"].result["encryption"],
        "seconds": round(whole, 2),
        "cpu_seconds": round(cpu, 2),
        "kernels": round(
            bare(rows, columns, Params(label="y", scheme="lattice" if by == "lattice" else "paillier")), 2
        ),
        "bytes": sent,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]), *sys.argv[3:4])
