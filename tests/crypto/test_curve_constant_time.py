"""What the secret scalar must not steer, checked on the machine code: docs/constant-time.md says what this covers."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from native_programs import IFMA, program
from shared import unavailable

from parley.crypto import _native
from parley.crypto.curve import ORDER

SCALARS = [ORDER - 1, int("8123456789abcdef" * 4, 16) % ORDER]
HEX = [k.to_bytes(32, "little").hex() for k in SCALARS]


@pytest.fixture(scope="module")
def tracer():
    if _native.ristretto_kernel() == "baseline":
        pytest.skip("this CPU has the portable kernel only")
    return program("curve_trace", ["ristretto_scalar.cpp", "wipe.cpp"], [*IFMA, "-mno-red-zone"])


def traces(tracer, mode: str) -> list[list[str]]:
    done = subprocess.run([tracer, mode, *HEX], capture_output=True, timeout=110, check=False, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == len(SCALARS)
    return rows


def distinct(rows: list[list[str]], column: int) -> int:
    return len({row[column] for row in rows})


@pytest.mark.slow
def test_the_multiplication_takes_one_path_and_one_set_of_addresses(tracer):
    """No general register ever differs between scalars, so no branch and no address can."""
    rows = traces(tracer, "times")
    assert int(rows[0][0]) > 150_000
    assert (distinct(rows, 1), distinct(rows, 2)) == (1, 1)


@pytest.mark.slow
def test_the_encoding_of_what_it_left_takes_one_path(tracer):
    rows = traces(tracer, "finish")
    assert int(rows[0][0]) > 30_000
    assert distinct(rows, 1) == 1


@pytest.mark.slow
def test_a_planted_branch_and_a_planted_address_are_found(tracer):
    assert distinct(traces(tracer, "leaky-branch"), 1) > 1
    rows = traces(tracer, "leaky-index")
    assert distinct(rows, 1) == 1  # the path alone would not show it
    assert distinct(rows, 2) > 1


@pytest.fixture(scope="module")
def secret():
    if shutil.which("valgrind") is None:
        unavailable("valgrind is not installed (on Debian or Ubuntu: apt-get install valgrind)")
    return program("curve_secret", ["ristretto_baseline.cpp", "ristretto_scalar.cpp", "wipe.cpp"], ["-g"])


def memcheck(secret, mode: str) -> subprocess.CompletedProcess[str]:
    command = ["valgrind", "-q", "--error-exitcode=9", str(secret), mode]
    return subprocess.run(command, capture_output=True, timeout=110, check=False, text=True)


@pytest.mark.slow
def test_portable_code_never_branches_on_or_addresses_by_the_scalar(secret):
    done = memcheck(secret, "clean")
    assert (done.returncode, done.stdout) == (0, "110\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "said"), [("branch", "Conditional jump"), ("index", "Use of uninitialised value")])
def test_memcheck_finds_what_is_planted(secret, mode, said):
    done = memcheck(secret, mode)
    assert done.returncode == 9
    assert said in done.stderr
