"""Scoring without paths: the joined model's scores to the last step of its fixed point, and who is told of wrongs."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest
from shared import need
from vertical import CAST2, CAST3, PackedSecretKey, split_inputs, train, use_plain

from parley.components.features import Binning
from parley.components.training.trees import Model
from parley.crypto.ahe.plain import PlainPublicKey
from parley.protocols.gbdt import predict_score as score
from parley.protocols.gbdt.course import Splits
from parley.protocols.gbdt.predict_jobs import SCORE
from parley.protocols.gbdt.predict_terms import terms_of
from parley.protocols.inputs import aligned_rows, take_rows
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting, sizes_of
from parley.wire.errors import ParleyError

COLUMNS = (["id", "y", "x0", "x1"], ["id", "x2", "x3"], ["id", "x4", "city"])


@pytest.fixture(autouse=True)
def plain(request, monkeypatch):
    if request.node.get_closest_marker("paillier") is None:
        use_plain(monkeypatch)


def table(n: int, seed: int, classes: int) -> pa.Table:
    """Labels that every column matters for; 1 class stands for a regression of large values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).round(2)
    city = rng.integers(0, 3, n)
    y = x[:, 0] * x[:, 2] + x[:, 3] * np.sign(x[:, 1]) + np.nan_to_num(x[:, 4]) * (city - 1)
    y = y * 1e4 if classes == 1 else np.digitize(y, np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1]))
    gaps = pa.array(np.where(rng.uniform(size=n) < 0.2, np.nan, x[:, 4]), from_pandas=True)
    names = np.array(["north", "south", "east"])[city]
    return pa.table({"id": np.arange(n), "y": y, **{f"x{k}": x[:, k] for k in range(4)}, "x4": gaps, "city": names})


TASKS = {
    "binary": (2, {}),
    "classes": (3, {"objective": "multi", "classes": 3}),
    "classes apart": (3, {"objective": "multi", "classes": 3, "multi": "trees"}),
    "regression": (1, {"objective": "regression"}),
}


def world(parties: int, task: str = "binary", n: int = 300, **more):
    classes, params = TASKS[task]
    data = split_inputs(table(n, 3, classes), *COLUMNS[:parties])
    return data, train(data, {"trees": 6, "depth": 4, "bins": 16, **params, **more})


def scored(trained, data, params=None, setting=None):
    given = {p: StepInputs(d.table, {"train": trained[p].keep, **d.needs}) for p, d in data.items()}
    return run_local(SCORE, CAST3 if "telco" in data else CAST2, given, {"depth": 4, **(params or {})}, setting=setting)


def joined(trained, data) -> tuple[Model, np.ndarray]:
    model = Model.from_dict(json.loads(trained["bank"].keep["model"]))
    made = {p: Binning.from_dict(json.loads(trained[p].keep["binning"])) for p in data}
    return model, np.hstack([made[p].transform(take_rows(d.table, aligned_rows(d))) for p, d in data.items()])


def in_fixed_point(model: Model, bins: np.ndarray, step: float) -> np.ndarray:
    """(n, K) raw scores with every leaf rounded to whole steps: row by row, node by node, in whole numbers."""
    out = np.zeros((len(bins), len(model.base_score)), dtype=np.int64)
    for i, row in enumerate(bins):
        for columns, tree in model.trees():
            for k in range(columns.start, columns.stop):
                node = tree.nodes[0]
                while not node.is_leaf:
                    code, missing = int(row[node.feature]), model.spec.missing(node.feature)
                    left = code <= node.bin if node.left_bins is None else code in node.left_bins
                    left = node.missing_left if code == missing else left
                    node = tree.nodes[node.left if left else node.right]
                weight = node.vector[k] if node.vector else node.weight
                out[i, k] += round(weight / step)
    return np.asarray(model.base_score) + out * step


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("parties", "scheme"), [(3, "paillier"), (2, "paillier"), (2, "lattice")])
def test_scores_are_the_joined_models_to_the_last_step(parties, scheme, task):
    data, trained = world(parties, task)
    run = scored(trained, data, {"scheme": scheme, "label": "y"})
    model, bins = joined(trained, data)
    keep = run["bank"].keep
    exact = model.objective.predict(in_fixed_point(model, bins, keep["step"]))
    assert np.array_equal(keep["scores"], exact)
    raw = (
        np.abs(np.log(exact) - np.log(model.predict(bins))) if task == "binary" else np.abs(exact - model.predict(bins))
    )
    assert raw.max() <= len(model.rounds) * keep["step"]
    assert keep["labels"].tolist() == trained["bank"].keep["labels"].tolist()
    assert run["bureau"].keep == run["bureau"].result == {}
    assert run["bank"].result["rows"] == 300


def test_coarser_steps_are_coarser_and_stay_exact():
    data, trained = world(3)
    model, bins = joined(trained, data)
    steps = []
    for bits in (8, 16, 32):
        keep = scored(trained, data, {"scale_bits": bits})["bank"].keep
        assert np.array_equal(keep["scores"], model.objective.predict(in_fixed_point(model, bins, keep["step"])))
        steps.append(keep["step"])
    assert steps == sorted(steps, reverse=True)
    assert steps[0] / steps[2] == 2**24


