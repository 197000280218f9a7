"""Whole protocols, a job's control plane and its pipes against what they cannot do without, in one run.

python benchmarks/bench_platform.py      prints a table, writes build/bench/platform.json
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import rbcl

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_crypto import sealing_rows
from platform_control import control_rows
from platform_pipes import pipe_rows
from rows import Row, one_thread, publish, seconds

from parley.crypto import curve
from parley.crypto.ahe.paillier import PaillierPublicKey, PaillierSecretKey, to_int
from parley.crypto.threads import limit
from parley.protocols import registry
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit.local import Setting

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
KEY_BITS = 2048


def psi_rows(n: int = 20_000, threads: int = limit()) -> list[Row]:
    """Rows of both sides a second; every row is multiplied once by each side."""
    inputs = {
        party: StepInputs(
            pa.table({"id": [f"person-{first + i}" for i in range(n)], "_row": np.arange(n, dtype=np.int64)})
        )
        for party, first in (("hospital", 0), ("lab", n // 2))
    }
    protocol, cast = registry.load("psi/ecdh"), {"receiver": "hospital", "sender": ["lab"]}
    spent = seconds(lambda: run_local(protocol, cast, inputs, {"id": "id"}), 2)
    points = [p.tobytes() for p in curve.hash_to_group(curve.Ids.from_list([b"%d" % i for i in range(1000)]), b"b")]
    scalar = curve.random_scalar()

    def multiply(part: list[bytes]) -> list[bytes]:
        return [rbcl.crypto_scalarmult_ristretto255(scalar, p) for p in part]

    with ThreadPoolExecutor(threads) as pool:
        bare = seconds(lambda: list(pool.map(multiply, [points[k::threads] for k in range(threads)]))) / len(points)
    about: dict[str, Any] = {"rows": n, "rows_other": n, "common": n // 2, "threads": threads}
    about["yardstick"] = "2 libsodium scalar multiplications a row, on as many threads, nothing else"
    return [Row("psi/ecdh", 2 * n / spent, "rows/s", 1 / (2 * bare), "higher", about)]


@dataclass
class Counted:
    """Products a run asked for: modulo n^2 in sums by bin, modulo a prime's square in encryption."""

    sums: int = 0
    encryption: int = 0


