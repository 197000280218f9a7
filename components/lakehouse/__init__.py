"""One party's own tables: typed import, stable row ids, snapshots, tags and keyed commitments."""

from parley.components.errors import DataError
from parley.components.lakehouse.commit import commitment
from parley.components.lakehouse.tables import ROW, TableInfo
from parley.components.lakehouse.warehouse import Warehouse, load_file

__all__ = ["ROW", "DataError", "TableInfo", "Warehouse", "commitment", "load_file"]