def test_terms_are_no_more_than_the_splits_of_features_parties_and_alike_ones_are_one():
    _, trained = world(3)
    model = Model.from_dict(json.loads(trained["bank"].keep["model"]))
    held = {p: Splits.of(trained[p].keep) for p in CAST3["features"]}
    owners = {s: p for p, h in held.items() for s in zip(h.tree, h.node, strict=True)}
    terms = terms_of(model, 2, owners, 24)
    assert 0 < len(terms) <= len(owners)
    twice = Model(model.objective, model.spec, model.base_score, model.rounds * 2)
    more = {(t + len(model.rounds), n): p for (t, n), p in owners.items()}
    assert len(terms_of(twice, 2, {**owners, **more}, 24)) == len(terms)
    assert any(len({c.party for c in cs}) == 2 for cs in terms.conditions), "no tree mixes parties: a poor test"


def test_a_model_without_splits_of_others_is_scored_by_its_owner_alone():
    t = table(300, 3, 2)
    t = t.set_column(2, "x0", pa.array(t.column("y").to_numpy() * 1.0))
    data = split_inputs(t, *COLUMNS[:2])
    trained = train(data, {"trees": 1, "depth": 1})
    assert len(trained["bureau"].keep["tree"]) == 0
    run = scored(trained, data)
    model, bins = joined(trained, data)
    exact = in_fixed_point(model, bins, run["bank"].keep["step"])
    assert np.array_equal(run["bank"].keep["scores"], model.objective.predict(exact))
    assert score.Entries.TAG not in {e.address.tag for e in run.transcript}


def test_bytes_are_as_the_formula_says():
    """Each features party but the last passes on as much as it was sent; the formula is for full trees."""
    data, trained = world(3)
    run = scored(trained, data)
    terms = score.Key.decode(next(e.body for e in run.transcript if e.address.tag == score.Key.TAG), {}).terms
    by_tag = c.bytes_by_tag(run.transcript)
    for tag, pair in ((score.Entries.TAG, ("bank", "bureau")), (score.Passed.TAG, ("bureau", "telco"))):
        assert 300 * terms * 8 <= by_tag[*pair, tag] <= 300 * terms * 8 * 1.05 + 200
    assert ("bank", "telco", score.Entries.TAG) not in by_tag
    assert 300 * 8 <= by_tag["telco", "bank", score.Sums.TAG] <= 300 * 8 * 1.05 + 200
    params = SCORE.validate({"trees": 6, "depth": 4}, score.Cast(CAST3))
    given = {p: StepInputs(d.table, d.needs) for p, d in data.items()}
    flows = {(f.sender, f.receiver, f.tag): f.bytes for f in SCORE.cost(params, score.Cast(CAST3), sizes_of(given))}
    assert flows["bank", "bureau", score.Entries.TAG] == 300 * 6 * 15 * 512
    assert set(by_tag) == set(flows)


# ---------------------------------------------------------------- what is refused


def test_a_wrong_or_missing_part_of_the_model_is_told():
    data, trained = world(3)
    given = {p: StepInputs(d.table, {"train": trained[p].keep, **d.needs}) for p, d in data.items()}
    short = dict(trained["bureau"].keep)
    for key in ("tree", "node", "feature", "left"):
        short[key] = short[key][:1]
    given["bureau"].needs["train"] = short
    with pytest.raises(ParleyError) as e:
        run_local(SCORE, CAST3, given, {"depth": 4})
    assert e.value.code == "model_mismatch"
    given["bureau"].needs["train"] = trained["telco"].keep
    with pytest.raises(ParleyError) as e:
        run_local(SCORE, CAST3, given, {"depth": 4})
    assert e.value.code in ("protocol_violation", "unknown_column")
    with pytest.raises(ParleyError) as e:
        run_local(SCORE, CAST3, data, {"depth": 4})
    assert e.value.code == "no_model"


def test_the_lattice_takes_one_features_party():
    with pytest.raises(ParleyError) as e:
        SCORE.validate({"scheme": "lattice"}, score.Cast(CAST3))
    assert e.value.code == "bad_parameters"
    assert SCORE.figures(SCORE.validate({"scheme": "lattice"}, score.Cast(CAST2)), score.Cast(CAST2), sizes_of({}))


def refused(trained, data, monkeypatch, kind, change, params=None):
    """The error of a run in which every `kind` is changed where it is sent."""
    real = kind.encode

    def encode(self):
        return real(change(self))

    with monkeypatch.context() as m:
        m.setattr(kind, "encode", encode)
        with pytest.raises(ParleyError) as e:
            scored(trained, data, params)
    return e.value


