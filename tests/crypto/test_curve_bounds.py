"""The vector field's one rule, checked limb by limb: a factor is below 2^52, so sums are carried before a product."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from native_programs import IFMA, program

from parley.crypto import _native

P = 2**255 - 19
BIAS = 608 * P


@pytest.fixture(scope="module")
def checker():
    if _native.ristretto_kernel() == "baseline":
        pytest.skip("this CPU has the portable kernel only")
    return program("curve_bounds", ["ristretto_scalar.cpp", "wipe.cpp"], IFMA)


def run(checker, mode: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([checker, mode], input=stdin, capture_output=True, timeout=60, check=False)


def edges() -> bytes:
    """Field values at which limbs are extreme, in every combination of two, and random rows."""
    limb = [(1 << 51) - 1, 0, 1]
    values = [sum(x << 51 * i for i in range(5)) for x in limb] + [
        P - 1,
        P,
        P + 1,
        2**255 - 1,
        2**256 - 1,
        (P - 1) // 2,
    ]
    rows = b"".join(a.to_bytes(32, "little") + b.to_bytes(32, "little") for a in values for b in values)
    return rows + np.random.default_rng(5).integers(0, 256, 64 * 400, dtype=np.uint8).tobytes()


def test_no_factor_or_column_of_the_kernel_is_too_large(checker):
    done = run(checker, "kernel", edges())
    assert done.returncode == 0, done.stderr
    factors, columns = (int(x) for x in done.stdout.split()[1::2])
    assert factors > 1_000_000
    assert columns > 1_000_000


def test_the_formulas_hold_on_the_largest_limbs(checker):
    assert run(checker, "columns").returncode == 0


@pytest.mark.parametrize(("mode", "code"), [("uncarried", 3), ("unbiased", 4)])
def test_the_checker_finds_a_sum_that_was_not_carried(checker, mode, code):
    done = run(checker, mode)
    assert (done.returncode, done.stdout) == (code, b"")


def test_products_of_the_largest_factors_are_exact(checker):
    table = [line.split() for line in run(checker, "factors").stdout.decode().splitlines()]
    read = [(name, [int(x) for x in limbs]) for name, *limbs in table]

    def value(limbs):
        return sum(x << 51 * i for i, x in enumerate(limbs))

    a, b = value(read[0][1]), value(read[1][1])
    want = {"ab": a * b, "aa": a * a, "bb": b * b, "aa2": 2 * a * a}
    assert len(read) == 13
    for name, limbs in read[2:-1]:
        assert value(limbs) % P == want[name] % P
    for _, limbs in read[2:9]:
        assert max(limbs) < 1 << 63
    for (_, plain), (_, biased) in zip(read[2:5], read[6:9], strict=True):
        assert value(biased) - value(plain) == BIAS
    for _, limbs in read[9:]:
        assert max(limbs) <= (1 << 51) + (1 << 17)
