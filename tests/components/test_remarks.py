"""What an owner is told of odd columns."""

from __future__ import annotations

import pyarrow as pa

from parley.components.features import remarks


def test_columns_that_teach_nothing_are_named() -> None:
    table = pa.table(
        {
            "_row": [0, 0, 0],
            "good": [1.0, 2.0, None],
            "none": pa.array([None, None, None], pa.float64()),
            "nan": [float("nan")] * 3,
            "same": ["a", "a", "a"],
            "same_or_none": [7, None, 7],
            "inf": [1.0, float("inf"), float("-inf")],
            "ids": pa.array(["x", "y", "z"]).dictionary_encode(),
        }
    )
    assert remarks(table) == {
        "none": "every value is missing",
        "nan": "every value is missing",
        "same": "one value only",
        "same_or_none": "one value only, or missing",
        "inf": "infinite values: 2",
    }


def test_an_empty_table_has_no_remarks() -> None:
    assert remarks(pa.table({"x": pa.array([], pa.float64())})) == {}
