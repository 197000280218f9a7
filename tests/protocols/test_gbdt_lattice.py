"""Vertical boosting on the lattice makes the very trees of the plain run, within its cost."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from vertical import CAST3, part, split_inputs, train, use_plain

from parley.protocols.gbdt import scheme
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.gbdt.vertical import Histograms, Key, NodeGradients
from parley.protocols.kit import Cast
from parley.protocols.kit.conformance import bytes_by_tag
from parley.protocols.kit.local import Setting, sizes_of
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from tables import joined

LATTICE = {"scheme": "lattice"}


def split(table):
    guest = [x for x in table.column_names if not x.startswith("h_")]
    return split_inputs(table, guest, ["id", *(x for x in table.column_names if x.startswith("h_"))])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("breast", {"trees": 5}),
        ("default_credit", {"trees": 2}),
        ("vehicle_scale", {"trees": 2, "objective": "multi", "classes": 4}),
        ("student", {"trees": 3, "objective": "regression", "depth": 2}),
    ],
)
def test_the_model_is_the_plain_runs(name, params, monkeypatch):
    inputs = split(joined(name))
    real = train(inputs, {**LATTICE, **params})
    use_plain(monkeypatch)
    fake = train(inputs, {**LATTICE, **params})
    assert real["bank"].keep["model"] == fake["bank"].keep["model"]
    assert real["bank"].result == fake["bank"].result
    for key in ("tree", "node", "feature", "left"):
        np.testing.assert_array_equal(real["bureau"].keep[key], fake["bureau"].keep[key])


def three_parties():
    table = joined("breast")
    theirs = [x for x in table.column_names if x.startswith("h_")]
    return split_inputs(table, ["id", "y"], ["id", *theirs[:3]], ["id", *theirs[3:]])


def test_one_key_serves_several_parties_and_what_is_sent_is_within_its_cost():
    inputs, params = three_parties(), {"label": "y", "id": "id", "trees": 2, "depth": 3, "bins": 16, **LATTICE}
    run = train(inputs, params)
    cast = Cast(CAST3)
    flows = VERTICAL.cost(VERTICAL.validate(params, cast), cast, sizes_of(inputs))
    sent = bytes_by_tag(run.transcript)
    caps = {(f.sender, f.receiver, f.tag): f.bytes for f in flows}
    assert {k[2] for k in sent} == {k[2] for k in caps}
    for place, total in sent.items():
        assert total <= caps[place] + 4096
    big = [place for place in sent if place[2] in (NodeGradients.TAG, Histograms.TAG)]
    assert all(sent[place] > caps[place] / 8 for place in big)


def test_a_floor_that_no_profile_keeps_is_refused_before_anything_is_encrypted():
    with pytest.raises(ParleyError) as caught:
        train(three_parties(), {"trees": 50, "scale_bits": 40, "statistical_bits": 80, **LATTICE})
    assert caught.value.code in ("floor", "overflow")


def test_the_plan_is_the_one_that_was_asked_for():
    cast = Cast(CAST3)
    params = VERTICAL.validate({"label": "y", **LATTICE}, cast)
    plan = scheme.Terms(params, 30_000, 1 << 20).plan()
    assert plan.distance_bits >= 40
    with pytest.raises(ValueError, match="at most 255 bins"):
        VERTICAL.params(label="y", bins=256, **LATTICE)


def changed(tag: str, change):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == tag and not envelope.last:
            return dataclasses.replace(envelope, body=change(envelope.body))
        return envelope

    return Setting(fault=fault, patience=3)


def no_rows(body: bytes) -> bytes:
    kept = NodeGradients.decode(body, {}).ciphertexts.copy()
    kept[0, 8:40] ^= 1  # the digest of plan and context
    return NodeGradients(kept).encode()


def other_key(body: bytes) -> bytes:
    key = Key.decode(body, {})
    return Key(key.public[:10] + bytes(32) + key.public[42:], key.count, key.outputs).encode()


def fewer_outputs(body: bytes) -> bytes:
    key = Key.decode(body, {})
    return Key(key.public, key.count, 2).encode()


@pytest.mark.parametrize(
    ("tag", "change", "code"),
    [
        (NodeGradients.TAG, no_rows, "bad_ciphertext"),
        (Key.TAG, other_key, "bad_key"),
        (Key.TAG, fewer_outputs, "protocol_violation"),
    ],
)
def test_what_does_not_belong_to_this_run_is_refused_by_name(tag, change, code):
    with pytest.raises(ParleyError) as caught:
        train(three_parties(), {"trees": 1, **LATTICE}, setting=changed(tag, change))
    assert (caught.value.code, caught.value.party) == (code, "bank")


def test_batches_and_answers_of_two_runs_share_nothing():
    inputs = {"bank": part(joined("breast").select(["id", "y"])), "bureau": three_parties()["bureau"]}
    runs = [train(inputs, {"trees": 1, "depth": 1, **LATTICE}) for _ in range(2)]
    first, second = ({e.body[200:] for e in r.transcript if len(e.body) > 10_000} for r in runs)
    assert len(first) == 3  # a key, a batch, an answer
    assert not first & second
