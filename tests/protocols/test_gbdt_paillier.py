"""Vertical boosting with real Paillier-2048 keys makes the very trees of the plain run, within its cost."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from vertical import split_inputs, train, use_plain

from parley.protocols.gbdt.messages import Gradients
from parley.protocols.kit.local import Setting
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined

pytestmark = pytest.mark.paillier


def split(table: pa.Table):
    guest = [x for x in table.column_names if not x.startswith("h_")]
    return split_inputs(table, guest, ["id", *(x for x in table.column_names if x.startswith("h_"))])


@pytest.mark.parametrize(
    ("name", "rows", "params"),
    [
        ("breast", 569, {"trees": 3}),
        ("default_credit", 3000, {"trees": 1}),
        ("default_credit", 1000, {"trees": 2, "own_trees": 1, "growth": "leaf", "leaves": 4}),
        ("student", 395, {"trees": 2, "objective": "regression", "depth": 2}),
        ("vehicle_scale", 300, {"trees": 1, "objective": "multi", "classes": 4, "depth": 2}),
    ],
)
def test_the_model_is_the_plain_runs(name, rows, params, monkeypatch):
    inputs = split(joined(name).slice(0, rows))
    real = train(inputs, params)
    use_plain(monkeypatch)
    fake = train(inputs, params)
    assert real["bank"].keep["model"] == fake["bank"].keep["model"]
    assert real["bank"].result.pop("encryption") == "Paillier, 2048 bits"
    assert fake["bank"].result.pop("encryption") == "no encryption"
    assert real["bank"].result == fake["bank"].result
    for key in ("tree", "node", "feature", "left"):
        np.testing.assert_array_equal(real["bureau"].keep[key], fake["bureau"].keep[key])
    if name == "breast":
        assert roc_auc_score(real["bank"].keep["labels"], real["bank"].keep["scores"][:, 0]) > 0.98


def small():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3))
    table = pa.table({"id": np.arange(60), "y": (x[:, 0] + x[:, 1] > 0).astype(int), "x0": x[:, 0], "x1": x[:, 1]})
    return split_inputs(table, ["id", "y", "x0"], ["id", "x1"])


def test_bytes_are_the_formula():
    run = train(small(), {"trees": 1, "depth": 2, "bins": 8})
    gradients = sum(len(e.body) for e in run.transcript if e.address.tag == Gradients.TAG)
    assert 60 * 512 <= gradients <= 60 * 512 + 300
    answers = [e for e in run.transcript if e.address.tag.startswith("gbdt.vertical.histograms") and not e.last]
    assert [len(e.body) // 512 for e in answers] == [1, 1]  # nine sums fit one ciphertext


def test_ciphertexts_outside_the_group_are_refused_and_name_the_peer():
    def zeros(envelope, now):
        if now == "after" or envelope.address.tag != Gradients.TAG or envelope.last:
            return envelope
        m = Gradients.decode(envelope.body, {})
        return dataclasses.replace(envelope, body=Gradients(np.zeros_like(m.ciphertexts)).encode())

    with pytest.raises(ParleyError) as e:
        train(small(), {"trees": 1}, setting=Setting(fault=zeros))
    assert (e.value.code, e.value.party) == ("bad_ciphertext", "bank")


def test_a_key_of_another_size_is_refused(monkeypatch):
    from parley.crypto import ahe
    from parley.protocols import scheme

    monkeypatch.setattr(scheme, "generate", lambda terms: ahe.generate("paillier", 3072))
    with pytest.raises(ParleyError) as e:
        train(small(), {"trees": 1})
    assert (e.value.code, e.value.party) == ("protocol_violation", "bank")


def test_two_answers_to_one_question_share_no_ciphertext():
    runs = [train(small(), {"trees": 1, "depth": 1}) for _ in range(2)]
    bodies = [
        {e.body for e in r.transcript if e.address.tag.startswith("gbdt.vertical.hist") and not e.last} for r in runs
    ]
    assert not bodies[0] & bodies[1]
