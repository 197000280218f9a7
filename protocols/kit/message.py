"""Messages: frozen dataclasses with a versioned tag and typed arrays, whose repr shows type and shape only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import (
    Annotated,
    Any,
    ClassVar,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from parley.wire import codec
from parley.wire.errors import ParleyError

T = TypeVar("T", bound="Message")


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """Shape and dtype of an array field: integers are fixed sizes, words are dimensions equal within a message."""

    shape: tuple[int | str, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}({', '.join(map(str, self.shape))})"


def array(*shape: int | str, dtype: str) -> ArraySpec:
    """For `Annotated[NDArray[np.uint8], array("n", 32, dtype="uint8")]`."""
    if dtype not in codec.DTYPES:
        raise TypeError(f"{dtype} does not travel")
    return ArraySpec(shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Message:
    """Base of every message; `TAG` is its versioned name on the wire, `FIELDS` its schema."""

    TAG: ClassVar[str]
    FIELDS: ClassVar[dict[str, ArraySpec | type]]

    def check(self) -> None:
        """Raise ValueError when the values make no sense; overridden by messages that can tell."""

    def rows(self) -> int:
        """The dimension `n` of the first array that has it, for stream totals; 1 without any."""
        for name, spec in self.FIELDS.items():
            if isinstance(spec, ArraySpec) and "n" in spec.shape:
                return int(getattr(self, name).shape[spec.shape.index("n")])
        return 1

    def encode(self) -> bytes:
        self._verify({}, sending=True)
        return codec.encode({name: getattr(self, name) for name in self.FIELDS})

    @classmethod
    def decode(cls, raw: bytes, dims: dict[str, int]) -> Self:
        """Decode and check against the schema and the receiver's expected dimensions; ParleyError "malformed"."""
        values = codec.decode(raw, tables=any(_kind(spec) == "Table" for spec in cls.FIELDS.values()))
        if set(values) != set(cls.FIELDS):
            raise codec.refused(f"A {cls.TAG} message has other fields than declared.")
        message = cls(**values)
        message._verify(dims, sending=False)
        return message

    def _verify(self, dims: dict[str, int], *, sending: bool) -> None:
        known = dict(dims)
        for name, spec in self.FIELDS.items():
            problem = _mismatch(getattr(self, name), spec, known)
            if problem:
                raise _bad(self.TAG, f"field {name} {problem}", sending)
        try:
            self.check()
        except ValueError as e:
            raise _bad(self.TAG, str(e), sending) from None

    def __repr__(self) -> str:
        parts = []
        for name, spec in self.FIELDS.items():
            value = getattr(self, name)
            shown = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else _kind(spec)
            parts.append(f"{name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass_transform(frozen_default=True)
def message(tag: str) -> Callable[[type[T]], type[T]]:
    """Class decorator for a subclass of `Message`: frozen, with a versioned tag such as `psi.ecdh.blinded/1`."""

    def build(cls: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True, repr=False, eq=False)(cls)
        hints = get_type_hints(made, include_extras=True)
        made.TAG = tag
        made.FIELDS = {f.name: _spec(hints[f.name]) for f in dataclasses.fields(made)}
        return made

    return build


def _spec(hint: Any) -> ArraySpec | type:
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, ArraySpec):
                return extra
    if get_origin(hint) in (list, dict):
        return get_origin(hint)  # type: ignore[no-any-return]  # list or dict
    if hint in (int, float, str, bytes, bool, list, dict):
        return hint  # type: ignore[no-any-return]  # checked above
    if getattr(hint, "__name__", "") == "Table":
        return hint  # type: ignore[no-any-return]  # pyarrow.Table, compared by name to keep pyarrow lazy
    raise TypeError(f"a field of type {hint} does not travel")


def _mismatch(value: Any, spec: ArraySpec | type, known: dict[str, int]) -> str:
    if not isinstance(spec, ArraySpec):
        fits = type(value).__name__ == spec.__name__ or (spec is float and type(value) is int)
        return "" if fits else f"is not {spec.__name__}"
    if not isinstance(value, np.ndarray) or value.dtype.name != spec.dtype:
        return f"is not an array of {spec.dtype}"
    if len(value.shape) != len(spec.shape):
        return f"does not have {len(spec.shape)} dimensions"
    for size, want in zip(value.shape, spec.shape, strict=True):
        expected = want if isinstance(want, int) else known.setdefault(want, int(size))
        if size != expected:
            return f"has {size} where {want}{'' if isinstance(want, int) else f' = {expected}'} was expected"
    return ""


def _kind(spec: ArraySpec | type) -> str:
    return str(spec) if isinstance(spec, ArraySpec) else spec.__name__


def schema(cls: type[Message]) -> dict[str, str]:
    """Field name to a word for its kind, for declarations."""
    return {name: _kind(spec) for name, spec in cls.FIELDS.items()}


def _bad(tag: str, what: str, sending: bool) -> ParleyError:
    if sending:
        return ParleyError("bad_message", f"This party's own {tag} message is wrong: {what}.")
    return ParleyError("malformed", f"A {tag} message is not as declared: {what}.", "Compare software versions.")
