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
        raise _beyond(name)
    if whole:
        return numbers.astype(np.int64) * np.int64(10**decimals)
    scaled: Ints = np.rint(numbers * 10.0**decimals).astype(np.int64)
    return scaled


def added(units: Ints, which: Ints, groups: int, most: int, name: str) -> Ints:
    """(groups,) the sums of units (n,) by group, `which` (n,) in [0, groups); |units| <= `most` < 2^60.

    ParleyError "value_out_of_range" for a sum that is larger than `most`.
    """
    # Two halves of 30 bits each: neither sum can leave 62 bits before it is looked at, with up to 2^31 rows.
    high, low = units >> 30, units & ((1 << 30) - 1)
    sums = [np.zeros(groups, np.int64), np.zeros(groups, np.int64)]
    for total, half in zip(sums, (high, low), strict=True):
        np.add.at(total, which, half)
    carried, rest = sums[0] + (sums[1] >> 30), sums[1] & ((1 << 30) - 1)
    if carried.size and int(np.abs(carried).max()) > (most >> 30) + 1:
        raise _beyond(name)
    out: Ints = (carried << 30) + rest
    if out.size and int(np.abs(out).max()) > most:
        raise _beyond(name)
    return out


def _beyond(name: str) -> ParleyError:
    return ParleyError(
        "value_out_of_range",
        f"Column {name!r} has a value, or a sum of one id's values, outside the job's range.",
        "Raise `max_value`, or look at the column's largest, infinite and missing values.",
    )
