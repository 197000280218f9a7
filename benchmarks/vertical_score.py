"""Scores without paths between real daemons, and strict training, each beside what shows more, in the same run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rows import Row
from vertical_boost import ALIGN, DATA, PARTIES, credit
from vertical_world import FEATURES, LABEL, Watched, daemons, spec, watch

ROLES = {"label": LABEL, "features": [FEATURES]}
TREES, DEPTH = 20, 3


def job(scheme: str) -> dict[str, Any]:
    """Both ways of training, both ways of scoring with the first one's model."""
    learn = {"label": "y", "id": "id", "bins": 32, "scheme": "lattice", "trees": TREES, "depth": DEPTH}
    size = {"trees": TREES, "depth": DEPTH}
    train = {"uses": "gbdt/vertical", "needs": ["align"], "roles": ROLES}
    score = {"needs": ["align", "fast"], "roles": ROLES}
    return {
        "align": ALIGN,
        "fast": {**train, "with": learn},
        "strict": {**train, "needs": ["align", "fast"], "with": {**learn, "disclosure": "strict"}},
        "paths": {**score, "uses": "gbdt/predict", "with": size},
        "scores": {**score, "uses": "gbdt/score", "with": {**size, "scheme": scheme}},
    }


def measure(files: dict[str, Path], scheme: str) -> Watched:
    with daemons(files, 2) as (cluster, parley):
        return watch(cluster, parley, spec("score", PARTIES, job(scheme)))


def fewer(files: dict[str, Path], rows: int, folder: Path) -> dict[str, Path]:
    """The first so many rows of the label side, and whoever is among them at the other."""
    out = {}
    for party in PARTIES:
        out[party] = folder / f"few-{party}.parquet"
        pq.write_table(pq.read_table(files[party]).slice(0, rows), out[party])
    return out


def scoring_rows() -> list[Row]:
    if not (DATA / "default_credit_hetero_guest.csv").is_file():
        print("no default_credit here: scoring is left out")
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        whole = credit(Path(folder))
        for scheme, files in (("lattice", whole), ("paillier", fewer(whole, 6000, Path(folder)))):
            seen = measure(files, scheme)
            (result,) = seen.results["scores"].values()
            count = result["rows"]
            beside = {
                "trees": TREES,
                "depth": DEPTH,
                "rows": count,
                "encryption": result["encryption"],
                "kb_per_row": round(seen.sent("scores") / count / 1e3, 2),
                "yardstick": "gbdt/predict, which shows sides",
            }
            speed = [count / seen.step_seconds(step) for step in ("scores", "paths")]
            rows.append(Row(f"gbdt/score, {scheme}", speed[0], "rows/s", speed[1], "higher", beside))
            if scheme == "lattice":
                rows.append(_strict(seen))
    return rows


def _strict(seen: Watched) -> Row:
    spent = [seen.per_unit(step, LABEL) for step in ("strict", "fast")]
    (strict,), (fast,) = (seen.results[step].values() for step in ("strict", "fast"))
    beside = {
        "depth": DEPTH,
        "encryption": strict["encryption"],
        "mb_per_tree": round(seen.sent("strict") / TREES / 1e6, 1),
        "mb_per_tree_fast": round(seen.sent("fast") / TREES / 1e6, 1),
        "leakage": strict["leakage"],
        "leakage_fast": fast["leakage"],
        "yardstick": "the fast training",
    }
    return Row("gbdt/vertical, strict, default_credit", spent[0], "s a tree", spent[1], "lower", beside)
