"""Do the parties of a job mean the same thing by the protocols it uses? Compared by hash, as data."""

from __future__ import annotations

from collections.abc import Mapping

from parley.wire.errors import ParleyError, did_you_mean
from parley.wire.jobspec import JobSpec


def compare(spec: JobSpec, declared: Mapping[str, Mapping[str, str]]) -> None:
    """ParleyError "unknown_protocol" or "declaration_mismatch" (naming parties) unless all agree.

    `declared`: party -> protocol -> declaration hash in hex.
    """
    for name, step in spec.steps.items():
        parties = [p for p in step.parties() if p in declared]
        having = {p: declared[p].get(step.uses) for p in parties}
        if having and not any(having.values()):
            raise unknown_protocol(step.uses, {u for p in parties for u in declared[p]}, name)
        if len(set(having.values())) > 1:
            raise _mismatch(name, step.uses, having)


def unknown_protocol(uses: str, known: set[str], step: str) -> ParleyError:
    hint = did_you_mean(uses, known, f"The parties know: {', '.join(sorted(known)) or 'none'}.")
    return ParleyError("unknown_protocol", f"No party of this step knows the protocol {uses}.", hint, step=step)


def _mismatch(step: str, uses: str, having: Mapping[str, str | None]) -> ParleyError:
    groups: dict[str | None, list[str]] = {}
    for party, digest in sorted(having.items()):
        groups.setdefault(digest, []).append(party)
    parts = [
        f"{', '.join(members)} {'do not know it' if digest is None else 'declare ' + digest[:12]}"
        for digest, members in groups.items()
    ]
    odd = min(groups.values(), key=len)[0]
    return ParleyError(
        "declaration_mismatch",
        f"The parties run different versions of {uses}: {'; '.join(parts)}.",
        "Install the same version of parley at these parties.",
        party=odd,
        step=step,
    )
