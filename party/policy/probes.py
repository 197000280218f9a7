"""Which steps let another party learn what it has in common with this party's data, and the policy's word on them.

An intersection answers questions about the asked party's records, whatever else it does: who may ask again and again,
with sets of a few ids, finds out about single people. So each run is counted, by who asks and what is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parley.party.policy.document import Intersections
from parley.protocols.kit.protocol import Cast
from parley.wire.contract import DatasetOffer
from parley.wire.declaration import Declaration
from parley.wire.errors import ParleyError
from parley.wire.jobspec import JobSpec, StepSpec

# What a party learns when it meets another's set of records: which, how many, or what stands in them.
TELLING = frozenset({"intersection", "pairwise_intersections", "cardinality", "matched_values"})


def probers(step: StepSpec, declared: Declaration, me: str) -> tuple[str, ...]:
    """The other parties that learn from this step what they have in common with this party's data, sorted."""
    cast = Cast(step.roles)
    if me not in cast.parties():
        return ()
    learned = declared.learned(step.with_)
    asking = {p for role, members in cast.items() if TELLING & set(learned.get(role, ())) for p in members}
    return tuple(sorted(asking - {me}))


def probing_steps(spec: JobSpec, declarations: Mapping[str, Declaration], me: str) -> dict[str, tuple[str, ...]]:
    """Step -> who probes this party's dataset in it; nothing where it brings none."""
    use = spec.parties.get(me)
    if use is None or use.data is None:
        return {}
    found = {n: probers(s, declarations[s.uses], me) for n, s in spec.steps.items() if s.uses in declarations}
    return {n: who for n, who in found.items() if who}


def floor_of(step: StepSpec, declared: Declaration) -> int | None:
    """The step's floor, 0 when it asks for none or for no whole number, None when its protocol knows none."""
    known = declared.parameters.get("properties", {})
    if "floor" not in known:
        return None
    value: Any = step.with_.get("floor", known["floor"].get("default"))
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0


def floor_word(rule: Intersections, name: str, step: StepSpec, declared: Declaration) -> tuple[bool, str]:
    """Whether a step's floor is high enough, and why."""
    floor = floor_of(step, declared)
    if rule.floor == 0 or (floor is not None and floor >= rule.floor):
        return True, f"In step {name}, the floor is high enough."
    if floor is None:
        return False, f"In step {name}, {step.uses} has no floor, and at least {rule.floor} is asked for."
    return False, f"In step {name}, the floor is {floor or 'not set'}, and at least {rule.floor} is asked for."


def require_sizes(
    rule: Intersections, me: str, probing: Mapping[str, tuple[str, ...]], datasets: Mapping[str, DatasetOffer | None]
) -> None:
    """ParleyError "policy_denied" when a party would probe this party's data with a dataset of too few rows."""
    for name, who in probing.items():
        for peer in who:
            dataset = datasets.get(peer)
            if dataset is not None and dataset.rows < rule.min_size:
                raise ParleyError(
                    "policy_denied",
                    f"The policy of {me} denies this job by its rule intersections.min_size: {peer} brings "
                    f"{dataset.rows} rows, fewer than {rule.min_size}.",
                    "A set of few ids asks about single people; bring more, or ask the operator.",
                    party=me,
                    step=name,
                )
