"""How keys come into being: `generate` and `start` for an owner, `decode_public` and `join` for a peer's key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parley.crypto.ahe.base import Layout, PublicKey, SecretKey
from parley.crypto.ahe.runs import PerRowKey, PerRowPeer, RunKey, RunPeer
from parley.crypto.errors import CryptoError

if TYPE_CHECKING:
    from parley.crypto.ahe.lattice.plan import Plan


def generate(scheme: str, bits: int) -> SecretKey:
    """A fresh key of a production scheme with one ciphertext a row; CryptoError "unknown_scheme" for anything else, the
    test fake included."""
    if scheme == "paillier":
        from parley.crypto.ahe.paillier import PaillierSecretKey

        return PaillierSecretKey.generate(bits)
    raise CryptoError("unknown_scheme", "schemes with one ciphertext a row: paillier")


def decode_public(raw: bytes) -> PublicKey:
    """A peer's key after the scheme's checks; CryptoError "bad_key" or "unknown_scheme"."""
    if raw[:9] == b"paillier\x00":
        from parley.crypto.ahe.paillier import PaillierPublicKey

        return PaillierPublicKey.decode(raw)
    raise CryptoError("unknown_scheme", "schemes with one ciphertext a row: paillier")


def start(layout: Layout, context: bytes, *, plan: Plan | None = None, bits: int | None = None) -> RunKey:
    """A fresh key for one run: the lattice's where there is a plan, Paillier's where there are bits.

    context: what binds the run (contract, attempt, a nonce of the other side). CryptoError "unknown_scheme" unless
    exactly one is given, "bad_plan" for a plan of another layout.
    """
    if plan is not None and bits is None:
        from parley.crypto.ahe.lattice import LatticeKey

        _same(plan, layout)
        return LatticeKey(plan, context)
    if bits is not None and plan is None:
        return PerRowKey(generate("paillier", bits), layout)
    raise CryptoError("unknown_scheme", "a lattice plan or the bits of a Paillier modulus")


def join(raw: bytes, layout: Layout, context: bytes, *, plan: Plan | None = None) -> RunPeer:
    """The other side of `start`, of the agreed scheme: the lattice where there is a plan, Paillier otherwise.

    CryptoError "bad_key", "unknown_scheme" or "bad_plan".
    """
    if plan is None:
        return PerRowPeer(decode_public(raw), layout)
    from parley.crypto.ahe.lattice import LatticePeer

    _same(plan, layout)
    return LatticePeer(raw, plan, context)


def _same(plan: Plan, layout: Layout) -> None:
    if plan.layout != layout:
        raise CryptoError("bad_plan", "a plan for another layout")
