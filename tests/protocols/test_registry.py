"""The registry, and the record of declarations that the coordinator plans with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from parley.protocols import registry
from parley.wire.declaration import Declaration
from parley.wire.errors import ParleyError

IN_CLEAR = ("nn/predict", "nn/split")  # show rows at the cut, and say so


def test_the_exported_record_is_what_the_code_declares():
    text = registry.record_path().read_text(encoding="utf-8")
    assert text == registry.exported(), "run: python -m parley.protocols.registry --export"
    record = json.loads(text)
    for name in registry.names():
        declared = Declaration.model_validate(record[name]["declaration"])
        assert declared.hash().hex() == record[name]["hash"] == registry.load(name).declaration().hash().hex()


def test_a_record_of_other_code_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "record_path", lambda: tmp_path / "declarations.json")
    assert registry.main(["--export"]) == 0 == registry.main(["--check"])
    (tmp_path / "declarations.json").write_text("{}", encoding="utf-8")
    assert registry.main(["--check"]) == 1


@pytest.mark.parametrize("name", registry.names())
def test_every_protocol_is_whole(name):
    protocol = registry.load(name)
    assert protocol.name == name
    assert set(protocol.jobs) == set(protocol.role_functions) == set(protocol.roles)
    assert "coordinator" in protocol.learns
    assert {s.disclosure for s in protocol.steps} <= {d for told in protocol.learns.values() for d in told}


@pytest.mark.parametrize("name", registry.names())
def test_the_words_for_rows_in_clear_are_used_for_nothing_else(name):
    learns = registry.load(name).learns
    if name in IN_CLEAR:
        steps = registry.load(name).steps
        assert {s.disclosure for s in steps if "values" in s.message.FIELDS} == {"individual_updates"}
        return
    assert not {"rows", "individual_updates"} & {word for told in learns.values() for word in told}


def test_unknown_names_get_a_hint():
    with pytest.raises(ParleyError) as e:
        registry.load("psi/edch")
    assert e.value.code == "unknown_protocol"
    assert "psi/ecdh" in e.value.hint


def test_names_are_known_without_loading_any_protocol():
    code = (
        "import sys; from parley.protocols import registry; registry.names(); "
        "print([m for m in sys.modules if m.startswith(('parley.protocols.psi', 'parley.protocols.gbdt', 'pyarrow'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip() == "[]"
