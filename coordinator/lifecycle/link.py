"""The lifecycle of a party's control link: away -> up <-> down -> away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from parley.coordinator.lifecycle.machine import Effects, IllegalEvent, Table, lookup


class LinkState(StrEnum):
    AWAY = "away"  # never seen since this process started, or silent for longer than a lease
    UP = "up"
    DOWN = "down"  # the stream ended, the lease still runs


@dataclass(frozen=True, slots=True)
class Link:
    """`since`: when the state began; `seen`: the last sign of life; seconds on one clock that never steps back."""

    state: LinkState
    since: float
    seen: float


@dataclass(frozen=True, slots=True)
class Arrived:
    """A verified Hello on a new stream."""

    at: float


@dataclass(frozen=True, slots=True)
class Beat:
    at: float


@dataclass(frozen=True, slots=True)
class Dropped:
    at: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A look at the clock: a link silent for longer than `lease` seconds is lost."""

    at: float
    lease: float


EVENTS = (Arrived, Beat, Dropped, Checked)


@dataclass(frozen=True, slots=True)
class Resend:
    """Everything unacknowledged goes out again."""


@dataclass(frozen=True, slots=True)
class Sever:
    """End the stream that this link used so far."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The party's attempts are over."""


def _arrive(link: Link, event: Arrived) -> tuple[Link, Effects]:
    return Link(LinkState.UP, event.at, event.at), (Resend(),)


def _replace(link: Link, event: Arrived) -> tuple[Link, Effects]:
    return Link(LinkState.UP, event.at, event.at), (Sever(), Resend())


def _beat(link: Link, event: Beat) -> tuple[Link, Effects]:
    return replace(link, seen=max(link.seen, event.at)), ()


def _drop(link: Link, event: Dropped) -> tuple[Link, Effects]:
    return replace(link, state=LinkState.DOWN, since=event.at), ()


def _check(link: Link, event: Checked) -> tuple[Link, Effects]:
    if event.at - link.seen <= event.lease:
        return link, ()
    effects: Effects = (Sever(), Lost()) if link.state is LinkState.UP else (Lost(),)
    return replace(link, state=LinkState.AWAY, since=event.at), effects


def _still_away(link: Link, event: Checked) -> tuple[Link, Effects]:
    return link, ()


TABLE: Table = {
    (LinkState.AWAY, Arrived): _arrive,
    (LinkState.AWAY, Checked): _still_away,
    (LinkState.DOWN, Arrived): _arrive,
    (LinkState.DOWN, Checked): _check,
    (LinkState.UP, Arrived): _replace,
    (LinkState.UP, Beat): _beat,
    (LinkState.UP, Dropped): _drop,
    (LinkState.UP, Checked): _check,
}


def apply(link: Link, event: object) -> tuple[Link, Effects]:
    """The next state and what must be done about it; IllegalEvent when the table has no such move."""
    return lookup(TABLE, link.state, event)(link, event)


__all__ = ["EVENTS", "Arrived", "Beat", "Checked", "Dropped", "IllegalEvent", "Link", "LinkState", "Lost", "apply"]
