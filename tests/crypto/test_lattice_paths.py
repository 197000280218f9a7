"""Every instruction set and every number of threads gives the same bytes, and they are the recorded ones."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from lattice_bench import Seeded, expected, seeded

from parley.crypto import _native, _native_testing

COUNTS = np.array([32, 3, 255, 1, 33, 5, 7, 2, 2, 2, 100], np.uint32)
ROWS = 1_500

# ciphertexts, D, b, reply: SHA-256 of what the seeds in lattice_bench give
GOLDEN = {
    ("standard", 8): "df49797ebf0a44d6 d78f20040406c07f 3dd839e8ddc672e5 9eab82c30ec37844",
    ("standard", 16): "95fbca1667a9ac0e c74c9ddf2961dfcb 7db9e20dbc6c6d5a 78f3e87efa89dfe3",
    ("standard", 32): "d32078ca4baf0d0d 04fdcfb6db5ea6f9 6cafa404debf689f 1fb9eb2d4e361c81",
    ("wide", 16): "56035a50bb256c8f 2c86bc34dc75f7d6 6772b4d20ec95509 69bdb33336fa7b29",
    ("wide", 32): "e6906e97d381aaaf a09a868c8dd18f85 1def12c5b63fe1f4 dc8f3030b0d3cd4d",
}


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """From a counter, so that they do not hang on a library's generator."""
    k = np.arange(ROWS, dtype=np.int64)
    values = np.stack([k * 7919 % 131_073 - 65_536, k * 104_729 % 65_537], 1)
    bins = np.stack([(k * (2 * f + 3) + f * k // 5) % c for f, c in enumerate(COUNTS.astype(np.int64))], 1)
    return values, bins.astype(np.uint8)


def digests(run: Seeded) -> str:
    values, bins = inputs()
    blocks = run.encrypt(values)
    sums = run.sums(blocks, ROWS, bins, COUNTS)
    d, b = _native_testing.parts(sums)
    reply, _ = run.reply(sums, b"r" * 32)
    found, _ = run.decrypt(reply)
    assert np.array_equal(found[: COUNTS.sum()], expected(values, bins, COUNTS))
    return " ".join(hashlib.sha256(x.tobytes()).hexdigest()[:16] for x in (blocks, d, b, reply))


@pytest.mark.parametrize("path", ["", "avx2", "baseline"])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("profile", "x"), list(GOLDEN))
def test_golden(monkeypatch, path, threads, profile, x):
    monkeypatch.setenv("PARLEY_CPU", path)
    assert digests(seeded(ROWS, x=x, profile=profile, threads=threads)) == GOLDEN[profile, x]


def test_one_side_may_run_on_another_path(monkeypatch):
    values, bins = inputs()
    run = seeded(ROWS)
    blocks = run.encrypt(values)
    monkeypatch.setenv("PARLEY_CPU", "baseline")
    sums = run.sums(blocks, ROWS, bins, COUNTS)
    monkeypatch.setenv("PARLEY_CPU", "avx2")
    reply, _ = run.reply(sums, b"r" * 32)
    monkeypatch.setenv("PARLEY_CPU", "")
    assert np.array_equal(run.decrypt(reply)[0][: COUNTS.sum()], expected(values, bins, COUNTS))
    assert _native.lattice_kernel()
