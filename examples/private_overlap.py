"""How many customers do a shop and a bank have in common? Nobody shows a customer list.

python examples/private_overlap.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from parley import Parley

JOB = {
    "name": "overlap",
    "purpose": "Count the customers that a shop and a bank have in common.",
    "parties": {"shop": {"data": "customers"}, "bank": {"data": "customers"}},
    "steps": {
        "align": {
            "uses": "psi/ecdh",
            "roles": {"receiver": "shop", "sender": "bank"},
            "with": {"id": "email", "normalise": "nfc", "result": "receiver", "floor": 20},
        }
    },
}


def main() -> int:
    """Two made-up lists with 60 customers in common."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for party, start in (("shop", 0), ("bank", 40)):
            files[party] = Path(folder) / f"{party}.csv"
            lines = [f"customer{n}@example.org" for n in range(start, start + 100)]
            files[party].write_text("\n".join(["email", *lines, ""]), encoding="utf-8")
        outcome = Parley.local(JOB, files)
    for line in outcome.steps["align"].egress:
        print(f"{line['party']} -> {line['to']}: {line['bytes']:,} bytes of {line['tag']}")
    found = outcome.result("align")
    print(f"in common: {found['intersection']}")
    return 0 if found["intersection"] == 60 else 1


if __name__ == "__main__":
    sys.exit(main())
