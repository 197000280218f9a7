"""The committed transcripts of every case, beside `tests/protocols`, and how they are written again.

    .venv/bin/python tests/support/golden_runs.py [--write]

Without `--write` it says what differs. With it, a record takes an old one's place only when the protocol's version (or
the envelope's) was raised: whoever changes what stands on the wire raises a version first. Everything randomised is
pinned by `seeded.Seeded`, and boosting runs on the plain fake, because Paillier's primes and nonces come straight from
the operating system.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cases import CASES
from vertical import use_plain

from parley.protocols.kit.checks.golden import differences, may_replace, record

FOLDER = Path(__file__).resolve().parents[1] / "protocols" / "golden"


def path_of(name: str) -> Path:
    return FOLDER / (name.replace("/", ".").replace(" ", "-") + ".json")


def recorded(name: str) -> dict[str, Any]:
    return json.loads(path_of(name).read_text(encoding="utf-8"))


def now(name: str) -> dict[str, Any]:
    """The record of this code; `use_plain` must have been called."""
    case = CASES[name]
    return record(case.of, case.run().transcript)


def write(name: str) -> list[str]:
    """Write one record where it may be written; returns what stands in the way."""
    new = now(name)
    if path_of(name).exists() and not may_replace(recorded(name), new):
        return differences(recorded(name), new)
    path_of(name).write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    return []


def main(arguments: list[str]) -> int:
    FOLDER.mkdir(exist_ok=True)
    problems = 0
    with pytest.MonkeyPatch.context() as patch:
        use_plain(patch)
        for name in CASES:
            found = write(name) if arguments == ["--write"] else differences(recorded(name), now(name))
            problems += len(found)
            print(*(f"{name}: {line}" for line in found), sep="\n", end="\n" if found else "")
    if problems and arguments:
        print("Raise the version of what changed, then write again.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
