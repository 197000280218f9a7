"""A witness inside every daemon a test starts: what it must never do is written to a file the test reads.

Guarantee: once installed it sees every audit event of its process and cannot be removed; it notes
`pickle.find_class` and `os.system` from anywhere, and `exec`, `compile` and `marshal.*` when the calling
Python frame is a module of ours. It does not see what native code does without raising an event, nor
processes that drop PYTHONPATH.

The product knows nothing of it: a test puts `daemon_site` on the daemon's PYTHONPATH, and Python itself
imports the `sitecustomize` found there. Lines name the event and the place, never an argument.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

LOG_VARIABLE = "PARLEY_TEST_AUDIT_LOG"
ANYWHERE = frozenset({"pickle.find_class", "os.system"})
FROM_OURS = frozenset({"exec", "compile", "marshal.loads", "marshal.load", "marshal.dumps"})
INSTALLED = "installed"


def install(log: str) -> None:
    """Starts noting into `log` (appended to, made if absent) until the process ends."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(descriptor, f"{INSTALLED} {os.getpid()}\n".encode())

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in ANYWHERE or (event in FROM_OURS and _is_ours(_caller_module())):
            os.write(descriptor, f"{event} {_place()}\n".encode())

    sys.addaudithook(hook)


def daemon_env(log: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment (a copy of `base`, or of ours) in which a Python process starts with the witness."""
    env = dict(os.environ if base is None else base)
    site = str(Path(__file__).parent / "daemon_site")
    env["PYTHONPATH"] = os.pathsep.join(p for p in (site, env.get("PYTHONPATH", "")) if p)
    env[LOG_VARIABLE] = str(log)
    return env


def witnesses(log: Path) -> int:
    """How many processes have loaded the witness."""
    return sum(line.startswith(INSTALLED) for line in _lines(log))


def violations(log: Path) -> list[str]:
    """One line per event that must not happen: its name, module and line."""
    return [line for line in _lines(log) if not line.startswith(INSTALLED)]


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def _caller_module() -> str:
    try:
        frame = sys._getframe(2)
    except ValueError:  # raised from a thread without a Python frame
        return ""
    spec = frame.f_globals.get("__spec__")
    # Under `python -m parley.x` the module is called __main__; its spec still knows the name.
    return str(getattr(spec, "name", None) or frame.f_globals.get("__name__", ""))


def _is_ours(module: str) -> bool:
    return module == "parley" or module.startswith("parley.")


def _place() -> str:
    try:
        frame = sys._getframe(2)
    except ValueError:
        return "no-frame"
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
