"""Frames: which rows, in which part, with which prepared columns, from step to step."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from parley.components.errors import DataError
from parley.components.features.pipeline import Columns, Pipeline, numeric_columns
from parley.protocols.frame import TEST, Frame, feature_names, frame_of, local_frame
from parley.protocols.kit import StepInputs
from parley.wire.errors import ParleyError

TABLE = pa.table({"_row": [10, 11, 12, 13], "a": [1.0, 2.0, 3.0, 4.0], "b": ["p", "q", "r", "s"], "c": [4, 3, 2, 1]})
ROWS = np.array([13, 11, 10])


def aligned(**more: dict[str, object]) -> StepInputs:
    return StepInputs(TABLE, {"align": {"rows": ROWS, "count": 3}, **more})


def test_an_alignment_alone_gives_its_rows_in_its_order():
    frame = frame_of(aligned(), "bank")
    assert frame.table.column("_row").to_pylist() == [13, 11, 10]
    assert frame.table.column("b").to_pylist() == ["s", "q", "p"]
    assert frame.part.tolist() == [0, 0, 0]
    assert frame.depth == 0


def test_what_a_step_kept_is_what_the_next_one_gets():
    first = frame_of(aligned(), "bank").with_transforms([Columns(("c", "a"))])
    second = first.select(np.array([2, 0])).with_part(np.array([0, TEST], dtype=np.uint8))
    again = frame_of(aligned(first=first.keep(), second=second.keep()), "bank")
    assert again.table.equals(second.table)
    assert again.table.column_names == ["_row", "c", "a"]
    assert (again.rows.tolist(), again.part.tolist(), again.depth) == ([10, 13], [0, TEST], 3)
    assert again.of_part("test").tolist() == [1]
    assert again.of_part("all").tolist() == [0, 1]
    assert again.training.tolist() == [True, False]
    assert feature_names(again, "a") == ["c"]


def test_a_model_brings_its_own_chain_to_other_rows():
    trained = frame_of(aligned(), "bank").with_transforms([Columns(("a",))]).keep() | {"model": "{}"}
    inputs = StepInputs(TABLE, {"train": trained, "later": {"rows": np.array([12]), "count": 1}})
    frame = frame_of(inputs, "bank", prepared=trained["prepared"])
    assert frame.rows.tolist() == [12]
    assert frame.table.column_names == ["_row", "a"]


def test_two_frames_of_one_depth_are_told_apart_or_refused():
    assert frame_of(aligned(other={"rows": ROWS, "count": 3}), "bank").rows.tolist() == ROWS.tolist()
    with pytest.raises(ParleyError) as e:
        frame_of(aligned(other={"rows": ROWS[:2], "count": 2}), "bank")
    assert e.value.code == "ambiguous_rows"


def test_two_preparations_side_by_side_are_refused_and_not_half_taken():
    one = frame_of(aligned(), "bank")
    kept = {"a": one.with_transforms([Columns(("a",))]).keep(), "c": one.with_transforms([Columns(("c",))]).keep()}
    split = {"p": one.with_part(np.array([0, 1, 0])).keep(), "q": one.with_part(np.array([0, 0, 1])).keep()}
    for both in (kept, split):
        with pytest.raises(ParleyError) as e:
            frame_of(aligned(**both), "bank")
        assert e.value.code == "ambiguous_rows"
        first = next(iter(both))
        assert frame_of(aligned(**{first: both[first], "again": both[first]}), "bank").depth == 1


def test_without_an_alignment():
    with pytest.raises(ParleyError) as e:
        frame_of(StepInputs(TABLE), "bank")
    assert e.value.code == "not_aligned"
    assert local_frame(StepInputs(TABLE), "bank").rows.tolist() == [10, 11, 12, 13]


def test_parts_fit_their_rows():
    frame: Frame = local_frame(StepInputs(TABLE), "bank")
    for part in (np.zeros(3, dtype=np.uint8), np.full(4, 3, dtype=np.uint8)):
        with pytest.raises(ValueError, match="part"):
            frame.with_part(part)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "transforms": []}',
        '{"version": 1, "transforms": [{"kind": "os.system", "kept": []}]}',
        '{"version": 1, "transforms": [{"kind": "columns", "kept": [1]}]}',
        '{"version": 1, "transforms": [{"kind": "columns", "kept": [], "more": 1}]}',
    ],
)
def test_a_damaged_chain_is_refused(text):
    with pytest.raises(DataError) as e:
        Pipeline.from_json(text)
    assert e.value.code == "bad_transform"


def test_a_missing_column_is_named():
    with pytest.raises(DataError) as e:
        Columns(("aa",)).apply(TABLE)
    assert e.value.code == "unknown_column"
    assert numeric_columns(TABLE) == ["a", "c"]
    assert numeric_columns(TABLE, ["b", "c"]) == ["c"]
