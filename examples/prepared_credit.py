"""From raw tables to a measured model: real loans of three organisations, split, prepared and learnt from.

    python examples/prepared_credit.py            6,000 loans
    python examples/prepared_credit.py 9857       all of them

The job is the one of docs/preparation.md; all roles run in this process.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from parley import Parley
from parley.demo.tables import Shape, write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "preparation.md"


def main() -> int:
    """Run the job, print who told whom what, and how good the model is on rows it never saw."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), Shape(rows=rows))
        job = Path(folder) / "job.yaml"
        job.write_text(PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0], encoding="utf-8")
        outcome = Parley.local(job, {p: f for p, f in files.items() if p != "job"})
    for name, step in outcome.steps.items():
        told = sorted({str(line["disclosure"]) for line in step.egress})
        print(f"{name}: {step.outcome}, {step.seconds:.1f} s; told: {', '.join(told) or 'nothing'}")
    parts = outcome.result("split")
    print("rows: " + ", ".join(f"{count:,} to {part}" for part, count in parts.items()))
    found = outcome.result("evaluate")["metrics"]
    for part in ("training", "validation", "test"):
        print(f"AUC on {part} rows: {found[part]['auc']:.3f}")
    return 0 if found["test"]["auc"] > 0.55 else 1


if __name__ == "__main__":
    sys.exit(main())
