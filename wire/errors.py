"""One error type for people and programs: code, party, step, cause, hint; never a data value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A hint for a misspelt name: the closest known one, else `otherwise`, or the first ten that are known."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]}?"
    if otherwise is not None:
        return otherwise
    return f"Known: {', '.join(choices[:10])}{', ...' if len(choices) > 10 else ''}."


class ParleyError(Exception):
    """A failure that its reader can act on.

    `code` is a stable snake_case word; `cause` says what happened and `hint` what to do, in one sentence each.
    Neither ever holds a data value (ids, cells, keys): names of columns, datasets, parties and counts are fine.
    `retryable` is true when a new attempt may succeed without anybody changing anything.
    """

    def __init__(
        self,
        code: str,
        cause: str,
        hint: str = "",
        *,
        party: str = "",
        step: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.hint = hint
        self.party = party
        self.step = step
        self.retryable = retryable

    def located(self, *, party: str = "", step: str = "") -> ParleyError:
        """The same error with party and step filled in where they were empty."""
        return ParleyError(
            self.code,
            self.cause,
            self.hint,
            party=self.party or party,
            step=self.step or step,
            retryable=self.retryable,
        )

    def __str__(self) -> str:
        where = " ".join(w for w in (self.party and f"at {self.party}", self.step and f"in step {self.step}") if w)
        return f"{self.code}{' ' + where if where else ''}: {self.cause}{' ' + self.hint if self.hint else ''}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "cause": self.cause,
            "hint": self.hint,
            "party": self.party,
            "step": self.step,
            "retryable": self.retryable,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> ParleyError:
        return cls(
            str(d.get("code", "unknown"))[:64],
            str(d.get("cause", ""))[:2000],
            str(d.get("hint", ""))[:2000],
            party=str(d.get("party", ""))[:200],
            step=str(d.get("step", ""))[:200],
            retryable=bool(d.get("retryable", False)),
        )
