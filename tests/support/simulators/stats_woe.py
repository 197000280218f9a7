"""What each role of weight of evidence is sent, made from its own input, its output, and what it may learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parley.protocols.kit.message import Message
from parley.protocols.stats import woe_messages as m
from parley.protocols.stats.woe import Column, Told


@dataclass(frozen=True)
class Counted:
    """`bin_counts`: bins, kinds, and rows of each bin of one features party; its names with share_names."""

    n_bins: Sequence[int]
    categorical: Sequence[int]
    held: Sequence[int]
    names: Sequence[str] = ()


def features_is_sent(rows: int, outputs: int, told: Told, public: bytes, zeros) -> list[Message]:
    """`zeros(n)` are n encryptions of nothing under the simulator's own key, whose public half is `public`."""
    out: list[Message] = [m.Key(public, rows, outputs), m.Labels(zeros(rows))]
    if told.groups is not None:
        out.append(m.Joined(told.groups))
    if told.woe is not None:
        out.append(m.Weights(told.woe))
    return out


def label_is_sent(counted: Counted, answer: np.ndarray) -> list[Message]:
    """`answer` encrypts, in a way of the simulator's own, the sums that are learnt."""
    shape = m.Shape(
        np.array(counted.n_bins, np.uint32), np.array(counted.categorical, np.uint8), np.array(counted.held, np.uint32)
    )
    named: list[Message] = [m.Names(list(counted.names))] if counted.names else []
    return [shape, *named, m.Sums(answer)]


def told_of(columns: Sequence[Column], party: str) -> Told:
    """A features party's output, from the label party's findings."""
    mine = [c.found for c in columns if c.party == party]
    return Told(np.concatenate([f.groups for f in mine]).astype(np.uint16), np.concatenate([f.woe for f in mine]))
