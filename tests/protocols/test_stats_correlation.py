"""Correlations across parties and inflation factors: as a central computation finds them, on real tables."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from vertical import split_inputs

from parley.crypto.ahe import inner
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting, sizes_of
from parley.protocols.stats import correlation as module
from parley.protocols.stats.correlation_jobs import CORRELATION
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from boosted import sides
from tables import joined

TWO, THREE = {"member": ["bank", "bureau"]}, {"member": ["bank", "bureau", "telco"]}


def run(data: dict[str, StepInputs], setting: Setting | None = None, cast=TWO, **params: object):
    return run_local(CORRELATION, cast, data, {"exclude": ["id"], "min_rows": 10, **params}, setting=setting)


def pooled(data: dict[str, StepInputs], names: dict[str, list[str]]) -> np.ndarray:
    """(n, k) everybody's columns of the common rows, as a central party would have them."""
    out = []
    for party, given in data.items():
        at = {r: i for i, r in enumerate(given.table.column("_row").to_pylist())}
        rows = [at[r] for r in np.asarray(given.needs["align"]["rows"]).tolist()]
        out += [np.asarray(given.table.column(n).to_pylist(), dtype=float)[rows] for n in names[party]]
    return np.stack(out, axis=1)


def factors(x: np.ndarray) -> np.ndarray:
    """1 / (1 - R^2) of each column regressed on all others, by least squares."""
    out = []
    for j in range(x.shape[1]):
        design = np.column_stack([np.ones(len(x)), np.delete(x, j, axis=1)])
        fit = design @ np.linalg.lstsq(design, x[:, j], rcond=None)[0]
        out.append(np.var(x[:, j]) / np.var(x[:, j] - fit))
    return np.array(out)


def small(seed: int = 1, n: int = 300) -> tuple[dict[str, StepInputs], dict[str, list[str]]]:
    """Three parties, of whom no two see why one column is nearly given by others."""
    rng = np.random.default_rng(seed)
    a, b, d, e = rng.normal(size=(4, n))
    table = pa.table(
        {
            "id": np.arange(n),
            "a": a,
            "b": 1000 * b + 5,
            "d": np.exp(d),
            "e": e,
            "sum": a + b + rng.normal(size=n) / 5,
            "flat": np.full(n, 3.5),
        }
    )
    data = split_inputs(table, ["id", "a", "flat"], ["id", "b", "d"], ["id", "e", "sum"])
    return data, {"bank": ["a", "flat"], "bureau": ["b", "d"], "telco": ["e", "sum"]}


def test_every_two_members_get_their_columns_correlations_and_each_its_factors():
    data, names = small()
    done = run(data, cast=THREE, vif=True)
    x = pooled(data, names)
    with np.errstate(invalid="ignore"):
        whole = np.nan_to_num(np.corrcoef(x.T))
    parties = list(data)
    live = [0, 2, 3, 4, 5]
    want = np.ones(6)
    want[live] = factors(x[:, live])
    assert want[5] > 20  # a party's own columns say nothing of it
    for i, p in enumerate(parties):
        kept = done[p].keep
        assert kept["correlated"] == names[p]
        for j, q in enumerate(parties):
            if p != q:
                np.testing.assert_allclose(kept["cross"][q], whole[2 * i : 2 * i + 2, 2 * j : 2 * j + 2], atol=2e-5)
        np.testing.assert_allclose([v["vif"] for v in done[p].result["vif"]], want[2 * i : 2 * i + 2], rtol=2e-3)


@pytest.mark.slow
def test_a_real_table_gives_what_it_gives_centrally():
    data, _ = sides(joined("breast"), drop=("y",))
    names = {p: [n for n in d.table.column_names if n not in ("id", "y", "_row")] for p, d in data.items()}
    done = run(data, vif=True, exclude=["id", "y"], threshold=0.9)
    x = pooled(data, names)
    whole, wide = np.corrcoef(x.T), len(names["bank"])
    np.testing.assert_allclose(done["bank"].keep["cross"]["bureau"], whole[:wide, wide:], atol=2e-5)
    np.testing.assert_allclose(done["bureau"].keep["cross"]["bank"], whole[wide:, :wide], atol=2e-5)
    found = np.concatenate([[v["vif"] for v in done[p].result["vif"]] for p in data])
    np.testing.assert_allclose(found, factors(x), rtol=0.05)
    assert found.max() > 500
    told = [(p["column"], p["party"], p["other"]) for p in done["bank"].result["pairs"] if p["party"] == "bureau"]
    above = np.argwhere(np.abs(whole[:wide, wide:]) >= 0.9).tolist()
    assert sorted(told) == sorted((f"#{i}", "bureau", f"#{j}") for i, j in above)


def test_a_column_that_others_determine_is_shown_as_such():
    data, names = small()
    telco = data["telco"]
    x = pooled(data, names)
    exact = x[:, 0] - 2 * (x[:, 2] - 5) / 1000
    at = {r: i for i, r in enumerate(np.asarray(telco.needs["align"]["rows"]).tolist())}
    column = pa.array([exact[at[r]] if r in at else 0.0 for r in telco.table.column("_row").to_pylist()])
    data["telco"] = dataclasses.replace(telco, table=telco.table.set_column(1, "e", column))
    done = run(data, cast=THREE, vif=True)
    assert done["telco"].result["vif"][0]["vif"] > 1e4
    assert done["telco"].result["vif"][1]["vif"] < 1e3
    assert done["bank"].result["vif"][0]["vif"] > 1e4


