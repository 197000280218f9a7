"""What each role of scoring without paths sees, made from its input, its output and what is learnt; plain numbers.

`own_paths` is each term's output and the party's own conditions; ciphertexts are zeros of the right length, but the
last party's sums stand in clear on the plain fake and are made from the label party's scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from simulators.envelopes import MadeUp

from parley.protocols.gbdt.predict_messages import Conditions, Entries, Held, Key, Passed, Sums
from parley.protocols.gbdt.predict_score import Size
from parley.protocols.gbdt.predict_terms import Terms


def label_is_sent(owned: Mapping[str, list[tuple[int, int]]], last: str) -> dict[str, MadeUp]:
    """From each features party: the splits it holds; the last one's sums are added by `answers`."""
    out = {}
    for party, splits in owned.items():
        tree, node = np.array(splits, dtype=np.uint32).reshape(-1, 2).T
        out[party] = MadeUp()
        out[party].one(Held(np.ascontiguousarray(tree), np.ascontiguousarray(node)))
    return out


def answers(into: MadeUp, size: Size, terms: Terms, own: np.ndarray, above_base: np.ndarray) -> None:
    """The sums that must come: whole steps above the start score, less what the label party's own sides give."""
    coefficients, constants = terms.coefficients(own)
    sums = np.rint(np.ldexp(above_base, terms.shift)).astype(np.int64) - constants
    for number, rows, count in size.blocks():
        block = sums[rows].reshape(-1, 1)
        if size.both:
            rest = int(coefficients[rows].sum()) - int(block.sum())
            block = np.vstack([block, [[rest]]])
        raw = np.ascontiguousarray(block).view(np.uint8).reshape(len(block), 8)
        into.stream(Sums, [Sums(raw, size.sums(count))], block=number)


def features_is_sent(
    public: bytes, size: Size, own_paths: Conditions, width: int, first: bool
) -> tuple[MadeUp, MadeUp]:
    """From the label party, and what the party before it passes on (for the first: nothing)."""
    boss, before = MadeUp(), MadeUp()
    boss.one(Key(public, size.rows, size.terms, size.outputs))
    boss.one(own_paths)
    into, kind = (boss, Entries) if first else (before, Passed)
    for number, _, count in size.blocks():
        rows = count * size.terms
        shape = (-(-rows // 4), 4 * width) if size.both else (rows, width)
        into.stream(kind, [kind(np.zeros(shape, dtype=np.uint8))], block=number)
    return boss, before
