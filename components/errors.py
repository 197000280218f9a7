"""The one error type of the components: a code, a cause and a hint, and never a data value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DataError(Exception):
    """A table, a column or a parameter cannot be used as asked.

    `code` is a stable snake_case word for programs, `cause` one sentence for people, `hint` what to do.
    Table and column names may appear in the text; cell values never do.
    """

    def __init__(self, code: str, cause: str, hint: str = "") -> None:
        super().__init__(code, cause, hint)
        self.code = code
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.code}: {self.cause}"
        return f"{text} ({self.hint})" if self.hint else text


def unknown_name(kind: str, name: str, known: Iterable[str]) -> DataError:
    """The error for a misspelt table or column: `unknown_<kind>`, with a did-you-mean where one is close."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        hint = f"did you mean {close[0]!r}?"
    else:
        shown = ", ".join(choices[:10]) + (", ..." if len(choices) > 10 else "")
        hint = f"known: {shown}" if choices else f"there is no {kind} yet"
    return DataError(f"unknown_{kind}", f"there is no {kind} named {name!r}", hint)
