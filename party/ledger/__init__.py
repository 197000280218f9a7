"""What left this party: an append-only, chained record, opened before the first byte moves."""

from parley.party.ledger.ledger import JobLedger, Ledger

__all__ = ["JobLedger", "Ledger"]
