"""What an owner should know of a column before others compute with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def remarks(table: pa.Table, skip: str = "_row") -> dict[str, str]:
    """Column -> remark, for columns that teach a model nothing or hold values that are no finite numbers.

    A column of missing values, or of one value only, is binned like any other and never chosen by a split; NaN counts
    as missing, infinities fall into the outermost bins. Nothing here leaves the owner.
    """
    out = {}
    for name in table.column_names:
        if name != skip and (said := _remark(table.column(name))):
            out[name] = said
    return out


def _remark(column: pa.ChunkedArray) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(column) == 0:
        return ""
    infinite = 0
    if pa.types.is_floating(column.type):
        infinite = pc.sum(pc.is_inf(column)).as_py() or 0
        column = pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    if distinct == 0:
        return "every value is missing"
    if distinct == 1:
        return "one value only" + (", or missing" if column.null_count else "")
    return f"infinite values: {infinite:,}" if infinite else ""
