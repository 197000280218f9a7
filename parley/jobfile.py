"""A job file into a checked `JobSpec`: YAML within limits, and problems told in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.wire.errors import ParleyError, did_you_mean

if TYPE_CHECKING:
    import yaml

    from parley.wire.jobspec import JobSpec

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000
KEYS = {
    "job": ("version", "name", "purpose", "parties", "steps", "deadline", "attempts"),
    "party": ("data",),
    "step": ("uses", "roles", "needs", "with"),
}


def load(source: Path | str | Mapping[str, Any]) -> JobSpec:
    """A job file's path, or the document itself; parameters are checked against the protocols this machine has.

    Raises ParleyError `bad_job` (the file, its keys, its structure), `unknown_protocol`, `bad_roles`,
    `bad_parameters`.
    """
    if isinstance(source, Mapping):
        document: Any = dict(source)
    else:
        document = parse(read(Path(source)))
    return check(document)


def parse(text: str) -> Any:
    """YAML text as plain values; ParleyError `bad_job` for anything but a small tree of plain values."""
    import yaml

    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise _bad(f"The file is larger than {MAX_BYTES >> 20} MiB.", "A job names data, it does not hold any.")
    try:
        _limits(text)
        loader = _loader()(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark is not None else ""
        problem = getattr(e, "problem", None) or "it is not YAML"
        raise _bad(f"The file cannot be read{where}: {problem}.", "Check indentation, colons and quotes.") from None


def check(document: Any) -> JobSpec:
    """A parsed document as a `JobSpec`, its keys, structure, protocols and parameters checked."""
    from pydantic import ValidationError

    from parley.wire.jobspec import JobSpec

    if not isinstance(document, dict):
        raise _bad("A job is a mapping with name, purpose, parties and steps.")
    _keys(document)
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(p) for p in first["loc"] if p != "with_")
        message = str(first["msg"]).removeprefix("Value error, ")
        raise _bad(f"{where + ': ' if where else ''}{message}.", step=_step_of(first["loc"])) from None
    _protocols(spec)
    return spec


def read(path: Path) -> str:
    """A file's text, within limits; ParleyError `bad_job`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise _bad(f"{path} cannot be read ({e.strerror or 'an I/O problem'}).", "Give the path of a file.") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(f"{path.name} is not UTF-8 text.", "Save the file as UTF-8.") from None


def _limits(text: str) -> None:
    """Depth, number of nodes and aliases, from the event stream, before anything is built."""
    import yaml

    depth = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _bad("The file uses YAML anchors or aliases.", "Write the repeated part out.")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise _bad("The file is nested too deeply or has too many entries.")


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Plain(yaml.SafeLoader):
        """Plain values only, and no key twice."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    raise _bad(f"A key near line {node.start_mark.line + 1} is not a word.")
                if key.value in seen:
                    raise _bad(f"{key.value} is given twice near line {key.start_mark.line + 1}.", "Keep one of them.")
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    return Plain


def _keys(document: dict[str, Any]) -> None:
    _known(document, KEYS["job"], "the job")
    for section, kind in (("parties", "party"), ("steps", "step")):
        entries = document.get(section)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            raise _bad(f"{section} is a mapping from names to entries.")
        for name, entry in entries.items():
            if entry is None and kind == "party":
                entries[name] = {}
            elif isinstance(entry, dict):
                _known(entry, KEYS[kind], f"{kind} {name}", step=str(name) if kind == "step" else "")


def _known(entry: dict[Any, Any], known: tuple[str, ...], where: str, step: str = "") -> None:
    for key in entry:
        if key not in known:
            hint = did_you_mean(str(key), known, f"Known keys: {', '.join(known)}.")
            raise _bad(f"{where} has the unknown key {key}.".capitalize(), hint, step=step)


def _protocols(spec: JobSpec) -> None:
    from parley.protocols import registry
    from parley.protocols.kit.protocol import Cast
    from parley.protocols.planned import check_needs, check_rows

    for name, step in spec.steps.items():
        try:
            registry.load(step.uses).validate(step.with_, Cast(step.roles))
        except ParleyError as e:
            raise e.located(step=name) from None
    check_needs(spec)
    check_rows(spec)


def _step_of(location: tuple[int | str, ...]) -> str:
    return str(location[1]) if len(location) > 1 and location[0] == "steps" else ""


def _bad(cause: str, hint: str = "", step: str = "") -> ParleyError:
    return ParleyError("bad_job", cause, hint, step=step)
