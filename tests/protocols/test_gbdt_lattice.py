"""Vertical boosting on the lattice makes the very trees of the plain run, within its cost."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from seeded import Seeded
from vertical import CAST3, part, split_inputs, train, use_plain

from parley.crypto.ahe import Layout
from parley.crypto.errors import CryptoError
from parley.protocols import pieces, scheme
from parley.protocols.gbdt import planning
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.gbdt.messages import Histograms, Key, NodeGradients
from parley.protocols.kit import Cast, StepInputs
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
        ("vehicle_scale", {"trees": 1, "objective": "multi", "classes": 4, "multi": "trees"}),
        ("student", {"trees": 2, "weight": "x0", "objective": "poisson", "monotone": {"bureau": {"h_x0": 1}}}),
        ("breast", {"trees": 4, "own_trees": 1, "growth": "leaf", "leaves": 6, "subsample": 0.8}),
        ("student", {"trees": 3, "objective": "regression", "depth": 2}),
    ],
)
def test_the_model_is_the_plain_runs(name, params, monkeypatch):
    inputs = split(joined(name))
    real = train(inputs, {**LATTICE, **params})
    use_plain(monkeypatch)
    fake = train(inputs, {**LATTICE, **params})
    assert real["bank"].keep["model"] == fake["bank"].keep["model"]
    said = real["bank"].result.pop("encryption")
    assert fake["bank"].result.pop("encryption") == "no encryption"
    assert real["bank"].result == fake["bank"].result
    assert float(said.split("2^-")[1].split()[0]) >= 40
    for key in ("tree", "node", "feature", "left"):
        np.testing.assert_array_equal(real["bureau"].keep[key], fake["bureau"].keep[key])


def test_rows_by_gradient_and_going_on_make_the_plain_runs_model(monkeypatch):
    """Which rows come along is drawn from a seeded source on both sides of the comparison."""
    inputs, params = split(joined("breast")), {"goss": {"top": 0.3, "other": 0.2}, **LATTICE}
    models = []
    for _ in range(2):
        first = train(inputs, {"trees": 2, **params}, setting=Setting(rngs={"bank": Seeded("bank")}))
        given = {p: StepInputs(d.table, {"train1": first[p].keep}) for p, d in inputs.items()}
        more = {"trees": 2, "warm_start": True, **params}
        second = train(given, more, setting=Setting(rngs={"bank": Seeded("again")}))
        models.append(second["bank"].keep["model"])
        use_plain(monkeypatch)
    assert models[0] == models[1]
    assert len(json.loads(models[0])["rounds"]) == 4


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


def test_packed_answers_grow_the_same_model_from_fewer_bytes():
    inputs, params = three_parties(), {"label": "y", "id": "id", "trees": 1, "depth": 2, "bins": 200, **LATTICE}
    plain, packed = (train(inputs, {**params, "packed": p}) for p in (False, True))
    assert packed["bank"].keep["model"] == plain["bank"].keep["model"]
    assert "packed" in packed["bank"].result["encryption"]
    cast = Cast(CAST3)
    flows = VERTICAL.cost(VERTICAL.validate({**params, "packed": True}, cast), cast, sizes_of(inputs))
    caps = {(f.sender, f.receiver, f.tag): f.bytes for f in flows}
    sizes = [bytes_by_tag(r.transcript) for r in (plain, packed)]
    for place, total in sizes[1].items():
        assert total <= caps[place] + 4096
    answers = [sum(n for (_, _, tag), n in s.items() if tag == Histograms.TAG) for s in sizes]
    assert answers[1] < answers[0] / 4


def test_a_floor_that_no_profile_keeps_is_refused_before_anything_is_encrypted():
    with pytest.raises(ParleyError) as caught:
        train(three_parties(), {"trees": 50, "scale_bits": 40, "statistical_bits": 80, **LATTICE})
    assert caught.value.code in ("floor", "overflow")


def test_the_plan_is_the_one_that_was_asked_for():
    cast = Cast(CAST3)
    params = VERTICAL.validate({"label": "y", **LATTICE}, cast)
    plan = scheme.Terms(params, 30_000, 1 << 20).plan()
    assert plan.distance_bits >= 40
    with pytest.raises(ValueError, match="statistical_bits"):
        VERTICAL.params(label="y", statistical_bits=39, **LATTICE)
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
    return Key(key.public[:10] + bytes(32) + key.public[42:], key.count, key.outputs, key.sharing).encode()


def fewer_outputs(body: bytes) -> bytes:
    key = Key.decode(body, {})
    return Key(key.public, key.count, 2, key.sharing).encode()


def less_sharing(body: bytes) -> bytes:
    key = Key.decode(body, {})
    return Key(key.public, key.count, key.outputs, 1).encode()


def test_features_that_share_a_polynomial_are_counted():
    params = VERTICAL.params(label="y", **LATTICE)
    assert planning.shared(params, [(33,) * 300]) == 2
    assert planning.shared(params, [(33,) * 3, (2,) * 40]) == 16
    assert planning.shared(params, [(11, 11, 11, 31)]) == 4  # 0-10, 11-21, 22-32, 33-63: three, and then two
    assert planning.shared(VERTICAL.params(label="y", column_sample=0.5, **LATTICE), [(33,) * 300]) == 2
    assert planning.shared(VERTICAL.params(label="y", column_sample=0.5, **LATTICE), [(33, 3, 33)]) == 16
    assert planning.shared(VERTICAL.params(label="y"), [(33,)]) == 32


def test_fifty_trees_of_three_hundred_features_fit_the_narrow_ring():
    params = VERTICAL.params(label="y", trees=50, depth=5, **LATTICE)
    shapes = [(33,) * 300]
    terms = scheme.Terms(params, 100_000, planning.planned(params, shapes), sharing=planning.shared(params, shapes))
    assert terms.plan().profile.name == "standard"
    assert terms.plan().distance_bits >= 40


@pytest.mark.parametrize(
    ("tag", "change", "code"),
    [
        (NodeGradients.TAG, no_rows, "bad_ciphertext"),
        (Key.TAG, other_key, "bad_key"),
        (Key.TAG, fewer_outputs, "protocol_violation"),
        (Key.TAG, less_sharing, "protocol_violation"),
    ],
)
def test_what_does_not_belong_to_this_run_is_refused_by_name(tag, change, code):
    with pytest.raises(ParleyError) as caught:
        train(three_parties(), {"trees": 1, **LATTICE}, setting=changed(tag, change))
    assert (caught.value.code, caught.value.party) == (code, "bank")


BLOCK, HEAD, SEED = 25, 120, slice(72, 104)  # four residues; a batch's head, and the seed in it


def test_batches_of_two_runs_and_two_nodes_share_nothing():
    """Seeds of a are new for every batch, and so is every block of what follows."""
    inputs = {"bank": part(joined("breast").select(["id", "y"])), "bureau": three_parties()["bureau"]}
    runs = [train(inputs, {"trees": 2, "depth": 2, **LATTICE}) for _ in range(2)]
    raws = [
        NodeGradients.decode(e.body, {}).ciphertexts.reshape(-1)
        for r in runs
        for e in r.transcript
        if e.address.tag == NodeGradients.TAG and not e.last
    ]
    assert len(raws) == 8
    assert len({r[SEED].tobytes() for r in raws}) == len(raws)
    blocks = [{b.tobytes() for b in r[HEAD:].reshape(-1, BLOCK)} for r in raws]
    assert len(set().union(*blocks)) == sum(map(len, blocks))


def test_what_is_large_travels_in_pieces(monkeypatch):
    params = {"trees": 1, "depth": 2, **LATTICE}
    whole = train(three_parties(), params)
    monkeypatch.setattr(pieces, "PIECE", 20_000)
    cut = train(three_parties(), params)
    assert cut["bank"].keep["model"] == whole["bank"].keep["model"]
    for tag in (NodeGradients.TAG, Histograms.TAG):
        count = [sum(e.address.tag == tag for e in r.transcript) for r in (whole, cut)]
        assert count[1] > 2 * count[0]
    largest = [e for e in cut.transcript if e.address.tag in (NodeGradients.TAG, Histograms.TAG)]
    assert max(len(e.body) for e in largest) < 21_000


def test_the_key_is_closed_when_the_training_ends(monkeypatch):
    made = []
    real = scheme.generate
    monkeypatch.setattr(scheme, "generate", lambda terms: made.append(real(terms)) or made[-1])
    train(three_parties(), {"trees": 1, "depth": 1, **LATTICE})
    with pytest.raises(CryptoError, match="closed"):
        made[0].encrypt(np.zeros((1, 2), np.int64), Layout(2, 1 << 16, 569))
