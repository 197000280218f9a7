"""Exported parts give the model's own scores: ONNX in the reference evaluator, PMML in an evaluator of our own."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from shared import unavailable
from vertical import split_inputs, train, use_plain

from parley.components.errors import DataError
from parley.components.serving.export_onnx import to_onnx
from parley.components.serving.export_pmml import to_pmml
from parley.components.serving.parts import LabelTrees, Linear, SideTrees, kept_model, linear_record, part_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import pmml_oracle

COLUMNS = (["id", "y", "x0", "town"], ["id", "x1", "city"], ["id", "x2", "x3", "flag"])
PARTIES = ("bank", "bureau", "telco")
RNG = np.random.default_rng(8)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain(monkeypatch)


def table(rows: int, seed: int, classes: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).round(1)
    city = np.array(["north", "south", 'the "east"', "we\\st", "centre"])[rng.integers(0, 5, rows)]
    raw = x[:, 0] + x[:, 1] * x[:, 2] + (city == "south") - (city == 'the "east"')
    y = raw if classes == 0 else np.digitize(raw, np.quantile(raw, np.arange(1, classes) / classes))

    def gaps(values: np.ndarray) -> pa.Array:
        return pa.array([None if g else v for v, g in zip(values.tolist(), rng.uniform(size=rows) < 0.15, strict=True)])

    return pa.table(
        {"id": np.arange(rows), "y": y, "x0": gaps(x[:, 0]), "town": gaps(city[::-1]), "x1": x[:, 1],
         "city": gaps(city), "x2": gaps(x[:, 2]), "x3": x[:, 3], "flag": gaps(x[:, 0] > 0)}
    )  # fmt: skip


def trained(classes: int, **params: Any) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
    t = table(240, 1, classes)
    kind = {0: {"objective": "regression"}, 2: {}}.get(classes, {"objective": "multi", "classes": classes})
    run = train(split_inputs(t, *COLUMNS), {"trees": 5, "depth": 3, "bins": 4, **(kind | params)})
    return t, {p: run[p].keep for p in PARTIES}


def reference() -> Any:
    if importlib.util.find_spec("onnx") is None:
        unavailable("onnx is not installed: pip install 'parley[export]'")
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator


def feeds(model: Any, t: pa.Table) -> dict[str, np.ndarray]:
    """The graph's columns from a table, as its page says they are given."""
    out = {}
    for given in model.graph.input:
        if given.name in t.column_names:
            values = t.column(given.name).to_pylist()
            if given.type.tensor_type.elem_type == 8:
                texts = ["" if v is None else str(v).lower() if isinstance(v, bool) else v for v in values]
                out[given.name] = np.array(texts, dtype=object)[:, None]
            else:
                out[given.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)[:, None]
    return out


def with_onnx(keeps: dict[str, dict[str, Any]], t: pa.Table) -> np.ndarray:
    """(n, K) scores from each party's graph on its own columns alone."""
    runner, answers = reference(), {}
    for party, columns in zip(PARTIES[1:], COLUMNS[1:], strict=True):
        part = part_of(keeps[party])
        assert isinstance(part, SideTrees)
        if not part.own:
            continue
        model = to_onnx(part)
        (sides,) = runner(model).run(["sides"], feeds(model, t.select(columns)))
        names = json.loads({p.key: p.value for p in model.metadata_props}["splits"])
        answers |= dict(zip(names, sides.T, strict=True))
    model = to_onnx(part_of(keeps["bank"]))
    wanted = json.loads({p.key: p.value for p in model.metadata_props}["splits"])
    given = feeds(model, t.select(COLUMNS[0])) | {"sides": np.stack([answers[n] for n in wanted], axis=1)}
    return np.asarray(runner(model).run(["score"], given)[0])


def with_pmml(keeps: dict[str, dict[str, Any]], t: pa.Table) -> np.ndarray:
    documents = {p: to_pmml(part_of(k)) for p, k in keeps.items() if part_of(k).own}  # type: ignore[union-attr]  # boosting
    rows = []
    for row in t.to_pylist():
        named = {k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()}
        for party in PARTIES[1:]:
            named |= pmml_oracle.evaluate(documents[party], named) if party in documents else {}
        found = pmml_oracle.evaluate(documents["bank"], named)
        rows.append([found[f"score_{k}"] for k in range(len(found))])
    return np.array(rows)


