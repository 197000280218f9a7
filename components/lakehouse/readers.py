"""CSV and Parquet files into Arrow tables, with an independent count of the records.

CSV is read as text first, and each column is typed afterwards by what all its cells look like:

    1. named in `strings`            text
    2. named in `columns`            the type given there; a cell that does not fit is an error
    3. any cell such as 007 or +86   text: leading zeros and signs are part of an identifier
    4. every cell true or false      bool (true/True/TRUE, false/False/FALSE)
    5. every cell an integer         int64; text when one has more than 18 digits
    6. every cell a number           float64 (nan, inf and infinity count, any case); text when an integer
                                     among them has over 15 digits, because a float would change it
    7. every cell an ISO day         date (2024-01-31); every cell an ISO day and time: timestamp
    8. else                          text

An empty cell, quoted or not, is a null, and so is a cell listed in `nulls`. A column of nulls alone is text.
A byte order mark, CRLF line ends and quoted line breaks are understood; blank lines are skipped; the
file is UTF-8.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from parley.components.errors import DataError, unknown_name
from parley.components.lakehouse.types import TYPES, cast_column, to_stored

MAX_COLUMNS = 10_000
MAX_NAME = 255
_BLOCK = 16 << 20

_ZEROS_OR_SIGN = r"^(?:-?0[0-9]|\+)"
_BOOL = r"^(?:true|True|TRUE|false|False|FALSE)$"
_INTEGER = r"^-?[0-9]+$"
_SHORT_INTEGER = r"^-?[0-9]{1,18}$"
_LONG_INTEGER = r"^-?[0-9]{16,}$"
_NUMBER = r"^(?:-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|-?(?i:inf|infinity)|(?i:nan))$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?$"


def read_csv(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    strings: Sequence[str] = (),
    nulls: Sequence[str] = (),
    delimiter: str = ",",
) -> pa.Table:
    """The CSV file at `path`, typed by the rules above; its row count equals `count_csv_records(path)`.

    `columns` maps some column names to type names (see `types`). Raises DataError: `unreadable_file`,
    `bad_csv`, `bad_column_name`, `duplicate_column`, `unknown_column`, `unknown_type`, `lossy_type`,
    `row_count_mismatch`.
    """
    wanted = dict(columns or {})
    header, records = _scan_csv(path, delimiter)
    names = check_names(header)
    for name in [*wanted, *strings]:
        if name not in names:
            raise unknown_name("column", name, names)
    for kind in wanted.values():
        if kind not in TYPES or kind == "binary":
            raise unknown_name("type", kind, [k for k in TYPES if k != "binary"])
    table = _read_text(path, header, nulls, delimiter)
    if table.num_rows != records:
        raise DataError(
            "row_count_mismatch",
            f"the file holds {records} records but {table.num_rows} were parsed",
            "look for stray quotes or bare carriage returns in the file",
        )
    typed = []
    for name, column in zip(names, table.columns, strict=True):
        if name in strings:
            typed.append(column)
        elif name in wanted:
            typed.append(_parse(name, column, TYPES[wanted[name]]))
        else:
            typed.append(_infer(column))
    return pa.table(dict(zip(names, typed, strict=True)))


def count_csv_records(path: Path, delimiter: str = ",") -> int:
    """Records of a CSV file without its header, counted by the standard library's reader."""
    return _scan_csv(path, delimiter)[1]


def read_parquet(path: Path, *, columns: Mapping[str, str] | None = None) -> pa.Table:
    """The Parquet file at `path` in stored types; its row count equals the file footer's.

    Raises DataError as `read_csv` does, and `unsupported_type` for nested columns.
    """
    try:
        with pq.ParquetFile(path) as file:
            records = file.metadata.num_rows
            names = check_names(file.schema_arrow.names)
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            "unreadable_file", f"{path.name} is not a readable Parquet file ({type(error).__name__})"
        ) from None
    if table.num_rows != records:
        raise DataError("row_count_mismatch", f"the footer says {records} rows but {table.num_rows} were read")
    table = to_stored(table.rename_columns(names))
    for name, kind in (columns or {}).items():
        if name not in names:
            raise unknown_name("column", name, names)
        if kind not in TYPES:
            raise unknown_name("type", kind, TYPES)
        at = names.index(name)
        table = table.set_column(at, name, cast_column(name, table.column(at), TYPES[kind]))
    return table


