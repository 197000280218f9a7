"""What each role of binning by evidence is sent, made from its own input, its output, and what it may learn.

All but the ciphertexts follows to the byte; the ciphertexts are made by the simulator of boosting, under the same key.
"""

from __future__ import annotations

import numpy as np
from simulators.envelopes import MadeUp

from parley.protocols.stats import woe as w


def features_is_sent(key: w.Key, ciphertexts: np.ndarray, merged, weights) -> MadeUp:
    """`key` is the simulator's own, `ciphertexts` its encryptions of nothing; `merged_bins` and `bin_woe` as learnt."""
    out = MadeUp()
    out.one(key)
    out.stream(w.Labels, [w.Labels(ciphertexts)])
    if merged is not None:
        out.one(w.Merged(np.concatenate(merged).astype(np.uint16)))
    if weights is not None:
        out.one(w.Weights(np.concatenate(weights)))
    return out


def label_is_sent(bins, ordered, sizes, names, answer: np.ndarray) -> MadeUp:
    """`bin_counts` are (bins, ordered, sizes), `answer` an encryption of the events that are learnt."""
    out = MadeUp()
    out.one(w.Shape(np.array(bins, np.uint32), np.array(ordered, np.uint8), np.array(sizes, np.uint32)))
    if names is not None:
        out.one(w.Names(names))
    out.stream(w.Events, [w.Events(answer, len(sizes))])
    return out
