"""docs/crypto.md names files and functions that exist, and every module of the room."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "crypto.md").read_text(encoding="utf-8")
SECTIONS = PAGE.split("\n## ")[1:]
PRIMITIVES = [s for s in SECTIONS if "`crypto/" in s.splitlines()[0]]


def test_every_path_exists():
    paths = set(re.findall(r"`((?:crypto|tests)/[\w/.]+)`", PAGE))
    assert len(paths) > 30
    assert [p for p in sorted(paths) if not (ROOT / p).exists()] == []


@pytest.mark.parametrize("section", PRIMITIVES, ids=lambda s: s.splitlines()[0])
def test_every_section_has_its_six_lines(section):
    found = re.findall(r"^\* \*\*([^*]+)\.\*\*", section, re.MULTILINE)
    assert found == ["Guarantee", "Not guaranteed", "Rests on", "Source", "Functions", "Tests"]


@pytest.mark.parametrize("section", PRIMITIVES, ids=lambda s: s.splitlines()[0])
def test_every_function_exists(section):
    path = re.search(r"`(crypto/[\w/.]+)`", section.splitlines()[0])
    assert path
    dotted = "parley." + path[1].removesuffix(".py").strip("/").replace("/", ".")
    module = importlib.import_module(dotted)
    listed = section.split("* **Functions.**")[1].split("* **Tests.**")[0].split("natively")[0]
    names = re.findall(r"`\.?([A-Za-z_][\w.]*)[`(]", listed)
    parts = [importlib.import_module(f"{dotted}.{n}") for n in names if (ROOT / path[1] / f"{n}.py").exists()]
    owners = [module, *parts, *(m for o in (module, *parts) for m in vars(o).values() if isinstance(m, type))]
    missing = [n for n in names if not any(known(owner, n) for owner in owners) and n not in names_of(parts)]
    assert names
    assert missing == []


def names_of(modules) -> set[str]:
    return {m.__name__.rpartition(".")[2] for m in modules}


def known(owner, dotted: str) -> bool:
    """Whether the owner has this attribute, or, for `part.function`, is that part and has the function."""
    head, _, rest = dotted.rpartition(".")
    if head and getattr(owner, "__name__", "").endswith(f".{head}"):
        return hasattr(owner, rest)
    for name in dotted.split("."):
        if not hasattr(owner, name):
            return False
        owner = getattr(owner, name)
    return True


def test_every_module_has_a_section():
    helpers = {"errors", "__init__"}
    modules = {p.stem for p in (ROOT / "crypto").glob("*.py")} - helpers
    missing = [m for m in sorted(modules) if f"`crypto/{m}.py`" not in PAGE]
    assert missing == []
