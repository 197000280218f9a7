"""The operator's word on jobs, where the policy says `approval: manual`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parley.party.errors import did_you_mean
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    from parley.party.home import PartyHome


def approve(home: PartyHome, job: str) -> None:
    """Let a waiting job go on; ParleyError "unknown_approval" when it does not wait here."""
    _decide(home, job, True)


def deny(home: PartyHome, job: str) -> None:
    """Refuse a waiting job; ParleyError "unknown_approval" when it does not wait here."""
    _decide(home, job, False)


def waiting(home: PartyHome) -> list[str]:
    """Jobs that wait for the operator, oldest first."""
    return home.store.pending_approvals()


def _decide(home: PartyHome, job: str, approved: bool) -> None:
    pending = waiting(home)
    if job not in pending:
        raise ParleyError(
            "unknown_approval",
            "No job of this id waits for approval here.",
            did_you_mean(job, pending, "waiting job"),
            party=home.name,
        )
    home.store.decide(job, approved)
