"""What a protocol's code is: the files of ours that its behaviour comes from, and one hash over them.

Guarantee: any change to one of these files changes the hash, and where the files lie does not. Not covered: packages
of others, and the compiled kernels of `crypto`, whose bytes differ from one machine to the next.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

ROOMS = Path(__file__).resolve().parents[2]  # the folder that holds `protocols`, `crypto` and the other rooms
SHARED = (
    "protocols/frame.py",
    "protocols/inputs.py",
    "protocols/kit/*.py",
    "protocols/pieces.py",
    "protocols/scheme.py",
    "protocols/prep/columns.py",
    "crypto/**/*.py",
    "wire/**/*.py",
    "components/errors.py",
    "components/features/*.py",
    "components/training/*.py",
)


def code_files(packages: tuple[Path, ...], rooms: Path = ROOMS) -> set[tuple[str, Path]]:
    """(name, path) of every Python file of `packages` (folders, with what is below them) and of the shared rooms.

    Names are relative to `rooms`; those of a package that lies elsewhere begin with `elsewhere/` and its folder.
    """
    rooms = rooms.resolve()
    found = {(_below(path, rooms), path) for pattern in SHARED for path in rooms.glob(pattern)}
    for folder in (p.resolve() for p in packages):
        ours = folder.is_relative_to(rooms / "protocols")
        for path in folder.rglob("*.py"):
            found.add((_below(path, rooms) if ours else f"elsewhere/{_below(path, folder.parent)}", path))
    return found


def _below(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()


@functools.cache
def hash_files(packages: tuple[Path, ...], rooms: Path = ROOMS) -> str:
    """SHA-256, hex, over names and contents of `code_files`, in order; read once in the life of a process."""
    h = hashlib.sha256()
    for name, content in sorted((name.encode(), path.read_bytes()) for name, path in code_files(packages, rooms)):
        for part in (name, content):
            h.update(len(part).to_bytes(8, "big") + part)
    return h.hexdigest()
