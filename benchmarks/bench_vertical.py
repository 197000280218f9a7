"""Vertical jobs between real daemons against their bars: `make bench`; writes build/bench/vertical.json."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from rows import Row, publish
from vertical_boost import boosting_rows
from vertical_linear import linear_rows
from vertical_outside import outside_rows
from vertical_psi import alignment_rows
from vertical_score import scoring_rows
from vertical_woe import woe_rows

PARTS = {
    "boost": boosting_rows,
    "psi": alignment_rows,
    "score": scoring_rows,
    "linear": linear_rows,
    "woe": woe_rows,
    "outside": outside_rows,
}


def main(wanted: list[str]) -> None:
    """All parts, or those named; a part that is left out says why."""
    rows: list[Row] = []
    for name, part in PARTS.items():
        if not wanted or name in wanted:
            rows += part()
    publish("vertical", "Vertical jobs between daemons", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
