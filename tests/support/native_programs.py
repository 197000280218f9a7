"""Small programs around the native sources, compiled for a test: checks that the product's module has no door for."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from shared import ROOT, unavailable

NATIVE = ROOT / "crypto" / "native"
PROGRAMS = ROOT / "tests" / "crypto" / "native"
BUILT = ROOT / "build" / "native-tests"
PORTABLE = ["-std=gnu++20", "-O3", "-DNDEBUG"]
# As in CMakeLists.txt for ristretto_ifma.cpp.
SCHEDULED = ["-fschedule-insns", "-fsched-pressure"]
IFMA = [
    *SCHEDULED,
    "-mavx512f",
    "-mavx512dq",
    "-mavx512vl",
    "-mavx512ifma",
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
]


def program(name: str, sources: list[str], flags: list[str]) -> Path:
    """The executable of tests/crypto/native/<name>.cpp with more sources of crypto/native, built when they changed."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        unavailable("a C++ compiler is not installed (on Debian or Ubuntu: apt-get install g++)")
    main = PROGRAMS / f"{name}.cpp"
    digest = hashlib.sha256(repr([compiler, *sources, *flags]).encode())
    for path in [main, *sorted(NATIVE.glob("*.[ch]pp"))]:
        digest.update(path.read_bytes())
    out = BUILT / f"{name}-{digest.hexdigest()[:16]}"
    if not out.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(".part")
        units = [str(main), *(str(NATIVE / s) for s in sources)]
        command = [str(compiler), *PORTABLE, "-Wall", "-Wextra", *flags, f"-I{NATIVE}", *units, "-o", str(part)]
        subprocess.run(command, check=True, timeout=100)
        part.replace(out)
    return out
