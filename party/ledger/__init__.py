"""What left this party: an append-only, chained record, opened before the first byte moves; and counts of probes."""

from parley.party.ledger.budgets import Budgets, Probed, Run
from parley.party.ledger.ledger import JobLedger, Ledger

__all__ = ["Budgets", "JobLedger", "Ledger", "Probed", "Run"]
