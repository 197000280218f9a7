"""Vertical jobs for tests: real tables split between parties, plain keys, and one-line runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from parley.components.features.pipeline import Transform
from parley.crypto.ahe import inner
from parley.crypto.ahe.base import Bins, Ciphertexts, Counts, Ints, Layout, Raw, Response, Sums
from parley.crypto.ahe.plain import PlainPublicKey, PlainSecretKey
from parley.crypto.errors import CryptoError
from parley.protocols import scheme
from parley.protocols.gbdt.jobs import VERTICAL
from parley.protocols.kit import LocalRun, StepInputs, run_local
from parley.protocols.kit.local import Setting
from parley.protocols.nn import exchange, features_side, label_side
from parley.protocols.psi import sum as psi_sum

CAST2 = {"label": "bank", "features": ["bureau"]}
CAST3 = {"label": "bank", "features": ["bureau", "telco"]}


def use_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains on plain fakes, which no parameter of a job can name: one for each kind of scheme."""
    made = {"paillier": PlainSecretKey, "lattice": PackedSecretKey}
    monkeypatch.setattr(scheme, "generate", lambda terms: made[terms.params.scheme](_channels(terms)))
    monkeypatch.setattr(scheme, "decode_public", _decode_plain)
    for module in (exchange, features_side, label_side):
        monkeypatch.setattr(module, "leaving", _coarse)
    monkeypatch.setattr(psi_sum, "generate", lambda params: PlainSecretKey(2))
    monkeypatch.setattr(inner, "InnerSecretKey", PlainInnerKey)
    monkeypatch.setattr(inner, "InnerSums", PlainInnerSums)
    monkeypatch.setattr(psi_sum, "decode_public", _decode_plain_sum)


LEAVING = exchange.leaving


def _coarse(values, s, **cut):
    """The last bits of what a network computes depend on the kind of CPU; recordings must not."""
    return LEAVING(np.round(values * 256) / np.float32(256), s, **cut)


def _channels(terms: scheme.Terms) -> int:
    return terms.params.layout(1).channels


def _decode_plain(raw: bytes, terms: scheme.Terms) -> PlainPublicKey:
    """As strict as the real ones: a key that is not the one expected is refused."""
    if raw != PlainPublicKey(_channels(terms)).encode():
        raise ValueError("the public key is not of the agreed scheme and size")
    return PackedPublicKey.decode(raw) if terms.params.scheme == "lattice" else PlainPublicKey.decode(raw)


def _decode_plain_sum(raw: bytes, params: psi_sum.Params) -> PlainPublicKey:
    if raw != PlainPublicKey(2).encode():
        raise ValueError("the public key is not of the agreed size")
    return PlainPublicKey.decode(raw)


class PlainInnerKey:
    """Ciphertexts of the real size that begin with their plaintexts, and replies with their sums."""

    def __init__(self, rng):
        self.public = rng.bytes(inner.SEED + inner.POLYNOMIAL)

    def encrypt(self, vectors, shape, rng):
        padded = np.zeros((len(vectors), shape.blocks * shape.length), np.uint64)
        padded[:, : shape.rows] = vectors
        raw = np.zeros((len(vectors) * shape.blocks, inner.POLYNOMIAL), np.uint8)
        raw[:, : 8 * shape.length] = padded.view(np.uint8).reshape(len(raw), -1)
        return np.frombuffer(rng.bytes(inner.SEED), np.uint8), raw

    def decrypt(self, reply, shape):
        words = np.ascontiguousarray(reply[:, : 8 * shape.x]).view(np.uint64)
        return words.reshape(-1)[: shape.columns].copy()

    def close(self):
        pass


