"""Parley: parties who do not trust each other compute together without showing each other their data."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Job", "Parley", "__version__"]  # the first two are made below, and typed in __init__.pyi


def __getattr__(name: str) -> Any:
    """The SDK's names, imported when first asked for: rooms and the command start without them."""
    if name in ("Parley", "Job"):
        return getattr(import_module("parley.client"), name)
    raise AttributeError(f"module 'parley' has no attribute {name!r}")
