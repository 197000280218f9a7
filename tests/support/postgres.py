"""A throwaway PostgreSQL: no TCP, no durability, a socket in a folder of its own, gone at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS = 60
# The server runs as another user, which takes a real fork, and gRPC's fork handlers may abort it; a program that is
# executed at once needs none of them. Read when gRPC is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl (the newest Debian version, else the PATH), or None."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextlib.contextmanager
def cluster(bin_dir: Path) -> Iterator[str]:
    """Runs a server and yields its SQLAlchemy URL. Root starts it as the user `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="parley-pg-", dir="/tmp"))
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []}

    def call(*command: str) -> None:
        subprocess.run(
            [str(bin_dir / command[0]), *command[1:]],
            check=True,
            timeout=SECONDS,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            **owner,
        )

    data = str(folder / "data")
    try:
        call(
            "initdb",
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
            data,
        )
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c synchronous_commit=off -c max_connections=50"
        call("pg_ctl", "-w", "-D", data, "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
