"""Merkle trees against the published proofs, a definition written out again, and every mutation of a good proof."""

from __future__ import annotations

import base64
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import need

from parley.crypto import merkle
from parley.crypto.errors import CryptoError

TOP = 130
CONTENT = [b"leaf %d" % i for i in range(TOP)]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, word by word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


ROOTS = [defined_root(CONTENT[:n]) for n in range(TOP + 1)]


@pytest.fixture(scope="module")
def log() -> merkle.Log:
    out = merkle.Log()
    out.extend(CONTENT)
    return out


def accepted(verify, *args) -> bool:
    try:
        verify(*args)
    except CryptoError as e:
        if e.code == "bad_proof":
            return False
        raise
    return True


def vectors(kind: str) -> list[dict]:
    found = [json.loads(p.read_text()) for p in sorted(need(f"vectors/merkle/{kind}").rglob("*.json"))]
    for v in found:
        v["proof"] = [base64.b64decode(x) for x in v["proof"] or []]
        for name in ("root", "root1", "root2", "leafHash"):
            if name in v:
                v[name] = base64.b64decode(v[name] or "")
    return found


def test_published_inclusion_proofs():
    found = vectors("inclusion")
    assert len(found) == 98
    assert sum(not v["wantErr"] for v in found) >= 6
    for v in found:
        got = accepted(merkle.verify_inclusion, v["leafHash"], v["leafIdx"], v["treeSize"], v["proof"], v["root"])
        assert got != v["wantErr"], v["desc"]


def test_published_consistency_proofs():
    found = vectors("consistency")
    assert len(found) == 98
    good = 0
    for v in found:
        if not v["wantErr"] and len(v["root1"]) != 32:
            # One vector proves equal sizes with a phrase for a root. Ours have 32 bytes: its phrase is refused as it
            # stands and accepted once hashed.
            assert not accepted(merkle.verify_consistency, v["size1"], v["size2"], v["root1"], v["root2"], v["proof"])
            v["root1"], v["root2"] = (hashlib.sha256(v[k]).digest() for k in ("root1", "root2"))
        got = accepted(merkle.verify_consistency, v["size1"], v["size2"], v["root1"], v["root2"], v["proof"])
        assert got != v["wantErr"], v["desc"]
        good += not v["wantErr"]
    assert good >= 5


def test_roots_are_the_definition_at_every_size(log):
    growing = merkle.Log()
    for n in range(TOP + 1):
        assert growing.size == n
        assert growing.root() == log.root(n) == ROOTS[n]
        if n < TOP:
            assert growing.append(CONTENT[n]) == n
    assert merkle.root([]) == merkle.EMPTY_ROOT == ROOTS[0]
    assert merkle.Log.from_hashes(merkle.leaf_hash(c) for c in CONTENT).root() == ROOTS[TOP]


def test_rows_of_an_array_are_leaves():
    rows = np.random.default_rng(1).integers(0, 256, (37, 32)).astype(np.uint8)
    want = defined_root([r.tobytes() for r in rows])
    assert merkle.root(rows) == want
    assert merkle.root(np.asfortranarray(rows)) == want
    for bad in (rows[0], rows.astype(np.int64)):
        with pytest.raises(CryptoError, match="bad_shape"):
            merkle.root(bad)


def test_every_inclusion_proof_verifies_and_for_no_other_place(log):
    hashes = [merkle.leaf_hash(c) for c in CONTENT]
    for size in range(1, TOP + 1):
        for index in range(size):
            proof = log.inclusion_proof(index, size)
            merkle.verify_inclusion(hashes[index], index, size, proof, ROOTS[size])
            other = (index + 1) % size
            if other != index:
                assert not accepted(merkle.verify_inclusion, hashes[index], other, size, proof, ROOTS[size])
                assert not accepted(merkle.verify_inclusion, hashes[other], index, size, proof, ROOTS[size])
            assert not accepted(merkle.verify_inclusion, hashes[index], index, size, proof, ROOTS[size - 1])


def test_every_consistency_proof_verifies_and_for_no_other_tree(log):
    for second in range(1, TOP + 1):
        for first in range(1, second + 1):
            proof = log.consistency_proof(first, second)
            merkle.verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)
            assert not accepted(merkle.verify_consistency, first, second, ROOTS[first - 1], ROOTS[second], proof)
            assert not accepted(merkle.verify_consistency, first, second, ROOTS[first], ROOTS[second - 1], proof)


def mutations(proof: list[bytes]):
    for i, item in enumerate(proof):
        for bit in (0, 100, 255):
            changed = bytearray(item)
            changed[bit // 8] ^= 1 << (bit % 8)
            yield [*proof[:i], bytes(changed), *proof[i + 1 :]]
        yield proof[:i] + proof[i + 1 :]
        yield [*proof[:i], item, *proof[i:]]
        yield [*proof[:i], item[:-1], *proof[i + 1 :]]
    for i in range(len(proof) - 1):
        yield [*proof[:i], proof[i + 1], proof[i], *proof[i + 2 :]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]
    if proof:
        yield []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 65, 130])
def test_no_mutated_proof_passes(log, size):
    for index in {0, size // 2, size - 1}:
        leaf = merkle.leaf_hash(CONTENT[index])
        for bad in mutations(log.inclusion_proof(index, size)):
            assert not accepted(merkle.verify_inclusion, leaf, index, size, bad, ROOTS[size])
    for first in {1, size // 2 or 1, max(1, size - 1), size}:
        for bad in mutations(log.consistency_proof(first, size)):
            assert not accepted(merkle.verify_consistency, first, size, ROOTS[first], ROOTS[size], bad)


def test_a_rewritten_past_is_inconsistent(log):
    forged = merkle.Log()
    forged.extend([*CONTENT[:5], b"rewritten", *CONTENT[6:]])
    for first in range(6, TOP):
        proof = forged.consistency_proof(first, TOP)
        assert not accepted(merkle.verify_consistency, first, TOP, ROOTS[first], forged.root(), proof)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70), st.data())
def test_any_leaves(leaves, data):
    grown = merkle.Log()
    grown.extend(leaves)
    assert grown.root() == defined_root(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    merkle.verify_inclusion(
        merkle.leaf_hash(leaves[index]), index, len(leaves), grown.inclusion_proof(index), grown.root()
    )


def test_an_inner_node_is_no_leaf():
    two = merkle.root([b"a", b"b"])
    assert merkle.root([merkle.leaf_hash(b"a") + merkle.leaf_hash(b"b")]) != two


def test_ranges_are_refused(log):
    for call in (
        lambda: log.root(TOP + 1),
        lambda: log.root(-1),
        lambda: log.inclusion_proof(5, 5),
        lambda: log.inclusion_proof(-1),
        lambda: log.consistency_proof(0),
        lambda: log.consistency_proof(6, 5),
    ):
        with pytest.raises(CryptoError, match="bad_range"):
            call()
    with pytest.raises(CryptoError, match="bad_hash"):
        log.append_hash(b"short")
    assert not accepted(merkle.verify_inclusion, bytes(32), 0, 1 << 63, [], bytes(32))
