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
from parley.components.serving.parts import LabelTrees, Linear, SideTrees, kept_model, part_again, part_of

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
        assert part_again(json.loads(text)) == part_of(kept), party


def linear(kind: str, label: bool, names: str, outputs: int) -> dict[str, Any]:
    """What a linear training keeps at one party, over columns named by letters."""
    f = len(names)
    kept = {
        "linear": {"model": kind, "power": 1.5, "frequencies": 8},
        "fixed_rows": 40,
        "intercept": True,
        "weights": RNG.normal(size=(outputs, f + label)),
        "columns": list(names),
        "mean": RNG.normal(size=f),
        "spread": RNG.uniform(0.5, 2, f),
    }
    return kept | ({"shift": 0.7 if kind == "linear" else 0.0, "factor": 1.9, "classes": []} if label else {})


def scored(parts: list[tuple[dict[str, Any], np.ndarray]]) -> np.ndarray:
    """(n, K) by the formulas of the training page: parts of scaled columns, then the mean, then the label's scale."""
    z: Any = 0.0
    for kept, x in parts:
        scaled = (x - kept["mean"]) / kept["spread"]
        if "factor" in kept:
            scaled = np.column_stack([scaled, np.ones(len(x))])
        z = z + scaled @ kept["weights"].T
    label = parts[0][0]
    kind = label["linear"]["model"]
    mean = z if kind == "linear" else np.exp(z) if kind in ("poisson", "gamma", "tweedie") else 1 / (1 + np.exp(-z))
    if kind in ("ovr", "logistic"):
        return mean / mean.sum(axis=1, keepdims=True) if kind == "ovr" else mean
    return label["shift"] + label["factor"] * mean


@pytest.mark.parametrize("kind", ["linear", "logistic", "poisson", "ovr"])
def test_linear_parts_add_up(kind: str) -> None:
    outputs = 3 if kind == "ovr" else 1
    x, z = RNG.normal(size=(40, 2)), RNG.normal(size=(40, 3))
    label, other = linear(kind, True, "ab", outputs), linear(kind, False, "cde", outputs)
    expected = scored([(label, x), (other, z)])
    for kept in (label, other):
        assert part_again(json.loads(json.dumps(kept_model(kept)))) == part_of(kept)
    runner = reference()
    (part,) = runner(to_onnx(part_of(other))).run(["part"], {n: z[:, k : k + 1] for k, n in enumerate("cde")})
    own = {n: x[:, k : k + 1] for k, n in enumerate("ab")}
    (scores,) = runner(to_onnx(part_of(label))).run(["score"], {**own, "others": part})
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    if kind == "ovr":
        with pytest.raises(DataError, match="cannot_export"):
            to_pmml(part_of(label))
        return
    documents = to_pmml(part_of(label)), to_pmml(part_of(other))
    for i in range(5):
        answer = pmml_oracle.evaluate(documents[1], {n: float(z[i, k]) for k, n in enumerate("cde")})
        row = {n: float(x[i, k]) for k, n in enumerate("ab")} | {"others_0": answer["part_0"]}
        assert pmml_oracle.evaluate(documents[0], row)["score_0"] == pytest.approx(expected[i, 0], rel=1e-12)


def test_linear_softmax_is_a_table_for_each_class() -> None:
    part = Linear(("a",), ((1.0, -2.0, 0.5),), (0.1, 0.2, 0.3), "softmax")
    raw = np.array([1.0, -2.0, 0.5]) * 0.7 + [0.1, 0.2, 0.3] + [1.0, 2.0, 3.0]
    expected = np.exp(raw) / np.exp(raw).sum()
    found = pmml_oracle.evaluate(to_pmml(part), {"a": 0.7, "others_0": 1.0, "others_1": 2.0, "others_2": 3.0})
    np.testing.assert_allclose([found[f"score_{k}"] for k in range(3)], expected)
    given = {"a": np.array([[0.7]]), "others": np.array([[1.0, 2.0, 3.0]])}
    np.testing.assert_allclose(reference()(to_onnx(part)).run(["score"], given)[0], [expected])


ONE_SPLIT = {"left": np.ones((1, 2)), "tree": [0], "node": [0], "feature": [0]}


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        ({}, "no_model"),
        ({"scores": [1.0]}, "no_model"),
        ({**linear("logistic", True, "ab", 1), "columns": ["a"]}, "bad_model"),
        ({**linear("logistic", True, "ab", 1), "linear": {"model": "cube"}}, "bad_model"),
        ({**linear("logistic", False, "ab", 1), "spread": np.zeros(2)}, "bad_model"),
        ({**linear("logistic", False, "ab", 1), "mean": "none"}, "bad_model"),
        ({"model": "{}", "binning": "{}"}, "bad_model"),
        ({**ONE_SPLIT, "binning": '{"version": 1, "columns": []}'}, "bad_model"),
    ],
)
def test_what_is_no_part_is_told(kept: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as e:
        part_of(kept)
    assert e.value.code == code


def test_a_part_without_anything_to_export_is_told() -> None:
    for part in (SideTrees(()), Linear((), (), ())):
        for export in (to_onnx, to_pmml):
            with pytest.raises(DataError, match="cannot_export"):
                export(part)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match="no_onnx"):
        to_onnx(Linear(("a",), ((1.0,),), (0.0,)))
