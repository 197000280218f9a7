"""The one exception of this room."""

from __future__ import annotations


class CryptoError(Exception):
    """A refused input or a failed check. Carries no data value, only a code and, where it applies, a position.

    code: a short stable word (``bad_signature``, ``bad_ciphertext``, ``bad_point``, ``overflow``, ...);
    index: the position of the first offending element in a batch, else None;
    hint: what the caller can do about it, where there is something to do.
    """

    def __init__(self, code: str, message: str, *, index: int | None = None, hint: str | None = None) -> None:
        where = "" if index is None else f" (element {index})"
        super().__init__(f"{code}: {message}{where}")
        self.code = code
        self.message = message
        self.index = index
        self.hint = hint
