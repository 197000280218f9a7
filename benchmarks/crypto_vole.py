"""The vector-OLE intersection of two sets from memory, both roles on one core, against one salted hash of the ids.

Everything here runs on one thread, so its time is the CPU time of the process: what others do on the machine then
counts on neither side.

python benchmarks/crypto_vole.py [n]     prints the stages too
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import Row

from parley.crypto import _native, okvs
from parley.crypto.curve import Ids
from parley.crypto.vole import evaluation, profile
from parley.crypto.vole.correlation import VoleReceiver, VoleSender

SIZE = 1 << 20
ID_BYTES = 20
TIME_BAR, BYTES_BAR = 40.0, 24.0


def sets(n: int) -> tuple[Ids, Ids, NDArray[np.int64]]:
    """Two sets of n ids of 20 bytes with n // 2 in common, and where each of the first is in the second, or -1."""
    rng = np.random.default_rng(7)
    pool = np.zeros((2 * n, ID_BYTES), np.uint8)
    pool[:, :8] = np.arange(2 * n, dtype="<u8").view(np.uint8).reshape(-1, 8)
    pool[:, 8:] = rng.integers(48, 58, (2 * n, ID_BYTES - 8), dtype=np.uint8)
    first, second = rng.permutation(n), rng.permutation(np.arange(n // 2, n + n // 2))
    place = np.full(2 * n, -1, np.int64)
    place[second] = np.arange(n)
    offsets = ID_BYTES * np.arange(n + 1, dtype=np.int64)
    return Ids(pool[first].reshape(-1), offsets), Ids(pool[second].reshape(-1), offsets), place[first]


@dataclass
class Meter:
    """Seconds by stage and role, and bytes by direction."""

    stages: dict[str, float] = field(default_factory=dict)
    up: int = 0
    down: int = 0
    _last: float = field(default_factory=time.process_time)

    def lap(self, stage: str) -> None:
        now = time.process_time()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        return sum(self.stages.values())


def intersect(x: Ids, y: Ids, code: profile.Profile) -> tuple[NDArray[np.int64], NDArray[np.uint32], Meter]:
    """One whole run: for each x its place among the sender's tags, the sender's order, and what it cost."""
    meter = Meter()
    salt, context = os.urandom(16), os.urandom(32)
    form = okvs.shape(len(x))
    ours = okvs.keys_of(x, salt)
    meter.lap("receiver: hash")
    theirs = okvs.keys_of(y, salt)
    meter.lap("sender: hash")
    plan = profile.plan(code, form.slots)
    size = evaluation.tag_bytes(len(x), len(y))
    with VoleReceiver(plan, context) as receiver, VoleSender(plan, context) as sender:
        replies = sender.reply(receiver.offer)
        meter.lap("both: base transfers")
        corrections = receiver.correct(replies)
        meter.lap("receiver: corrections")
        sums = sender.sums(corrections)
        sender.finish()
        meter.lap("sender: trees and code")
        receiver.finish(sums)
        meter.lap("receiver: trees and code")
        masked = evaluation.masked(form, evaluation.store(form, ours), receiver.a)
        meter.lap("receiver: store")
        table = evaluation.evaluator(form, sender.b, masked, sender.delta)
        order = evaluation.secret_order(len(y))
        told = evaluation.tags(form, theirs, table, sender.delta, order, context, size)
        meter.lap("sender: tags")
        own = evaluation.own_tags(form, ours, receiver.c, context, size)
        meter.lap("receiver: tags")
        found = evaluation.matches(own, told)
        meter.lap("receiver: look-up")
        # The opened commitments to the salts, 16 + 32 bytes a side, are part of the wire as well.
        meter.up = 48 + len(receiver.offer) + corrections.elements.nbytes + corrections.choices.nbytes + masked.nbytes
        meter.down = 48 + replies.nbytes + sums.sides.nbytes + sums.totals.nbytes + told.nbytes
    meter.lap("both: wiping")
    return found, order, meter


def hashed(x: Ids) -> float:
    """Seconds of one salted SHA-256 over the ids."""
    salt = os.urandom(16)
    start = time.process_time()
    okvs.keys_of(x, salt)
    return time.process_time() - start


def checked(x: Ids, y: Ids, truth: NDArray[np.int64], code: profile.Profile) -> Meter:
    """A run whose every answer is compared with the truth."""
    found, order, meter = intersect(x, y, code)
    place = np.where(found >= 0, order[np.maximum(found, 0)].astype(np.int64), -1)
    if not np.array_equal(place, truth):
        raise SystemExit("the intersection is wrong")
    return meter


def measure(n: int = SIZE, repeat: int = 4) -> list[tuple[profile.Profile, Meter, float]]:
    """For each profile its fastest run and the fastest of the hashes timed between the runs."""
    x, y, truth = sets(n)
    best: dict[str, Meter] = {}
    bare = float("inf")
    for _ in range(repeat):
        for code in (profile.CONSERVATIVE, profile.FAST):
            bare = min(bare, *(hashed(x) for _ in range(3)))
            meter = checked(x, y, truth, code)
            if code.name not in best or meter.total < best[code.name].total:
                best[code.name] = meter
    return [(profile.profile(name), meter, bare) for name, meter in best.items()]


def rows() -> list[Row]:
    """Time against the hash, and bytes an item on the wire against the bar, for the default and the fast profile."""
    found = []
    for code, meter, bare in measure():
        about = {
            "rows": SIZE,
            "id_bytes": ID_BYTES,
            "threads": 1,
            "code": code.code,
            "weight": code.weight,
            "noise": code.noise,
            "yardstick": f"one salted SHA-256 of each id ({_native.sha_kernel()})",
            "kernel": _native.block_kernel(),
            "bytes_per_item": round((meter.up + meter.down) / SIZE, 2),
        }
        name = "psi.vole" if code == profile.CONSERVATIVE else f"psi.vole, {code.name} profile"
        found.append(Row(name, meter.total, "CPU s", bare, "lower", about, TIME_BAR))
        sent = {**about, "yardstick": "one byte"}
        found.append(Row(f"{name}, wire", (meter.up + meter.down) / SIZE, "bytes/item", 1.0, "lower", sent, BYTES_BAR))
    return found


def main(arguments: list[str]) -> None:
    n = int(arguments[0]) if arguments else SIZE
    for code, meter, bare in measure(n):
        print(f"{code.name}: {meter.total:.3f} s, {meter.total / bare:.1f} x one hash ({bare * 1e3:.1f} ms), ", end="")
        print(f"{(meter.up + meter.down) / n:.2f} bytes an item")
        for stage, spent in meter.stages.items():
            print(f"  {stage:28} {spent * 1e3:7.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
