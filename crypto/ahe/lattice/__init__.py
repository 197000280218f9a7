"""Additive encryption over a ring of polynomials, made for sums by bin of many rows and features.

Guarantee: whoever holds public values and ciphertexts alone learns nothing of the rows (ring-LWE with ternary secrets,
parameters within the 128-bit table of eprint 2024/463); the owner learns of the other side's bins nothing beyond the
released sums, up to the plan's statistical distance per run and ring-LWE once more; sums are exact or refused.
Not guaranteed: anything against an owner that encrypts other things than rows (semi-honest); secrecy of what the sums
themselves say of small groups; that a message is from whom it claims (seal it).
Source: Lyubashevsky, Peikert, Regev 2010 (ring-LWE); Peikert, Vaikuntanathan, Waters 2008 (several secrets, one a);
Bourse, Del Pino, Minelli, Wee 2016 (re-randomising against the key owner).
"""

from parley.crypto.ahe.lattice.owner import LatticeKey
from parley.crypto.ahe.lattice.peer import Batch, LatticePeer, LatticeSums
from parley.crypto.ahe.lattice.plan import PROFILES, Plan, Profile, make_plan
from parley.crypto.ahe.lattice.scheme import LatticePublicKey, LatticeSecretKey

__all__ = [
    "PROFILES",
    "Batch",
    "LatticeKey",
    "LatticePeer",
    "LatticePublicKey",
    "LatticeSecretKey",
    "LatticeSums",
    "Plan",
    "Profile",
    "make_plan",
]
