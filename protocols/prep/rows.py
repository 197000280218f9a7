"""Which rows: shares and counts of them, at random, by the values of a column, or by time. Pure; it sees no session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.components.features.values import column
from parley.protocols.frame import TEST, TRAIN, VALIDATE

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]
Parts = NDArray[np.uint8]
Permutation = Callable[[int], NDArray[np.int64]]


def size_of(share: float, rows: int) -> int:
    """A share below 1 of the rows, rounded, or a count; DataError "too_few_rows" when there are not so many."""
    wanted = round(share * rows) if share < 1 else int(share)
    if wanted > rows:
        raise DataError("too_few_rows", "there are fewer rows than are asked for")
    return wanted


def parts_in_order(order: Ints, validate: float, test: float) -> Parts:
    """(n,) parts: of the rows in this order the last are for testing, those before them for validation.

    DataError "too_few_rows" when nothing is left to train on.
    """
    n = order.size
    held, checked = size_of(test, n), size_of(validate, n)
    if held + checked >= n:
        raise DataError("too_few_rows", "no row would be left for training")
    out = np.full(n, TRAIN, dtype=np.uint8)
    out[order[n - held :]] = TEST
    out[order[n - held - checked : n - held]] = VALIDATE
    return out


def stratified_parts(strata: Ints, permutation: Permutation, validate: float, test: float) -> Parts:
    """Each stratum divided by the same shares, at random; DataError "bad_parameter" for counts,
    "too_few_rows" when nothing is left to train on."""
    if validate >= 1 or test >= 1:
        raise DataError("bad_parameter", "a stratified division takes shares, no counts")
    out = np.full(strata.size, TRAIN, dtype=np.uint8)
    for value in np.unique(strata):
        here = np.flatnonzero(strata == value)
        held, checked = size_of(test, here.size), size_of(validate, here.size)
        order = here[permutation(here.size)]
        out[order[:held]] = TEST
        out[order[held : held + checked]] = VALIDATE
    if not (out == TRAIN).any():
        raise DataError("too_few_rows", "no row would be left for training")
    return out


def sampled(strata: Ints, permutation: Permutation, wanted: dict[int, float]) -> Ints:
    """Rising positions of a share or count of each stratum that `wanted` names; the others are left out."""
    chosen = [np.empty(0, dtype=np.int64)]
    for value, share in wanted.items():
        here = np.flatnonzero(strata == value)
        chosen.append(here[permutation(here.size)[: size_of(share, here.size)]])
    return np.sort(np.concatenate(chosen))


def strata_of(table: pa.Table, name: str, most: int = 1000) -> tuple[Ints, list[str]]:
    """(n,) number of each row's value in the column, and the values as text, in byte order; missing comes last as "".

    DataError "too_many_strata", "unknown_column".
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column(table, name).cast(pa.string())
    values = sorted(v for v in pc.unique(texts).to_pylist() if v is not None)
    if len(values) > most:
        raise DataError("too_many_strata", f"column {name!r} has more than {most} values", "choose a column of classes")
    found = pc.fill_null(pc.index_in(texts, pa.array(values, pa.string()), skip_nulls=True), len(values))
    return np.asarray(found.to_numpy(), dtype=np.int64), [*values, ""]


def order_of(table: pa.Table, name: str) -> Ints:
    """Positions by rising value of a column of dates or numbers, equal ones as they stand; DataError "missing_values",
    "no_order"."""
    import pyarrow as pa

    found = column(table, name)
    kinds = pa.types
    if not any(ok(found.type) for ok in (kinds.is_date, kinds.is_timestamp, kinds.is_integer, kinds.is_floating)):
        raise DataError("no_order", f"column {name!r} of type {found.type} has no order in time")
    if found.null_count:
        raise DataError("missing_values", f"column {name!r} has rows without a time", "impute them first")
    return np.argsort(found.combine_chunks().to_numpy(zero_copy_only=False), kind="stable").astype(np.int64)
