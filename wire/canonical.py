"""Canonical JSON: one byte string per document, so that a signature or a hash means one thing.

Keys sorted by code point, no white space, UTF-8, no NaN or infinity; integers stay integers, floats are Python's
shortest round-trip form. Two parties on the same major version produce the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

MAX_DOCUMENT = 4 << 20
MAX_DEPTH = 64


def canonical(document: Any) -> bytes:
    """The canonical bytes of a JSON-able document; ValueError for NaN, infinity or a non-string key."""
    _no_odd_keys(document, 0)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def parse(raw: bytes) -> Any:
    """Parse a document within limits; ValueError when it is too large, too deep, or repeats a key."""
    if len(raw) > MAX_DOCUMENT:
        raise ValueError("document too large")
    if _nesting(raw) > MAX_DEPTH:
        raise ValueError("document nested too deeply")
    return json.loads(raw.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse)


def digest(context: str, raw: bytes) -> bytes:
    """SHA-256 of `raw` under a context word, 32 bytes."""
    return hashlib.sha256(b"parley/" + context.encode() + b"\x00" + raw).digest()


def _nesting(raw: bytes) -> int:
    """Upper bound of bracket nesting, found before any parser recurses."""
    depth = deepest = 0
    for byte in raw:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif byte in b"]}":
            depth -= 1
    return deepest


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError("a key appears twice")
        out[key] = value
    return out


def _refuse(_: str) -> Any:
    raise ValueError("NaN and infinity have no canonical form")


def _no_odd_keys(node: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("document nested too deeply")
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise ValueError("keys are strings")
            _no_odd_keys(value, depth + 1)
    elif isinstance(node, list | tuple):
        for value in node:
            _no_odd_keys(value, depth + 1)
