"""Both sides of the lattice with fixed seeds, down to what never leaves a party: for tests and their attacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parley.crypto import _native, _native_testing
from parley.crypto.ahe import Layout
from parley.crypto.ahe.lattice import Plan, make_plan

OPEN, MESSAGE = b"o" * 32, b"m" * 32
MASK50 = (1 << 50) - 1


def expected(values: np.ndarray, bins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(bins of all features, channels), summed one feature after the other."""
    out = [np.zeros((c, values.shape[1]), np.int64) for c in counts]
    for f, sums in enumerate(out):
        np.add.at(sums, bins[:, f], values)
    return np.concatenate(out) if out else np.zeros((0, values.shape[1]), np.int64)


def unpack50(raw: np.ndarray) -> np.ndarray:
    """(k, size) packed residues to (k, 4 * size / 25) uint64, by whole numbers of 200 bits."""
    groups = raw.reshape(len(raw), -1, 25)
    words = np.zeros((*groups.shape[:2], 32), np.uint8)
    words[:, :, :25] = groups
    w = words.view(np.uint64)
    parts = [
        w[..., 0],
        w[..., 0] >> 50 | w[..., 1] << 14,
        w[..., 1] >> 36 | w[..., 2] << 28,
        w[..., 2] >> 22 | w[..., 3] << 42,
    ]
    return (np.stack(parts, -1) & np.uint64(MASK50)).reshape(len(raw), -1)


@dataclass
class Seeded:
    """A run whose every key is given. `secret` seeds the secrets and key errors."""

    plan: Plan
    secret: bytes = b"s" * 32
    threads: int = 1

    def __post_init__(self) -> None:
        n, channels = self.plan.profile.n, self.plan.layout.channels
        self.owner = _native_testing.owner_from_seed(n, channels, self.secret, OPEN)
        self._turns: _native.LatticeTurns | None = None
        self.public = _native.LatticePublic(n, channels, OPEN, self.owner.public_key())

    def encrypt(self, values: np.ndarray, message: bytes = MESSAGE, noise: bytes = b"n" * 32) -> np.ndarray:
        scale = np.array(self.plan.scale(), np.uint64)
        return _native_testing.encrypt_seeded(self.owner, values, self.plan.x, scale, message, noise, self.threads)

    def sums(self, blocks: np.ndarray, rows: int, bins: np.ndarray, counts: np.ndarray) -> _native.LatticeSums:
        sums = _native.LatticeSums(self.plan.profile.n, self.plan.layout.channels, self.plan.x, int(counts.sum()))
        sums.histogram(blocks, rows, MESSAGE, bins, None, counts, self.threads)
        return sums

    def reply(
        self, sums: _native.LatticeSums, random: bytes, bare: bool = False
    ) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """(polynomials, (key element, first word of u) for each)."""
        return _native_testing.release_seeded(sums, self.public, self.plan.flood, random, self.threads, bare)

    def packed_reply(self, sums: _native.LatticeSums, random: bytes) -> np.ndarray:
        n, channels, x = self.plan.profile.n, self.plan.layout.channels, self.plan.x
        if self._turns is None:
            keys = _native_testing.turn_keys_seeded(self.owner, x, b"t" * 32, b"T" * 32)
            self._turns = _native.LatticeTurns(n, channels, x, b"T" * 32, keys)
        return _native_testing.release_packed_seeded(
            sums, self.public, self._turns, self.plan.flood, random, self.threads
        )

    def decrypt(self, polynomials: np.ndarray, packed: int = 0) -> tuple[np.ndarray, int]:
        f = self.plan.factor
        return self.owner.decrypt(polynomials, self.plan.x, f >> 64, f & ((1 << 64) - 1), packed, self.threads)

    def secrets(self) -> np.ndarray:
        return _native_testing.secrets(self.plan.profile.n, self.plan.layout.channels, self.secret)


def seeded(
    rows: int, channels: int = 2, x: int = 32, profile: str = "standard", bound: int = 1 << 16, threads: int = 1
) -> Seeded:
    plan = make_plan(Layout(channels, bound, max(rows, 1)), 1 << 20, x=x, profile=profile, floor=0)
    return Seeded(plan, threads=threads)
