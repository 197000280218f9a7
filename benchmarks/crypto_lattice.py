"""The lattice against modular products: sums by bin, a whole tree on the side of the bins, encryption.

python benchmarks/crypto_lattice.py [rows features]    this path's rows alone, as JSON (PARLEY_CPU chooses the path)

The yardstick is one mpz product and one remainder at 4096 bits (gmpy2, Python's call included, under 2 %), what a
Paillier-2048 ciphertext costs to add, timed in the same process on the same thread. Times are the thread's own (CPU
time) except where two threads are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import gmpy2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import Row

from parley.crypto import _native
from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import LatticeKey, LatticePeer, Plan, make_plan
from parley.crypto.threads import limited

BINS, BOUND = 32, 1 << 16
BARS = {"avx512": 100.0, "avx2": 80.0, "baseline": 40.0}


def cpu_seconds(work: Callable[[], object], repeat: int = 2) -> float:
    """The least CPU time of some runs."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def product_seconds(count: int = 2000) -> float:
    """One product and remainder at 4096 bits."""
    modulus = gmpy2.mpz(int.from_bytes(os.urandom(512), "big")) | 1 << 4095 | 1
    a = gmpy2.mpz(int.from_bytes(os.urandom(512), "big")) % modulus

    def chain() -> None:
        x = a
        for _ in range(count):
            x = x * a % modulus

    return cpu_seconds(chain, 7) / count


