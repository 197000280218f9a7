"""Boosting over a dataset that is read from its files, with bins and ciphertexts in a scratch file: the same bits."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vertical import part, train, use_plain

from parley.components.features.impute import fit_impute
from parley.components.features.pipeline import Pipeline
from parley.protocols.gbdt import tiles
from parley.protocols.kit.stored import Stored
from parley.protocols.prep import union

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))


def stored(inputs, folder, name, memory_mb=1, files=3):
    """The same inputs with the table in a few files, their columns under other names."""
    table = inputs.table
    names = {c: f"c{k}" for k, c in enumerate(table.column_names)}
    paths = []
    for k, rows in enumerate(np.array_split(np.arange(table.num_rows), files)):
        paths.append(str(folder / f"{name}{k}.parquet"))
        pq.write_table(table.take(rows).rename_columns(list(names.values())), paths[-1], row_group_size=100)
    there = Stored(tuple(paths), names, table.schema, str(folder), memory_mb, table.num_rows)
    return dataclasses.replace(inputs, table=None, stored=there)


def mixed(rows=400, seed=2):
    """Numbers with gaps, infinities and few values, texts of many kinds and truth values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8)).round(2)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[3, 1], x[7, 2] = np.inf, -np.inf
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 4], posinf=1) > 0).astype(np.int8)
    names = [f"h_{k}" for k in range(4)]
    columns = {"id": [f"p{i}" for i in range(rows)], "y": y, **{f"x{k}": x[:, k] for k in range(4)}}
    columns |= {n: x[:, 4 + k] for k, n in enumerate(names)}
    columns["h_text"] = pa.array([None if v < 3 else f"k{v % 70}" for v in rng.integers(0, 500, rows)])
    columns["h_flag"] = pa.array((rng.random(rows) < 0.4).tolist())
    columns["x_int"] = pa.array([None if v == 0 else int(v) for v in rng.integers(0, 5, rows)], pa.int32())
    return pa.table({c: pa.array(v, from_pandas=True) for c, v in columns.items()})


def sides(table):
    own = [c for c in table.column_names if not c.startswith("h_")]
    return {
        "bank": part(table.select(own)),
        "bureau": part(table.select(["id", *(c for c in table.column_names if c.startswith("h_"))])),
    }


def same(a, b):
    assert a["bank"].keep["model"] == b["bank"].keep["model"]
    said = [run["bank"].result | {"encryption": ""} for run in (a, b)]
    assert said[0] == said[1]
    for party in ("bank", "bureau"):
        assert a[party].keep["binning"] == b[party].keep["binning"]
        assert set(a[party].keep) == set(b[party].keep)
    for key in ("tree", "node", "feature", "left", "rows", "part"):
        np.testing.assert_array_equal(a["bureau"].keep[key], b["bureau"].keep[key])
    np.testing.assert_array_equal(a["bank"].keep["scores"], b["bank"].keep["scores"])


@pytest.mark.parametrize(
    ("scheme", "params"),
    [
        ("lattice", {"validation": 0.2}),
        ("paillier", {"validation": 0.2}),
        ("paillier", {"subsample": 0.6, "column_sample": 0.7}),
        ("lattice", {"growth": "leaf", "leaves": 6, "bins": 200}),
    ],
)
def test_the_model_is_the_one_of_the_whole_table(scheme, params, monkeypatch, tmp_path):
    use_plain(monkeypatch)
    monkeypatch.setattr(tiles, "TILE", 64)
    monkeypatch.setattr("parley.protocols.gbdt.far.TILE", 64)
    inputs = sides(mixed())
    given = {"trees": 3, "bins": 16, "scheme": scheme, **params}
    far = {p: stored(d, tmp_path, p) for p, d in inputs.items()}
    same(train(inputs, given), train(far, given))


def test_going_on_takes_the_earlier_trainings_bins(monkeypatch, tmp_path):
    use_plain(monkeypatch)
    inputs = sides(mixed())
    far = {p: stored(d, tmp_path, p) for p, d in inputs.items()}
    params = {"trees": 2, "bins": 16, "scheme": "lattice"}
    runs = []
    for given in (inputs, far):
        first = train(given, params)
        more = {p: dataclasses.replace(d, needs={"first": first[p].keep}) for p, d in given.items()}
        runs.append(train(more, {**params, "warm_start": True}))
    same(*runs)


def test_other_steps_read_the_whole_table(tmp_path):
    whole = sides(mixed())["bureau"]
    rows = whole.needs["align"]["rows"]
    needs = {"a": {"rows": rows[:30], "count": 30}, "b": {"rows": rows[30:70], "count": 40}}
    given = dataclasses.replace(whole, needs=needs)
    far = stored(given, tmp_path, "bureau")
    found, expected = (union.united(x, "bureau").table.to_pydict() for x in (far, given))
    assert {k: list(map(str, v)) for k, v in found.items()} == {k: list(map(str, expected[k])) for k in found}


@pytest.mark.parametrize("at_once", [1, 200_000])
def test_batches_of_the_lattice_are_summed_as_they_come(at_once, monkeypatch, tmp_path):
    monkeypatch.setattr("parley.protocols.gbdt.outside.AT_ONCE", (1 << 20) // at_once)
    inputs = sides(mixed(1500))
    given = {"trees": 2, "bins": 16, "depth": 3, "scheme": "lattice"}
    far = {p: stored(d, tmp_path, p) for p, d in inputs.items()}
    same(train(inputs, given), train(far, given))


def test_prepared_columns_wait_in_the_scratch_file(monkeypatch, tmp_path):
    use_plain(monkeypatch)
    monkeypatch.setattr("parley.protocols.kit.stored.SMALLEST", 7)
    inputs = sides(mixed())
    fitted = fit_impute(inputs["bureau"].table, ["h_0", "h_1"], "mean", indicators=True)
    for kept in inputs["bureau"].needs.values():
        kept["prepared"] = Pipeline((fitted,)).to_json()
    far = {p: stored(d, tmp_path, p) for p, d in inputs.items()}
    params = {"trees": 3, "bins": 16, "scheme": "paillier"}
    same(train(inputs, params), train(far, params))
