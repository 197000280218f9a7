"""One small case of each protocol in the registry: run it, seat one of its parties, record it.

Boosting runs on the plain fake here (`vertical.use_plain` must have been called); every source of randomness is seeded,
so that a case is the same run each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from seeded import Inline, Seeded
from vertical import split_inputs

from parley.protocols import registry
from parley.protocols.kit import Cast, LocalRun, Protocol, StepInputs, run_local
from parley.protocols.kit.checks.fuzz import Campaign
from parley.protocols.kit.checks.replay import Seat
from parley.protocols.kit.conformance import received
from parley.protocols.kit.local import Setting, sizes_of


@dataclass(frozen=True)
class Case:
    name: str
    protocol: str
    cast: dict[str, object]
    params: dict[str, object]
    build: Callable[[], dict[str, StepInputs]] = field(repr=False)

    @property
    def of(self) -> Protocol:
        return registry.load(self.protocol)

    def parties(self) -> tuple[str, ...]:
        return Cast(self.cast).parties()

    def setting(self) -> Setting:
        return Setting(rngs={p: Seeded(self.name, p) for p in self.parties()}, patience=10)

    def run(self, setting: Setting | None = None, inputs: dict[str, StepInputs] | None = None) -> LocalRun:
        return run_local(self.of, self.cast, inputs or self.build(), self.params, setting=setting or self.setting())

    def campaigns(self) -> dict[str, Campaign]:
        """One for each party that is sent anything."""
        inputs, cast = self.build(), Cast(self.cast)
        run = self.run(inputs=inputs)
        params = self.of.validate(self.params, cast)
        flows = self.of.cost(params, cast, sizes_of(inputs))
        out = {}
        for me in self.parties():
            got = tuple(received(run.transcript, me))
            if got:
                seat = Seat(self.of, cast, me, params, inputs[me], flows, got)
                out[me] = Campaign(seat, lambda me=me: Seeded(self.name, me), self.setting(), Inline())
        return out


def ids(values: list[str], first_row: int = 0) -> StepInputs:
    rows = pa.array(np.arange(len(values), dtype=np.int64) + first_row)
    return StepInputs(pa.table({"id": pa.array(values), "_row": rows}))


def people() -> dict[str, StepInputs]:
    return {"hospital": ids(["a", "b", "c", "d"]), "lab": ids(["d", "b", "x"], 100)}


def spenders() -> dict[str, StepInputs]:
    data = people()
    lab = data["lab"].table
    return {**data, "lab": StepInputs(lab.append_column("spent", pa.array([1.25, -3.5, 100.0])))}


def looked_up() -> dict[str, StepInputs]:
    """Both sides with what the first lookup left them."""
    data = spenders()
    run = CASES["psi/lookup"].run(inputs=data)
    return {p: StepInputs(d.table, cache=run[p].cache) for p, d in data.items()}


def three() -> dict[str, StepInputs]:
    return {**people(), "pharmacy": ids(["b", "d", "q", "r", "s"], 200)}


def many(first: int = 0) -> dict[str, StepInputs]:
    """So many ids that psi/vole grows trees; `first` moves all of them, and 20 are common whatever it is."""
    numbers = [str(k) for k in range(first, first + 1950)]
    return {"hospital": ids(numbers[:1900]), "lab": ids(numbers[1880:], 100)}


def table(rows: int = 24, seed: int = 2, classes: bool = True) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 8, size=(rows, 4))
    y = 2 * x[:, 0] + x[:, 1] * x[:, 2] - x[:, 3]
    target = (y > np.median(y)).astype(int) if classes else y
    return pa.table({"id": np.arange(rows), "y": target, **{f"x{k}": x[:, k] for k in range(4)}})


COLUMNS = (["id", "y", "x0"], ["id", "x1", "x2"], ["id", "x3"])
TRAIN = {"label": "y", "id": "id", "trees": 2, "depth": 2, "bins": 8, "share_names": True, "min_child_weight": 0.1}
LEAVES = {"trees": 3, "own_trees": 1, "depth": 3, "growth": "leaf", "leaves": 4}
CAST2 = {"label": "bank", "features": ["bureau"]}
CAST3 = {"label": "bank", "features": ["bureau", "telco"]}


def columns(classes: bool = True, three_parties: bool = True) -> dict[str, StepInputs]:
    return split_inputs(table(classes=classes), *COLUMNS[: 3 if three_parties else 2])


def grouped() -> dict[str, StepInputs]:
    return {**columns(three_parties=False), "adder": StepInputs()}


def of_regression() -> dict[str, StepInputs]:
    return columns(classes=False, three_parties=False)


def trained(by: str = "gbdt/vertical", data: dict[str, StepInputs] | None = None) -> dict[str, StepInputs]:
    """The inputs of a prediction: every party's part of a model, and its table."""
    data = data or columns()
    run = CASES[by].run(inputs=data)
    return {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}


