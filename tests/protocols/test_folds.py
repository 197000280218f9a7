"""Folds: the same at every party, each row held out once; and the page's job as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from cases import COLUMNS, table
from shared import ROOT
from vertical import split_inputs, use_plain

from parley import jobfile, local
from parley.protocols.frame import TEST, TRAIN, VALIDATE
from parley.protocols.kit import LocalRun, StepInputs, run_local
from parley.protocols.kit.local import Setting
from parley.protocols.prep.folds import FOLDS
from parley.wire.errors import ParleyError

PARTIES = ("bank", "bureau", "telco")


def run(inputs: dict[str, StepInputs], params: dict[str, object], seed: bytes = bytes(32)) -> LocalRun:
    return run_local(FOLDS, {"member": list(PARTIES)}, inputs, params, setting=Setting(seed=seed))


def after(inputs: dict[str, StepInputs], done: LocalRun) -> dict[str, StepInputs]:
    return {p: StepInputs(i.table, {"folds": done[p].keep}) for p, i in inputs.items()}


@pytest.fixture
def inputs() -> dict[str, StepInputs]:
    return split_inputs(table(rows=103), *COLUMNS)


def test_every_row_is_held_out_once_at_every_party_alike_and_nothing_is_sent(inputs):
    done = run(inputs, {"folds": 4})
    assert done["bank"].result == {"folds": [26, 26, 26, 25]}
    assert not done["telco"].result
    held = np.zeros(103, dtype=int)
    for fold in range(4):
        out = run(after(inputs, done), {"fold": fold})
        parts = [out[p].keep["part"] for p in PARTIES]
        assert all(np.array_equal(part, parts[0]) for part in parts)
        assert set(parts[0].tolist()) == {TRAIN, TEST}
        assert out["bank"].result == {"train": 103 - held_in(done, fold), "validate": 0, "test": held_in(done, fold)}
        assert not any(out.egress.values())
        held += parts[0] == TEST
    assert held.tolist() == [1] * 103
    assert not any(done.egress.values())


def held_in(done: LocalRun, fold: int) -> int:
    return int((done["bureau"].keep["folds"] == fold).sum())


def test_another_seed_divides_in_another_way(inputs):
    first, second = (run(inputs, {"folds": 4}, seed=bytes([k]) * 32)["bank"].keep["folds"] for k in (1, 2))
    assert not np.array_equal(first, second)


def test_rows_that_were_held_out_before_stay_out_of_every_fold(inputs):
    where = np.repeat([TRAIN, VALIDATE, TEST], [60, 23, 20]).astype(np.uint8)
    rows = inputs["bank"].needs["align"]["rows"]
    split = {p: StepInputs(i.table, {"split": {"rows": rows, "part": where, "depth": 1}}) for p, i in inputs.items()}
    done = run(split, {"folds": 5})
    assert np.array_equal(done["bank"].keep["rows"], rows[:60])
    out = run(after(inputs, done), {"fold": 2, "hold": "validate"})
    assert out["bank"].result == {"train": 48, "validate": 12, "test": 0}


def test_what_cannot_be_is_refused(inputs):
    done = run(inputs, {"folds": 4})
    moved = {p: StepInputs(i.table, {"a": {**done[p].keep, "folds": np.zeros(7)}}) for p, i in inputs.items()}
    for given, params, code in (
        (inputs, {"folds": 100, "fold": 1}, "bad_parameters"),
        (inputs, {}, "bad_parameters"),
        (inputs, {"fold": 0}, "no_folds"),
        (moved, {"fold": 0}, "no_folds"),
        (after(inputs, done), {"fold": 4}, "bad_parameters"),
        (split_inputs(table(rows=8), *COLUMNS), {"folds": 9}, "too_few_rows"),
    ):
        with pytest.raises(ParleyError) as e:
            run(given, params)
        assert e.value.code == code


@pytest.mark.slow
def test_the_pages_job_measures_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain(monkeypatch)
    page = (ROOT / "docs" / "cross-validation.md").read_text(encoding="utf-8")
    (job,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "job.yaml").write_text(job, encoding="utf-8")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 3)).round(2)
    y = (x[:, 0] + x[:, 1] + rng.normal(size=200) / 4 > 0).astype(int)
    files = {"lender": tmp_path / "loans.csv", "bureau": tmp_path / "histories.csv"}
    lender = "".join(f"p{k},{y[k]},{x[k, 0]}\n" for k in range(200))
    bureau = "".join(f"p{k},{x[k, 1]},{x[k, 2]}\n" for k in range(20, 200))
    files["lender"].write_text("id,defaulted,rate\n" + lender, encoding="utf-8")
    files["bureau"].write_text("id,open_lines,late\n" + bureau, encoding="utf-8")
    done = local.run(jobfile.load(tmp_path / "job.yaml"), files)
    measured = [done.steps[f"measure{k}"].results["lender"]["metrics"]["test"] for k in range(3)]
    assert [m["rows"] for m in measured] == [60, 60, 60]
    assert min(m["auc"] for m in measured) > 0.8
    trained = [done.steps[f"train{k}"].results["lender"] for k in range(3)]
    assert len({str(t) for t in trained}) == 3  # three models, not one three times
