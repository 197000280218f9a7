"""Files that only this party's user may read, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from parley.wire.errors import ParleyError


def private_folder(path: Path) -> Path:
    """Make a folder with mode 0700, whatever the umask; an existing one keeps its mode."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    return path


def private_file(path: Path) -> Path:
    """Make an empty file with mode 0600 where there is none: a database made later keeps that mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return path


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path` (mode 0600): after a crash the old or the new bytes are there, and all of them."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make a rename or a removal in this folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exposed(path: Path) -> bool:
    """Whether somebody else than the owner may read or write `path`."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def require_private(path: Path) -> None:
    """ParleyError "unsafe_permissions" when others may read or write `path`."""
    if exposed(path):
        mode = "700" if path.is_dir() else "600"
        raise ParleyError(
            "unsafe_permissions",
            f"{path.name} can be read or written by other users of this machine.",
            f"Run: chmod {mode} {path}",
        )
