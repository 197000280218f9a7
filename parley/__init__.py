"""Parley: parties who do not trust each other compute together without showing each other their data."""

__version__ = "0.1.0"
