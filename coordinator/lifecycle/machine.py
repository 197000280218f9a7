"""What the three tables share: a table of handlers, and the typed refusal of everything that is not in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class IllegalEvent(Exception):
    """An event that its table does not define in this state; nothing changes."""

    def __init__(self, state: str, event: object, why: str = "") -> None:
        self.state = state
        self.event = type(event).__name__
        self.why = why
        super().__init__(f"{self.event} is not defined in state {state}{': ' + why if why else ''}")


Effects = tuple[object, ...]
Table = Mapping[tuple[Any, type], Callable[[Any, Any], tuple[Any, Effects]]]


def lookup(table: Table, state: Any, event: object) -> Callable[[Any, Any], tuple[Any, Effects]]:
    """The handler of `event` in `state`; IllegalEvent when there is none."""
    handler = table.get((state, type(event)))
    if handler is None:
        raise IllegalEvent(str(state), event)
    return handler
