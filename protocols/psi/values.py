"""Numbers of a column as whole numbers of a fixed unit, within a declared range."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

SUM_BITS = 61  # of a sum, its sign left out
Ints = NDArray[np.int64]


def bits_of(most: float, decimals: int) -> int:
    """Bits of the largest |value| * 10^decimals; ParleyError "bad_parameters" where a sum of two would not fit."""
    bits: int = math.ceil(most * 10**decimals).bit_length()
    if bits >= SUM_BITS:
        raise ParleyError(
            "bad_parameters",
            "Values of this size with so many decimals cannot be added up.",
            f"`max_value` times 10 to the `decimals` is at most 2^{SUM_BITS - 1}.",
        )
    return bits


def fixed_point(values: pa.ChunkedArray, name: str, most: float, decimals: int) -> Ints:
    """(n,) values times 10^decimals, rounded half to even; null is 0.

    ParleyError "bad_value_type", "value_out_of_range" for what is larger than `most`, infinite or no number.
    """
    import pyarrow as pa

    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise ParleyError("bad_value_type", f"Column {name!r} of type {kind} holds no numbers.", "Name another column.")
    whole = pa.types.is_integer(kind)
    plain = values.fill_null(0)
    if whole:
        numbers = np.asarray(plain.to_numpy())
        beyond = bool(np.any(numbers > most) or np.any(numbers < -most))
    else:
        numbers = np.asarray(plain.cast(pa.float64()).to_numpy())
        beyond = not bool(np.all(np.abs(numbers) <= most))
    if beyond:
        raise ParleyError(
            "value_out_of_range",
            f"Column {name!r} has a value outside the job's range.",
            "Raise `max_value`, or look at the column's largest, infinite and missing values.",
        )
    if whole:
        return numbers.astype(np.int64) * np.int64(10**decimals)
    scaled: Ints = np.rint(numbers * 10.0**decimals).astype(np.int64)
    return scaled