def check_names(header: Sequence[str]) -> list[str]:
    """Column names without surrounding blanks; refuses empty, duplicate, reserved and unprintable ones."""
    names = [name.strip() for name in header]
    if not names or len(names) > MAX_COLUMNS:
        raise DataError("bad_column_name", f"a table has 1 to {MAX_COLUMNS} columns, this one {len(names)}")
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        if not name:
            raise DataError("bad_column_name", f"column {position} has no name", "give every column a name")
        if len(name) > MAX_NAME or not name.isprintable():
            raise DataError("bad_column_name", f"the name of column {position} is too long or has control characters")
        if name.startswith("_"):
            raise DataError(
                "bad_column_name",
                f"column {name!r} starts with an underscore",
                "names that start with _ are reserved: rename the column",
            )
        if name in seen:
            raise DataError("duplicate_column", f"column {name!r} appears twice", "rename one of them")
        seen.add(name)
    return names


def _scan_csv(path: Path, delimiter: str) -> tuple[list[str], int]:
    """(header cells, number of records after it), by the standard library's strict CSV reader."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = (row for row in csv.reader(file, delimiter=delimiter, strict=True) if row)
            header = next(rows, [])
            records = sum(1 for _ in rows)
    except OSError as error:
        raise DataError("unreadable_file", f"{path.name} cannot be read ({type(error).__name__})") from None
    except UnicodeDecodeError:
        raise DataError("bad_csv", f"{path.name} is not UTF-8 text", "save the file as UTF-8") from None
    except csv.Error:
        raise DataError(
            "bad_csv", f"{path.name} has a broken quoted cell", "close every quote; double a quote inside one"
        ) from None
    if not header:
        raise DataError("bad_csv", f"{path.name} is empty", "the first line holds the column names")
    return header, records


def _read_text(path: Path, header: list[str], nulls: Sequence[str], delimiter: str) -> pa.Table:
    """Every cell as text; nulls are the empty cells and those in `nulls`."""
    broken: list[tuple[int | None, int, int]] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        broken.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    try:
        table = pacsv.read_csv(
            path,
            # One thread, because only then does the reader know the number of a broken row.
            read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in header},
                null_values=["", *nulls],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        if broken:
            number, expected, actual = broken[0]
            where = f"row {number}" if number is not None else "a row"
            cause = f"{where} of {path.name} has {actual} cells instead of {expected}"
            raise DataError("bad_csv", cause, "quote cells that contain the delimiter") from None
        raise DataError(
            "bad_csv", f"{path.name} cannot be parsed as CSV", f"rows are at most {_BLOCK >> 20} MiB"
        ) from None
    if table.column_names != header:
        raise DataError("bad_csv", f"the header of {path.name} cannot be read unambiguously")
    return table


def _all(column: pa.ChunkedArray, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(column, pattern)).as_py() is True


def _any(column: pa.ChunkedArray, pattern: str) -> bool:
    return pc.any(pc.match_substring_regex(column, pattern)).as_py() is True


def _infer(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`column` of text under rules 3 to 8 of the module's docstring."""
    if column.null_count == len(column) or _any(column, _ZEROS_OR_SIGN):
        return column
    if _all(column, _BOOL):
        return pc.equal(pc.utf8_lower(column), "true")
    if _all(column, _INTEGER):
        return column.cast(pa.int64()) if _all(column, _SHORT_INTEGER) else column
    if _all(column, _NUMBER):
        return column if _any(column, _LONG_INTEGER) else _to_float(column)
    for pattern, target in ((_DAY, TYPES["date"]), (_MOMENT, TYPES["timestamp"])):
        if _all(column, pattern):
            try:
                return column.cast(target)
            except pa.ArrowInvalid:  # the 31st of February: the column keeps its text
                return column
    return column


def _to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(column).cast(pa.float64())


def _parse(name: str, column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Text cells as the type the caller asked for; DataError `lossy_type` where one does not fit."""
    if target.equals(pa.string()):
        return column
    if target.equals(pa.float64()) and _all(column, _NUMBER):
        return _to_float(column)
    if target.equals(pa.timestamp("us", tz="UTC")):
        column = cast_column(name, column, pa.timestamp("us"))
        return column.cast(target)
    return cast_column(name, column, target)
