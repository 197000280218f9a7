"""The hash of a protocol's code: it covers what the protocol imports of ours, and no place on a disk."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from parley.protocols import registry
from parley.protocols.kit.protocol import SEMI_HONEST, Protocol
from parley.protocols.kit.source import ROOMS, code_files, hash_files

CODE = """
from parley.protocols.kit import SEMI_HONEST, Protocol, Session, StepInputs, StepOutputs

OURS = Protocol(
    "test/ours", version=1, security=SEMI_HONEST, summary="x", roles={"one": "one"}, steps=[], learns={"one": []}
)


@OURS.job("one")
async def one(s: Session, inputs: StepInputs) -> StepOutputs:
    return StepOutputs()
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Tests change files in place; elsewhere a process reads its code once."""
    hash_files.cache_clear()
    yield
    hash_files.cache_clear()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The rooms that protocols stand on, copied."""
    target = tmp_path / "a"
    for room in ("protocols", "crypto", "wire", "components"):
        shutil.copytree(ROOMS / room, target / room, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def hash_in(rooms: Path, package: str = "protocols/gbdt") -> str:
    hash_files.cache_clear()
    return hash_files((rooms / package,), rooms)


@pytest.mark.parametrize("name", registry.names())
def test_it_covers_all_that_the_protocol_imports_of_ours(name):
    graph = grimp.build_graph("parley", cache_dir=None)
    module = registry.PROTOCOLS[name][0]
    imported = {f"{m.removeprefix('parley.').replace('.', '/')}" for m in graph.find_upstream_modules(module)}
    imported = {m for m in imported if m not in ("parley", "crypto/_native")}  # no code of ours; the compiled kernels
    protocol = registry.load(name)
    covered = {n.removesuffix(".py").removesuffix("/__init__") for n, _ in code_files(packages_of(protocol))}
    assert len(imported) > 10
    assert imported - covered == set()


def packages_of(protocol: Protocol) -> tuple[Path, ...]:
    return tuple({Path(source).resolve().parent for source in protocol._sources})


@pytest.mark.parametrize("name", registry.names())
def test_two_calls_agree_and_packages_differ(name):
    protocol = registry.load(name)
    first = protocol.code_hash()
    assert first == protocol.code_hash()
    hash_files.cache_clear()
    assert first == protocol.code_hash()
    other = "evaluate" if name.startswith("psi/") else "psi/ecdh"
    assert first != registry.load(other).code_hash()


def test_a_copy_elsewhere_has_the_hash_of_the_original(copy):
    assert hash_in(copy) == hash_in(ROOMS) == registry.load("gbdt/vertical").code_hash()


@pytest.mark.parametrize(
    "file",
    [
        "protocols/gbdt/scheme.py",
        "protocols/inputs.py",
        "protocols/kit/session.py",
        "crypto/prg.py",
        "crypto/ahe/paillier.py",
        "wire/codec.py",
        "components/errors.py",
        "components/features/binning.py",
        "components/training/split.py",
    ],
)
def test_a_change_of_any_helper_changes_the_hash(copy, file):
    before = hash_in(copy)
    with (copy / file).open("a") as helper:
        helper.write("#")
    assert hash_in(copy) != before


def test_a_new_a_renamed_and_a_moved_byte_change_the_hash(copy):
    seen = [hash_in(copy)]
    (copy / "protocols/gbdt/deep").mkdir()
    (copy / "protocols/gbdt/deep/a.py").write_text("xy")
    seen.append(hash_in(copy))
    (copy / "protocols/gbdt/deep/a.py").rename(copy / "protocols/gbdt/deep/b.py")
    seen.append(hash_in(copy))
    (copy / "protocols/gbdt/deep/b.py").write_text("x")
    (copy / "protocols/gbdt/deep/c.py").write_text("y")
    seen.append(hash_in(copy))
    assert len(set(seen)) == 4


def test_another_protocols_package_does_not_count(copy):
    before = hash_in(copy)
    (copy / "protocols/psi/ecdh.py").write_text("")
    assert hash_in(copy) == before


def load_from(folder: Path) -> Protocol:
    folder.mkdir(parents=True)
    (folder / "ours.py").write_text(CODE)
    (folder / "inner").mkdir()
    (folder / "inner" / "helper.py").write_text("A = 1")
    spec = importlib.util.spec_from_file_location("ours", folder / "ours.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OURS


def test_a_protocol_that_lies_elsewhere(tmp_path):
    here, there = load_from(tmp_path / "a" / "ours"), load_from(tmp_path / "b" / "ours")
    first = here.code_hash()
    assert first == there.code_hash()
    (tmp_path / "a" / "ours" / "inner" / "helper.py").write_text("A = 2")
    assert here.code_hash() == first  # what runs was read before the change
    hash_files.cache_clear()
    assert here.code_hash() != first


def test_a_folder_named_like_a_room_hides_nothing(tmp_path):
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / "codec.py").write_text("")
    names = sorted(name for name, _ in code_files((tmp_path / "wire",)) if name.endswith("wire/codec.py"))
    assert names == ["elsewhere/wire/codec.py", "wire/codec.py"]


def test_code_without_a_file_is_refused():
    protocol = Protocol(
        "test/none", version=1, security=SEMI_HONEST, summary="x", roles={"one": "one"}, steps=[], learns={"one": []}
    )
    protocol._sources = ["<stdin>"]
    with pytest.raises(TypeError, match="defined in files"):
        protocol.code_hash()
