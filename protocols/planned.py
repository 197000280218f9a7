"""What is known of the tables at a step before it runs: as contracts state them, and as earlier steps change them."""

from __future__ import annotations

from parley.protocols import registry
from parley.protocols.kit.protocol import Cast, Sizes
from parley.wire.errors import ParleyError
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


def check_rows(spec: JobSpec) -> None:
    """ParleyError "rows_differ" where the parties of a step bring rows that different steps chose.

    Each party works on the deepest frame among what the step needs; drawn by one step for one party and by another for
    the other, equally many rows would stand beside each other unnoticed.
    """
    frames: dict[str, dict[str, tuple[int, str]]] = {}  # step -> party -> (depth, the step that chose the rows)
    for name in spec.order():
        step = spec.steps[name]
        protocol = registry.load(step.uses)
        came = {p: _deepest(spec, frames, name, p) for p in step.parties()}
        chosen = {at for found in came.values() if found for at in [found[1]]}
        if len(chosen) > 1:
            one, other = sorted(chosen)[:2]
            raise ParleyError(
                "rows_differ",
                f"In step {name} some parties bring the rows of step {one} and others those of {other}.",
                "Let all parties take part in the steps that choose rows, and need the last of them.",
                step=name,
            )
        made = {p: (found[0] + 1 if found else 0, name) for p, found in came.items()}
        frames[name] = made if protocol.moves_rows else {p: f for p, f in came.items() if f}
        if protocol.reshapes is not None:
            frames[name] = {p: (depth + 1, at) for p, (depth, at) in frames[name].items()}


def check_needs(spec: JobSpec) -> None:
    """ParleyError "bad_needs" where a step looks for scores or a model that no step it needs leaves."""
    for name, step in spec.steps.items():
        for wanted in registry.load(step.uses).wants:
            if not any(wanted in registry.load(spec.steps[n].uses).leaves for n in step.needs):
                makers = ", ".join(p for p in registry.names() if wanted in registry.load(p).leaves)
                named = ", ".join(f"{n} ({spec.steps[n].uses})" for n in step.needs) or "no step"
                raise ParleyError(
                    "bad_needs",
                    f"Step {name} ({step.uses}) looks for {wanted}, which none of what it needs leaves: {named}.",
                    f"Let it need a step of {makers}.",
                    step=name,
                )


def _deepest(
    spec: JobSpec, frames: dict[str, dict[str, tuple[int, str]]], name: str, party: str
) -> tuple[int, str] | None:
    """The deepest frame of a party among what a step needs; what models keep beside theirs goes last."""
    found = [(_makes_frames(spec, n), *frames[n][party]) for n in spec.steps[name].needs if party in frames[n]]
    return max(found)[1:] if found else None


def _makes_frames(spec: JobSpec, step: str) -> bool:
    protocol = registry.load(spec.steps[step].uses)
    return protocol.moves_rows or protocol.reshapes is not None


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
