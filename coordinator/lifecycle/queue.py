"""Which ready steps start now: all of a step's parties have a free slot, or the step does not start.

Guarantee: a step that cannot start holds nothing, so it blocks nobody; the submitter with the fewest running steps
goes first; a step that has waited long and whose parties are all online keeps their next free slots for itself, so
that a stream of small jobs cannot starve a wide one. Not guaranteed: an optimal packing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """A step in state `ready`; `since` in seconds on the clock of `now`."""

    job: str
    step: str
    submitter: str
    parties: tuple[str, ...]
    since: float


def choose(
    ready: Iterable[Ready], free: Mapping[str, int], running: Mapping[str, int], now: float, patience: float = 60.0
) -> list[Ready]:
    """The steps to lease, in order.

    `free` maps each online party to its free slots, `running` each submitter to its running steps.
    """
    slots = dict(free)
    load = Counter(dict(running))
    left = sorted(ready, key=lambda r: (r.since, r.job, r.step))
    for entry in left:
        if now - entry.since > patience and all(p in slots for p in entry.parties):
            if not _fits(entry, slots):
                left = [r for r in left if r is entry or not set(r.parties) & set(entry.parties)]
            break
    chosen: list[Ready] = []
    while True:
        fitting = [r for r in left if _fits(r, slots)]
        if not fitting:
            return chosen
        best = min(fitting, key=lambda r: (load[r.submitter], r.since, r.job, r.step))
        for party in best.parties:
            slots[party] -= 1
        load[best.submitter] += 1
        left.remove(best)
        chosen.append(best)


def _fits(entry: Ready, slots: Mapping[str, int]) -> bool:
    return all(slots.get(p, 0) > 0 for p in entry.parties)
