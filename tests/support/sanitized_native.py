"""Pytest plugin: parley.crypto._native is the file that PARLEY_NATIVE_UNDER_TEST names, and no other.

Used by tools/sanitize.sh, which builds that file with the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import importlib.util
import os
import sys

import parley.crypto

_path = os.environ["PARLEY_NATIVE_UNDER_TEST"]
_spec = importlib.util.spec_from_file_location("parley.crypto._native", _path)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["parley.crypto._native"] = _module
_spec.loader.exec_module(_module)
parley.crypto._native = _module


def pytest_report_header() -> str:
    return f"native module under test: {_path}"