@pytest.mark.parametrize(
    ("classes", "params"),
    [
        (0, {}),
        (2, {}),
        (2, {"growth": "leaf", "leaves": 6, "depth": 5}),
        (2, {"objective": "poisson"}),
        (3, {"multi": "channels"}),
        (3, {"multi": "trees", "own_trees": 1}),
    ],
)
def test_parts_together_give_the_scores_of_the_model(classes: int, params: dict[str, Any]) -> None:
    t, keeps = trained(classes, **params)
    label = part_of(keeps["bank"])
    assert isinstance(label, LabelTrees)
    assert label.own
    assert label.asked
    np.testing.assert_allclose(with_onnx(keeps, t), keeps["bank"]["scores"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(with_pmml(keeps, t), keeps["bank"]["scores"], rtol=0, atol=1e-12)


def test_new_rows_and_unseen_categories_go_where_prediction_sends_them() -> None:
    from parley.components.features import Binning
    from parley.components.training.trees import Model

    _, keeps = trained(2, trees=8)
    fresh = table(120, 2, 2)
    towns = pa.array(["elsewhere"] * 60 + fresh.column("town").to_pylist()[60:])
    fresh = fresh.set_column(fresh.column_names.index("town"), "town", towns)
    fresh = fresh.set_column(fresh.column_names.index("city"), "city", towns)
    bins = [Binning.from_dict(json.loads(keeps[p]["binning"])).transform(fresh) for p in PARTIES]
    expected = Model.from_dict(json.loads(keeps["bank"]["model"])).predict(np.hstack(bins))
    np.testing.assert_allclose(with_onnx(keeps, fresh), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(with_pmml(keeps, fresh), expected, rtol=0, atol=1e-12)


def test_a_part_says_nothing_of_a_row() -> None:
    _, keeps = trained(2)
    assert {"labels", "scores", "rows"} <= set(keeps["bank"])
    for party, kept in keeps.items():
        found = kept_model(kept)
        assert not {"labels", "scores", "rows", "raw", "validation", "part"} & set(found)
        text = json.dumps(found, allow_nan=False)
        # What is left is enough to make the part again.
        again = {k: json.dumps(v) if k in ("model", "binning") else v for k, v in json.loads(text).items()}
        assert part_of(again) == part_of(kept), party


@pytest.mark.parametrize("link", ["identity", "logit", "log", "softmax"])
def test_linear_parts_add_up(link: str) -> None:
    outputs = 3 if link == "softmax" else 1
    mine, theirs = RNG.normal(size=(2, outputs)), RNG.normal(size=(3, outputs))
    intercept = RNG.normal(size=outputs)
    x, z = RNG.normal(size=(40, 2)), RNG.normal(size=(40, 3))
    raw = x @ mine + z @ theirs + intercept
    expected = {"identity": raw, "logit": 1 / (1 + np.exp(-raw)), "log": np.exp(raw)}.get(link)
    if expected is None:
        expected = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    label = Linear(("a", "b"), tuple(map(tuple, mine.tolist())), tuple(intercept.tolist()), link)  # type: ignore[arg-type]  # one of the links
    other = Linear(("c", "d", "e"), tuple(map(tuple, theirs.tolist())), None, None)
    assert part_of({"linear": linear_record(label)}) == label
    runner = reference()
    given = {n: z[:, k : k + 1] for k, n in enumerate("cde")}
    (part,) = runner(to_onnx(other)).run(["part"], given)
    own = {n: x[:, k : k + 1] for k, n in enumerate("ab")}
    (scores,) = runner(to_onnx(label)).run(["score"], {**own, "others": part})
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    documents = to_pmml(label), to_pmml(other)
    for i in range(5):
        answer = pmml_oracle.evaluate(documents[1], {n: float(z[i, k]) for k, n in enumerate("cde")})
        row = {n: float(x[i, k]) for k, n in enumerate("ab")} | {
            f"others_{k}": answer[f"part_{k}"] for k in range(outputs)
        }
        found = pmml_oracle.evaluate(documents[0], row)
        np.testing.assert_allclose([found[f"score_{k}"] for k in range(outputs)], expected[i], rtol=1e-12)


ONE_SPLIT = {"left": np.ones((1, 2)), "tree": [0], "node": [0], "feature": [0]}


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        ({}, "no_model"),
        ({"scores": [1.0]}, "no_model"),
        ({"linear": "{}"}, "bad_model"),
        ({"linear": '{"columns": ["a"], "coefficients": [], "intercept": null, "link": null}'}, "bad_model"),
        ({"linear": '{"columns": ["a"], "coefficients": [[1.0]], "intercept": [0.0], "link": "cube"}'}, "bad_model"),
        ({"model": "{}", "binning": "{}"}, "bad_model"),
        ({**ONE_SPLIT, "binning": '{"version": 1, "columns": []}'}, "bad_model"),
    ],
)
def test_what_is_no_part_is_told(kept: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as e:
        part_of(kept)
    assert e.value.code == code


def test_a_part_without_anything_to_export_is_told() -> None:
    for part in (SideTrees(()), Linear((), (), None, None)):
        for export in (to_onnx, to_pmml):
            with pytest.raises(DataError, match="cannot_export"):
                export(part)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match="no_onnx"):
        to_onnx(Linear(("a",), ((1.0,),), None, None))