def test_a_label_party_that_asks_beyond_the_model_is_refused_by_name(monkeypatch):
    data, trained = world(2)
    wrong = {
        "another number of aligned rows": (score.Key, lambda m: score.Key(m.public, m.count + 1, m.terms, m.outputs)),
        "a larger model": (
            score.Conditions,
            lambda m: score.Conditions(m.output + np.uint16(1), m.term, m.tree, m.node, m.left),
        ),
        "bad key": (score.Key, lambda m: score.Key(m.public + b"x", m.count, m.terms, m.outputs)),
        "does not hold": (
            score.Conditions,
            lambda m: score.Conditions(m.output, m.term, m.tree, m.node + np.uint32(40), m.left),
        ),
        "less": (score.Entries, lambda m: score.Entries(m.ciphertexts[:-1])),
    }
    for words, (kind, change) in wrong.items():
        e = refused(trained, data, monkeypatch, kind, change)
        assert (e.party, e.code) == ("bank", "protocol_violation"), words
        assert words in e.cause or words == "less"


def test_a_features_party_whose_sums_do_not_add_up_is_refused_by_name(monkeypatch):
    data, trained = world(2)

    def one_more(m):
        changed = np.ascontiguousarray(m.sums).copy()
        changed.view(np.int64)[0, 0] += 1
        return score.Sums(changed, m.count)

    e = refused(trained, data, monkeypatch, score.Sums, one_more, {"scheme": "lattice"})
    assert (e.party, e.code) == ("bureau", "protocol_violation")
    e = refused(trained, data, monkeypatch, score.Sums, lambda m: score.Sums(m.sums, m.count + 1))
    assert (e.party, e.code) == ("bureau", "protocol_violation")


def test_two_parties_cannot_hold_one_split(monkeypatch):
    data, trained = world(3)
    same = score.Held(np.array([0], dtype=np.uint32), np.array([0], dtype=np.uint32))
    e = refused(trained, data, monkeypatch, score.Held, lambda m: same)
    assert (e.party, e.code) == ("telco", "protocol_violation")


# ---------------------------------------------------------------- nothing but the score is told


def test_features_parties_see_the_same_whatever_rows_do_at_others_splits(monkeypatch):
    """With ciphertexts blanked out, what features parties are sent does not hang on the label party's columns."""
    data, trained = world(3)
    other = dict(data)
    t = data["bank"].table
    other["bank"] = StepInputs(t.set_column(2, "x0", pa.array(-t.column("x0").to_numpy())), data["bank"].needs)
    seen = []
    for d in (data, other):
        run = scored(trained, d, setting=Setting())
        hidden = (score.Entries.TAG, score.Passed.TAG, score.Sums.TAG)
        seen.append([(e.address, len(e.body) if e.address.tag in hidden else e.body) for e in sorted_(run.transcript)])
        seen[-1] = [(str(a), b) for a, b in seen[-1]]
    assert seen[0] == seen[1]


def sorted_(transcript):
    return sorted(transcript, key=lambda e: (e.address.sender, e.address.receiver, e.address.seq))


def test_what_is_passed_on_was_made_anew(monkeypatch):
    """Both what is kept and what is not goes through `refresh`, and nothing is passed on that was not."""
    data, trained = world(3)
    calls = []
    real = PlainPublicKey.refresh

    def refresh(self, ct, keep):
        calls.append((len(ct), int(keep.sum())))
        return real(self, ct, keep)

    monkeypatch.setattr(PlainPublicKey, "refresh", refresh)
    run = scored(trained, data)
    terms = score.Key.decode(next(e.body for e in run.transcript if e.address.tag == score.Key.TAG), {}).terms
    assert sum(n for n, _ in calls) == 300 * terms
    assert 0 < sum(k for _, k in calls) < 300 * terms


# ---------------------------------------------------------------- real keys


@pytest.mark.paillier
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["paillier", "lattice"])
def test_real_keys_score_default_credit(scheme):
    bank = csv.read_csv(need("data/default_credit_hetero_guest.csv")).slice(0, 400)
    bureau = csv.read_csv(need("data/default_credit_hetero_host.csv")).slice(0, 400)
    bureau = bureau.rename_columns([n if n == "id" else f"h{n}" for n in bureau.column_names])
    whole = bank.join(bureau, "id").sort_by("id")
    data = split_inputs(whole, bank.column_names, bureau.column_names)
    with pytest.MonkeyPatch.context() as m:
        use_plain(m)
        trained = train(data, {"trees": 3, "depth": 3})
    run = scored(trained, data, {"scheme": scheme})
    model, bins = joined(trained, data)
    keep = run["bank"].keep
    assert np.array_equal(keep["scores"], model.objective.predict(in_fixed_point(model, bins, keep["step"])))
    assert ("lattice" if scheme == "lattice" else "Paillier") in run["bank"].result["encryption"]


def test_the_packed_fake_is_what_packed_scoring_ran_on(monkeypatch):
    data, trained = world(2)
    used = []
    real = PackedSecretKey.decrypt
    monkeypatch.setattr(PackedSecretKey, "decrypt", lambda self, *a: used.append(1) or real(self, *a))
    scored(trained, data, {"scheme": "lattice"})
    assert used
