"""Alignment end to end: real daemons, mutual TLS, lakehouse; beside SPU, libsodium and a bare hash in the same run.

python benchmarks/bench_vertical.py psi             the rows of the bars
python benchmarks/vertical_psi.py SMALL LARGE       the same for other sizes, in build/bench/vertical_psi.json

SPU is timed where PARLEY_SPU_PYTHON names a Python interpreter that has spu 0.9.5; its rows are missing without it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import rbcl

sys.path.insert(0, str(Path(__file__).resolve().parent))
from crypto_vole import hashed
from rows import OUT, Row, publish
from vertical_world import Watched, daemons, watch

from parley import Parley
from parley.crypto import curve, okvs
from parley.crypto.threads import limit
from parley.crypto.vole import evaluation, profile
from parley.demo.cluster import Cluster
from parley.protocols import registry
from parley.protocols.kit import StepInputs, run_local

SPU_SCRIPT = Path(__file__).resolve().parents[2] / "shared" / "peers" / "bench" / "spu_psi.py"
CAST = {"receiver": "bank", "sender": ["lab"]}
SETTLE_S = 4.0  # daemons make their next step process ready; nothing that is timed shall run beside that
ECDH_LARGE_S, MEMORY_MIB, REPEAT = 16.0, 1024.0, 3
Tables = dict[str, dict[str, Path]]


def tables(folder: Path, sizes: tuple[int, ...]) -> Tables:
    """party -> name -> CSV of so many text ids in random order, half of them in common."""
    out: Tables = {"bank": {}, "lab": {}}
    for n in sizes:
        for party, first in (("bank", 0), ("lab", n // 2)):
            ids = [f"user-{first + i:012d}" for i in np.random.default_rng(n).permutation(n)]
            out[party][f"ids-{n}"] = file = folder / f"{party}-{n}.csv"
            file.write_text("id\n" + "\n".join(ids) + "\n", encoding="ascii")
    return out


def aligned(cluster: Cluster, person: Parley, protocol: str, n: int) -> Watched:
    """One job, whose count has to be right."""
    job = {
        "name": "align",
        "purpose": "A measurement.",
        "parties": {p: {"data": f"ids-{n}"} for p in ("bank", "lab")},
        "steps": {"align": {"uses": protocol, "roles": CAST, "with": {"id": "id"}}},
    }
    seen = watch(cluster, person, job, progress=False)
    if seen.results != {"align": {"bank": {"intersection": n // 2}}}:
        raise SystemExit(f"{protocol} found {seen.results}")
    return seen


def formula(protocol: str, n: int) -> int:
    """The bytes that the tables of the protocols' pages give, for n ids on both sides of which half are common."""
    if protocol == "psi/ecdh":
        return (32 + 12 + 32) * n + 9 + 4 * (n // 2)
    form = okvs.shape(n)
    plan = profile.plan(profile.CONSERVATIVE, form.slots)
    t, tl = plan.trees, plan.trees * plan.levels
    fixed = 40 + 40 + 64 + 4096 + (1024 * t + 16 * tl) + (32 * tl + 16 * t) + 9
    return fixed + 8 * form.slots + evaluation.tag_bytes(n, n) * n + 4 * (n // 2)


def off_formula(protocol: str, n: int, done: Watched) -> float:
    """The larger of sent / formula and formula / sent over a whole job."""
    sent = sum(int(line["bytes"]) for line in done.egress if line["tag"] != "parley.result/1")
    return max(sent / formula(protocol, n), formula(protocol, n) / sent)


def spu(protocol: str, n: int, folder: Path) -> float | None:
    """Seconds that SPU says its intersection of two CSV files took; None where it is not there."""
    python = os.environ.get("PARLEY_SPU_PYTHON", "")
    if not python or not SPU_SCRIPT.is_file():
        return None
    command = [python, str(SPU_SCRIPT), str(n), protocol]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    for line in ran.stdout.splitlines():
        if line.startswith(protocol) and " seconds " in line:
            return float(line.split(" seconds ")[1].split()[0])
    raise SystemExit(f"SPU said nothing about {protocol}: {ran.stderr[-400:]}")


def libsodium(n: int = 2000) -> float:
    """Seconds of one scalar multiplication with all threads at work."""
    points = [p.tobytes() for p in curve.hash_to_group(curve.Ids.from_list([b"%d" % i for i in range(n)]), b"b")]
    scalar, threads = curve.random_scalar(), limit()

    def multiply(part: list[bytes]) -> list[bytes]:
        return [rbcl.crypto_scalarmult_ristretto255(scalar, p) for p in part]

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(multiply, [points[k::threads] for k in range(threads)]))
    return (time.perf_counter() - begun) / n


def from_memory(files: Tables, n: int) -> float:
    """Seconds of psi/vole, both roles in this process, from tables in memory to aligned rows."""
    inputs = {}
    for party, named in files.items():
        ids = pacsv.read_csv(named[f"ids-{n}"]).column("id")
        inputs[party] = StepInputs(pa.table({"id": ids, "_row": np.arange(n, dtype=np.int64)}))
    begun = time.perf_counter()
    run_local(registry.load("psi/vole"), CAST, inputs, {"id": "id"})
    return time.perf_counter() - begun


def salted(files: Tables, n: int) -> float:
    """CPU seconds of one salted SHA-256 of one side's ids."""
    return hashed(curve.Ids.from_arrow(pacsv.read_csv(files["bank"][f"ids-{n}"]).column("id")))


class Bench:
    """The rows of one run; each kind of job a few times, with the peer's run between them, medians of all."""

    def __init__(self, cluster: Cluster, person: Parley, files: Tables, folder: Path) -> None:
        self.world, self.files, self.folder, self.rows = (cluster, person), files, folder, list[Row]()
        for party, named in files.items():
            for name, file in named.items():
                cluster.parley("party", "data", "add", name, str(file), "--text", "id", who=party)
        for protocol in ("psi/ecdh", "psi/vole"):  # what is slow once only: imports of daemons
            aligned(*self.world, protocol, min(int(name.removeprefix("ids-")) for name in files["bank"]))

    def row(self, name: str, value: float, unit: str, yard: float, of: str, bar: float | None, **more: Any) -> None:
        self.rows.append(Row(name, value, unit, yard, "lower", {"yardstick": of, "parties": 2, **more}, bar))

    def measure(self, protocol: str, n: int, peer: str, repeat: int) -> tuple[list[Watched], float | None, list[float]]:
        done, theirs, memory = [], [], []
        for _ in range(repeat):
            done.append(aligned(*self.world, protocol, n))
            time.sleep(SETTLE_S)
            theirs.append(spu(peer, n, self.folder) if peer else None)
            if protocol == "psi/vole":
                memory.append(from_memory(self.files, n))
        known = [t for t in theirs if t is not None]
        return done, statistics.median(known) if known else None, memory

    def add(self, protocol: str, n: int, peer: str, repeat: int, bars: dict[str, float]) -> None:
        done, theirs, memory = self.measure(protocol, n, peer, repeat)
        name, spent = f"{protocol}, {n:,} x {n:,}", statistics.median(d.seconds for d in done)
        about = {"rows": n, "common": n // 2, "runs": repeat, "routes": "direct"}
        if theirs is None and peer:
            print(f"{name}: no row against SPU, PARLEY_SPU_PYTHON names no interpreter that has it")
        elif theirs is not None:
            self.row(f"{name}, job", spent, "s", theirs, f"SPU 0.9.5 {peer} from CSV", bars.get("peer"), **about)
            for alone in [statistics.median(memory)] if memory else []:
                self.row(f"{name}, from memory", alone, "s", theirs, f"SPU 0.9.5 {peer} from CSV", 0.1, **about)
        if "seconds" in bars:
            self.row(f"{name}, job, in all", spent, "s", bars["seconds"], "the bar in seconds", 1.0, **about)
        if protocol == "psi/ecdh":
            bare, what = 4 * n * libsodium(), "4 libsodium scalar multiplications for each id of a side, all threads"
        else:
            bare, what = salted(self.files, n), "one salted SHA-256 of each id of a side, CPU s"
        self.row(f"{name}, job, bare", spent, "s", bare, what, None, **about)
        off = max(off_formula(protocol, n, d) for d in done)
        self.row(f"{name}, wire", off, "of the formula", 1.0, "the formula of its page", 1.05, **about)
        most = max(max(d.peak_mb.values()) for d in done)
        of = "1 GiB: a party's daemon and step process together"
        self.row(f"{name}, memory", most, "MiB", MEMORY_MIB, of, 1.0, **about)


def alignment_rows(small: int = 100_000, large: int = 1_000_000) -> list[Row]:
    """The rows, smaller sizes first."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        folder = Path(name)
        files = tables(folder, (small, large))
        first = {party: named[f"ids-{small}"] for party, named in files.items()}
        with daemons(first, limit()) as (cluster, person):
            bench = Bench(cluster, person, files, folder)
            bench.add("psi/ecdh", small, "PROTOCOL_ECDH", REPEAT, {"peer": 1.0})
            bench.add("psi/vole", large, "PROTOCOL_RR22", REPEAT, {"peer": 0.25})
            bench.add("psi/ecdh", large, "", 1, {"seconds": ECDH_LARGE_S})
    return bench.rows


if __name__ == "__main__":
    small_, large_ = (int(a) for a in sys.argv[1:])
    publish("vertical_psi", "Alignment against its yardsticks", alignment_rows(small_, large_))
