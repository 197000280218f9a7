"""Tables that cannot be learnt from: each ends with party, step, cause and what to do, or is trained on as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from parley import Parley
from parley.wire.errors import ParleyError

JOB = """\
name: credit
purpose: Odd tables.
parties: {a: {data: t}, b: {data: t}}
steps:
  align:
    uses: psi/ecdh
    roles: {receiver: a, sender: [b]}
    with: {id: id, result: both}
  train:
    uses: gbdt/vertical
    needs: align
    roles: {label: a, features: [b]}
    with: {label: y, id: id, trees: 1, depth: 2, bins: 4, objective: %s}
"""
N = 40
IDS = [f"u{i}" for i in range(N)]
LABELS = [i % 2 for i in range(N)]
VALUES = [i * 0.5 for i in range(N)]


def outcomes(
    folder: Path, labels: list[object], values: list[object], ids: list[object], objective: str
) -> dict[str, str]:
    files = {p: folder / f"{p}.csv" for p in ("a", "b")}
    files["a"].write_text("id,y\n" + "".join(f"{i},{y}\n" for i, y in zip(ids, labels, strict=True)))
    files["b"].write_text("id,x\n" + "".join(f"{i},{x}\n" for i, x in zip(ids, values, strict=True)))
    job = folder / "job.yaml"
    job.write_text(JOB % objective)
    return {n: s.outcome for n, s in Parley.local(job, files).steps.items()}


REFUSED = {
    "one class": ({"labels": [1] * N}, ("one_class", "a", "train")),
    "no label anywhere": ({"labels": [""] * N}, ("bad_labels", "a", "train")),
    "a label missing": ({"labels": ["", *LABELS[1:]]}, ("bad_labels", "a", "train")),
    "labels that are words": ({"labels": [("yes", "no")[i] for i in LABELS]}, ("bad_labels", "a", "train")),
    "three classes where two are asked": ({"labels": [i % 3 for i in range(N)]}, ("bad_labels", "a", "train")),
    "an infinite target": (
        {"labels": ["inf", *VALUES[1:]], "objective": "regression"},
        ("bad_labels", "a", "train"),
    ),
    "empty ids": ({"ids": [""] * N}, ("no_ids", None, "align")),
    "fractional ids": ({"ids": [i + 0.5 for i in range(N)]}, ("bad_id_type", None, "align")),
    "no rows": ({"ids": [], "labels": [], "values": []}, ("no_ids", None, "align")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cannot_be_learnt_from_is_refused(tmp_path: Path, name: str) -> None:
    odd, (code, party, step) = REFUSED[name]
    table = {"labels": LABELS, "values": VALUES, "ids": IDS, "objective": "binary"} | odd
    with pytest.raises(ParleyError) as caught:
        outcomes(tmp_path, **table)
    error = caught.value
    assert (error.code, error.step) == (code, step)
    assert error.party in ({party} if party else {"a", "b"})
    assert error.cause
    assert error.hint


@pytest.mark.parametrize(
    "values",
    [[3.0] * N, [""] * N, ["nan", *VALUES[1:]], ["inf", "-inf", *VALUES[2:]], ["word", *VALUES[1:]]],
    ids=["constant", "all missing", "NaN", "infinite", "a word among numbers"],
)
def test_a_feature_that_is_odd_is_trained_on_as_it_is(tmp_path: Path, values: list[object]) -> None:
    assert outcomes(tmp_path, LABELS, values, IDS, "binary") == {"align": "ok", "train": "ok"}
