"""What is known of the tables at a step before it runs: as contracts state them, and as earlier steps change them."""

from __future__ import annotations

from parley.protocols import registry
from parley.protocols.kit.protocol import Cast, Sizes
from parley.wire.jobspec import JobSpec


def sizes_at(spec: JobSpec, step: str, sizes: Sizes) -> Sizes:
    """Upper bounds for what `step` gets, where `sizes` are those of the datasets; ParleyError "bad_parameters"."""
    for name in _reshaping(spec, step):
        before = spec.steps[name]
        protocol, cast = registry.load(before.uses), Cast(before.roles)
        assert protocol.reshapes is not None
        sizes = protocol.reshapes(protocol.validate(before.with_, cast), cast, sizes)
    return sizes


def is_reshaped(spec: JobSpec, step: str) -> bool:
    """Whether an earlier step may have made other columns than the datasets have, so that names cannot be checked."""
    return bool(_reshaping(spec, step))


def _reshaping(spec: JobSpec, step: str) -> list[str]:
    """The steps before this one, in the job's order, that change columns."""
    before: set[str] = set()
    left = list(spec.steps[step].needs)
    while left:
        name = left.pop()
        if name not in before:
            before.add(name)
            left += spec.steps[name].needs
    return [n for n in spec.order() if n in before and registry.load(spec.steps[n].uses).reshapes is not None]