@contextmanager
def counting(count: Counted) -> Iterator[None]:
    """Counts while runs go on, from the sizes of the calls."""
    histogram, encrypt = PaillierPublicKey.histogram, PaillierSecretKey.encrypt

    def counted_histogram(self: Any, ct: Any, bins: Any, counts: Any, rows: Any) -> Any:
        count.sums += bins.shape[1] * (len(ct) if rows is None else len(rows))
        return histogram(self, ct, bins, counts, rows)

    def counted_encrypt(self: Any, values: Any, layout: Any) -> Any:
        count.encryption += 2 * (KEY_BITS // 16) * len(values)  # a product per byte of an exponent, for either prime
        return encrypt(self, values, layout)

    PaillierPublicKey.histogram, PaillierSecretKey.encrypt = counted_histogram, counted_encrypt  # type: ignore[method-assign]
    try:
        yield
    finally:
        PaillierPublicKey.histogram, PaillierSecretKey.encrypt = histogram, encrypt  # type: ignore[method-assign]


def credit(rows: int) -> dict[str, StepInputs]:
    """The label party's and the other's columns of a credit table, on common rows."""
    guest = pacsv.read_csv(DATA / "default_credit_hetero_guest.csv")
    host = pacsv.read_csv(DATA / "default_credit_hetero_host.csv")
    ids = np.intersect1d(guest.column("id").to_numpy(), host.column("id").to_numpy())[:rows]
    out = {}
    for party, table in (("bank", guest), ("bureau", host)):
        at = np.argsort(table.column("id").to_numpy())
        at = at[np.isin(table.column("id").to_numpy()[at], ids)]
        index = np.arange(len(ids), dtype=np.int64)
        aligned = table.take(pa.array(at)).append_column("_row", pa.array(index))
        out[party] = StepInputs(aligned, {"align": {"rows": index, "count": len(ids)}})
    return out


def seconds_a_tree(inputs: dict[str, StepInputs], scheme: str, trees: int) -> float:
    """Between the first tree's end and the last's."""
    ends: dict[int, float] = {}

    def progress(party: str, done: int, total: int, phase: str) -> None:
        if party == "bank":
            ends.setdefault(done, time.perf_counter())

    params = {"label": "y", "id": "id", "trees": trees, "scheme": scheme}
    protocol, cast = registry.load("gbdt/vertical"), {"label": "bank", "features": ["bureau"]}
    run_local(protocol, cast, inputs, params, setting=Setting(progress=progress))
    first, last = min(d for d in ends if d > 0), max(ends)
    return (ends[last] - ends[first]) / (last - first)


def boosting_rows(rows: int = 5000, whole: int = 30_000, trees: int = 4) -> list[Row]:
    """Seconds a tree under Paillier against the products that tree needs; and on the lattice, on the whole table,
    against the products that Paillier would need for it."""
    if not (DATA / "default_credit_hetero_guest.csv").is_file():
        print(f"gbdt/vertical left out: no default_credit table in {DATA.parent.name}/{DATA.name}")
        return []
    inputs, count = credit(rows), Counted()
    with counting(count):
        spent = seconds_a_tree(inputs, "paillier", trees)
    features = inputs["bureau"].table.num_columns - 2  # type: ignore[union-attr]  # it has one
    about = {"rows": rows, "trees": trees, "features_other": features, "depth": 3, "bins": 32, "key_bits": KEY_BITS}
    about["products_per_tree"] = {"sums": count.sums // trees, "encryption": count.encryption // trees}
    native, bare = arithmetic(count.sums / trees, count.encryption / trees)
    everything = credit(whole)
    quick = seconds_a_tree(everything, "lattice", trees)
    there = len(everything["bureau"].table)  # type: ignore[arg-type]  # it has one
    larger = {**about, "rows": there, "key_bits": None, "scale_bits": 20, "statistical_bits": 40}
    larger["products_per_tree"] = {k: v * there // rows for k, v in about["products_per_tree"].items()}
    name, sizes = "gbdt/vertical, a tree", there / rows
    theirs = "for as many rows under Paillier"
    return [
        Row(f"{name} (native products)", spent, "s", native, "lower", {**about, "yardstick": "Field.mul, all threads"}),
        Row(f"{name} (gmpy2 products)", spent, "s", bare, "lower", {**about, "yardstick": "gmpy2 x * y % m, 1 thread"}),
        Row(
            f"{name} on the lattice", quick, "s", native * sizes, "lower",
            {**larger, "yardstick": f"Field.mul, all threads, {theirs}"},
        ),
        Row(
            f"{name} on the lattice (gmpy2)", quick, "s", bare * sizes, "lower",
            {**larger, "yardstick": f"gmpy2 x * y % m, 1 thread, {theirs}"},
        ),
    ]  # fmt: skip


def arithmetic(sums: float, encryption: float, n: int = 1000) -> tuple[float, float]:
    """Seconds of that many products modulo n^2 and modulo a prime's square: native on all threads, gmpy2."""
    key, native, bare = PaillierSecretKey.generate(KEY_BITS), 0.0, 0.0
    side = key._sides[0]
    for field, modulus, products in (
        (key.public.field, key.public.n**2, sums),
        (side.field, side.p**2, encryption),
    ):
        # Below half the largest modulus of this size, hence below any modulus whose top bit is set.
        x = np.random.default_rng(1).integers(0, 1 << 63, (n, field.limbs), dtype=np.uint64)
        numbers, m = [gmpy2.mpz(to_int(row)) for row in x], gmpy2.mpz(modulus)
        native += products / n * seconds(partial(field.mul, x, x, limit()), 30)
        bare += products / n * seconds(partial(squares, numbers, m))
    return native, bare


def squares(numbers: list[Any], modulus: Any) -> list[Any]:
    """What gmpy2 does for one product each."""
    return [x * x % modulus for x in numbers]


def main() -> None:
    rows = [*psi_rows(), *boosting_rows(), *control_rows(), *pipe_rows()]
    with one_thread():
        rows += sealing_rows()
    publish("platform", "The platform against its yardsticks", rows)


if __name__ == "__main__":
    main()
