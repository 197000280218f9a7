"""Who may import whom, exactly; and what an import may not drag in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import lints
import pytest

ALLOWED: dict[str, tuple[str, ...]] = {
    "crypto": (),
    "wire": ("crypto.seal", "crypto.sign", "crypto.merkle", "crypto.errors"),
    "coordinator": ("wire", "crypto.errors"),
    "components.lakehouse": ("components.errors",),
    "components.features": ("components.errors", "components.lakehouse"),
    "components.training": ("components.errors", "components.features", "components.lakehouse"),
    "components.serving": (
        "components.errors",
        "components.training",
        "components.features",
        "components.lakehouse",
    ),
    "protocols.kit": ("wire", "crypto", "protocols.registry"),
    "protocols": ("wire", "crypto", "protocols", "components.errors", "components.features", "components.training"),
    "party": ("wire", "crypto", "protocols", "components"),
}
# A room's own package is always free.
HEAVY = {
    "numpy",
    "pyarrow",
    "grpc",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "uvicorn",
    "pyiceberg",
    "google.protobuf",
    "pandas",
    "torch",
    "sklearn",
    "httpx",
    "cryptography",
    "gmpy2",
}


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def refused(importer: str, imported: str) -> bool:
    """Whether the house forbids that `importer` imports `imported` (names below parley)."""
    rooms = [room for room in ALLOWED if _within(importer, room)]
    if not rooms:
        return False  # the front door may use anything
    room = max(rooms, key=len)
    return not any(_within(imported, package) for package in (room, *ALLOWED[room]))


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("crypto.seal", "wire.codec"),
        ("wire.tls", "crypto.curve"),
        ("coordinator.store.tx", "party.vault"),
        ("coordinator.api", "protocols.kit"),
        ("components.lakehouse.x", "components.training"),
        ("wire.codec", "cli"),
        ("protocols.kit.gate", "protocols.psi"),
        ("party.executor", "coordinator.store"),
        ("protocols.inputs", "components.lakehouse"),
    ],
)
def test_the_table_refuses(importer: str, imported: str) -> None:
    assert refused(importer, imported)


def test_no_module_imports_what_its_room_may_not() -> None:
    graph = grimp.build_graph("parley", cache_dir=None)
    assert len(graph.modules) > 20
    short = {m: m.removeprefix("parley.") for m in graph.modules if m != "parley"}
    wrong = [
        f"{short[a]} -> {short[b]}"
        for a in short
        for b in graph.find_modules_directly_imported_by(a)
        if b in short and refused(short[a], short[b])
    ]
    assert wrong == []


def test_import_contracts_are_kept() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    ran = subprocess.run([tool, "--no-cache"], cwd=lints.ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout[-3000:]


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("room", [r for r in lints.ROOMS if r != "parley"])
def test_a_room_has_only_one_name(room: str, tmp_path: Path) -> None:
    assert _python(f"import parley.{room}", tmp_path).returncode == 0
    ran = _python(f"import {room}", tmp_path)
    assert ran.returncode != 0
    assert "ModuleNotFoundError" in ran.stderr


def test_the_command_imports_nothing_heavy(tmp_path: Path) -> None:
    if not (lints.ROOT / "parley" / "cli.py").exists() and not (lints.ROOT / "parley" / "cli").exists():
        pytest.skip("parley/cli does not exist yet")
    code = (
        "import sys, contextlib, io\nfrom parley.cli import main\nsys.argv = ['parley', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main()\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    ran = _python(code, tmp_path)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr[-1000:]
