"""What every benchmark shares: a measured row beside its yardstick, the machine it ran on, the table and the file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from parley.crypto import _native
from parley.crypto.ahe import paillier
from parley.crypto.threads import limited

OUT = Path(__file__).resolve().parents[1] / "build" / "bench"


@dataclass(frozen=True)
class Row:
    """`value` and `yardstick` in `unit`, both from this run; `ratio` is value / yardstick.

    `bar` is the ratio that is asked for: at least or at most, as `better` says; None where nothing is asked.
    """

    name: str
    value: float
    unit: str
    yardstick: float
    better: Literal["higher", "lower"]
    parameters: dict[str, Any]
    bar: float | None = None
    ratio: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", self.value / self.yardstick)

    @property
    def met(self) -> bool:
        """Whether the ratio is at least, or at most, the bar; True where none is asked."""
        return self.bar is None or (self.ratio >= self.bar if self.better == "higher" else self.ratio <= self.bar)


def seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """Wall time of the fastest of some runs, after one that is not counted."""
    work()
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


@contextmanager
def one_thread() -> Iterator[None]:
    """Kernels on one thread, as the library they are compared with runs."""
    with limited(1):
        yield


def machine() -> dict[str, Any]:
    """The CPU, its count, and the kernels that were chosen on it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        names = [value.strip() for key, _, value in lines if key.strip() == "model name"]
        cpu = names[0] if names else cpu
    field_ = _native.Field(paillier.to_limbs((1 << 4096) - 1, 64))
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "isa": platform.machine(),
        "kernels": {
            "curve": _native.ristretto_kernel(),
            "modular": field_.kernel,
            "lattice": _native.lattice_kernel(),
        },
    }


def publish(name: str, title: str, rows: list[Row]) -> None:
    """Print the table and write build/bench/<name>.json, a list of rows."""
    host = machine()
    listed = [{**asdict(row), "parameters": {**host, **row.parameters}} for row in rows]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    kernels = ", ".join(f"{k} {v}" for k, v in host["kernels"].items())
    print(f"{title}: {host['cpu']}, {host['cpus']} CPUs, {host['isa']}; kernels: {kernels}")
    wide = max(len(r.name) for r in rows)
    print(f"{'':{wide}}  {'measured':>12} {'yardstick':>12}  {'unit':<22} {'ratio':>8}  {'better':<6}  {'bar':>5}")
    for r in rows:
        asked = "" if r.bar is None else f"  {r.bar:5g}  {'met' if r.met else 'SHORT'}"
        print(
            f"{r.name:{wide}}  {r.value:12,.4g} {r.yardstick:12,.4g}  {r.unit:<22} {r.ratio:8.3f}  {r.better:<6}{asked}"
        )
    print(f"written: {(OUT / name).relative_to(OUT.parents[1])}.json")
