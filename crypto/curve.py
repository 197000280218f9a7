"""ristretto255 in batches: hash to the group, multiply by one secret scalar, refuse what is not an element.

Guarantee: every result is the canonical encoding of RFC 9496, the same on every CPU; inputs that are not canonical
(bit 255 included) and the identity are refused; multiplication reads every table entry and takes the same steps for
every scalar (docs/constant-time.md says how that is checked). Not guaranteed: constant time in the ids that are
hashed, or against a neighbour on the same core beyond what fixed steps give; Python's own copies of a scalar are not
wiped. Work is spread over `threads.limit()` threads.
Source: RFC 9496 (group), RFC 9380 sections 5.3.1 and B (hash_to_ristretto255 with SHA-512), RFC 9497 (use).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from parley.crypto import _native
from parley.crypto.errors import CryptoError
from parley.crypto.prg import Rng
from parley.crypto.threads import limit

if TYPE_CHECKING:
    import pyarrow as pa

ORDER: Final = 2**252 + 27742317777372353535851937790883648493
Points = NDArray[np.uint8]
_NO_SCALAR: Final = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class Ids:
    """n byte strings in one buffer: id i is data[offsets[i]:offsets[i + 1]]."""

    data: NDArray[np.uint8] = field(repr=False)
    offsets: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_list(cls, ids: list[bytes]) -> Ids:
        sizes = np.fromiter((len(x) for x in ids), np.int64, len(ids))
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(np.frombuffer(b"".join(ids), np.uint8), offsets)

    @classmethod
    def from_arrow(cls, column: pa.Array | pa.ChunkedArray) -> Ids:
        """From a string or binary column without nulls; CryptoError "bad_ids" otherwise."""
        import pyarrow as pa

        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if column.null_count or not (
            pa.types.is_string(column.type)
            or pa.types.is_binary(column.type)
            or pa.types.is_large_string(column.type)
            or pa.types.is_large_binary(column.type)
        ):
            raise CryptoError("bad_ids", "ids are text or bytes without nulls")
        wide = column.cast(pa.large_binary())
        _, where, data = wide.buffers()
        offsets = np.frombuffer(where, np.int64, len(wide) + 1, wide.offset * 8) if len(wide) else np.zeros(1, np.int64)
        bytes_ = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        return cls(bytes_, np.ascontiguousarray(offsets))


def random_scalar(rng: Rng | None = None) -> bytes:
    """A uniform scalar in [1, order), 32 bytes little endian."""
    return ((rng or Rng()).scalar_below(ORDER - 1) + 1).to_bytes(32, "little")


def hash_to_group(ids: Ids, dst: bytes) -> Points:
    """(n, 32): each id hashed under a domain separation tag."""
    return _results(_native.ristretto_hash(ids.data, ids.offsets, _tag(dst), _NO_SCALAR, limit()))


def hash_and_multiply(ids: Ids, scalar: bytes, dst: bytes) -> Points:
    """(n, 32): each id hashed under a tag, times the scalar."""
    return _results(_native.ristretto_hash(ids.data, ids.offsets, _tag(dst), _scalar(scalar), limit()))


def multiply(points: Points, scalar: bytes) -> Points:
    """(n, 32): each point times the scalar; CryptoError "bad_point" with the first bad index."""
    return _results(_native.ristretto_multiply(_checked(points), _scalar(scalar), limit()))


def add(points: Points, others: Points) -> Points:
    """(n, 32): row by row the sum, `others` (n, 32) or (1, 32); CryptoError "bad_point", also where a sum is the
    identity. Portable code on every CPU."""
    return _results(_native.ristretto_add(_checked(points), _paired(points, others), False))


def subtract(points: Points, others: Points) -> Points:
    """(n, 32): row by row the difference; as `add`."""
    return _results(_native.ristretto_add(_checked(points), _paired(points, others), True))


def check(points: Points) -> None:
    """CryptoError "bad_point" unless every row is the canonical encoding of an element other than the identity."""
    _all(_native.ristretto_check(_checked(points), limit()))


def _checked(points: Points) -> Points:
    if points.ndim != 2 or points.shape[1] != 32 or points.dtype != np.uint8:
        raise CryptoError("bad_shape", "points are uint8 (n, 32)")
    return np.ascontiguousarray(points)


def _paired(points: Points, others: Points) -> Points:
    if len(others) not in (1, len(points)):
        raise CryptoError("bad_shape", "as many points on both sides, or one for all")
    return _checked(others)


def _results(pair: tuple[Points, Points]) -> Points:
    out, ok = pair
    _all(ok)
    return out


def _all(ok: Points) -> None:
    if not ok.all():
        raise CryptoError("bad_point", "not a canonical element, or the identity", index=int((ok == 0).argmax()))


def _scalar(scalar: bytes) -> NDArray[np.uint8]:
    """The 32 bytes as an array; CryptoError "bad_scalar" unless they are a scalar in [1, order)."""
    if len(scalar) != 32 or not 0 < int.from_bytes(scalar, "little") < ORDER:
        raise CryptoError("bad_scalar", "scalars are 32 bytes, below the group order and not zero")
    return np.frombuffer(scalar, np.uint8)


def _tag(dst: bytes) -> NDArray[np.uint8]:
    if not dst:
        raise CryptoError("bad_tag", "a domain separation tag is not empty")
    return np.frombuffer(dst, np.uint8)
