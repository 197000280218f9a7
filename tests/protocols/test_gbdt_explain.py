"""Attributions of a vertical model: equal to those of the joined model, adding up to its scores, refusing nonsense."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from vertical import CAST3, split_inputs, train, use_plain

from parley.components.features import Binning
from parley.components.features.pipeline import Columns, Pipeline
from parley.components.training.attribution import attributions, sides_of
from parley.components.training.trees import Model
from parley.protocols.gbdt.explain import EXPLAIN
from parley.protocols.gbdt.explain import cost as explain_cost
from parley.protocols.kit import Cast, LocalRun, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting, sizes_of
from parley.wire.errors import ParleyError

COLUMNS = (["id", "y", "x0", "x1"], ["id", "x2", "x3"], ["id", "x4", "city"])
PARTIES = ("bank", "bureau", "telco")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain(monkeypatch)


def table(rows: int = 200, classes: int = 2) -> pa.Table:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 5)).round(2)
    raw = x[:, 0] + x[:, 2] * x[:, 3] + (x[:, 4] > 1)
    gaps = pa.array(np.where(rng.uniform(size=rows) < 0.2, np.nan, x[:, 4]), from_pandas=True)
    city = np.array(["north", "south", "east"])[rng.integers(0, 3, rows)]
    y = np.digitize(raw, np.quantile(raw, np.arange(1, classes) / classes))
    return pa.table({"id": np.arange(rows), "y": y, **{f"x{k}": x[:, k] for k in range(4)}, "x4": gaps, "city": city})


def explained(
    classes: int = 2, changes: dict[str, dict[str, Any]] | None = None, setting: Setting | None = None, **params: Any
) -> tuple[LocalRun, LocalRun, dict[str, StepInputs]]:
    """(training, explanation, the explanation's inputs); `changes` replace parts of what training kept."""
    data = split_inputs(table(classes=classes), *COLUMNS)
    more = {} if classes == 2 else {"objective": "multi", "classes": classes}
    trained = train(data, {"trees": 4, "depth": 3, "bins": 8, **more})
    given = {}
    for party, d in data.items():
        kept = {**trained[party].keep, **(changes or {}).get(party, {})}
        given[party] = StepInputs(d.table, {"train": kept, **d.needs})
    return trained, run_local(EXPLAIN, CAST3, given, params, setting=setting), given


def joined(trained: LocalRun, data: dict[str, StepInputs]) -> tuple[Model, np.ndarray, list[int]]:
    """The model, all parties' bins side by side, and how many features each party has."""
    model = Model.from_dict(json.loads(trained["bank"].keep["model"]))
    bins = []
    for party in PARTIES:
        t = data[party].table
        at = {int(r): k for k, r in enumerate(t.column("_row").to_pylist())}
        aligned = t.take([at[int(r)] for r in data[party].needs["align"]["rows"]])
        bins.append(Binning.from_dict(json.loads(trained[party].keep["binning"])).transform(aligned))
    return model, np.hstack(bins), [b.shape[1] for b in bins]


@pytest.mark.parametrize("classes", [2, 3])
def test_values_are_those_of_the_joined_model_and_add_up_to_its_score(classes: int) -> None:
    trained, run, data = explained(classes)
    keep = run["bank"].keep
    model, bins, widths = joined(trained, data)
    base, alone = attributions(model, [sides_of(t, bins, model.spec) for _, t in model.trees()])
    first, second = widths[0], widths[0] + widths[1]
    np.testing.assert_allclose(keep["base"], base)
    np.testing.assert_allclose(keep["attributions"][:, :first], alone[:, :first], atol=1e-12)
    np.testing.assert_allclose(keep["attributions"][:, first], alone[:, first:second].sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(keep["attributions"][:, first + 1], alone[:, second:].sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(keep["base"] + keep["attributions"].sum(axis=1), model.raw(bins), atol=1e-12)
    assert keep["columns"] == ["bank/x0", "bank/x1", "bureau", "telco"]
    assert run["bureau"].keep == run["telco"].keep == {}


def test_the_submitter_gets_means_and_no_row() -> None:
    _, run, _ = explained()
    assert run["bureau"].result == run["telco"].result == {}
    result = run["bank"].result
    assert set(result) == {"rows", "attribution"}
    size = np.abs(run["bank"].keep["attributions"]).mean(axis=0)[:, 0]
    assert [e["mean"] for e in result["attribution"]] == sorted(size.tolist(), reverse=True)
    assert {(e["party"], e["feature"]) for e in result["attribution"]} == {
        ("bank", "x0"), ("bank", "x1"), ("bureau", ""), ("telco", "")
    }  # fmt: skip


def test_columns_go_through_the_transforms_of_training() -> None:
    chain = Pipeline((Columns(("id", "x2", "x3")),)).to_json()
    _, plainly, _ = explained()
    _, prepared, _ = explained(changes={"bureau": {"prepared": chain}})
    np.testing.assert_array_equal(plainly["bank"].keep["attributions"], prepared["bank"].keep["attributions"])
    broken = Pipeline((Columns(("id", "x2")),)).to_json()
    with pytest.raises(ParleyError) as e:
        explained(changes={"bureau": {"prepared": broken}})
    assert e.value.code == "unknown_column"


def test_bytes_are_one_bit_per_row_and_split_and_within_the_cost() -> None:
    trained, run, data = explained()
    flows = explain_cost(EXPLAIN.validate({"trees": 4, "depth": 3}, Cast(CAST3)), Cast(CAST3), sizes_of(data))
    for party in PARTIES[1:]:
        splits = len(trained[party].keep["tree"])
        (size,) = (v for (sender, _, _), v in c.bytes_by_tag(run.transcript).items() if sender == party)
        assert splits * 25 <= size <= splits * 29 + 150 * 5
        assert size <= next(f.bytes for f in flows if f.sender == party)
    assert not run.egress["bank"]


def test_answers_to_splits_that_are_not_ones_own_are_refused_by_name() -> None:
    trained, _, _ = explained()
    kept = trained["bureau"].keep
    model = Model.from_dict(json.loads(trained["bank"].keep["model"]))
    own = next(
        (t, n) for t, (_, tree) in enumerate(model.trees()) for n, node in enumerate(tree.nodes)
        if not node.is_leaf and node.feature < 2
    )  # fmt: skip
    leaf = next(n for n, node in enumerate(model.trees()[0][1].nodes) if node.is_leaf)
    telco = trained["telco"].keep

    def adding(tree: int, node: int) -> ParleyError:
        more = {
            "tree": np.append(kept["tree"], tree),
            "node": np.append(kept["node"], node),
            "feature": np.append(kept["feature"], 0),
            "left": np.vstack([kept["left"], kept["left"][:1]]),
        }
        with pytest.raises(ParleyError) as e:
            explained(changes={"bureau": more}, trees=200)
        return e.value

    for tree, node in (own, (0, leaf), (0, 10_000), (99, 0)):
        error = adding(tree, node)
        assert (error.code, error.party) == ("protocol_violation", "bureau")
    error = adding(int(telco["tree"][0]), int(telco["node"][0]))
    assert error.code == "model_mismatch"
    assert "bureau and telco" in error.cause
    fewer = {k: kept[k][:-1] for k in ("tree", "node", "feature", "left")}
    with pytest.raises(ParleyError) as e:
        explained(changes={"bureau": fewer})
    assert e.value.code == "model_mismatch"


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused(change: Any) -> None:
    _, first, _ = explained()
    for index, error in c.mutations(lambda s: explained(setting=s)[1], len(first.transcript), change):
        assert error is not None, index


def test_what_cannot_be_explained_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = split_inputs(table(), *COLUMNS)
    with pytest.raises(ParleyError) as e:
        run_local(EXPLAIN, CAST3, data, {})
    assert e.value.code == "no_model"
    with pytest.raises(ParleyError) as e:
        explained(min_cell=201)
    assert e.value.code == "too_few_rows"
    monkeypatch.setattr("parley.protocols.gbdt.explain.MOST_BYTES", 1000)
    with pytest.raises(ParleyError) as e:
        explained()
    assert e.value.code == "too_large"
