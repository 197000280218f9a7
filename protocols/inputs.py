"""What the job side of every protocol needs: errors told to people, aligned rows, columns that exist."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.components.errors import DataError
from parley.crypto.errors import CryptoError
from parley.protocols.kit import StepInputs
from parley.wire.errors import ParleyError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Ints = NDArray[np.int64]
ROW = "_row"


@contextmanager
def told(peer: str = "") -> Iterator[None]:
    """Turn this block's data and crypto errors into a ParleyError; `peer` is who caused them, when not this party."""
    try:
        yield
    except DataError as e:
        raise ParleyError(e.code, e.cause, e.hint, party=peer) from None
    except CryptoError as e:
        cause = f"{peer} sent something wrong: {e.message}" if peer else e.message
        raise ParleyError(e.code, cause, e.hint or "", party=peer) from None


async def together(*work: Awaitable[T]) -> list[T]:
    """The results of all, in order; the first failure cancels the others and is raised."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10)


def table_of(inputs: StepInputs, me: str, columns: Iterable[str] | None = None) -> pa.Table:
    """The step's table, of one that is stored only the named columns; ParleyError "no_dataset", "unknown_column"."""
    if inputs.table is None and inputs.stored is not None:
        wanted = None if columns is None else list(columns)
        need_columns(wanted or (), inputs.stored.columns, me)
        return inputs.stored.read(wanted)
    if inputs.table is None:
        raise ParleyError("no_dataset", f"This step needs a dataset at {me}.", "Name one under `data` of the job.")
    return inputs.table


def kept(inputs: StepInputs, key: str) -> dict[str, Any] | None:
    """What the first needed step with `key` kept at this party, or None."""
    return next((values for values in inputs.needs.values() if key in values), None)


def row_ids(table: pa.Table) -> Ints:
    """(n,) the stable row ids of a table; ParleyError "no_row_ids"."""
    if ROW not in table.column_names:
        raise ParleyError("no_row_ids", "The dataset has no row ids.", "Import it again with `parley data add`.")
    return np.asarray(table.column(ROW).to_numpy(), dtype=np.int64)


def aligned_rows(inputs: StepInputs) -> Ints:
    """(n,) `_row` ids of the alignment among the needs; one that holds nothing but rows goes first.

    ParleyError "not_aligned" when there is none, as at a sender of an intersection with result `receiver`.
    """
    found = [values for values in inputs.needs.values() if "rows" in values]
    if not found:
        raise ParleyError(
            "not_aligned", "No earlier step aligned the rows of the parties.", "Let it need a psi step, result both."
        )
    plain = [values for values in found if "binning" not in values]
    return np.asarray((plain or found)[0]["rows"], dtype=np.int64)


def take_rows(table: pa.Table, rows: Ints) -> pa.Table:
    """The rows with these `_row` ids, in this order; ParleyError "unknown_row" when one is not there."""
    return table.take(places(row_ids(table), rows))


def places(ids: Ints, rows: Ints) -> Ints:
    """(m,) where each of `rows` (m,) lies among `ids` (n,), distinct and in any order; ParleyError "unknown_row"."""
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids, rows, sorter=order), max(0, ids.size - 1))
    if rows.size and (ids.size == 0 or not np.array_equal(ids[order[at]], rows)):
        raise ParleyError(
            "unknown_row", "The dataset lacks rows that were aligned.", "Use the dataset and snapshot of the alignment."
        )
    return np.asarray(order[at], dtype=np.int64)


def one_of(value: str | dict[str, str] | None, party: str) -> str | None:
    """A parameter given once for all parties or by party."""
    if isinstance(value, dict):
        return value.get(party, None)
    return value


def need_columns(wanted: Iterable[str], schema: Iterable[str], me: str) -> None:
    """ParleyError "unknown_column" with a did-you-mean for the first column that is not in the dataset."""
    known = sorted(c for c in schema if c != ROW)
    for column in wanted:
        if column not in known:
            cause = f"The dataset of {me} has no column {column!r}."
            raise ParleyError("unknown_column", cause, did_you_mean(column, known), party=me)


def check_parties(by_party: Iterable[str], parties: Iterable[str], what: str) -> None:
    """ParleyError "bad_parameters" when a parameter names somebody who has no role in the step."""
    known = sorted(parties)
    for name in by_party:
        if name not in known:
            raise ParleyError(
                "bad_parameters", f"{what} names {name!r}, who has no role here.", f"Known: {', '.join(known)}."
            )
