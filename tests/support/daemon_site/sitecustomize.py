"""Imported by Python at the start of every process that a test puts this folder before; loads the witness."""

import importlib.util
import os
import pathlib

_here = pathlib.Path(__file__).parent
_spec = importlib.util.spec_from_file_location("audit_hook", _here.parent / "audit_hook.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
_log = os.environ.get(_module.LOG_VARIABLE)
if _log:
    _module.install(_log)
