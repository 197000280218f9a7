"""The rows and columns that a step works on: aligned rows, in parts, with the columns as earlier steps prepared them.

A frame keeps no data: only which rows, in which part each is, and the chain of fitted transforms. A later step applies
the chain to the party's own table anew. Rows stand in the same order at every party that took part in the alignment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parley.components.features.pipeline import Pipeline, Transform
from parley.protocols.inputs import ROW, row_ids, table_of, take_rows, told
from parley.protocols.kit import StepInputs
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.int64]
Parts = NDArray[np.uint8]
TRAIN, VALIDATE, TEST = 0, 1, 2
PART_NAMES = ("train", "validate", "test")
KEYS = frozenset({"rows", "part", "prepared", "depth", "facts"})  # facts: of columns, for a selection
ALIGNMENT = frozenset({"rows", "count"})


@dataclass(frozen=True)
class Frame:
    """`rows` (n,) row ids, `part` (n,) of `PART_NAMES`, `table` the n rows with prepared columns and `_row`.

    `depth` counts the steps that made it; an alignment alone is 0.
    """

    rows: Ints = field(repr=False)
    part: Parts = field(repr=False)
    table: pa.Table = field(repr=False)
    pipeline: Pipeline
    depth: int

    def keep(self) -> dict[str, Any]:
        """For `StepOutputs.keep`, whatever else a step keeps beside it."""
        return {"rows": self.rows, "part": self.part, "prepared": self.pipeline.to_json(), "depth": self.depth}

    def next(self) -> Frame:
        """The same frame as one step more left it."""
        return replace(self, depth=self.depth + 1)

    def with_transforms(self, transforms: Iterable[Transform]) -> Frame:
        """With transforms more at the end of the chain; DataError when one does not fit the table."""
        more = Pipeline(tuple(transforms))
        return replace(self, table=more.apply(self.table), pipeline=self.pipeline.then(more.transforms)).next()

    def select(self, positions: Ints) -> Frame:
        """Only the rows at these positions, in their order."""
        return replace(
            self, rows=self.rows[positions], part=self.part[positions], table=self.table.take(positions)
        ).next()

    def with_part(self, part: Parts) -> Frame:
        """With another division of the rows; ValueError unless (n,) of 0, 1, 2."""
        if part.shape != self.rows.shape or part.max(initial=0) >= len(PART_NAMES):
            raise ValueError("a part for each row")
        return replace(self, part=part.astype(np.uint8)).next()

    def of_part(self, name: str) -> Ints:
        """Positions of one part by name, or of all rows by "all"."""
        if name == "all":
            return np.arange(self.rows.size)
        return np.flatnonzero(self.part == PART_NAMES.index(name))

    @property
    def training(self) -> NDArray[np.bool_]:
        """(n,) the rows that transforms and models are fitted on."""
        found: NDArray[np.bool_] = self.part == TRAIN
        return found


def frame_of(inputs: StepInputs, me: str, *, prepared: str | None = None) -> Frame:
    """The deepest frame among the step's needs, applied to this party's dataset.

    What a step kept for its own sake beside its frame (a model, scores) goes last. `prepared` takes another chain of
    transforms than the frame's, as a model brings it along. ParleyError "not_aligned" when no need has rows,
    "ambiguous_rows" when two equally deep ones differ, "no_dataset", "unknown_row", and what a transform refuses.
    """
    kept = _deepest(inputs)
    rows = np.asarray(kept["rows"], dtype=np.int64)
    table = take_rows(table_of(inputs, me), rows)
    with told():
        pipeline = Pipeline.from_json(
            prepared if prepared is not None else kept.get("prepared") or Pipeline().to_json()
        )
        table = pipeline.apply(table)
    part = np.asarray(kept.get("part", np.zeros(rows.size)), dtype=np.uint8)
    return Frame(rows, part, table, pipeline, int(kept.get("depth", 0)))


def bare_frame(inputs: StepInputs) -> Frame:
    """As `frame_of`, with a table of no columns: its rows, their parts and the chain, for who reads columns itself."""
    import pyarrow as pa

    kept = _deepest(inputs)
    rows = np.asarray(kept["rows"], dtype=np.int64)
    with told():
        pipeline = Pipeline.from_json(kept.get("prepared") or Pipeline().to_json())
    part = np.asarray(kept.get("part", np.zeros(rows.size)), dtype=np.uint8)
    return Frame(rows, part, pa.table({}), pipeline, int(kept.get("depth", 0)))


def local_frame(inputs: StepInputs, me: str) -> Frame:
    """As `frame_of`, or all rows of the dataset where nothing was aligned: for steps that one party takes alone."""
    if any("rows" in kept for kept in inputs.needs.values()):
        return frame_of(inputs, me)
    table = table_of(inputs, me)
    rows = row_ids(table)
    return Frame(rows, np.zeros(rows.size, dtype=np.uint8), table, Pipeline(), 0)


def _deepest(inputs: StepInputs) -> dict[str, Any]:
    found = [kept for kept in inputs.needs.values() if "rows" in kept]
    if not found:
        raise ParleyError(
            "not_aligned", "No earlier step aligned the rows of the parties.", "Let it need a psi step, result both."
        )
    best = max(found, key=_rank)
    for other in found:
        if _rank(other) == _rank(best) and not _alike(other, best):
            raise ParleyError(
                "ambiguous_rows",
                "Two steps that this one needs left different rows, parts or columns side by side.",
                "Let one of the two need the other, or need the one that counts.",
            )
    return best


def _alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    rows = np.asarray(a["rows"])
    none = np.zeros(rows.size)
    return (
        np.array_equal(rows, b["rows"])
        and np.array_equal(a.get("part", none), b.get("part", none))
        and a.get("prepared") == b.get("prepared")
    )


def _rank(kept: dict[str, Any]) -> tuple[bool, int]:
    made_for_it = set(kept) <= KEYS or set(kept) <= ALIGNMENT
    return made_for_it, int(kept.get("depth", 0))


def feature_names(frame: Frame, *without: str | None) -> list[str]:
    """The frame's columns in order, less the row ids and the named ones."""
    return [c for c in frame.table.column_names if c != ROW and c not in without]
