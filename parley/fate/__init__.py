"""FATE 2.x DAG files as Parley jobs, with a list of what is different and what has no equivalent.

Nothing of FATE is needed: a DAG is a YAML file.
"""

from parley.fate.convert import Imported, convert
from parley.fate.dag import read

__all__ = ["Imported", "convert", "read"]
