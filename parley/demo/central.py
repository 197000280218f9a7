"""The comparison: the same trees on the pooled table, which only somebody who held all three tables could train."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley.demo.tables import COLUMNS, LABEL, PARTIES, Shape


def evaluation(files: Mapping[str, Path], shape: Shape) -> dict[str, Any]:
    """The central model's measures on the records that all parties have, as `metrics.evaluate` gives them."""
    import numpy as np

    from parley.components.features import fit_bins
    from parley.components.lakehouse import load_file
    from parley.components.training.gbdt import Params, train
    from parley.components.training.metrics import evaluate
    from parley.components.training.objectives import Objective

    tables = {p: load_file(files[p]).sort_by("id") for p in PARTIES}
    common = set.intersection(*(set(t.column("id").to_pylist()) for t in tables.values()))
    kept = {p: t.filter(np.array([i in common for i in t.column("id").to_pylist()])) for p, t in tables.items()}
    binned, spec_columns = [], []
    for party in PARTIES:
        binning = fit_bins(kept[party], COLUMNS[party], shape.bins)
        binned.append(binning.transform(kept[party]))
        spec_columns += list(binning.columns)
    from parley.components.features import Binning

    bins, spec = np.asfortranarray(np.hstack(binned)), Binning(tuple(spec_columns)).spec
    labels = np.asarray(kept["lender"].column(LABEL).to_numpy(), dtype=np.float64)
    params = Params(rounds=shape.trees, depth=shape.depth, learning_rate=shape.learning_rate)
    model = train(bins, labels, params, spec=spec, objective=Objective("logistic"))
    found = evaluate("binary", labels, model.predict(bins))
    return dict(found) | {"aligned": len(common)}
