"""What product code must not say, as pure functions from source text to findings (file, line, rule)."""

from __future__ import annotations

import ast
import gc
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("components", "coordinator", "crypto", "party", "protocols", "wire", "parley")
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "random"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    "insecure_channel",
    "add_insecure_port",
    "os.system",
    "os.popen",
    "np.random",
    "numpy.random",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "ssl._create_unverified_context",
    "pickle.loads",
    "torch.load",
}
KEYWORDS = {("verify", False), ("shell", True), ("allow_pickle", True), ("check_hostname", False)}
UNBOUNDED = {"wait", "join", "get", "result", "acquire"}
REASONED = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[^\]]*\])?)(.*)$")


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule."""

    path: str
    line: int
    rule: str


def product_files() -> list[Path]:
    """Every Python file of the product once, through its real folder; generated code is left out."""
    found = [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]
    links = {ROOT / "parley" / room for room in ROOMS}
    return [p for p in found if "pb" not in p.parts and not links.intersection(p.parents)]


def parsed(source: str) -> ast.Module:
    """The syntax tree, made with the collector off: before 3.11.8 a collection that compiles something in the middle
    of a parse makes CPython report a wrong recursion depth (python/cpython gh-106905)."""
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def forbidden(source: str, path: str = "?") -> list[Finding]:
    """Imports, calls and attributes that the product never uses."""
    tree = parsed(source)
    return [Finding(path, getattr(node, "lineno", 0), rule) for node in ast.walk(tree) for rule in _rules(node)]


def _rules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [f"import {a.name}" for a in node.names if a.name.split(".")[0] in MODULES]
    if isinstance(node, ast.ImportFrom):
        top = (node.module or "").split(".")[0]
        return [f"from {node.module}"] if top in MODULES else []
    if isinstance(node, ast.ExceptHandler):
        return ["bare except"] if node.type is None else []
    if isinstance(node, ast.Attribute):
        name = ast.unparse(node)
        return [name] if name in ATTRIBUTES or node.attr in ATTRIBUTES else []
    return _call_rules(node) if isinstance(node, ast.Call) else []


def _call_rules(node: ast.Call) -> list[str]:
    found = [
        f"{k.arg}={k.value.value}"
        for k in node.keywords
        if isinstance(k.value, ast.Constant) and (k.arg, k.value.value) in KEYWORDS
    ]
    if isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
        found.append(f"{node.func.id}()")
    return found


def unbounded_waits(source: str, path: str = "?") -> list[Finding]:
    """Blocking `.wait()`, `.join()`, `.get()`, `.result()`, `.acquire()` with no argument at all.

    An awaited one counts too, unless it stands inside `asyncio.timeout(...)` or `asyncio.wait_for(...)`.
    A `with lock:` is not seen; neither is a wait whose timeout argument is None.
    """
    tree = parsed(source)
    bounded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.AsyncWith, ast.With)):
            if any(".timeout" in ast.unparse(i.context_expr) for i in node.items):
                bounded.update(ast.walk(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("wait_for"):
            bounded.update(ast.walk(node))
        elif isinstance(node, ast.AsyncFunctionDef):  # there, .result() is an asyncio task's: it returns at once
            bounded.update(n for n in ast.walk(node) if isinstance(n, ast.Call) and _method(n) == "result")
    return [
        Finding(path, node.lineno, f".{node.func.attr}() without a deadline")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node not in bounded
        and node.func.attr in UNBOUNDED
        and not node.args
        and not node.keywords
    ]


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def unexplained(source: str, path: str = "?") -> list[Finding]:
    """Suppressions without a reason of at least two words on the same line."""
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        match = REASONED.search(line)
        if match and len(re.findall(r"[A-Za-z]{2,}", match[1])) < 2:
            found.append(Finding(path, number, "suppression without a reason"))
    return found


def too_long(source: str, path: str = "?", *, file_lines: int = 600, body_lines: int = 40) -> list[Finding]:
    """Files and function bodies (docstring not counted) beyond the house's measure."""
    found = [Finding(path, 1, "file too long")] if len(source.splitlines()) > file_lines else []
    for node in ast.walk(parsed(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            if (node.end_lineno or 0) - body[0].lineno + 1 > body_lines:
                found.append(Finding(path, node.lineno, f"{node.name} is too long"))
    return found
