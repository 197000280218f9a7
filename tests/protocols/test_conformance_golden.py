"""What stands on the wire, byte for byte: a change fails here until a version is raised and the record written again.

How to write it: `.venv/bin/python tests/support/golden_runs.py --write`.
"""

from __future__ import annotations

import copy
import json

import golden_runs
import pytest
from cases import CASES
from vertical import use_plain

from parley.protocols import registry
from parley.protocols.kit.checks.golden import differences, may_replace
from parley.wire import codec, envelope


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    use_plain(monkeypatch)


@pytest.mark.parametrize("name", CASES)
def test_the_transcript_is_the_committed_one(name):
    found = differences(golden_runs.recorded(name), golden_runs.now(name))
    assert found == [], f"raise the version, then: .venv/bin/python tests/support/golden_runs.py --write\n{found}"


@pytest.mark.parametrize("protocol", registry.names())
def test_every_declared_message_is_on_record(protocol):
    tags = {m["tag"] for n, c in CASES.items() if c.protocol == protocol for m in golden_runs.recorded(n)["messages"]}
    assert tags == {s.message.TAG for s in registry.load(protocol).steps}


def test_a_changed_encoding_is_noticed_though_the_values_are_the_same(monkeypatch):
    """Planted: the same message whose body has one field more, which the parser ignores."""
    ours = codec.encode
    monkeypatch.setattr(codec, "encode", lambda fields: ours(fields) + b"\x98\x06\x01")
    found = differences(golden_runs.recorded("gbdt/predict"), golden_runs.now("gbdt/predict"))
    assert found
    assert all(line.endswith(": bytes, sha256") for line in found)


def test_a_changed_frame_is_noticed_though_the_body_is_the_same(monkeypatch):
    """Planted: an envelope with one field more, which the parser ignores."""
    ours = envelope.Envelope.encode
    monkeypatch.setattr(envelope.Envelope, "encode", lambda self: ours(self) + b"\x98\x06\x01")
    found = differences(golden_runs.recorded("psi/ecdh"), golden_runs.now("psi/ecdh"))
    assert found
    assert all(line.endswith(": sha256") for line in found)


def test_a_record_is_replaced_only_under_another_version(tmp_path, monkeypatch):
    old = golden_runs.recorded("psi/ecdh")
    changed = copy.deepcopy(old)
    changed["messages"][0]["bytes"] += 1
    assert differences(old, changed) == ["message 0, psi.floor.double/1 on lab -> hospital: bytes"]
    assert may_replace(old, copy.deepcopy(old))
    assert not may_replace(old, changed)
    assert may_replace(old, {**changed, "version": old["version"] + 1})
    assert may_replace(old, {**changed, "envelope": old["envelope"] + 1})
    monkeypatch.setattr(golden_runs, "FOLDER", tmp_path)
    golden_runs.path_of("psi/ecdh").write_text(json.dumps(changed), encoding="utf-8")
    assert golden_runs.write("psi/ecdh")
    assert golden_runs.recorded("psi/ecdh") == changed