def halves(data: dict[str, StepInputs] | None = None) -> dict[str, StepInputs]:
    """The two halves of the common rows, from two steps."""
    out = {}
    for party, given in (data or columns()).items():
        rows = np.asarray(given.needs["align"]["rows"])
        out[party] = StepInputs(given.table, {"a": {"rows": rows[:10]}, "b": {"rows": rows[10:]}})
    return out


def with_validation() -> dict[str, StepInputs]:
    """Two parties, of whose rows every fifth is for validation."""
    inputs = columns(classes=False, three_parties=False)
    for of in inputs.values():
        of.needs["align"]["part"] = (np.arange(24) % 5 == 4).astype(np.uint8)
    return inputs


def trained_linear() -> dict[str, StepInputs]:
    """As `trained`, by a linear model."""
    data = columns()
    run = CASES["linear/vertical"].run(inputs=data)
    return {p: StepInputs(d.table, {"train": run[p].keep, **d.needs}) for p, d in data.items()}


def parted(data: dict[str, StepInputs] | None = None) -> dict[str, StepInputs]:
    """Half of the rows for tests."""
    out = {}
    for party, given in (data or columns()).items():
        rows = np.asarray(given.needs["align"]["rows"])
        part = (np.arange(rows.size) % 2 * 2).astype(np.uint8)
        out[party] = StepInputs(given.table, {"split": {"rows": rows, "part": part, "depth": 1}})
    return out


def weighed(data: dict[str, StepInputs] | None = None) -> dict[str, StepInputs]:
    """The inputs of a selection: what a stats/woe step left each party."""
    data = data or columns()
    run = CASES["stats/woe"].run(inputs=data)
    return {p: StepInputs(d.table, {"woe": run[p].keep}) for p, d in data.items()}


def scored() -> dict[str, StepInputs]:
    return {"bank": StepInputs(None, {"train": CASES["gbdt/vertical"].run()["bank"].keep})}


