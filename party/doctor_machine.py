"""Looks at the machine a party runs on: disk, processor, software, isolation."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
_WANTED_FLAGS = {"x86_64": ("aes", "avx2", "pclmulqdq"), "aarch64": ("aes", "pmull", "asimd")}


@dataclass(frozen=True)
class Check:
    """One look: `ok` is False for something to act on, `advice` marks what works but could be better."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    advice: bool = False


def versions() -> Check:
    """Python and the libraries that shape what goes over the wire."""
    found = []
    for package in ("parley", "cryptography", "grpcio", "protobuf", "pyarrow", "pyiceberg"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            return Check("versions", False, f"{package} is not installed", "Install parley again.")
    return Check("versions", True, f"Python {platform.python_version()}, " + ", ".join(found))


def disk(path: Path, need: int = 2 * GIB) -> Check:
    free = shutil.disk_usage(path).free
    return Check("disk", free >= need, f"{free / GIB:.1f} GiB free", f"Keep at least {need / GIB:.0f} GiB free.")


def volume(path: Path, mounts: str | None = None, blocks: Path = Path("/sys/class/block")) -> Check:
    """Whether the warehouse's volume is encrypted (dm-crypt), as far as the system shows it."""
    try:
        text = Path("/proc/mounts").read_text() if mounts is None else mounts
    except OSError:
        return Check("volume", True, "cannot be seen on this system", advice=True)
    device, best = "", ""
    for line in text.splitlines():
        source, where = [*line.split(" "), ""][:2]
        inside = where == "/" or str(path) == where or str(path).startswith(where + "/")
        if inside and len(where) >= len(best):
            device, best = source, where
    uuid = blocks / Path(device).resolve().name / "dm" / "uuid" if device.startswith("/dev/") else None
    if uuid is not None and uuid.is_file() and uuid.read_text().startswith("CRYPT-"):
        return Check("volume", True, "encrypted (dm-crypt)")
    hint = "Tables lie on it in clear: put the home on an encrypted volume (LUKS), or see to it elsewhere."
    return Check("volume", True, "no volume encryption seen", hint, advice=True)


def processor(cpuinfo: str | None = None, machine: str | None = None) -> Check:
    """Instructions that make the difference for ciphers and kernels."""
    machine = machine or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    except OSError:
        return Check("processor", True, f"{machine}, features unknown", advice=True)
    flags = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.M))))
    missing = [f for f in _WANTED_FLAGS.get(machine, ()) if f not in flags]
    if missing:
        return Check("processor", True, f"{machine} without {', '.join(missing)}", "Jobs run, but slower.", advice=True)
    return Check("processor", True, f"{machine} with {', '.join(_WANTED_FLAGS.get(machine, ()))}")


def torch_build() -> Check:
    """Which PyTorch is installed, read from its files without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return Check("torch", True, "not installed", "Needed for neural networks only.", advice=True)
    file = Path(spec.origin).with_name("version.py")
    text = file.read_text() if file.is_file() else ""
    version = re.search(r"^__version__.*=\s*'([^']+)'", text, re.M)
    cuda = re.search(r"^cuda\b.*=\s*'([^']+)'", text, re.M)
    return Check("torch", True, f"{version[1] if version else 'unknown'}, {'CUDA ' + cuda[1] if cuda else 'CPU only'}")


def isolation() -> Check:
    """Whether a child process can be cut off from the network (user and network namespaces)."""
    tool = shutil.which("unshare")
    if tool is None:
        return Check("isolation", False, "unshare is not installed", "Install util-linux.")
    # Root needs no user namespace for it; the child of a step asks the system in the same way.
    spaces = ["--net"] if os.geteuid() == 0 else ["--user", "--net"]
    try:
        ran = subprocess.run([tool, *spaces, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Check("isolation", False, "namespaces cannot be tried", "Look at the container's limits.")
    hint = "Allow unprivileged user namespaces, so that job code runs without a network."
    return Check("isolation", ran.returncode == 0, "possible" if ran.returncode == 0 else "refused by the system", hint)
