"""CSV and Parquet import: typing rules, record counts, refusals, and error texts without data values."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parley.components.errors import DataError
from parley.components.lakehouse.readers import count_csv_records, read_csv, read_parquet


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def types(table: pa.Table) -> dict[str, str]:
    return {f.name: str(f.type) for f in table.schema}


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["007", "8"], "string", ["007", "8"]),
        (["-05", "1"], "string", ["-05", "1"]),
        (["+8613800", "1"], "string", ["+8613800", "1"]),
        (["0", "-7"], "int64", [0, -7]),
        (["0.5", "0"], "double", [0.5, 0.0]),
        ([".5", "5.", "-1.e3"], "double", [0.5, 5.0, -1000.0]),
        (["1", "inf", "-Infinity"], "double", [1.0, math.inf, -math.inf]),
        (["999999999999999999", "1"], "int64", [999999999999999999, 1]),
        (["12345678901234567890", "1"], "string", ["12345678901234567890", "1"]),
        (["1234567890123456", "0.5"], "string", ["1234567890123456", "0.5"]),
        (["true", "FALSE"], "bool", [True, False]),
        (
            ["2020-01-31", "1999-12-01"],
            "date32[day]",
            [datetime.date(2020, 1, 31), datetime.date(1999, 12, 1)],
        ),
        (["2020-02-31", "1999-12-01"], "string", ["2020-02-31", "1999-12-01"]),
        (["2020-01-31 10:00:00"], "timestamp[us]", [datetime.datetime.fromisoformat("2020-01-31 10:00:00")]),
        (["1", "x"], "string", ["1", "x"]),
        (["NA", "1"], "string", ["NA", "1"]),
        (["1", ""], "int64", [1, None]),
    ],
)
def test_columns_are_typed_by_what_all_cells_look_like(
    tmp_path: Path, cells: list[str], kind: str, values: list[object]
) -> None:
    path = written(tmp_path, "k,v\n" + "".join(f"x,{c}\n" for c in cells))
    column = read_csv(path).column("v")
    assert str(column.type) == kind
    assert column.to_pylist() == values


def test_nan_is_a_float_and_an_empty_cell_is_a_null(tmp_path: Path) -> None:
    column = read_csv(written(tmp_path, 'k,v\na,NaN\nb,\nc,""\nd,1.5\n')).column("v").to_pylist()
    assert math.isnan(column[0])
    assert column[1:] == [None, None, 1.5]


def test_strings_and_columns_override_the_rules(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,c,d\n1,2,3,NA\n4,5,6,7\n")
    table = read_csv(path, strings=["a"], columns={"b": "float64"}, nulls=["NA"])
    assert types(table) == {"a": "string", "b": "double", "c": "int64", "d": "int64"}
    assert table.column("d").to_pylist() == [None, 7]


def test_bom_crlf_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbfid, note \r\n1,"two\r\nlines, ""q"""\r\n\r\n2,plain\r\n')
    table = read_csv(path)
    assert table.column_names == ["id", "note"]
    assert table.column("note").to_pylist() == ['two\r\nlines, "q"', "plain"]
    assert count_csv_records(path) == table.num_rows == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_csv"),
        ("a,a\n1,2\n", "duplicate_column"),
        ("a, a\n1,2\n", "duplicate_column"),
        ("_row,a\n1,2\n", "bad_column_name"),
        (",a\n1,2\n", "bad_column_name"),
        ("a,b\n1,SECRET,3\n", "bad_csv"),
        ("a,b\n1\n", "bad_csv"),
        ('a,b\n1,"SECRET\n', "bad_csv"),
        ('a,b\n1,"SECRET"x\n', "bad_csv"),
        (b"a,b\n1,\xff\xfeSECRET\n", "bad_csv"),
    ],
)
def test_broken_files_are_refused_without_quoting_them(tmp_path: Path, text: str | bytes, code: str) -> None:
    with pytest.raises(DataError) as caught:
        read_csv(written(tmp_path, text))
    assert caught.value.code == code
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_ragged_row_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 3 .* 3 cells instead of 2"):
        read_csv(written(tmp_path, "a,b\n1,2\n3,4,5\n"))


def test_a_forced_type_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a\n1\nSECRET\n")
    with pytest.raises(DataError) as caught:
        read_csv(path, columns={"a": "int64"})
    assert caught.value.code == "lossy_type"
    assert "SECRET" not in str(caught.value)
    with pytest.raises(DataError, match="did you mean 'amount'"):
        read_csv(written(tmp_path, "amount\n1\n"), strings=["amout"])
    with pytest.raises(DataError, match="unknown_type"):
        read_csv(path, columns={"amount": "integer"})


def test_parquet_types_become_stored_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table(
        {
            "i": pa.array([1, None], pa.int8()),
            "u": pa.array([1, 2], pa.uint32()),
            "f": pa.array([0.5, math.nan], pa.float32()),
            "d": pa.array(["x", "y"]).dictionary_encode(),
            "n": pa.nulls(2),
            "t": pa.array([1_000, 2_000], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, path)
    assert types(read_parquet(path)) == {
        "i": "int64",
        "u": "int64",
        "f": "double",
        "d": "string",
        "n": "string",
        "t": "timestamp[us]",
    }


@pytest.mark.parametrize(
    ("column", "code"),
    [
        (pa.array([[1], [2]]), "unsupported_type"),
        (pa.array([2**63, 1], pa.uint64()), "lossy_type"),
        (pa.array([1, 2], pa.timestamp("ns")), "lossy_type"),
    ],
)
def test_parquet_columns_that_cannot_be_held_are_refused(tmp_path: Path, column: pa.Array, code: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"c": column}), path)
    with pytest.raises(DataError) as caught:
        read_parquet(path)
    assert caught.value.code == code


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError) as caught:
        read_parquet(path)
    assert caught.value.code == "unreadable_file"