class PlainInnerSums:
    def __init__(self, public, shape, rng):
        self._shape, self._total = shape, np.zeros(shape.columns, np.uint64)

    def add(self, seed, ciphertexts, factors):
        s = self._shape
        words = np.ascontiguousarray(ciphertexts[:, : 8 * s.length]).view(np.uint64).reshape(len(factors), -1)
        products = factors.view(np.uint64) * words[:, : s.rows, None]
        self._total += products.sum(axis=(0, 1), dtype=np.uint64)

    def release(self, masks):
        s = self._shape
        words = np.zeros(s.groups * s.x, np.uint64)
        words[: s.columns] = self._total + masks
        reply = np.zeros((s.groups, s.reply_size), np.uint8)
        reply[:, : 8 * s.x] = words.view(np.uint8).reshape(s.groups, -1)
        return reply


class PackedPublicKey(PlainPublicKey):
    """The plain fake with four rows to a ciphertext, which can only be summed as they were packed."""

    any_rows = False

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.size *= 4

    def shape(self, rows: int) -> tuple[int, int]:
        return -(-rows // 4), self.size

    def ciphertexts(self, raw: Raw, rows: int) -> Ciphertexts:
        if raw.shape != self.shape(rows):
            raise CryptoError("bad_ciphertext", "ciphertexts of another size")
        return Ciphertexts(rows, np.ascontiguousarray(raw).view(np.int64).reshape(-1, self.channels)[:rows])

    def encrypt(self, values: Ints, layout: Layout) -> Raw:
        layout.check(values)
        padded = np.zeros((4 * self.shape(len(values))[0], self.channels), np.int64)
        padded[: len(values)] = values
        return padded.view(np.uint8).reshape(-1, self.size)

    def histogram(self, ct: Ciphertexts, bins: Bins, counts: Counts, rows: Ints | None) -> Sums:
        if rows is not None:
            raise CryptoError("bad_rows", "packed rows are summed together")
        return super().histogram(ct, bins, counts, None)

    def release(self, sums: Sums, layout: Layout) -> Response:
        return Response(np.ascontiguousarray(sums.inner).view(np.uint8).reshape(len(sums), -1), len(sums))


class PackedSecretKey(PlainSecretKey):
    def __init__(self, channels: int) -> None:
        self._public = PackedPublicKey(channels)

    def response(self, raw: NDArray[np.uint8], count: int, layout: Layout) -> Response:
        if raw.shape != (count, 8 * layout.channels):
            raise CryptoError("bad_ciphertext", "a response of another size")
        return Response(raw, count)


@dataclass(frozen=True)
class Times(Transform):
    """A preparation for tests: one column times a number."""

    kind = "times"
    column: str
    factor: float

    def apply(self, table: pa.Table) -> pa.Table:
        at = table.column_names.index(self.column)
        return table.set_column(at, self.column, pa.array(table.column(at).to_numpy() * self.factor))

    def to_dict(self) -> dict[str, object]:
        return {"column": self.column, "factor": self.factor}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Times:
        return cls(**record)


def with_rows(table: pa.Table) -> pa.Table:
    """The table with row ids that are neither dense nor sorted."""
    n = table.num_rows
    ids = (np.arange(n, dtype=np.int64) * 7919) % 1_000_003
    return table.append_column("_row", pa.array(ids))


def part(table: pa.Table, order: np.ndarray | None = None) -> StepInputs:
    """A party's inputs whose alignment is the table's own order, while the table itself lies shuffled."""
    full = with_rows(table)
    rows = full.column("_row").to_numpy()
    shuffled = full.take(np.random.default_rng(5).permutation(full.num_rows))
    return StepInputs(shuffled, {"align": {"rows": rows if order is None else rows[order], "count": len(rows)}})


def split_inputs(table: pa.Table, label: list[str], *others: list[str]) -> dict[str, StepInputs]:
    """Columns `label` at bank, the other lists at bureau and telco."""
    return {
        name: part(table.select(cols))
        for name, cols in zip(("bank", "bureau", "telco"), (label, *others), strict=False)
    }


def train(
    inputs: dict[str, StepInputs], params: dict[str, object], *, cast: object = None, setting: Setting | None = None
) -> LocalRun:
    wanted = cast or (CAST3 if "telco" in inputs else CAST2)
    return run_local(VERTICAL, wanted, inputs, {"label": "y", "id": "id", **params}, setting=setting)  # type: ignore[arg-type]  # a plain dict
