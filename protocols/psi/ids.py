"""An id column as distinct byte strings that mean the same at every party.

Rules, in this order: whole numbers become their decimal text (7 and "7" are one id, "007" is another); text is
normalised as asked; null and empty ids are dropped; of rows with equal ids the first one stands for all, and how often
an id occurs is known to its owner only. Fractions, times and truth values are refused: their text is a matter of taste.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from parley.protocols.inputs import row_ids
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Normalise = Literal["none", "nfc", "nfkc", "nfkc-casefold"]
MAX_ID_BYTES = 4096


@dataclass(frozen=True)
class IdColumn:
    """Distinct ids (a string array of n) and the `_row` (n,) of the first row that has each."""

    ids: pa.Array
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def id_column(table: pa.Table, name: str, normalise: Normalise) -> IdColumn:
    """The ids of column `name`; ParleyError "bad_id_type", "id_too_long", "no_ids"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = normalised(_texts(table.column(name), name), normalise)
    longest = pc.max(pc.binary_length(texts)).as_py() or 0
    if longest > MAX_ID_BYTES:
        raise ParleyError("id_too_long", f"Column {name!r} has an id of more than {MAX_ID_BYTES} bytes.")
    usable = pc.and_(pc.is_valid(texts), pc.greater(pc.fill_null(pc.binary_length(texts), 0), 0))
    kept = pa.table({"id": texts, "row": row_ids(table)}).filter(usable)
    positions = pa.array(np.arange(kept.num_rows, dtype=np.int64))
    first = kept.append_column("at", positions).group_by("id", use_threads=False).aggregate([("at", "min")])
    at = np.sort(first.column("at_min").to_numpy())
    if at.size == 0:
        raise ParleyError(
            "no_ids", f"Column {name!r} holds no id: it is empty or missing everywhere.", "Name another column."
        )
    chosen = kept.take(at)
    return IdColumn(chosen.column("id").combine_chunks(), np.asarray(chosen.column("row").to_numpy(), dtype=np.int64))


def _texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind) or t.is_integer(kind) or t.is_null(kind):
        return column.cast(pa.string())
    raise ParleyError(
        "bad_id_type",
        f"Column {name!r} of type {kind} cannot be an id.",
        "Ids are text or whole numbers; convert the column first.",
    )


def normalised(texts: pa.ChunkedArray, how: Normalise) -> pa.ChunkedArray:
    """Text under a Unicode normal form; `nfkc-casefold` also ignores case and outer blanks."""
    import pyarrow.compute as pc

    if how == "none":
        return texts
    if how in ("nfc", "nfkc"):
        return pc.utf8_normalize(texts, form=how.upper())
    if pc.all(pc.string_is_ascii(texts), skip_nulls=True).as_py() is not False:
        return pc.ascii_lower(pc.ascii_trim_whitespace(texts))
    return _casefolded(texts)


def _casefolded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Full case folding, which Arrow lacks, of the distinct texts only."""
    import pyarrow as pa

    encoded = texts.combine_chunks().dictionary_encode()
    folded = pa.array([_fold(t) for t in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([folded.take(encoded.indices)])


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def check_id_type(column: str, schema: dict[str, str], me: str) -> None:
    """ParleyError "bad_id_type" when a column's declared type cannot be an id."""
    kind = schema[column]
    if any(word in kind for word in ("float", "double", "bool", "date", "time", "decimal", "binary", "list", "struct")):
        raise ParleyError(
            "bad_id_type", f"Column {column!r} of type {kind} cannot be an id.", "Use text or whole numbers.", party=me
        )


def matches(ours: Any, theirs: Any) -> NDArray[np.int64]:
    """(n,) for each 32-byte row of `ours` (n, 32) its position in `theirs` (m, 32), or -1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    left, right = _packed(ours), _packed(theirs)
    found = pc.fill_null(pc.index_in(left, value_set=right), -1)
    return np.asarray(found.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)


def _packed(points: NDArray[np.uint8]) -> pa.Array:
    import pyarrow as pa

    whole = np.ascontiguousarray(points)
    kind = pa.binary(whole.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, whole.shape[0], [None, pa.py_buffer(whole)])
