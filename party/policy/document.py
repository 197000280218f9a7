"""The policy file: read within limits, every key known, nothing guessed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley.party.errors import did_you_mean
from parley.wire.declaration import Security
from parley.wire.errors import ParleyError
from parley.wire.identity import NAME

MAX_BYTES = 64 << 10
MAX_DEPTH = 8

Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(pattern=NAME)]


class Rule(BaseModel):
    """Patterns (`*` and `?`); `deny` beats `allow`, and what neither names is denied."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    allow: tuple[Pattern, ...]
    deny: tuple[Pattern, ...] = ()

    def permits(self, name: str) -> bool:
        return any(fnmatchcase(name, p) for p in self.allow) and not self.denies(name)

    def denies(self, name: str) -> bool:
        """Whether a deny pattern names it."""
        return any(fnmatchcase(name, p) for p in self.deny)


class Intersections(BaseModel):
    """What other parties may ask of this party's datasets by intersecting with them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    min_size: int = Field(default=1, ge=1)
    runs: int = Field(default=100, ge=0)
    per: Literal["receiver_dataset"] = "receiver_dataset"
    floor: int = Field(default=0, ge=0)


class PolicyDocument(BaseModel):
    """The file's content; `policy.default` explains every key."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1]
    approval: Literal["automatic", "manual"]
    submitters: Literal["pinned"] | tuple[Name, ...]
    peers: Literal["believed", "pinned"] | tuple[Name, ...]
    protocols: Rule
    security: Security
    disclosures: Rule
    datasets: Rule
    purposes: Rule
    min_rows: int = Field(ge=0)
    intersections: Intersections = Intersections()


class _Loader(yaml.SafeLoader):
    """YAML without aliases, repeated keys or deep nesting: what a person reads is what is meant."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not used here")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.YAMLError("nested too deeply")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [k.value for k, _ in node.value]
        if any(not isinstance(k, str) for k in keys) or len(keys) != len(set(keys)):
            raise yaml.YAMLError("a key appears twice")
        return super().construct_mapping(node, deep=deep)


def load(path: Path) -> PolicyDocument:
    """Read a policy file; ParleyError "bad_policy" says what to change."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise _bad("it is larger than 64 KiB")
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise _bad("it cannot be read") from None
    return parse(text)


def parse(text: str) -> PolicyDocument:
    """A policy from text; ParleyError "bad_policy"."""
    loader = _Loader(text)
    try:
        raw = loader.get_single_data()
    except (yaml.YAMLError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark is not None else ""
        raise _bad(f"it is not plain YAML{where} (aliases, repeated keys and deep nesting are refused)") from None
    finally:
        loader.dispose()
    if not isinstance(raw, dict):
        raise _bad("it is not a list of keys and values")
    try:
        return PolicyDocument.model_validate(raw)
    except ValidationError as e:
        raise _explained(e) from None


def _explained(error: ValidationError) -> ParleyError:
    first = error.errors(include_url=False, include_input=False)[0]
    loc = [str(p) for p in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = PolicyDocument.model_fields
        if len(loc) > 1:
            known = Intersections.model_fields if loc[0] == "intersections" else Rule.model_fields
        return _bad(f"{'.'.join(loc)[:80]} is not one of its keys", did_you_mean(loc[-1], known, "key"))
    return _bad(f"{'.'.join(loc)[:80]}: {first['msg'][:200]}")


def _bad(why: str, hint: str = "Compare with the file a new party home starts with.") -> ParleyError:
    return ParleyError("bad_policy", f"The policy file is refused: {why}.", hint)