class Powers:
    """Fixed-base powers modulo one number, bytes of the exponent as digits: half of a DJN encryption by remainders."""

    def __init__(self, modulus: gmpy2.mpz, exponent_bytes: int) -> None:
        base = gmpy2.mpz(int.from_bytes(os.urandom(modulus.bit_length() // 8), "big")) % modulus
        self.modulus, self.table = modulus, []
        for _ in range(exponent_bytes):
            row = [gmpy2.mpz(1)]
            for _ in range(255):
                row.append(row[-1] * base % modulus)
            self.table.append(row)
            base = row[-1] * base % modulus

    def __call__(self, exponent: bytes) -> gmpy2.mpz:
        x = gmpy2.mpz(1)
        for row, digit in zip(self.table, exponent, strict=True):
            x = x * row[digit] % self.modulus
        return x


def paillier_seconds(count: int = 40) -> float:
    """One DJN encryption of 2048 bits by its owner: exponents of 448 bits, both primes apart, put together."""
    p, q = (gmpy2.next_prime(gmpy2.mpz(int.from_bytes(os.urandom(128), "big")) | 3 << 1022) for _ in range(2))
    p2, q2, n = p * p, q * q, p * q
    halves, inverse = (Powers(p2, 56), Powers(q2, 56)), gmpy2.invert(p2, q2)
    exponents = [(os.urandom(56), os.urandom(56)) for _ in range(count)]

    def encrypt() -> None:
        for m, (e, f) in enumerate(exponents):
            x, y = halves[0](e), halves[1](f)
            nonce = x + p2 * ((y - x) * inverse % q2)
            _ = nonce * (1 + m * n) % (n * n)

    return cpu_seconds(encrypt) / count


class Run:
    """Both sides, and rows with sums to compare against."""

    def __init__(self, plan: Plan, rows: int, features: int) -> None:
        rng = np.random.default_rng(1)
        self.plan = plan
        self.key = LatticeKey(plan, b"benchmark")
        self.peer = LatticePeer(self.key.encode(), plan, b"benchmark")
        self.values = rng.integers(-BOUND, BOUND, (rows, plan.layout.channels), endpoint=True)
        self.bins = rng.integers(0, BINS, (rows, features), dtype=np.uint8)
        self.counts = np.full(features, BINS, np.uint32)

    def wrong(self, rows: np.ndarray, found: np.ndarray) -> int:
        """How many sums differ from plain ones over the chosen rows."""
        values, features = self.values[: len(rows)].astype(np.float64), len(self.counts)
        bad = 0
        for f in range(features):
            picked = self.bins[rows, f]
            for c in range(values.shape[1]):
                plain = np.bincount(picked, values[:, c], BINS)  # whole numbers below 2^53: exact
                bad += int(np.count_nonzero(found[f * BINS : (f + 1) * BINS, c] != plain))
        return bad


def plan_for(rows: int, x: int, profile: str = "standard", packed: bool = False) -> Plan:
    """A plan for speed: its distance is stated in the row, and no run's worth of outputs is asked of it."""
    return make_plan(Layout(2, BOUND, rows), 1 << 30, x=x, profile=profile, floor=0, packed=packed)


def histogram_rows(rows: int, features: int, cases: tuple[tuple[int, str], ...]) -> list[Row]:
    """Sums by bin from a batch's bytes to spectra rounded to integers, and encryption of the rows."""
    kernel, product = _native.lattice_kernel(), product_seconds()
    about = {"rows": rows, "features": features, "bins": BINS, "channels": 2, "kernel": kernel, "threads": 1}
    about["yardstick"] = "gmpy2 x * y % m, 4096 bits"
    out = []
    for x, profile in cases:
        run = Run(plan_for(rows, x, profile), rows, features)
        batch = run.peer.receive(run.key.encrypt(run.values))
        spent = cpu_seconds(lambda: run.peer.histogram(batch, run.bins, run.counts))  # noqa: B023 called in this round
        product = min(product, product_seconds())
        ours, bare = rows * features / spent, 1 / product
        bar = BARS[kernel] if (x, profile) == (32, "standard") else None
        name = f"lattice.histogram, {profile}, x = {x}, {kernel}"
        out.append(Row(name, ours, "row-features/s", bare, "higher", about | {"profile": profile, "x": x}, bar))
    return out


def encryption_rows(rows: int) -> list[Row]:
    """Rows encrypted by the label's holder, against a DJN encryption with remainders modulo both primes."""
    kernel, theirs = _native.lattice_kernel(), 1 / paillier_seconds()
    out = []
    for x in (8, 32):
        run = Run(plan_for(rows, x), rows, 1)
        ours = rows / cpu_seconds(lambda: run.key.encrypt(run.values))  # noqa: B023 called in this round
        about = {"rows": rows, "channels": 2, "kernel": kernel, "x": x, "threads": 1}
        about["yardstick"] = "DJN, 448-bit exponents, fixed base, both primes apart, gmpy2"
        out.append(Row(f"lattice.encryption, x = {x}, {kernel}", ours, "rows/s", theirs, "higher", about, 150.0))
    return out


def thread_row(rows: int, features: int) -> Row:
    """Two threads against one, wall time."""
    run = Run(plan_for(rows, 8), rows, features)
    batch = run.peer.receive(run.key.encrypt(run.values))
    taken: dict[int, float] = {}
    for count in (1, 2, 1, 2, 1, 2):
        with limited(count):
            start = time.perf_counter()
            run.peer.histogram(batch, run.bins, run.counts)
            taken[count] = min(taken.get(count, float("inf")), time.perf_counter() - start)
    about = {
        "rows": rows,
        "features": features,
        "kernel": _native.lattice_kernel(),
        "yardstick": "one thread, wall time",
    }
    work = rows * features
    return Row(
        "lattice.histogram, two threads", work / taken[2], "row-features/s", work / taken[1], "higher", about, 1.8
    )


def tree_row(rows: int, features: int, x: int, trees: int, packed: bool = False, depth: int = 5) -> Row:
    """The whole side of the bins for balanced trees: at each level the smaller child of every pair, re-encrypted in the
    node's order, through gathering, sums, protection and packing; every sum compared with a plain one."""
    spent, passes, sums, up, down = 0.0, 0, 0, 0, 0
    product = product_seconds()
    for tree in range(trees):
        run = Run(plan_for(rows, x, packed=packed), rows, features)
        order = np.random.default_rng(tree).permutation(rows).astype(np.int64)
        for level in range(depth):
            nodes, size = (1 << level) + 1 >> 1, rows >> level
            for node in range(nodes):
                picked = order[2 * node * size : 2 * node * size + size]
                raw = run.key.encrypt(run.values[:size])
                start = time.process_time()
                reply = run.peer.release(run.peer.histogram(run.peer.receive(raw), run.bins, run.counts, picked))
                spent += time.process_time() - start
                found = run.key.decrypt(reply)
                if run.wrong(picked, found):
                    raise SystemExit("a sum is wrong")
                passes, sums, up, down = passes + size, sums + found.size, up + len(raw), down + len(reply)
    about = {
        "rows": rows, "features": features, "bins": BINS, "depth": depth, "trees": trees, "row_passes": passes, "x": x,
        "kernel": _native.lattice_kernel(), "profile": "standard", "packed": packed,
        "sums_compared": sums, "mismatches": 0,
        "up_bytes": up // trees, "down_bytes": down // trees, "threads": 1,
        "yardstick": "as many gmpy2 x * y % m, 4096 bits",
    }  # fmt: skip
    bare = 1 / min(product, product_seconds())
    bar = None if packed else 60.0
    value = passes * features / spent
    return Row(
        f"lattice.tree, x = {x}{', packed' if packed else ''}", value, "row-features/s", bare, "higher", about, bar
    )


def path_rows(rows: int, features: int, cases: tuple[tuple[int, str], ...]) -> list[Row]:
    """What every instruction set is asked for, on this process's path and one thread."""
    with limited(1):
        return [*histogram_rows(rows, features, cases), *encryption_rows(rows // 2)]


def other_path(path: str, rows: int, features: int) -> list[Row]:
    """path_rows of another instruction set, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(rows), str(features)],
        env=os.environ | {"PARLEY_CPU": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return [Row(**{k: v for k, v in row.items() if k != "ratio"}) for row in json.loads(done.stdout)]


def rows(n: int = 100_000, features: int = 200, tree: tuple[int, int] = (100_000, 300)) -> list[Row]:
    """Every path this CPU has, then trees and two threads on the widest."""
    out = path_rows(n, features, ((32, "standard"), (8, "standard"), (32, "wide")))
    others = [path for path in ("avx2", "baseline") if path != _native.lattice_kernel()]
    out += [row for path in others for row in other_path(path, n, features)]
    out.append(thread_row(n, features))
    with limited(1):
        out += [tree_row(*tree, 32, 3), tree_row(*tree, 32, 1, packed=True)]
    return out


if __name__ == "__main__":
    given = [int(v) for v in sys.argv[1:3]] or [100_000, 200]
    print(json.dumps([asdict(row) for row in path_rows(*given, ((32, "standard"), (8, "standard")))]))
