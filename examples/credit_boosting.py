"""A credit model from three organisations' columns, on real loans, all roles in this process.

    python examples/credit_boosting.py            1,500 loans, half a minute
    python examples/credit_boosting.py 9857 5     all loans, five trees

Between organisations the same job file is submitted with `parley job submit job.yaml --watch`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from parley import Parley
from parley.demo.central import evaluation
from parley.demo.tables import Shape, write


def main() -> int:
    """Train, print who sent what to whom, and compare with a central model."""
    rows, trees = (int(a) for a in (sys.argv[1:] + ["1500", "2"][len(sys.argv) - 1 :])[:2])
    shape = Shape(rows=rows, trees=trees)
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), shape)
        outcome = Parley.local(files["job"], {p: f for p, f in files.items() if p != "job"})
        central = evaluation(files, shape)
    for name, step in outcome.steps.items():
        print(f"{name}: {step.outcome}, {step.seconds:.1f} s")
        for line in step.egress:
            sent = f"{line['messages']:4d} messages {line['bytes']:>12,} bytes"
            print(f"  {line['party']:>7} -> {line['to']:<7} {sent}  {line['tag']:<28} tells {line['disclosure']}")
    federated = outcome.result("evaluate")["metrics"]["all"]
    print(f"AUC federated {federated['auc']:.4f}, central {central['auc']:.4f}")
    return 0 if abs(federated["auc"] - central["auc"]) < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
