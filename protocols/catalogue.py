"""The page of each protocol, for the terminal and as files, made from its declaration and its module's docstring.

`python -m parley.protocols.catalogue --write FOLDER` writes one Markdown file a protocol and an index; `--check FOLDER`
compares them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley.protocols import registry
from parley.protocols.kit.protocol import Protocol
from parley.wire.declaration import Condition, Declaration

HEAD = "<!-- Made by `make docs` from the protocol's own declaration; change it there. -->\n"


def learned(declared: Declaration) -> dict[str, list[str]]:
    """Role -> what it learns, each with the parameter it depends on, if any."""
    return {
        role: [d + _when(declared.conditions.get(f"{role}.{d}")) for d in told]
        for role, told in declared.learns.items()
    }


def parameters(declared: Declaration) -> list[tuple[str, str, str]]:
    """(name, kind and range, default or "needed") of each parameter, in the order of its class."""
    schema = declared.parameters
    needed = set(schema.get("required", []))
    known: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    return [(n, kind(p, schema), "needed" if n in needed else _plain(p.get("default"))) for n, p in known.items()]


def kind(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A JSON schema's field in words: `integer 1..2000`, `binary | multi`, `list of text`, `text by name`."""
    if "$ref" in field:
        return kind(schema["$defs"][str(field["$ref"]).rsplit("/", 1)[-1]], schema)
    if "const" in field:
        return _plain(field["const"])
    if "enum" in field:
        return " | ".join(_plain(v) for v in field["enum"])
    for key in ("anyOf", "oneOf"):
        if key in field:
            words = [kind(f, schema) for f in field[key] if f.get("type") != "null"]
            return " or ".join(dict.fromkeys(words))
    what = str(field.get("type", ""))
    if what == "array":
        return "list of " + kind(field.get("items", {}), schema)
    if what == "object":
        return _object(field, schema)
    return ({"string": "text", "boolean": "true | false"}.get(what, what) + _range(field)).strip()


def _object(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "properties" in field:
        inner = (f"{name}: {kind(f, schema)}" for name, f in field["properties"].items())
        return "{" + ", ".join(inner) + "}"
    more = field.get("additionalProperties")
    return f"{kind(more, schema)} by name" if isinstance(more, Mapping) else "mapping"


def _range(field: Mapping[str, Any]) -> str:
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    left = "" if low is None else (">" if "exclusiveMinimum" in field else "") + f"{low:g}"
    right = "" if high is None else ("<" if "exclusiveMaximum" in field else "") + f"{high:g}"
    return f" {left}..{right}"


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value in ([], {}) else str(value)


def _when(condition: Condition | None) -> str:
    if condition is None:
        return ""
    values = " or ".join(_plain(v) for v in condition.values)
    return f" (with {condition.parameter}{': ' + values if values else ''})"


# ---------------------------------------------------------------- as text and as Markdown


def text(protocol: Protocol) -> str:
    """The page for a terminal."""
    declared = protocol.declaration()
    who = "\n".join(f"  {r}: {', '.join(d) or 'nothing'}" for r, d in learned(declared).items())
    rows = [f"  {n}: {k}" + (" (needed)" if d == "needed" else f" = {d}") for n, k, d in parameters(declared)]
    about = declared.parameters.get("description", "")
    return (
        f"{declared.name}, version {declared.version}, {declared.security}\n\n{protocol.page}\n\n"
        f"Who learns what\n{who}\n\nParameters\n"
        + ("\n".join(rows) or "  none")
        + (f"\n\n{about}" if rows else "")
        + (f"\n\nBytes at most\n{declared.cost}" if declared.cost else "")
    )


def markdown(protocol: Protocol) -> str:
    """The page as a file."""
    declared = protocol.declaration()
    roles = ", ".join(f"`{r}` ({arity})" for r, arity in declared.roles.items())
    who = "\n".join(f"| {r} | {', '.join(d) or 'nothing'} |" for r, d in learned(declared).items())
    rows = "\n".join(f"| `{n}` | {k.replace('|', '/')} | {d} |" for n, k, d in parameters(declared))
    sent = "\n".join(
        f"| {s.sender} -> {s.receiver} | `{s.tag}` | {s.disclosure} | {' / '.join(s.loop)} |" for s in declared.steps
    )
    facts = f"Version {declared.version}, {declared.security}; roles: {roles}."
    about = declared.parameters.get("description", "")
    parts = [
        f"{HEAD}\n# {declared.name}\n\n{declared.summary}\n\n{facts}",
        f"```text\n{protocol.page}\n```",
        f"## Who learns what\n\n| role | learns |\n|---|---|\n{who}",
        f"## Messages\n\n| from -> to | message | discloses | loop |\n|---|---|---|---|\n{sent}" if sent else "",
        f"## Parameters\n\n{about}\n\n| name | kind | default |\n|---|---|---|\n{rows}" if rows else "",
        f"## Bytes at most\n\n{declared.cost}" if declared.cost else "",
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def files() -> dict[str, str]:
    """File name -> content of the whole catalogue."""
    found = [registry.load(n) for n in registry.names()]
    lines = [f"| [{p.name}]({_file(p.name)}) | {p.version} | {p.security} | {p.summary} |" for p in found]
    index = (
        f"{HEAD}\n# Protocols\n\n| name | version | security | summary |\n|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )
    return {"README.md": index, **{_file(p.name): markdown(p) for p in found}}


def _file(name: str) -> str:
    return name.replace("/", "-") + ".md"


def main(arguments: list[str] | None = None) -> int:
    """Write or compare the pages; 1 when they differ."""
    parser = argparse.ArgumentParser(description="The protocols' pages.")
    parser.add_argument("folder", type=Path)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the pages, and remove those of no protocol")
    action.add_argument("--check", action="store_true", help="fail when the pages differ from the code")
    given = parser.parse_args(arguments)
    there = {p.name: p.read_text(encoding="utf-8") for p in given.folder.glob("*.md")}
    made = files()
    if given.write:
        given.folder.mkdir(parents=True, exist_ok=True)
        for name in there.keys() - made.keys():
            (given.folder / name).unlink()
        for name, content in made.items():
            (given.folder / name).write_text(content, encoding="utf-8")
        return 0
    return 0 if there == made else 1


if __name__ == "__main__":
    sys.exit(main())
