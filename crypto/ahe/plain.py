"""A fake with the real interface and no secrecy at all, so that protocol tests run in milliseconds.

Guarantee: the same sums as every real scheme. Not guaranteed: any secrecy. `generate` cannot name it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from parley.crypto.ahe.base import (
    Bins,
    Ciphertexts,
    Counts,
    Ints,
    Layout,
    Raw,
    Response,
    RowPublicKey,
    SecretKey,
    Sums,
    check_bins,
)
from parley.crypto.errors import CryptoError


class PlainPublicKey(RowPublicKey):
    """`size` is 8 bytes a channel."""

    scheme = "plain"

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.size = 8 * channels

    def encode(self) -> bytes:
        return b"plain\x00" + self.channels.to_bytes(2, "big")

    @classmethod
    def decode(cls, raw: bytes) -> PlainPublicKey:
        return cls(int.from_bytes(raw[6:8], "big"))

    def ciphertexts(self, raw: Raw, rows: int) -> Ciphertexts:
        if raw.shape != (rows, self.size):
            raise CryptoError("bad_ciphertext", "ciphertexts of another size")
        return Ciphertexts(len(raw), np.ascontiguousarray(raw).view(np.int64).reshape(-1, self.channels))

    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        layout.check(values)
        data = np.ascontiguousarray(values)
        return data.view(np.uint8).reshape(len(data), self.size)

    def histogram(self, ct: Ciphertexts, bins: Bins, counts: Counts, rows: Ints | None) -> Sums:
        check_bins(bins, len(ct), counts)
        chosen = np.arange(len(ct)) if rows is None else rows
        first = np.cumsum(counts, dtype=np.int64) - counts
        out = np.zeros((int(counts.sum()), self.channels), np.int64)
        picked = bins[chosen] + first
        for f in range(bins.shape[1]):
            np.add.at(out, picked[:, f], ct.inner[chosen])
        return Sums(len(out), out)

    def add(self, a: Sums, b: Sums) -> Sums:
        return Sums(len(a), a.inner + b.inner)

    def subtract(self, a: Sums, b: Sums) -> Sums:
        return Sums(len(a), a.inner - b.inner)

    def multiply_plain(self, ct: Ciphertexts, factors: Ints) -> Sums:
        return Sums(len(ct), ct.inner * factors[:, None])

    def refresh(self, ct: Ciphertexts, keep: NDArray[np.bool_]) -> Raw:
        data = np.ascontiguousarray(ct.inner * keep[:, None])
        return data.view(np.uint8).reshape(len(data), self.size)

    def release(self, sums: Sums, layout: Layout) -> Response:
        data = np.ascontiguousarray(sums.inner)
        return Response(data.view(np.uint8).reshape(len(data), self.size), len(data))


class PlainSecretKey(SecretKey):
    scheme = "plain"

    def __init__(self, channels: int) -> None:
        self._public = PlainPublicKey(channels)

    @property
    def public(self) -> PlainPublicKey:
        return self._public

    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        return self._public.encrypt(values, layout)

    def decrypt(self, response: Response, layout: Layout) -> Ints:
        return np.ascontiguousarray(response.raw).view(np.int64).reshape(response.count, layout.channels)

    def reply_shape(self, count: int, layout: Layout) -> tuple[int, int]:
        return count, self._public.channels * 8

    def describe(self) -> str:
        return "no encryption"

    def response(self, raw: NDArray[np.uint8], count: int, layout: Layout) -> Response:
        if raw.shape != (count, self._public.size):
            raise CryptoError("bad_ciphertext", "a response of another size")
        return Response(raw, count)