def test_the_submitter_hears_of_pairs_above_the_threshold_by_number_unless_names_are_shared():
    data, _ = small()
    done = run(data, cast=THREE, threshold=0.6)
    assert [[p["party"], p["other"], p["column"]] for p in done["bank"].result["pairs"]] == [["telco", "#1", "#0"]]
    assert [[p["party"], p["other"], p["column"]] for p in done["bureau"].result["pairs"]] == [["telco", "#1", "#0"]]
    assert done["telco"].result == {"rows": 300, "pairs": []}
    named = run(data, cast=THREE, threshold=0.6, share_names=True)
    assert named["bureau"].result["pairs"][0]["column"] == "b"
    assert all("vif" not in named[p].result for p in data)


def test_only_training_rows_count():
    data, names = small()
    part = (np.arange(300) % 3 == 2).astype(np.uint8)
    given = {
        p: StepInputs(d.table, {"split": {"rows": d.needs["align"]["rows"], "part": part, "depth": 1}})
        for p, d in data.items()
    }
    done = run(given, cast=THREE)
    x = pooled(data, names)[part == 0]
    assert done["bank"].keep["cross"]["telco"][0, 1] == pytest.approx(np.corrcoef(x[:, 0], x[:, 5])[0, 1], abs=2e-5)


@pytest.mark.parametrize("n", [24, 25, 1000, 1 << 20])
def test_factors_fit_their_bound_whatever_the_rows(n):
    """One row far from all others has the largest standardised value there is."""
    x = np.zeros((n, 1))
    x[3] = 1
    found = module.standardised(x)
    assert np.abs(found).max() <= 1 << inner.FACTOR_BITS
    assert np.abs(found).max() > 1 << inner.FACTOR_BITS - 3
    assert (found.astype(object) ** 2).sum() < 2**63


def test_bytes_are_those_of_the_formula():
    data, _ = small()
    data = {p: dataclasses.replace(d, table=d.table.drop_columns(["id"])) for p, d in data.items()}
    done = run(data, cast=THREE, vif=True, exclude=[])
    params = CORRELATION.validate({"vif": True, "min_rows": 10}, Cast(THREE))
    sizes = dataclasses.replace(sizes_of(data), columns=dict.fromkeys(data, 2), rows=dict.fromkeys(data, 300))
    planned = sum(f.bytes for f in CORRELATION.cost(params, Cast(THREE), sizes))
    sent = sum(c.bytes_by_tag(done.transcript).values())
    assert planned / 1.05 < sent < planned


# ---------------------------------------------------------------- refusals


def instead(kind, make):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == kind.TAG and not envelope.last:
            return dataclasses.replace(envelope, body=make(kind.decode(envelope.body, {})).encode())
        return envelope

    return Setting(fault=fault, patience=2)


def one_more(m):
    return module.Vectors(m.seed, np.concatenate([m.ciphertexts, m.ciphertexts]))


WRONG = {
    "other rows": (module.Shape, lambda m: module.Shape(m.common + 1, m.columns), "protocol_violation"),
    "more ciphertexts": (module.Vectors, one_more, "protocol_violation"),
    "sums beyond what columns have": (module.Opened, lambda m: module.Opened(m.sums + (1 << 60)), "protocol_violation"),
    "other sums in number": (module.Opened, lambda m: module.Opened(m.sums[:, :1]), "protocol_violation"),
    "more than all explained": (module.Explained, lambda m: module.Explained(m.blocks + 3), "protocol_violation"),
    "noise for an answer": (module.Answer, lambda m: module.Answer(m.sums ^ 0x55), "protocol_violation"),
}


@pytest.mark.parametrize("what", WRONG)
def test_who_misbehaves_is_named(what):
    kind, make, code = WRONG[what]
    data, _ = small()
    with pytest.raises(ParleyError) as e:
        run({p: data[p] for p in ("bank", "bureau")}, instead(kind, make), vif=True)
    assert e.value.code == code
    assert e.value.party == ("bureau" if kind is module.Answer else "bank") or kind in (module.Shape, module.Explained)


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    data, _ = small(n=60)
    data = {p: data[p] for p in ("bank", "bureau")}

    def work(setting=None):
        return run(data, setting, vif=True)

    whole = work().transcript
    for index, error in c.mutations(work, len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")


def test_few_rows_and_missing_values_are_refused_before_a_value_leaves():
    data, _ = small(n=45)
    with pytest.raises(ParleyError) as e:
        run(data, cast=THREE, min_rows=50)
    assert e.value.code == "too_few_rows"
    narrow, _ = small(n=19)
    with pytest.raises(ParleyError) as e:
        run(narrow, cast=THREE)
    assert e.value.code == "too_few_rows"
    whole, _ = small()
    bank = whole["bank"]
    gap = pa.array([None, *bank.table.column("a").to_pylist()[1:]])
    whole["bank"] = dataclasses.replace(bank, table=bank.table.set_column(1, "a", gap))
    with pytest.raises(ParleyError) as e:
        run(whole, cast=THREE)
    assert (e.value.code, e.value.party) == ("missing_values", "bank")


def test_answers_that_would_say_too_much_together_are_refused(monkeypatch):
    data, _ = small()
    monkeypatch.setattr(inner.Shape, "distance_bits", lambda self, outputs: 39.0)
    with pytest.raises(ParleyError) as e:
        run(data, cast=THREE)
    assert e.value.code == "weak_parameters"
