"""What the label party of a prediction sees, made from its model and the directions that it learns.

Features parties are sent nothing.
"""

from __future__ import annotations

import numpy as np
from simulators.envelopes import MadeUp

from parley.components.training.trees import Model
from parley.protocols.gbdt.predict import Sides


def label_is_sent(model: Model, directions: dict[tuple[int, int], np.ndarray], start: int, end: int) -> MadeUp:
    """`directions` holds for each (tree, node) of the party, whose joined features are start .. end - 1, who goes
    left."""
    chunks = []
    for t, tree in enumerate(tree for trees in model.rounds for tree in trees):
        nodes = [k for k, node in enumerate(tree.nodes) if not node.is_leaf and start <= node.feature < end]
        if nodes:
            left = np.packbits(np.stack([directions[t, k] for k in nodes]), axis=1)
            chunks.append(Sides(t, np.array(nodes, dtype=np.uint32), left))
    out = MadeUp()
    out.stream(Sides, chunks)
    return out