NETWORK = {"label": "y", "id": "id", "epochs": 2, "batch": 10, "bottom": [3], "top": [4]}
PSI2 = {"receiver": "hospital", "sender": ["lab"]}
LINEAR = {"label": "y", "id": "id", "epochs": 1, "frequencies": 8, "period": 32}
BY_TREES = "psi/vole by trees"
EVERYBODY = {"member": ["bank", "bureau", "telco"]}
DECIDER = {"label": "bank", "member": ["bureau", "telco"]}
GROUPERS = {"member": ["bank", "bureau"], "aggregator": "adder"}
GROUPED = {"clusters": 2, "starts": 2, "rounds": 2, "max_value": 8192, "fraction_bits": 8, "exclude": ["id", "y"]}
LOOK = {"id": "id", "columns": ["spent"]}
PAIRED = [{"by": "vif", "threshold": 5}, {"by": "correlation", "threshold": 0.05}]
RING = {"member": ["hospital", "lab", "pharmacy"]}
CORRELATE = {"exclude": ["id"], "min_rows": 10, "vif": True, "threshold": 0.3}
WEIGH = {"label": "y", "exclude": ["id"], "bins": 4, "min_bin_rows": 5, "min_class_rows": 1, "share_names": True}
BY_ROWS = {"scheme": "paillier", "method": "optimal", "pre_bins": 8, "transform": "index"}
CASES = {
    c.name: c
    for c in (
        Case("psi/ecdh", "psi/ecdh", PSI2, {"id": "id", "floor": 1}, people),
        Case("psi/ecdh below the floor", "psi/ecdh", PSI2, {"id": "id", "floor": 3}, people),
        Case("psi/ecdh one-sided", "psi/ecdh", PSI2, {"id": "id", "result": "receiver"}, people),
        Case("psi/ecdh three", "psi/ecdh", {**PSI2, "sender": ["lab", "pharmacy"]}, {"id": "id"}, three),
        Case("psi/cardinality", "psi/cardinality", PSI2, {"id": "id"}, people),
        Case("psi/cardinality with a floor", "psi/cardinality", PSI2, {"id": "id", "floor": 3}, people),
        Case("psi/sum", "psi/sum", PSI2, {"id": "id", "value": "spent", "floor": 2}, spenders),
        Case("psi/sum to the sender", "psi/sum", PSI2, {"id": "id", "value": "spent", "result": "sender"}, spenders),
        Case("psi/lookup", "psi/lookup", PSI2, LOOK, spenders),
        Case("psi/lookup again", "psi/lookup", PSI2, LOOK, looked_up),
        Case("psi/multi", "psi/multi", RING, {"id": "id", "floor": 2}, three),
        Case("psi/multi below the floor", "psi/multi", RING, {"id": "id", "floor": 3}, three),
        Case("psi/multi two", "psi/multi", {"member": ["hospital", "lab"]}, {"id": "id"}, people),
        Case("psi/vole", "psi/vole", PSI2, {"id": "id"}, people),
        Case("psi/vole one-sided", "psi/vole", PSI2, {"id": "id", "result": "receiver"}, people),
        Case("psi/vole with a floor", "psi/vole", PSI2, {"id": "id", "floor": 1}, people),
        Case("psi/vole below the floor", "psi/vole", PSI2, {"id": "id", "floor": 3}, people),
        Case(BY_TREES, "psi/vole", PSI2, {"id": "id"}, many),
        Case("gbdt/vertical", "gbdt/vertical", CAST3, TRAIN, columns),
        Case("gbdt/vertical packed", "gbdt/vertical", CAST3, {**TRAIN, "scheme": "lattice"}, columns),
        Case("gbdt/vertical strict", "gbdt/vertical", CAST3, {**TRAIN, "disclosure": "strict"}, columns),
        Case(
            "gbdt/vertical regression",
            "gbdt/vertical",
            CAST2,
            {**TRAIN, "objective": "regression", "validation": 0.2, "early_stopping": 1},
            of_regression,
        ),
        Case(
            "gbdt/vertical by gradient",
            "gbdt/vertical",
            CAST3,
            {**TRAIN, "goss": {"top": 0.3, "other": 0.3}},
            columns,
        ),
        Case(
            "gbdt/vertical leaf-wise",
            "gbdt/vertical",
            CAST2,
            {**TRAIN, **LEAVES, "objective": "multi", "classes": 2},
            lambda: columns(three_parties=False),
        ),
        Case("gbdt/explain", "gbdt/explain", CAST3, {"trees": 2, "depth": 2}, trained),
        Case("gbdt/predict", "gbdt/predict", CAST3, {"label": "y", "trees": 2, "depth": 2}, trained),
        Case("gbdt/score", "gbdt/score", CAST3, {"label": "y", "trees": 2, "depth": 2}, trained),
        Case(
            "gbdt/score packed",
            "gbdt/score",
            CAST2,
            {"trees": 2, "depth": 2, "scheme": "lattice"},
            lambda: trained("gbdt/vertical regression", of_regression()),
        ),
        Case("nn/split", "nn/split", CAST3, {**NETWORK, "validation": 0.25, "early_stopping": 2}, columns),
        Case(
            "nn/split noised",
            "nn/split",
            CAST2,
            {**NETWORK, "objective": "regression", "optimiser": "sgd", "cut": "noised", "noise": 0.5},
            of_regression,
        ),
        Case("nn/predict", "nn/predict", CAST3, {"label": "y", "width": 3}, lambda: trained("nn/split")),
        Case("linear/vertical", "linear/vertical", CAST3, LINEAR, columns),
        Case("linear/vertical linear", "linear/vertical", CAST2, {**LINEAR, "model": "linear"}, with_validation),
        Case("linear/predict", "linear/predict", CAST3, {"label": "y"}, trained_linear),
        Case("evaluate", "evaluate", {"label": "bank"}, {}, scored),
        Case("kmeans/vertical", "kmeans/vertical", GROUPERS, GROUPED, grouped),
        Case("prep/impute", "prep/impute", EVERYBODY, {"method": "median"}, columns),
        Case("prep/encode", "prep/encode", EVERYBODY, {"method": "ordinal"}, columns),
        Case("prep/scale", "prep/scale", EVERYBODY, {"exclude": ["id", "y"]}, columns),
        Case("prep/transform", "prep/transform", EVERYBODY, {"do": "log1p", "columns": {"bank": ["x0"]}}, columns),
        Case("prep/split at random", "prep/split", EVERYBODY, {"test": 0.25}, columns),
        Case("prep/split", "prep/split", DECIDER, {"by": "stratified", "column": "y"}, columns),
        Case("prep/folds", "prep/folds", EVERYBODY, {"folds": 5}, columns),
        Case("prep/sample", "prep/sample", DECIDER, {"column": "y", "shares": {"0": 0.5, "1": 3}}, columns),
        Case("prep/select", "prep/select", CAST3, {"filters": [{"by": "iv", "top_k": 2}]}, weighed),
        Case("prep/select by pairs", "prep/select", CAST3, {"filters": PAIRED}, weighed),
        Case("prep/union", "prep/union", EVERYBODY, {}, halves),
        Case("stats/summary", "stats/summary", EVERYBODY, {"exclude": ["id"]}, columns),
        Case("stats/correlation", "stats/correlation", EVERYBODY, CORRELATE, columns),
        Case("stats/stability", "stats/stability", EVERYBODY, {"exclude": ["id"], "min_rows": 10}, parted),
        Case("stats/woe", "stats/woe", CAST3, WEIGH, columns),
        Case("stats/woe by rows", "stats/woe", CAST2, {**WEIGH, **BY_ROWS}, lambda: columns(three_parties=False)),
        Case("score/card", "score/card", {"label": "bank"}, {}, scored),
    )
}
